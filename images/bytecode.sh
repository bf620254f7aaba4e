# Compiles Python files to bytecode. Python could not store bytecode at run time, because the image's user may not write to
# the packages and the root file system may be read-only. The official base image lacks the bytecode of the standard library.
#   sh bytecode.sh FOLDER         compile a folder in place
#   sh bytecode.sh --stdlib OUT   compile the standard library to OUT, to be copied over the root of the image
# The bytecode is not validated against its source (unchecked hash, PEP 552): neither changes, and file times differ between
# builders.
set -eu
compile() { # ignore templates and tests that are not valid for this Python
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
