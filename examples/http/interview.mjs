// Prints sentiment and entities of each statement of a transcript.
//     node examples/http/interview.mjs [FILE]
// Needs Node 18 or newer, no package, and a worker with an HTTP port (`qda-worker serve --http-listen`): at
// http://127.0.0.1:8080, or at QDA_URL. QDA_TOKEN is a token, where the worker asks for one. Positions are requested in
// UTF-16 units, the indices of JavaScript's strings. In a browser `fetch` is the same; the worker has to allow the
// page's origin with --http-cors-origin.
import { readFileSync } from "node:fs";

const url = process.env.QDA_URL ?? "http://127.0.0.1:8080";
const token = process.env.QDA_TOKEN;

/** Calls a method and returns its response. The message of an error ends with a remedy. */
async function call(method, request) {
  const response = await fetch(`${url}/qda.v1.${method}`, {
    method: "POST",
    headers: { "Content-Type": "application/json", ...(token && { Authorization: `Bearer ${token}` }) },
    body: JSON.stringify(request),
    signal: AbortSignal.timeout(30_000),
  });
  const body = await response.json();
  if (!response.ok) throw new Error(body.message);
  return body;
}

const statements = readFileSync(process.argv[2] ?? "demo/interview.txt", "utf8")
  .split(/\r?\n/)
  .map((line) => /^(\w+): (.*?)(?: #[\d:-]+#)?$/.exec(line)) // I: … #00:00:03-0#
  .filter(Boolean)
  .map(([, speaker, content]) => ({ speaker, content }));
const texts = statements.map(({ content }) => ({ content }));
const [sentiment, entities] = await Promise.all([
  call("SentimentService/AnalyzeSentiment", { texts }),
  call("EntityService/RecognizeEntities", { texts, offsetEncoding: "OFFSET_ENCODING_UTF16_UNITS" }),
]);
statements.forEach(({ speaker, content }, i) => {
  const names = entities.results[i].entities.map(
    ({ label, span }) => `${content.slice(span.start, span.end)} (${label})`,
  );
  const label = sentiment.results[i].label.replace("SENTIMENT_LABEL_", "").toLowerCase();
  console.log([speaker, label, content, names.join(", ")].join("\t"));
});
