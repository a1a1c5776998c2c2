#!/usr/bin/env bash
# Instructions of the micro-benchmarks, compared with the table perf/benches/instructions.txt: fails where one differs by more than 5 %
# (and 3 instructions), also downwards.
#
#   counts.sh                  compares
#   counts.sh --update         writes the table anew
#   counts.sh --keep FOLDER    compares, and leaves callgrind's profiles for callgrind_annotate or kcachegrind
#
# What is counted, and what makes the counts the same on every machine: scripts/xtask/src/counts/mod.rs.
set -euo pipefail
ROOT=$(dirname "$(dirname "$(dirname "$(realpath "$0")")")")
. "$ROOT/scripts/lab/host/packages.sh"

need_packages valgrind binutils
need_toolchain
cd "$ROOT"
exec cargo run --quiet --locked --package xtask -- counts "$@"
