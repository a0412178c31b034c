#!/usr/bin/env bash
# Configures and builds: scripts/build.sh [PRESET [TARGET...]]. Presets: release (default), debug, asan, tsan.
# JOBS sets the number of parallel compilations (default: all cores).
set -euo pipefail
cd "$(dirname "$0")/.."

preset=${1:-release}
[ $# -eq 0 ] || shift

log=$(mktemp)
trap 'rm -f "$log"' EXIT
if ! cmake --preset "$preset" >"$log" 2>&1; then
  cat "$log" >&2
  exit 1
fi
ninja -C "build/$preset" -j "${JOBS:-$(nproc)}" "$@"
