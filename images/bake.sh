# Creates the cache in the image: its folders and, with BAKE_MODELS, these models, fetched by the warmer. It runs at build time
# in the `cache` stage of the images, with the build context mounted at /context. A catalog of BAKE_CATALOG is copied into the
# image with its lock, as /etc/qda-worker/catalog.yaml, and becomes the default catalog.
set -eu
mkdir -p /cache/huggingface/hub /cache/spacy /cache/torch /cache/.model-cache /etc/qda-worker
if [ -n "$BAKE_CATALOG" ]; then
    cp "/context/$BAKE_CATALOG" /etc/qda-worker/catalog.yaml
    lock="/context/${BAKE_CATALOG%.*}.lock.json"
    [ ! -e "$lock" ] || cp "$lock" /etc/qda-worker/catalog.lock.json
    chmod 0644 /etc/qda-worker/*
    export QDA_CATALOG=/etc/qda-worker/catalog.yaml
fi
[ -n "$BAKE_MODELS" ] || exit 0
export HOME=/tmp QDA_CACHE=/cache QDA_MODELS="$BAKE_MODELS"
[ -n "$HF_ENDPOINT" ] || unset HF_ENDPOINT
[ -n "$QDA_WHEEL_BASE" ] || unset QDA_WHEEL_BASE
/opt/qda/bin/cache-warmer warm
/opt/qda/bin/cache-check
