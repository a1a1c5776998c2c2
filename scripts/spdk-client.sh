# Sourced: SPDK's own RPC client and command line from PyPI, in an environment of its own under the cache folder; needs lab/host/packages.sh.

SPDK_CLIENT_VERSION=26.9
# What spdk-cli is made of, which the package does not ask for by itself.
SPDK_CLI_NEEDS=(configshell-fb==2.0.3 pyparsing==3.3.3)

# make_spdk_client: sets $SPDK_RPC and $SPDK_CLI to the clients, for the tests that use them; without them they skip.
make_spdk_client() {
  local folder=$SRPT_CACHE/spdk wanted="$SPDK_CLIENT_VERSION ${SPDK_CLI_NEEDS[*]}"
  need_packages python3 python3-venv
  if [ "$(cat "$folder/stamp" 2>/dev/null)" != "$wanted" ]; then
    say "installing SPDK's RPC client $SPDK_CLIENT_VERSION from PyPI"
    rm -rf "$folder"
    mkdir -p "$SRPT_CACHE"
    /usr/bin/python3 -m venv "$folder" >&2 && "$folder/bin/pip" -q install "spdk==$SPDK_CLIENT_VERSION" "${SPDK_CLI_NEEDS[@]}" >&2 ||
      { say "warning: pip could not install spdk==$SPDK_CLIENT_VERSION: the tests that need it skip" && return 0; }
    printf '%s\n' "$wanted" >"$folder/stamp"
  fi
  export SPDK_RPC=$folder/bin/spdk-rpc SPDK_CLI=$folder/bin/spdk-cli
}
