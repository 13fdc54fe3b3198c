#!/usr/bin/env bash
# Fuzzes every target of fuzz/ for FUZZ_SECONDS each, as many at once as there are cores. Installs cargo-fuzz
# when it is missing. Ends with an error when one target found something; its output is shown whole.
set -euo pipefail
cd "$(dirname "$0")/.."
cargo=${CARGO:-cargo}
export FUZZ_SECONDS=${FUZZ_SECONDS:-30}
# Lets a stable compiler do what cargo-fuzz needs.
export RUSTC_BOOTSTRAP=1

"$cargo" fuzz --version >/dev/null 2>&1 || "$cargo" install --locked cargo-fuzz

# What the format's specification shows is what the fuzzer starts from.
seed_from_vectors() {
  mkdir -p "fuzz/corpus/$1" "fuzz/seeds/$1"
  local pattern
  case $1 in
    aof_reader) pattern='*.aof' ;;
    manifest) pattern='*.manifest' ;;
    rdb) pattern='rdb-*.rdb' ;;
    container) pattern='[cl]*-*.rdb' ;; # and RDBs with the table in lines
    *) return 0 ;;
  esac
  find format-spec/vectors -maxdepth 1 -name "$pattern" -exec cp {} "fuzz/corpus/$1/" \;
}

fuzz_one() {
  local log
  log=$(mktemp)
  if "${CARGO:-cargo}" fuzz run --sanitizer none "$1" "fuzz/corpus/$1" "fuzz/seeds/$1" -- \
    "-max_total_time=$FUZZ_SECONDS" -timeout=20 -rss_limit_mb=4096 >"$log" 2>&1; then
    echo "fuzz $1: $(grep -a '^Done' "$log" || echo ended)"
    rm -f "$log"
  else
    cat "$log"
    echo "fuzz $1: failed; the input is in fuzz/artifacts/$1" >&2
    rm -f "$log"
    return 1
  fi
}
export -f fuzz_one

targets=$(basename -s .rs fuzz/fuzz_targets/*.rs)
for target in $targets; do seed_from_vectors "$target"; done
"$cargo" fuzz build --sanitizer none
# shellcheck disable=SC2086
printf '%s\n' $targets | xargs -P "$(nproc)" -I{} bash -euc 'fuzz_one {}'
