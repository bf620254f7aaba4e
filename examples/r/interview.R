# A data frame of an interview's statements with sentiment and entities, and a table of sentiment by speaker.
#     RETICULATE_PYTHON=/path/to/python Rscript examples/r/interview.R [FILE]
# Needs R with reticulate, and a Python in which `pip install .` was run (the base install: no torch, no numpy).
# The worker is at 127.0.0.1:50051, or at QDA_TARGET.
library(reticulate)

client <- import("qda_worker.client")
file <- c(commandArgs(trailingOnly = TRUE), "demo/interview.txt")[1]
worker <- client$Client(Sys.getenv("QDA_TARGET", "127.0.0.1:50051"))

segments <- iterate(client$read_corpus(list(file)))
texts <- lapply(segments, function(segment) segment$to_text())
sentiment <- iterate(worker$sentiment(texts))
entities <- iterate(worker$entities(texts))
worker$close()

# The value of a text with an error is NA.
field <- function(values, get) sapply(values, function(value) { found <- get(value); if (is.null(found)) NA else found })
interview <- data.frame(
  speaker = field(segments, function(segment) segment$speaker),
  start = field(segments, function(segment) segment$start),
  label = field(sentiment, function(result) result$label$value),
  negative = field(sentiment, function(result) result$probabilities$negative),
  entities = sapply(entities, function(result) {
    paste(sapply(result$entities, function(entity) sprintf("%s (%s)", entity$text, entity$label)), collapse = ", ")
  }),
  text = sapply(segments, function(segment) segment$text)
)
print(table(interview$speaker, interview$label))
print(head(interview[order(-interview$negative), c("speaker", "label", "text")], 3), row.names = FALSE)

# Positions are code points from 0, the end exclusive; R counts from 1, the end inclusive.
for (i in seq_along(entities)) for (entity in entities[[i]]$entities) {
  stopifnot(substr(interview$text[i], entity$start + 1, entity$end) == entity$text)
}
print(interview$entities[interview$entities != ""])
