#!/usr/bin/env bash
# Set up detection in a virtual environment of its own: `make det` calls this.
# Usage: tools/setup_det.sh [DIR=.venv-det]
# PYTHON and TORCH_ARGS are as in the Makefile; MMCV_WHEELS is where the compiled mmcv is kept,
# so that only the first run for a torch has to compile it. A torch for CUDA gets ops for CUDA, also
# where no GPU is seen, as on a login node; TORCH_CUDA_ARCH_LIST names the cards they are for, by
# default "7.5;8.0;8.6;9.0+PTX": T4 and RTX 20, A100, RTX 30 and 40, H100, and, compiled once more
# at the first use, whatever is newer.
set -euo pipefail
cd "$(dirname "$0")/.."

dir=${1:-.venv-det}
pins=requirements/det-constraints.txt
[[ -x $dir/bin/python ]] || "${PYTHON:-python3}" -m venv "$dir"
pip() { "$dir/bin/python" -m pip --disable-pip-version-check "$@"; }
pin() { grep "^$1==" "$pins"; }
fail() { echo "Error: $1" >&2; exit 1; }

# shellcheck disable=SC2086 # TORCH_ARGS holds several words
pip install --quiet ${TORCH_ARGS:-} "$(pin torch)"
pip install --quiet "$(pin setuptools)" "$(pin wheel)" "$(pin ninja)"

# The ops fit the torch, the CUDA, the cards and the Python that they were compiled for, no others.
facts=$("$dir/bin/python" -W ignore -c "import sysconfig, torch
print(torch.__version__, sysconfig.get_config_var('SOABI'), torch.version.cuda or 'cpu')")
read -r torch python cuda <<<"$facts"
name=torch-$torch-cpu-$python
if [[ $cuda != cpu ]]; then
    export FORCE_CUDA=1
    export TORCH_CUDA_ARCH_LIST=${TORCH_CUDA_ARCH_LIST:-7.5;8.0;8.6;9.0+PTX}
    name=torch-$torch-cuda$cuda-${TORCH_CUDA_ARCH_LIST//[ ;]/_}-$python
fi
wheels=${MMCV_WHEELS:-${XDG_CACHE_HOME:-$HOME/.cache}/mmseg_gc}/$name
shopt -s nullglob
mmcv=("$wheels"/onedl_mmcv-*.whl)
if [[ ${#mmcv[@]} -eq 0 ]]; then
    if [[ $cuda != cpu && ! -x ${CUDA_HOME:-/usr/local/cuda}/bin/nvcc ]] && ! command -v nvcc >/dev/null
    then
        fail "torch $torch is for CUDA $cuda, whose compiler nvcc isn't found: install the CUDA \
toolkit $cuda and set CUDA_HOME to it, or set TORCH_ARGS for a CPU build of torch."
    fi
    echo "Compiling mmcv's ops for $name, once: 78 files, each some 10 s of one core…"
    # Not from pip's cache, which may hold the wheel without ops that segmentation installs. The
    # debug symbols that Python was built with would double the time. Moved when it is whole.
    rm -f "$dir"/wheels/onedl_mmcv-*.whl
    MMCV_WITH_OPS=1 MAX_JOBS=${MAX_JOBS:-$(nproc)} CFLAGS="-O3 -g0 -DNDEBUG -fwrapv" \
        "$dir/bin/python" -m pip --disable-pip-version-check wheel --quiet --no-cache-dir \
        --no-build-isolation --no-deps --no-binary onedl-mmcv \
        --wheel-dir "$dir/wheels" "$(pin onedl-mmcv)"
    mkdir -p "$wheels"
    mv "$dir"/wheels/onedl_mmcv-*.whl "$wheels"
    mmcv=("$wheels"/onedl_mmcv-*.whl)
fi
# Once more even if this version is there: it may be the wheel of another torch.
pip install --quiet --no-deps --force-reinstall "${mmcv[0]}"
pip install --quiet -c "$pins" "${mmcv[0]}" -e '.[tests,det]'
compiled=$("$dir/bin/python" -W ignore -c "import mmcv.ops, mmdet.models
print(mmcv.ops.get_compiling_cuda_version())")
if [[ $cuda != cpu && $compiled == "not available" ]]; then
    fail "the ops in ${mmcv[0]} have no CUDA in them, though torch $torch is for CUDA $cuda: \
remove that file and run this again."
fi
echo "$dir is ready: $dir/bin/python tools/train.py configs/gcnet_det/…"
