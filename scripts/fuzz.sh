#!/usr/bin/env bash
# Runs fuzz targets (fuzz/, docs/fuzzing.md) for some seconds each, as many at once as there are cores, and prints what each did. Needs a nightly
# compiler; installs cargo-fuzz into the cache folder if it is not here.
#   ./scripts/fuzz.sh [SECONDS] [TARGET...]     default: 20 seconds, all targets
#   ./scripts/fuzz.sh light [SECONDS]           the targets without srpt-app and srptctl, and without AddressSanitizer: half of what is to be
#                                               compiled, and several times as many inputs; code with unsafe has scripts/sanitize.sh
#   ./scripts/fuzz.sh list                      the targets
#   ./scripts/fuzz.sh minimise [TARGET...]      leaves in fuzz/corpus only inputs that reach something that no smaller one does
# New inputs go to target/fuzz/corpus and are where the next run begins; `minimise` takes them over. An input that makes a target panic is printed, with
# what repeats it.
set -euo pipefail
ROOT=$(dirname "$(dirname "$(realpath "$0")")")
. "$ROOT/scripts/lab/host/packages.sh"
CARGO_FUZZ_VERSION=0.13.2
INPUTS_MAX=300 # of a committed corpus
FOUND=$ROOT/target/fuzz/corpus
cd "$ROOT"

# targets [light]: the names.
targets() {
  awk -v light="${1:-}" -F '"' '
    function tell() { if (name != "" && !(light && heavy)) print name; name = ""; heavy = 0 }
    /^\[\[bin\]\]/ { tell(); bin = 1 }
    bin && /^name = / { name = $2 }
    /^required-features/ { heavy = 1 }
    END { tell() }' fuzz/Cargo.toml
}

MODE=run SECONDS_EACH=20 BUILD=() LIGHT=''
case ${1:-} in
  list) targets; exit ;;
  minimise) MODE=minimise; shift ;;
  light) BUILD=(--no-default-features --sanitizer none) LIGHT=light; shift ;;
esac
[[ "${1:-}" != [0-9]* ]] || { SECONDS_EACH=$1; shift; }
TARGETS=("$@")
(($#)) || mapfile -t TARGETS < <(targets "$LIGHT")

need_toolchain
cargo +nightly --version >/dev/null 2>&1 || die "fuzzing needs a nightly compiler: rustup toolchain install nightly"
export PATH=$SRPT_CACHE/tools/bin:$PATH
if ! cargo fuzz --version >/dev/null 2>&1; then
  need_packages g++ # libFuzzer is C++
  cargo install --quiet --locked --root "$SRPT_CACHE/tools" --version "$CARGO_FUZZ_VERSION" cargo-fuzz >&2
fi
HOST=$(rustc +nightly -vV | sed -n 's/^host: //p')
export CARGO_TARGET_DIR=$ROOT/target/fuzz
# All at once: the crates beneath are compiled once. (cargo fuzz takes one target or all.)
cargo +nightly fuzz build "${BUILD[@]}" >&2
binary() { printf '%s\n' "$CARGO_TARGET_DIR/$HOST/release/$1"; }

minimise() {
  local target=$1 corpus=fuzz/corpus/$1 kept
  kept=$(mktemp -d)
  mkdir -p "$FOUND/$target"
  # Smaller files first: of two that reach the same, the smaller is kept.
  "$(binary "$target")" -merge=1 -timeout=10 "$kept" "$corpus" "$FOUND/$target" >"$kept.log" 2>&1 || { cat "$kept.log" >&2; die "$target: not minimised"; }
  # Of many, the smallest. What has a name was written by hand, or has a story.
  find "$kept" -type f -printf '%s %p\n' | sort -n | tail -n +$((INPUTS_MAX + 1)) | cut -d ' ' -f 2- | xargs -r -d '\n' rm
  find "$corpus" -type f -regextype posix-extended -regex '.*/[0-9a-f]{40}' -delete
  find "$kept" -type f -exec cp -n {} "$corpus" \;
  rm -r "$kept" "$kept.log"
  printf '%-18s %4d inputs, %s\n' "$target" "$(find "$corpus" -type f | wc -l)" "$(du -sh --apparent-size "$corpus" | cut -f 1)"
}

# fuzz TARGET: prints one line, and the input after it if there is a crash.
fuzz() {
  local target=$1 log=$CARGO_TARGET_DIR/$1.log artifacts=$CARGO_TARGET_DIR/artifacts/$1 failed='' crash
  rm -rf "$artifacts"
  mkdir -p "$artifacts" "$FOUND/$target"
  "$(binary "$target")" "$FOUND/$target" "fuzz/corpus/$target" -artifact_prefix="$artifacts/" -max_total_time="$SECONDS_EACH" -timeout=10 \
    -rss_limit_mb=2048 -print_funcs=0 -print_final_stats=1 >"$log" 2>&1 || failed=yes
  awk -v target="$target" '
    $2 ~ /^(DONE|REDUCE|NEW|pulse|INITED)$/ { for (i = 3; i < NF; i++) { if ($i == "ft:") ft = $(i + 1); if ($i == "corp:") corpus = $(i + 1) } }
    /stat::number_of_executed_units/ { executions = $2 }
    END { sub("/.*", "", corpus); printf "%-18s %9d executions %6d features %5d inputs\n", target, executions, ft, corpus }' "$log"
  [ -n "$failed" ] || return 0
  grep -E -A 2 'panicked at|ERROR: ' "$log" | head -n 20
  for crash in "$artifacts"/*; do
    [ -f "$crash" ] || continue
    echo "input of $(wc -c <"$crash") bytes; it is repeated, under ./scripts/fuzz.sh and by every cargo test -p exercise, once it is in the corpus:"
    echo "  echo '$(base64 -w 0 "$crash")' | base64 -d >fuzz/corpus/$target/found-NAME"
  done
  return 1
}

if [ "$MODE" = minimise ]; then
  for target in "${TARGETS[@]}"; do minimise "$target"; done
  exit
fi
export -f fuzz binary
export ROOT HOST FOUND SECONDS_EACH
printf '%s\n' "${TARGETS[@]}" | xargs -P "$(nproc)" -I {} bash -c 'fuzz {}' || die "a target fails: see above"
