#!/usr/bin/env bash
# Builds the user guide (docs/) as a web site, and prints the path of its first page. Installs mdbook into the cache folder if it is not here, which takes
# some minutes. Fails at the first warning. `cargo xtask check links` looks at links, without mdbook.
set -euo pipefail
ROOT=$(dirname "$(dirname "$(realpath "$0")")")
. "$ROOT/scripts/lab/host/packages.sh"
MDBOOK_VERSION=0.5.4

tools=$SRPT_CACHE/tools
export PATH=$tools/bin:$PATH
if [[ "$(mdbook --version 2>/dev/null)" != *"$MDBOOK_VERSION" ]]; then
  need_toolchain
  cargo install --quiet --locked --root "$tools" --version "$MDBOOK_VERSION" mdbook >&2
fi
said=$(mktemp)
trap 'rm -f "$said"' EXIT
mdbook build "$ROOT/docs" 2>"$said" || { cat "$said" >&2; exit 1; }
! grep -E 'WARN|ERROR' "$said" >&2 || die "mdbook has something to say about docs/"
echo "$ROOT/target/book/index.html"
