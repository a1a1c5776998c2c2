#!/usr/bin/env bash
# Runs the tests of the crates that have unsafe code (scripts/unsafe-files.txt) with a nightly compiler under AddressSanitizer, which finds accesses to
# memory that is freed, or nobody's, and leaks; and those of `mem` under Miri, if it is installed, which finds all undefined behaviour, or else under
# valgrind, which finds what was never written.
#   ./scripts/sanitize.sh [CRATE...]     default: all of them
set -euo pipefail
ROOT=$(dirname "$(dirname "$(realpath "$0")")")
. "$ROOT/scripts/lab/host/packages.sh"
cd "$ROOT"

# crates: names of the packages that have one of the files, but dpdk-sys, which needs DPDK (scripts/dpdk-check.sh).
crates() {
  local file folder
  sed 's/#.*//; /^$/d; s/ .*//' scripts/unsafe-files.txt | while read -r file; do
    folder=$file
    until [ -f "$folder/Cargo.toml" ]; do folder=$(dirname "$folder"); done
    sed -n 's/^name = "\(.*\)"/\1/p' "$folder/Cargo.toml" | head -n 1
  done | sort -u | grep -vx dpdk-sys
}

need_toolchain
cargo +nightly --version >/dev/null 2>&1 || die "sanitizers need a nightly compiler: rustup toolchain install nightly"
(($#)) || mapfile -t CRATES < <(crates)
(($#)) && CRATES=("$@")
HOST=$(rustc +nightly -vV | sed -n 's/^host: //p')

packages=()
for crate in "${CRATES[@]}"; do packages+=(-p "$crate"); done
# A test sees to it that what may be dropped on its own thread alone is rather leaked.
SUPPRESSIONS=$(mktemp)
trap 'rm -f "$SUPPRESSIONS"' EXIT
echo 'leak:use_on_a_second_thread_panics_and_the_value_stays_untouched' >"$SUPPRESSIONS"
export LSAN_OPTIONS=suppressions=$SUPPRESSIONS:print_suppressions=0
say "under AddressSanitizer: ${CRATES[*]}"
# Build scripts and macros are not for the target, so they stay as they are.
RUSTFLAGS=-Zsanitizer=address CARGO_TARGET_DIR=$ROOT/target/sanitize cargo +nightly test --quiet --target "$HOST" "${packages[@]}" --lib --tests

case " ${CRATES[*]} " in
  *' mem '*)
    if cargo +nightly miri --version >/dev/null 2>&1; then
      say "under Miri: mem"
      MIRIFLAGS=-Zmiri-disable-isolation CARGO_TARGET_DIR=$ROOT/target/miri cargo +nightly miri test --quiet -p mem --lib
    else
      need_packages valgrind
      say "no Miri for the nightly compiler; under valgrind: mem"
      test_binary=$(cargo test --quiet --no-run -p mem --lib --message-format json | sed -n 's/.*"executable":"\([^"]*\)".*/\1/p')
      valgrind --quiet --error-exitcode=1 "$test_binary" --quiet --test-threads 1
    fi
    ;;
esac
