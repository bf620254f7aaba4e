#!/usr/bin/env bash
# Calls a worker with curl: the sentiment of two statements, the entities of one, an embedding as OpenAI's API has it.
#     examples/http/curl.sh
# Needs curl and a worker with an HTTP port (`qda-worker serve --http-listen`): at http://127.0.0.1:8080, or at QDA_URL.
# QDA_TOKEN is a token, where the worker asks for one. The fields are those of the worker's page, $QDA_URL/docs.
set -euo pipefail
url=${QDA_URL:-http://127.0.0.1:8080}

call() { # PATH [JSON]
    curl --silent --show-error --fail-with-body ${QDA_TOKEN:+--header "Authorization: Bearer $QDA_TOKEN"} \
        ${2:+--header "Content-Type: application/json" --data "$2"} "$url$1"
    echo
}

call /qda.v1.SentimentService/AnalyzeSentiment \
    '{"texts": [{"content": "Das Team hat mir sehr geholfen."}, {"content": "Die Pflege war eine Zumutung."}]}'

# Positions need a unit: code points, UTF-16 units or UTF-8 bytes.
call /qda.v1.EntityService/RecognizeEntities \
    '{"texts": [{"content": "Anna wohnt in Köln."}], "offsetEncoding": "OFFSET_ENCODING_CODE_POINTS"}'

call /v1/models
call /v1/embeddings '{"model": "multilingual-embedding", "input": "Der Bus kommt zu spät.", "encoding_format": "base64"}'
