#!/usr/bin/env bash
# Checks that initiators on InfiniBand find our targets without being told: Debian's ibsrpdm and srp_daemon, unchanged, on a fabric that ibsim simulates, with
# opensm as its subnet manager; and that `srptctl discover` prints what ibsrpdm does. Targets come and go by RPC. Installs what is missing. Everything runs in namespaces of its own and is gone when this ends.
set -euo pipefail
SELF=$(realpath "$0")
ROOT=$(dirname "$(dirname "$SELF")")
. "$ROOT/scripts/lab/host/packages.sh"
UMAD2SIM=/usr/lib/$(uname -m)-linux-gnu/umad2sim/libumad2sim.so
# What is behind a port: fe80::/64 and its GUID, which ibsim counts up from 0x100000 with each node and port.
TARGET_GID=fe800000000000000000000000100003
INITIATOR_GID=fe80:0000:0000:0000:0000:0000:0010:0005

main() {
  need_toolchain
  need_packages ibsim-utils libumad2sim0 opensm srptools infiniband-diags iproute2 libibumad3 libibumad-dev libibmad-dev libibverbs-dev gcc python3 util-linux
  cd "$ROOT"
  cargo build --quiet --locked -p srpt-app -p srptctl --bin srpt-app --bin srptctl
  local target user=()
  target=$(cargo metadata --format-version 1 --no-deps | sed -n 's/.*"target_directory":"\([^"]*\)".*/\1/p')
  [ "$(id -u)" = 0 ] || user=(--map-root-user)
  # The namespaces' processes end with the first of them; ibsim's abstract sockets are those of the network's.
  timeout --kill-after=5 240 unshare "${user[@]}" --net --pid --mount-proc --fork --kill-child "$SELF" inside "$target/debug/srpt-app" "$target/debug/srptctl"
}

inside() { # inside SRPT_APP SRPTCTL
  SRPTCTL=$2
  FOLDER=$(mktemp -d)
  trap 'rm -rf "$FOLDER"' EXIT
  cd "$FOLDER"
  export IBSIM_SOCKNAME=srpt-discovery OSM_TMP_DIR=$FOLDER OSM_CACHE_DIR=$FOLDER
  ip link set lo up
  make_fabric
  start_target "$1"

  rpc srp_create_target '{"name": "one", "id_ext": "0x00000000000000a1", "ioc_guid": "0x00000000000000b1"}' \
    srp_create_target '{"name": "two", "id_ext": "0xfedcba9876543210", "ioc_guid": "0x0123456789abcdef"}'
  expect 00000000000000A1,00000000000000b1 FEDCBA9876543210,0123456789abcdef
  local change; change=$(change_id)
  rpc srp_create_target '{"name": "three", "id_ext": "0x00000000000000a3", "ioc_guid": "0x00000000000000b3"}'
  expect 00000000000000A1,00000000000000b1 FEDCBA9876543210,0123456789abcdef 00000000000000A3,00000000000000b3
  [ "$(change_id)" != "$change" ] || fail "the change id is still $change"
  rpc srp_delete_target '{"name": "two"}'
  expect 00000000000000A1,00000000000000b1 00000000000000A3,00000000000000b3
  initiator ibsrpdm | grep -q 'ID: *srpt three' || fail "ibsrpdm does not name the target"
  finds srp_daemon -o -c -a -f /dev/null -d /dev/infiniband/umad0 || fail "srp_daemon does not find what ibsrpdm finds"
  initiator python3 "$ROOT/scripts/discovery/garbage.py" "$(lid_of Target)" || fail "the target does not answer garbage as it should"
  finds ibsrpdm -c -d /dev/infiniband/umad0 || fail "after garbage, ibsrpdm does not find the targets"
  python3 -c 'import urllib.request; print(urllib.request.urlopen("http://127.0.0.1:5590/metrics").read().decode())' >metrics
  grep -q '^srpt_device_management_requests_total{port="ibsim0/1",result="ignored"} [1-9]' metrics || fail "the metrics do not tell of the garbage"
  asked_by_srptctl
  echo "discovery: ibsrpdm, srp_daemon and srptctl find the targets as they come and go"
}

# asked_by_srptctl: it prints ibsrpdm's own lines, whichever way it is told the port; and says what is wrong where there is no agent, no port, no target.
asked_by_srptctl() {
  local lid colons; lid=$(lid_of Target) colons=$(sed 's/..../&:/g; s/:$//' <<<$TARGET_GID)
  initiator ibsrpdm -c -d /dev/infiniband/umad0 | sed 's/^ *//' | sort >expected
  [ -s expected ] || fail "ibsrpdm prints nothing"
  local port
  for port in "--lid $lid" "--gid $TARGET_GID" "--gid $colons" "--lid $lid --gid $colons"; do
    # shellcheck disable=SC2086 # two words each
    discover $port >found || fail "srptctl discover $port fails"
    sort -o found found
    diff expected found >difference || fail "srptctl discover $port does not print what ibsrpdm -c does"
  done
  refuses "LID $INITIATOR_LID does not answer device management: no answer" --lid "$INITIATOR_LID" # its own port, where no agent is
  refuses 'path to GID fe80::99: ' --gid fe80::99
  refuses 'path to LID 4000: ' --lid 4000
  refuses 'is not in the partition 8123' --lid "$lid" --pkey 8123
  refuses 'no InfiniBand port of this host is active of the device mlx5_9' --lid "$lid" --device mlx5_9
}

discover() { SIM_HOST=Initiator LD_PRELOAD=./srptctl.so:$UMAD2SIM timeout 40 "$SRPTCTL" discover "$@" 2>initiator.log; }

# refuses WORDS ARGUMENT...: srptctl discover fails and says so.
refuses() {
  local words=$1; shift
  ! discover "$@" >found || fail "srptctl discover $* succeeds"
  grep -qF "$words" initiator.log || fail "srptctl discover $* does not say: $words"
}

# A switch with three ports: of the subnet manager, the target and the initiator.
make_fabric() {
  local shim
  for shim in ibsim ibsrpdm srptctl; do
    gcc -Wall -Werror -shared -fPIC -o "$shim.so" "$ROOT/scripts/discovery/${shim}_shim.c"
  done
  printf '%s\n' 'Switch 8 "Switch"' '[1] "Manager"[1]' '[2] "Target"[1]' '[3] "Initiator"[1]' '' >net
  printf 'Hca 1 "%s"\n[1] "Switch"[%s]\n\n' Manager 1 Target 2 Initiator 3 >>net
  # Its console is the standard input, at the end of which it ends.
  sleep infinity | LD_PRELOAD=./ibsim.so ibsim -s net &>ibsim.log &
  until_true "ibsim serves" grep -q 'Network simulator ready' ibsim.log
  SIM_HOST=Manager LD_PRELOAD=$UMAD2SIM opensm --debug 2 --log_file "$FOLDER/opensm.log" &>opensm.out &
  until_true "opensm manages the fabric" grep -q 'SUBNET UP' opensm.out opensm.log
  # What ibsrpdm reads of its port and libumad2sim does not simulate.
  mkdir -p empty sys/class/infiniband_mad/umad0 sys/class/infiniband/ibsim0/ports/1/gids
  echo ibsim0 >sys/class/infiniband_mad/umad0/ibdev
  echo 1 >sys/class/infiniband_mad/umad0/port
  INITIATOR_LID=$(lid_of Initiator)
  cd sys/class/infiniband/ibsim0/ports/1
  echo InfiniBand >link_layer
  echo 0x1 >sm_lid
  printf '0x%x\n' "$INITIATOR_LID" >lid
  echo $INITIATOR_GID >gids/0
  cd "$FOLDER"
}

start_target() { # start_target SRPT_APP
  SIM_HOST=Target SIM_SET_ISSM=1 LD_PRELOAD=$UMAD2SIM "$1" -m 0x1 --adaptive --channels 1 -r "$FOLDER/rpc" --state-dir "$FOLDER" --metrics-listen 127.0.0.1:5590 &>target.log &
  until_true "the target listens to us" rpc srp_create_listener '{"fabric": "ib", "address": "::", "port": 5555}' # it waits for a device, which umad's simulation has not
  until_true "the target serves the port" grep -q 'device management is answered' target.log
}

# lid_of HOST: where opensm put its port.
lid_of() {
  SIM_HOST=$1 LD_PRELOAD=$UMAD2SIM ibstat | sed -n 's/.*Base lid: *//p'
}

rpc() {
  python3 "$ROOT/scripts/lab/rpc.py" "$FOLDER/rpc" "$@" >/dev/null
}

# initiator COMMAND...: runs it at the initiator's port.
initiator() {
  SIM_HOST=Initiator SYSFS_PATH=$FOLDER/sys SHIM_EMPTY=$FOLDER/empty SHIM_LID=$INITIATOR_LID LD_PRELOAD=./ibsrpdm.so:$UMAD2SIM timeout 40 "$@" 2>initiator.log
}

# expect ID_EXT,IOC_GUID...: waits until ibsrpdm prints a line for each of them, and nothing else.
expect() {
  local ids; : >expected
  for ids in "$@"; do
    echo "id_ext=${ids%,*},ioc_guid=${ids#*,},dgid=$TARGET_GID,pkey=ffff,service_id=00000000013f15b3" >>expected
  done
  sort -o expected expected
  until_true "ibsrpdm finds $*" finds ibsrpdm -c -d /dev/infiniband/umad0
}

# finds COMMAND...: whether it prints the lines that are expected.
finds() {
  initiator "$@" | sed 's/^ *//' | sort >found
  diff expected found >difference
}

change_id() {
  initiator ibsrpdm -d /dev/infiniband/umad0 | sed -n 's/.*change ID: *//p'
}

# until_true WHAT COMMAND...: tries it for a minute.
until_true() {
  local what=$1 end=$((SECONDS + 60)); shift
  while ((SECONDS < end)); do
    "$@" 2>/dev/null && return
    sleep 0.2
  done
  fail "in a minute: $what"
}

fail() {
  echo "discovery: FAILED: $*" >&2
  tail -n 20 ibsim.log opensm.out opensm.log target.log initiator.log difference >&2 || true
  exit 1
}

if [ "${1:-}" = inside ]; then inside "$2" "$3"; else main; fi
