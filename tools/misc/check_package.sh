#!/usr/bin/env bash
# Build sdist and wheel, and try each in an empty environment outside this tree.
# Usage: tools/misc/check_package.sh [DIR=build/package]; PYTHON and TORCH_ARGS are as in the Makefile.
set -euo pipefail
cd "$(dirname "$0")/../.."

root=$PWD
dir=$(mkdir -p "${1:-build/package}" && cd "${1:-build/package}" && pwd)
python=${PYTHON:-python3}
torch=$(grep '^torch==' requirements/constraints.txt)

# An environment takes 1.5 GB, so none outlives its turn, nor a failure.
trap 'rm -rf "$dir/env" "$dir/build-env" "$dir/empty"' EXIT
rm -rf "$dir"/* && mkdir -p "$dir/dist"
"$python" -m venv "$dir/build-env"
"$dir/build-env/bin/pip" install --quiet --disable-pip-version-check build
# Without --wheel: the wheel is built from the sdist, as others will build it.
"$dir/build-env/bin/python" -m build --outdir "$dir/dist" "$root" >"$dir/build.log" 2>&1 ||
    { tail -n 30 "$dir/build.log"; exit 1; }

rm -rf "$dir/build-env"
for file in "$dir"/dist/*; do
    rm -rf "$dir/env" "$dir/empty" && mkdir "$dir/empty"
    "$python" -m venv "$dir/env"
    # shellcheck disable=SC2086 # TORCH_ARGS holds several words
    "$dir/env/bin/pip" install --quiet --disable-pip-version-check ${TORCH_ARGS:-} "$torch"
    "$dir/env/bin/pip" install --quiet --disable-pip-version-check \
        -c "$root/requirements/constraints.txt" "$file"
    (cd "$dir/empty" && "$dir/env/bin/python" -W ignore "$root/tools/misc/smoke_test.py")
    echo "$(basename "$file"): installs and works"
done
