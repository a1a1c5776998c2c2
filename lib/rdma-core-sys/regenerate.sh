#!/usr/bin/env bash
# Writes src/bindings.rs from the C headers of rdma-core. The result is committed, so that building needs
# neither the headers nor libclang.
#
#   regenerate.sh           writes the file
#   regenerate.sh --check   says whether the committed file is what these headers give; changes nothing
set -euo pipefail
cd "$(dirname "$0")"
bindgen_version=0.72.1
tools=${XDG_CACHE_HOME:-$HOME/.cache}/srpt-bindgen

check=no
case "${1:-}" in
  "") ;;
  --check) check=yes ;;
  *) echo "usage: $0 [--check]" >&2; exit 2 ;;
esac

install_missing() {
  local packages=()
  [ -e /usr/include/infiniband/verbs.h ] || packages+=(libibverbs-dev)
  [ -e /usr/include/rdma/rdma_cma.h ] || packages+=(librdmacm-dev)
  compgen -G '/usr/lib/llvm-*/lib/libclang.so' >/dev/null || packages+=(libclang-dev)
  if [ ${#packages[@]} -gt 0 ]; then
    echo "installing ${packages[*]}" >&2
    local sudo=; [ "$(id -u)" = 0 ] || sudo=sudo
    $sudo apt-get install -y --no-install-recommends "${packages[@]}" >&2
  fi
  if [ "$(bindgen --version 2>/dev/null)" = "bindgen $bindgen_version" ]; then
    bindgen=bindgen
  else
    bindgen=$tools/bin/bindgen
    [ "$("$bindgen" --version 2>/dev/null)" = "bindgen $bindgen_version" ] ||
      cargo install --quiet --locked --root "$tools" bindgen-cli --version "$bindgen_version" >&2
  fi
}

functions='ibv_(get_device_list|free_device_list|get_device_name|open_device|close_device|query_device|query_port|query_gid'
functions+='|get_async_event|ack_async_event|event_type_str|wc_status_str|alloc_pd|dealloc_pd|reg_mr|dereg_mr'
functions+='|create_comp_channel|destroy_comp_channel|create_cq|get_cq_event|ack_cq_events|destroy_cq|create_qp|modify_qp|query_qp|destroy_qp)'
functions+='|rdma_(create_event_channel|destroy_event_channel|get_cm_event|ack_cm_event|event_str|create_id|destroy_id'
functions+='|bind_addr|listen|resolve_addr|resolve_route|connect|accept|reject|disconnect|notify|create_qp|destroy_qp'
functions+='|set_option|get_devices|free_devices)'
types='verbs_context|ibv_(wc_flags|wr_opcode|send_flags|access_flags|qp_attr_mask|port_state|mtu|transport_type)'
variables='IBV_LINK_LAYER_.*|RDMA_(MAX_RESP_RES|MAX_INIT_DEPTH|OPTION_.*)'

# One table for both libraries: librdmacm needs libibverbs, so the linker finds the functions of both through its handle.
generate() { # generate OUT
  local headers; headers=$(mktemp --suffix .h)
  printf '#include <infiniband/verbs.h>\n#include <rdma/rdma_cma.h>\n' >"$headers"
  "$bindgen" "$headers" --rust-target 1.85 --rust-edition 2024 --use-core --no-doc-comments --no-prepend-enum-name \
    --default-enum-style moduleconsts --with-derive-default \
    --allowlist-function "$functions" --allowlist-type "$types" --allowlist-var "$variables" \
    --dynamic-loading Functions --dynamic-link-require-all \
    --raw-line '// Written by regenerate.sh; do not edit.' -o "$1"
  rm -f "$headers"
}

install_missing
if [ $check = no ]; then
  generate src/bindings.rs
  echo "written: src/bindings.rs"
  exit 0
fi
fresh=$(mktemp); trap 'rm -f "$fresh"' EXIT
generate "$fresh"
if diff -u src/bindings.rs "$fresh"; then
  echo "bindings: as the headers say"
else
  echo "bindings differ: run lib/rdma-core-sys/regenerate.sh, with the rdma-core headers of Debian 12 (version 44)" >&2
  exit 1
fi
