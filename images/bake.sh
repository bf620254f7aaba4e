# Makes the image's own cache: its folders, and with BAKE_MODELS these models, by the same warmer that fills a volume.
# Run at build in the images' `cache` stage, with the build context at /context.
set -eu
mkdir -p /cache/huggingface/hub /cache/spacy /cache/torch /cache/.model-cache
[ -n "$BAKE_MODELS" ] || exit 0
if [ -n "$BAKE_CATALOG" ]; then
    export QDA_CATALOG="/context/$BAKE_CATALOG"
fi
export HOME=/tmp QDA_CACHE=/cache QDA_MODELS="$BAKE_MODELS"
[ -n "$HF_ENDPOINT" ] || unset HF_ENDPOINT
[ -n "$QDA_WHEEL_BASE" ] || unset QDA_WHEEL_BASE
/opt/qda/bin/cache-warmer warm
/opt/qda/bin/cache-check
