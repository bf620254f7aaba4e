# Makes the image's own cache: its folders, and with BAKE_MODELS these models, by the same warmer that fills a volume.
# Run at build in the images' `cache` stage, with the build context at /context. A catalog other than the one inside the
# package goes into the image with its lock, as /etc/qda-worker/catalog.yaml: what is baked is checked and served by it.
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
