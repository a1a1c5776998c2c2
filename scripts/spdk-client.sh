# Sourced: SPDK's own RPC client from PyPI, in an environment of its own under the cache folder; needs lab/host/packages.sh.

SPDK_CLIENT_VERSION=26.9

# make_spdk_client: sets $SPDK_RPC to the client, for the tests that use it; without it they skip.
make_spdk_client() {
  local folder=$SRPT_CACHE/spdk
  need_packages python3 python3-venv
  if [ "$(cat "$folder/stamp" 2>/dev/null)" != "$SPDK_CLIENT_VERSION" ]; then
    say "installing SPDK's RPC client $SPDK_CLIENT_VERSION from PyPI"
    rm -rf "$folder"
    mkdir -p "$SRPT_CACHE"
    /usr/bin/python3 -m venv "$folder" >&2 && "$folder/bin/pip" -q install "spdk==$SPDK_CLIENT_VERSION" >&2 ||
      { say "warning: pip could not install spdk==$SPDK_CLIENT_VERSION: the tests that need it skip" && return 0; }
    printf '%s\n' "$SPDK_CLIENT_VERSION" >"$folder/stamp"
  fi
  export SPDK_RPC=$folder/bin/spdk-rpc
}
