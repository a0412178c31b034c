#!/usr/bin/env bash
# Everything that must pass: scripts/test.sh [--preset release|debug|asan|tsan]
#
# Installs what is missing, builds, and runs ctest and the Python suites; asan and tsan run the unit and end-to-end
# tests. Ends with "N passed, N failed" over all suites, and exits non-zero when anything failed.
set -uo pipefail
cd "$(dirname "$0")/.."

preset=release
while [ $# -gt 0 ]; do
  case $1 in
    --preset) preset=${2:?--preset wants a name}; shift 2 ;;
    --preset=*) preset=${1#*=}; shift ;;
    *) echo "usage: scripts/test.sh [--preset release|debug|asan|tsan]" >&2; exit 2 ;;
  esac
done

build=build/$preset
results=$build/test-results
python=.venv/bin/python
export TANDEM_BUILD_DIR=$PWD/$build TANDEM_BIN=$PWD/$build/tandem
export ASAN_OPTIONS=detect_stack_use_after_return=1:strict_string_checks=1
export UBSAN_OPTIONS=halt_on_error=1:print_stacktrace=1
TSAN_OPTIONS=halt_on_error=1:second_deadlock_stack=1:ignore_noninstrumented_modules=1
export TSAN_OPTIONS+=:suppressions=$PWD/tests/house/tsan.supp

passed=0 failed=0 skipped=0 summary=

# section NAME COMMAND...: runs one suite. A suite that writes $results/NAME.xml (JUnit) is counted by its test cases,
# any other as one test.
section() {
  local name=$1 start=$SECONDS status counts ok bad skip line
  shift
  printf '\n=== %s\n' "$name"
  "$@"
  status=$?
  if ! counts=$(python3 tests/house/junit_counts.py "$results/$name.xml" "$status"); then
    counts="0 1 0"
  fi
  read -r ok bad skip <<<"$counts"
  passed=$((passed + ok)) failed=$((failed + bad)) skipped=$((skipped + skip))
  printf -v line '%-16s %5d passed %3d failed %3d skipped %5d s' "$name" "$ok" "$bad" "$skip" $((SECONDS - start))
  summary+=$line$'\n'
  return $status
}

finish() {
  printf '\n=== summary (%s)\n%s' "$preset" "$summary"
  printf '%d skipped, %d s in all\n%d passed, %d failed\n' "$skipped" "$SECONDS" "$passed" "$failed"
  [ "$failed" -eq 0 ]
  exit
}

unit_tests() { ctest --preset "$preset" -j "$(nproc)" --output-junit "$PWD/$results/unit.xml"; }

# The virtual environment of the Python suites, made again whenever the requirements or the interpreter change.
python_packages() {
  local stamp log
  stamp=$(python3 --version; sha256sum tests/requirements.txt) || return 1
  [ "$(cat .venv/.stamp 2>/dev/null)" != "$stamp" ] || return 0
  log=$results/pip.log
  if ! { python3 -m venv --clear .venv &&
    .venv/bin/pip install -q --disable-pip-version-check -r tests/requirements.txt; } >"$log" 2>&1; then
    # Index addresses are the machine's own business.
    sed -E 's#[a-z+]+://[^ ]+#(index)#g' "$log" | tail -n 15 >&2
    return 1
  fi
  printf '%s\n' "$stamp" >.venv/.stamp
}

pytest_suite() { "$python" -m pytest -q -ra --junitxml="$results/$1.xml" "${@:2}"; }
# Official clients against a server that is started for them.
client_tests() {
  "$python" tests/e2e/with_server.py -- "$python" -m pytest -q -ra --junitxml="$results/clients.xml" tests/clients
}

section dependencies scripts/install_deps.sh || finish
mkdir -p "$results" && rm -f "$results"/*.xml
section build scripts/build.sh "$preset" || finish
section unit unit_tests
if [ "$preset" = release ]; then
  section headers python3 tools/check_headers.py "$build"
fi
section python python_packages || finish
section e2e pytest_suite e2e tests/e2e
if [ "$preset" = release ] || [ "$preset" = debug ]; then
  section clients client_tests
  section tokenizer "$python" tests/tokenizer/compare.py --tool "$build/tests/tokenizer/tokenizer_tool"
  section templates "$python" tests/chat_templates/compare.py "$build/tests/chat_templates/tests_render_jobs"
  section structured "$python" tests/structured_output/check_outputs.py \
    --tool "$build/tests/structured_output/structured_output_tool"
fi
finish
