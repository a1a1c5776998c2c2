#!/usr/bin/env bash
# Makes the Debian package, and prints its path. Installs cargo-deb into the cache folder if it is not here.
set -euo pipefail
ROOT=$(dirname "$(dirname "$(realpath "$0")")")
. "$ROOT/scripts/lab/host/packages.sh"
CARGO_DEB_VERSION=3.8.0

need_toolchain
need_packages dpkg-dev binutils
tools=$SRPT_CACHE/tools
export PATH=$tools/bin:$PATH
[[ "$(cargo-deb --version 2>/dev/null)" == *"$CARGO_DEB_VERSION" ]] ||
  cargo install --quiet --locked --root "$tools" --version "$CARGO_DEB_VERSION" cargo-deb >&2
cd "$ROOT"
cargo build --quiet --release --locked --package srpt-app --package srptctl --package hugepage-setup --package srpt-perf --bins >&2
release=$(cargo metadata --format-version 1 --no-deps | sed -n 's/.*"target_directory":"\([^"]*\)".*/\1/p')/release
rm -rf "$release/man" "$release/completion"
mkdir -p "$release/completion"
"$release/srptctl" man "$release/man" >&2
gzip -9n "$release"/man/*
for shell in bash zsh fish; do "$release/srptctl" completion $shell >"$release/completion/$shell"; done
# Stripped: a panic says without tables where it is. What stays are the notes that are USDT probes.
cargo deb --quiet --locked --no-build --strip --package srpt-app
