# Sourced by the scripts that run on the host: installs what is missing, builds what is needed, and knows the cache folder.

# Everything that is downloaded or made and not part of a checkout lives here; deleting it costs only time.
SRPT_CACHE=${SRPT_CACHE:-${XDG_CACHE_HOME:-${HOME:-/root}/.cache}/srpt}

say() { printf '%s\n' "$*" >&2; }
die() { say "error: $*"; exit 1; }

# need_packages NAME...: installs those of the Debian packages that are not there yet.
need_packages() {
  local name missing=()
  command -v dpkg-query >/dev/null || die "this needs Debian's dpkg and apt (or these, installed by hand: $*)"
  for name in "$@"; do
    dpkg-query -W -f='${db:Status-Status}\n' "$name" 2>/dev/null | grep -qx installed || missing+=("$name")
  done
  ((${#missing[@]})) || return 0
  say "installing ${missing[*]}"
  refresh_package_lists
  install_packages "${missing[@]}" || {
    refresh_package_lists now # lists that are a little too old name files that the mirror has replaced
    install_packages "${missing[@]}" || die "apt could not install: ${missing[*]}"
  }
}

# refresh_package_lists [now]: `apt-get update`, when there are no lists or they are older than a day, or at once.
refresh_package_lists() {
  [ "${1:-}" = now ] || [ -z "$(find /var/lib/apt/lists -maxdepth 1 -name '*Packages*' -mtime -1 -print -quit 2>/dev/null)" ] || return 0
  as_root apt-get -q -o DPkg::Lock::Timeout=300 update >&2 || say "warning: apt-get update failed, going on with the lists that are here"
  # A list that did not change keeps its old date: the date of the look is what counts.
  find /var/lib/apt/lists -maxdepth 1 -name '*Packages*' -exec "${AS_ROOT[@]}" touch -c {} + 2>/dev/null || true
}

install_packages() {
  as_root env DEBIAN_FRONTEND=noninteractive apt-get -q -o DPkg::Lock::Timeout=300 install -y --no-install-recommends "$@" >&2
}

AS_ROOT=()
[ "$(id -u)" = 0 ] || AS_ROOT=(sudo)
as_root() { "${AS_ROOT[@]}" "$@"; }

# build CHECKOUT KIND NAME: builds a program in release and prints the path of the binary. KIND is bin or example.
build() {
  need_toolchain
  (cd "$1" && cargo build --release --locked "--$2" "$3" >&2) || die "$3 does not build"
  local folder
  folder=$(cd "$1" && cargo metadata --format-version 1 --no-deps | sed -n 's/.*"target_directory":"\([^"]*\)".*/\1/p')
  case $2 in bin) printf '%s\n' "$folder/release/$3" ;; example) printf '%s\n' "$folder/release/examples/$3" ;; esac
}

# need_toolchain: cargo has to be there, the linker is installed.
need_toolchain() {
  command -v cargo >/dev/null || die "no cargo here: install a Rust toolchain (https://rustup.rs), then run this again"
  command -v cc >/dev/null || need_packages gcc libc6-dev
}
