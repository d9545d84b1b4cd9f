#!/usr/bin/env bash
# Fetch what label.html needs of onnxruntime-web from npm, to DIR (default: ort, beside that page).
# Usage: demo/deploy/fetch_runtime.sh [DIR]
set -euo pipefail
version=1.30.0
dir=${1:-$(dirname "$0")/ort}
mkdir -p "$dir"
dir=$(cd "$dir" && pwd)
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
(cd "$scratch" && npm pack --silent "onnxruntime-web@$version" >/dev/null && tar xzf onnxruntime-web-*.tgz)
cp "$scratch"/package/dist/{ort.wasm.min.js,ort-wasm-simd-threaded.mjs,ort-wasm-simd-threaded.wasm} "$dir"
