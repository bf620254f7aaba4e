# Compiles what Python would compile at each start, because it cannot keep the result: the image's user may not write to
# it, and its root may be read-only. The official base image comes without the bytecode of the standard library.
#   sh bytecode.sh FOLDER         that folder's, in place
#   sh bytecode.sh --stdlib OUT   the standard library's, below OUT, to be copied over the root of the image
# Never compared with its source again (PEP 552): neither changes, and the times of files differ between builders.
set -eu
compile() { # a template or a test that is no Python, or not this Python, stays as it is
    python -m compileall -q -j 0 --invalidation-mode unchecked-hash "$@" >/dev/null || true
}
if [ "$1" != --stdlib ]; then
    compile "$1"
    exit
fi
mkdir -p "$2"
library=$(python -c 'import sysconfig; print(sysconfig.get_path("stdlib"))')
compile -f -x '/(site-packages|dist-packages|test|tests|idlelib|lib2to3|tkinter|turtledemo|ensurepip|distutils|pydoc_data)/' "$library"
cd "$library"
find . -name __pycache__ -type d \
    ! -path '*/site-packages/*' ! -path '*/dist-packages/*' ! -path '*/test/*' ! -path '*/tests/*' |
    while read -r folder; do
        mkdir -p "$2$library/${folder%/*}"
        cp -R "$folder" "$2$library/${folder%/*}/"
    done
