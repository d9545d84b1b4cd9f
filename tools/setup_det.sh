#!/usr/bin/env bash
# Set up detection in a virtual environment of its own: `make det` calls this.
# Usage: tools/setup_det.sh [DIR=.venv-det]
# PYTHON and TORCH_ARGS are as in the Makefile; MMCV_WHEELS is where the compiled mmcv is kept,
# so that only the first run for a torch has to compile it.
set -euo pipefail
cd "$(dirname "$0")/.."

dir=${1:-.venv-det}
pins=requirements/det-constraints.txt
[[ -x $dir/bin/python ]] || "${PYTHON:-python3}" -m venv "$dir"
pip() { "$dir/bin/python" -m pip --disable-pip-version-check "$@"; }
pin() { grep "^$1==" "$pins"; }

# shellcheck disable=SC2086 # TORCH_ARGS holds several words
pip install --quiet ${TORCH_ARGS:-} "$(pin torch)"
pip install --quiet "$(pin setuptools)" "$(pin wheel)" "$(pin ninja)"

# The ops fit the torch and the Python that they were compiled with, and no other.
name=$("$dir/bin/python" -W ignore -c "import sys, torch
print(f'torch-{torch.__version__}-{sys.implementation.cache_tag}')")
wheels=${MMCV_WHEELS:-${XDG_CACHE_HOME:-$HOME/.cache}/mmseg_gc}/$name
shopt -s nullglob
mmcv=("$wheels"/onedl_mmcv-*.whl)
if [[ ${#mmcv[@]} -eq 0 ]]; then
    echo "Compiling mmcv's ops against $name, once: 78 files, each some 10 s of one core…"
    # Not from pip's cache, which may hold the wheel without ops that segmentation installs. The
    # debug symbols that Python was built with would double the time. Moved when it is whole.
    MMCV_WITH_OPS=1 MAX_JOBS=${MAX_JOBS:-$(nproc)} CFLAGS="-O3 -g0 -DNDEBUG -fwrapv" \
        "$dir/bin/python" -m pip --disable-pip-version-check wheel --quiet --no-cache-dir \
        --no-build-isolation --no-deps --no-binary onedl-mmcv \
        --wheel-dir "$dir/wheels" "$(pin onedl-mmcv)"
    mkdir -p "$wheels"
    mv "$dir"/wheels/onedl_mmcv-*.whl "$wheels"
    mmcv=("$wheels"/onedl_mmcv-*.whl)
fi
pip install --quiet -c "$pins" "${mmcv[0]}" -e '.[tests,det]'
"$dir/bin/python" -c "import mmcv.ops, mmdet.models"
echo "$dir is ready: $dir/bin/python tools/train.py configs/gcnet_det/…"
