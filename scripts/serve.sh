#!/usr/bin/env bash
# From a clone to a running service: installs packages, builds, and serves the bundled model on
# http://localhost:8000 with two expert workers (the defaults of `tandem serve`). Arguments go to `tandem serve`, for
# example: scripts/serve.sh --port 8080
set -euo pipefail
cd "$(dirname "$0")/.."

scripts/install_deps.sh
scripts/build.sh release tandem
exec build/release/tandem serve models/pocket-dictionary "$@"
