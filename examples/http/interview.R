# Prints sentiment and entities of each statement of a transcript.
#     Rscript examples/http/interview.R [FILE]
# Needs R 4.1 or newer with httr2 (Debian: r-cran-httr2), and a worker with an HTTP port (`qda-worker serve
# --http-listen`): at http://127.0.0.1:8080, or at QDA_URL. QDA_TOKEN is a token, where the worker asks for one.
# Positions are requested in code points, which substr counts; they begin at 0, and the end is exclusive.
library(httr2)

# Calls a method and returns its response. The message of an error ends with a remedy.
call_method <- function(method, body) {
  request <- request(Sys.getenv("QDA_URL", "http://127.0.0.1:8080")) |>
    req_url_path_append(paste0("qda.v1.", method)) |>
    req_body_json(body) |>
    req_timeout(30) |>
    req_error(body = function(response) resp_body_json(response)$message)
  token <- Sys.getenv("QDA_TOKEN")
  if (token != "") request <- req_auth_bearer_token(request, token)
  resp_body_json(req_perform(request))
}

file <- c(commandArgs(trailingOnly = TRUE), "demo/interview.txt")[1]
pattern <- "^(\\w+): (.*?)(?: #[\\d:-]+#)?$" # I: … #00:00:03-0#
lines <- grep(pattern, readLines(file, encoding = "UTF-8"), perl = TRUE, value = TRUE)
speakers <- sub(pattern, "\\1", lines, perl = TRUE)
contents <- sub(pattern, "\\2", lines, perl = TRUE)

texts <- lapply(contents, function(content) list(content = content))
sentiment <- call_method("SentimentService/AnalyzeSentiment", list(texts = texts))$results
entities <- call_method(
  "EntityService/RecognizeEntities",
  list(texts = texts, offsetEncoding = "OFFSET_ENCODING_CODE_POINTS")
)$results

for (i in seq_along(contents)) {
  names <- vapply(entities[[i]]$entities, function(entity) {
    sprintf("%s (%s)", substr(contents[i], entity$span$start + 1, entity$span$end), entity$label)
  }, "")
  label <- tolower(sub("SENTIMENT_LABEL_", "", sentiment[[i]]$label))
  cat(speakers[i], label, contents[i], paste(names, collapse = ", "), sep = "\t")
  cat("\n")
}
