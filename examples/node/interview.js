// Prints sentiment and entities of each statement of a transcript.
//     (cd examples/node && npm ci) && node examples/node/interview.js [FILE]
// Needs a worker: at 127.0.0.1:50051, or at QDA_TARGET. Positions are requested in UTF-16 units, the indices of
// JavaScript's strings.
"use strict";

const fs = require("node:fs");
const path = require("node:path");
const util = require("node:util");
const grpc = require("@grpc/grpc-js");
const loader = require("@grpc/proto-loader");

const root = path.join(__dirname, "..", "..");
const definition = loader.loadSync(["qda/v1/sentiment.proto", "qda/v1/entity.proto"], {
  includeDirs: [path.join(root, "proto"), path.join(root, "third_party", "proto")],
  keepCase: true, enums: String, longs: Number, defaults: true, oneofs: true,
});
const { EntityService, SentimentService } = grpc.loadPackageDefinition(definition).qda.v1;

// docs/calling.md has the service config for several workers behind one name.
const retry = { maxAttempts: 5, initialBackoff: "0.3s", maxBackoff: "10s", backoffMultiplier: 3,
  retryableStatusCodes: ["UNAVAILABLE", "CANCELLED", "RESOURCE_EXHAUSTED"] };
const options = {
  "grpc.max_receive_message_length": 64 * 1024 * 1024, // most clients accept 4 MiB; the worker sends up to 64
  "grpc.service_config": JSON.stringify({ methodConfig: [{ name: [{}], retryPolicy: retry }] }),
};
const target = process.env.QDA_TARGET || "127.0.0.1:50051";
const credentials = grpc.credentials.createInsecure();

/** Returns a function that calls a method and resolves to its response; errors end with a remedy. */
function method(service, name) {
  const client = new service(target, credentials, options);
  const call = util.promisify(client[name]).bind(client);
  return (request) => call(request, { deadline: Date.now() + 30_000 }).finally(() => client.close());
}

async function main(file) {
  const statements = fs.readFileSync(file, "utf8").split(/\r?\n/)
    .map((line) => /^(\w+): (.*?)(?: #[\d:-]+#)?$/.exec(line)) // I: … #00:00:03-0#
    .filter(Boolean).map(([, speaker, content]) => ({ speaker, content }));
  const texts = statements.map(({ content }) => ({ content }));
  const [sentiment, entities] = await Promise.all([
    method(SentimentService, "AnalyzeSentiment")({ texts }),
    method(EntityService, "RecognizeEntities")({ texts, offset_encoding: "OFFSET_ENCODING_UTF16_UNITS" }),
  ]);
  statements.forEach(({ speaker, content }, i) => {
    const names = entities.results[i].entities.map(({ label, span }) => `${content.slice(span.start, span.end)} (${label})`);
    const label = sentiment.results[i].label.replace("SENTIMENT_LABEL_", "").toLowerCase();
    console.log([speaker, label, content, names.join(", ")].join("\t"));
  });
}

main(process.argv[2] || path.join(root, "demo", "interview.txt")).catch((error) => {
  console.error(error.details || error.message);
  process.exitCode = 1;
});
