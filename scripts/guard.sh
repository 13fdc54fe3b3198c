#!/bin/sh
# Counts the instructions of fixed workloads (benches/guard.rs) and compares them with benches/guard.baseline: more than 5 %
# above it fails, more than 5 % below it asks for a new baseline. No clock, so other programs on the machine change nothing.
#
#     scripts/guard.sh            compare
#     BLESS=1 scripts/guard.sh    write a new baseline, to be committed with the change that explains it
#
# Another rustc compiles to other instructions: then nothing can be compared, and it says so loudly, and passes, because a new
# compiler is nobody's regression. Bless with the new one.
#
# Only the crate itself is built anew, in one codegen unit: where the compiler splits it into several, what it inlines changes
# with the split, so that HGETALL once took 11 % more because of a commit that did not touch it. The crates it uses are those
# of the tests' build. How fast a release is, the sweep says.
set -eu
cd "$(dirname "$0")/.."
baseline=benches/guard.baseline
cargo=${CARGO:-cargo}
rustc=$(rustc --version)

if ! command -v valgrind >/dev/null 2>&1; then
  apt=$(command -v apt-get || true)
  [ -n "$apt" ] || { echo "guard: valgrind is missing: install it" >&2; exit 1; }
  sudo=$([ "$(id -u)" = 0 ] || echo sudo)
  { $sudo "$apt" install -y -q valgrind || { $sudo "$apt" update -q && $sudo "$apt" install -y -q valgrind; }; } >&2
fi

if [ -z "${BLESS:-}" ] && [ "$(head -n 1 $baseline)" != "# $rustc" ]; then
  echo "guard: NOT COMPARED: $baseline is of $(head -n 1 $baseline), and this is $rustc." >&2
  echo "guard: look at what the last commits did, then write a new baseline with BLESS=1 make guard" >&2
  exit 0
fi

own=profile.dev.package.fastness
program=$(CARGO_INCREMENTAL=0 $cargo test --all-features --bench guard --no-run --message-format=json-render-diagnostics \
  --config "$own.codegen-units=1" --config "$own.opt-level=2" \
  | sed -n 's/.*"name":"guard".*"executable":"\([^"]*\)".*/\1/p' | tail -n 1)
[ -x "$program" ] || { echo "guard: the bench was not built" >&2; exit 1; }

count() {
  valgrind --tool=none --version >/dev/null
  valgrind --tool=callgrind --callgrind-out-file=/dev/null "$program" "$1" "$2" 2>&1 \
    | sed -n 's/.*Collected : \([0-9]*\).*/\1/p'
}

found=$(mktemp)
some=$(mktemp)
trap 'rm -f "$found" "$some"' EXIT
echo "# $rustc" >"$found"
for name in $("$program" --list); do
  count "$name" 2 >"$some" &
  more=$(count "$name" 6)
  wait
  few=$(cat "$some")
  # A round has 256 requests, and four rounds are between the two.
  echo "$name $(((more - few) / 1024))" >>"$found"
done

if [ -n "${BLESS:-}" ]; then
  cp "$found" $baseline
  echo "guard: $baseline is new: instructions per request"; cat $baseline
  exit 0
fi

awk 'FNR == 1 { next }
  NR == FNR { was[$1] = $2; next }
  !($1 in was) { print "guard: " $1 " is not in the baseline: BLESS=1 make guard"; bad = 1; next }
  { change = ($2 - was[$1]) * 100 / was[$1]
    verdict = change > 5 ? "SLOWER" : change < -5 ? "faster: BLESS=1 make guard" : "ok"
    if (change > 5) bad = 1
    printf "%-12s %8d -> %8d  %+6.1f %%  %s\n", $1, was[$1], $2, change, verdict }
  END { exit bad }' $baseline "$found"
