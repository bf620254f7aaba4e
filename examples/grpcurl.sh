#!/usr/bin/env bash
# Calls a worker from a shell: what it serves, the sentiment of two statements, the entities of one.
#     examples/grpcurl.sh
# Needs grpcurl and a worker: at 127.0.0.1:50051, or at QDA_TARGET. Field names and values are those of proto/qda/v1,
# which the worker describes by reflection: `grpcurl -plaintext HOST:PORT describe qda.v1.SentimentService`.
set -euo pipefail
target=${QDA_TARGET:-127.0.0.1:50051}

grpcurl -plaintext "$target" list
grpcurl -plaintext "$target" qda.v1.ModelService/ListModels

grpcurl -plaintext -d @ "$target" qda.v1.SentimentService/AnalyzeSentiment <<'REQUEST'
{"texts": [{"id": "1", "content": "Das Team hat mir sehr geholfen."},
           {"id": "2", "content": "Die Pflege war eine Zumutung."}]}
REQUEST

# Positions need a unit: code points, UTF-16 units or UTF-8 bytes.
grpcurl -plaintext -d @ "$target" qda.v1.EntityService/RecognizeEntities <<'REQUEST'
{"texts": [{"content": "Anna wohnt in Köln."}], "offset_encoding": "OFFSET_ENCODING_CODE_POINTS"}
REQUEST
