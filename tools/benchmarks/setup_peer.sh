#!/usr/bin/env bash
# Set up the reference that parity.py compares with: mmsegmentation's living fork, in a virtual
# environment of its own. Usage: tools/benchmarks/setup_peer.sh [DIR=.venv-peer]
# TORCH_ARGS is what torch is installed from, as in the Makefile; PYTHON chooses the interpreter.
set -euo pipefail

dir=${1:-.venv-peer}
ready=$dir/.peer-1.4.2
if [[ -e $ready ]]; then
    echo "$dir is ready."
    exit 0
fi
[[ -x $dir/bin/python ]] || "${PYTHON:-python3}" -m venv "$dir"
install() { "$dir/bin/python" -m pip install --quiet --disable-pip-version-check "$@"; }

# torch alone and first: an open range would fetch gigabytes of CUDA packages.
# shellcheck disable=SC2086 # TORCH_ARGS holds several words
install ${TORCH_ARGS:-} torch==2.13.0
# Under pip's build isolation mmcv finds no torch and installs in seconds, without compiled ops.
install onedl-mmcv==2.3.6 onedl-mmengine==0.10.12 torch==2.13.0
install onedl-mmsegmentation==1.4.2 onedl-mmcv==2.3.6 onedl-mmengine==0.10.12 torch==2.13.0
"$dir/bin/python" -c "from mmseg.utils import register_all_modules; register_all_modules()"
touch "$ready"
echo "$dir is ready: python tools/benchmarks/parity.py --peer $dir/bin/python"
