#!/usr/bin/env bash
# Lint, format and types: reports all three, fails if any does. `./tools/check.sh --fix` mends what ruff can.
set -euo pipefail
# shellcheck source=tools/environment.sh
source "$(dirname -- "${BASH_SOURCE[0]}")/environment.sh"
cd -- "$root"
if [ "${1-}" = --fix ]; then
    "$python" -m ruff check --fix . || true
    "$python" -m ruff format .
fi
status=0
"$python" -m ruff check . || status=1
"$python" -m ruff format --check . || status=1
"$python" -m basedpyright --pythonpath "$python" || status=1
exit "$status"
