#!/usr/bin/env bash
# Runs the kernels' tests with the address and undefined behaviour sanitizers in the handlers.
# usage: native/sanitize.sh PYTHON, an environment in which plait's test extra and the build
# requirements of native/pyproject.toml are installed
set -euo pipefail
cd "$(dirname "$0")/.."
python=$(realpath -s "$1")

built=$(mktemp -d)
trap 'rm -rf "$built"' EXIT
cmake -S native -B "$built" -DPython_EXECUTABLE="$python" -DPLAIT_SANITIZE=ON \
  -DCMAKE_BUILD_TYPE=RelWithDebInfo >/dev/null
cmake --build "$built" --parallel 2 >/dev/null
mkdir "$built/plait_onednn"
cp native/plait_onednn/__init__.py "$built/libplait_onednn.so" "$built/plait_onednn"
cp "$(find "$("$python" -c 'import sys; print(sys.prefix)')" -name libdnnl.so.3 | head -n 1)" \
  "$built/plait_onednn"

# XLA and Python keep memory until they end, and are not looked at.
export ASAN_OPTIONS=detect_leaks=0:detect_odr_violation=0 UBSAN_OPTIONS=halt_on_error=1:print_stacktrace=1
export LD_PRELOAD="$(g++ -print-file-name=libasan.so):$(g++ -print-file-name=libubsan.so):$(g++ -print-file-name=libstdc++.so)"
PYTHONPATH=$built:src "$python" -m pytest tests/kernels -n 2 -p no:cacheprovider
