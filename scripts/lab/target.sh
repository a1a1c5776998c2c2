# Sourced where the target runs: in the guest (fabric verbs), or on the host by host/target-agent.sh (fabric roce). Starts it, ends it, asks it.
# From its surroundings: LAB, FABRIC, SCENARIO, APP (the binary), and SHARED, the run's folder, which host and guest both see.

. "$LAB/three-disks.sh"
. "$LAB/wait.sh"
. "$LAB/ceph.sh"

# What a scenario calls, and guest/on-host.sh passes on when the target is not in the guest.
TARGET_HELPERS=(write_config start_target end_target stop_target kill_target signal_target target_is_gone rpc srptctl
  target_rss_kib target_open_files target_log_has start_example start_ceph rbd_sha256 compare_records clear_target)

case $FABRIC in
verbs)
  ADDRESS=10.77.0.1 INITIATOR_ADDRESS=10.77.0.1 # one soft-RoCE device has both ends
  TARGET_FOLDER=/srv/lab
  SOCKET=/var/tmp/srpt.sock
  ;;
roce)
  ADDRESS=10.78.0.1 INITIATOR_ADDRESS=10.78.0.2
  ADDRESS_IPV6=fd78::1 INITIATOR_ADDRESS_IPV6=fd78::2
  TARGET_FOLDER=$SHARED/target
  SOCKET=srpt.sock # in the agent's working directory: the run's folder has too long a path for a socket's name
  ;;
esac
CONFIG=$TARGET_FOLDER/config.json
DISK_FILE=$TARGET_FOLDER/disk01.img # what stands behind disk01

# write_config [CALL...]: the three disks, or the bdevs that these calls make (`uring …`). File names may be relative to $TARGET_FOLDER.
write_config() {
  (($# == 0)) || { disks_config "$FABRIC" "$ADDRESS" "$@" >"$CONFIG"; return; }
  [ -e "$DISK_FILE" ] || truncate -s 256M "$DISK_FILE"
  three_disks_config "$FABRIC" "$ADDRESS" "$DISK_FILE" >"$CONFIG"
}

# start_target [MASK [ARGUMENT...]]: starts srpt-app with $CONFIG (written first if there is none) and waits until it listens.
# Its log is $SCENARIO.targetN.log for the Nth start.
start_target() {
  local mask=${1:-0x3}
  shift || true
  [ -e "$CONFIG" ] || write_config
  # The guest's CPUs also run the initiator, and the host's the guest: a target that only polls would starve them.
  launch "$APP" -m "$mask" -c "$CONFIG" -r "$SOCKET" --state-dir state --adaptive --stall-us 500000 "$@"
  until_true 60 target_answers && rpc srp_get_listeners | grep -q "$PORT" || {
    echo "the target does not come up:"
    tail -20 "$TARGET_LOG"
    return 1
  }
}
target_answers() {
  target_is_gone && return 0 # no use to wait, the question after this one fails
  [ -S "$SOCKET" ] && rpc rpc_get_methods >/dev/null 2>&1
}
launch() {
  TARGET_LOG=$SHARED/$SCENARIO.target$(($(target_logs | wc -l) + 1)).log
  "${LEASH[@]}" env -C "$TARGET_FOLDER" "$@" >"$TARGET_LOG" 2>&1 3>&- &
  TARGET_PID=$!
  echo "$TARGET_PID" >"$TARGET_FOLDER/target.pid"
}
target_is_gone() { ! kill -0 "$TARGET_PID" 2>/dev/null; }
target_logs() { compgen -G "$SHARED/$SCENARIO.target*.log"; }

# end_target SIGNAL: ends it and waits for it; the status is the target's own.
end_target() {
  local status=0
  kill "-$1" "$TARGET_PID" || return
  until_true 90 target_is_gone || { echo "the target is still there 90 s after SIG$1"; return 1; }
  wait "$TARGET_PID" || status=$?
  rm -f "$TARGET_FOLDER/target.pid"
  return "$status"
}
stop_target() { end_target TERM; }
kill_target() { end_target KILL || [ $? = 137 ]; }
signal_target() { kill "-$1" "$TARGET_PID"; }

# rpc METHOD [PARAMS-AS-JSON]
rpc() { /usr/bin/python3 -S -E "$LAB/rpc.py" "$SOCKET" "$@"; }

# srptctl ARGUMENT...: of scenarios that name it in their line `# programs:`.
srptctl() { "$SHARED/srptctl" --socket "$SOCKET" "$@"; }

target_rss_kib() { awk '/^VmRSS:/ { print $2 }' "/proc/$TARGET_PID/status"; }
target_open_files() { ls "/proc/$TARGET_PID/fd" | wc -l; }
target_log_has() { grep -isE -- "$1" "$TARGET_LOG"; }

# compare_records SEED NAME BLOCK_BYTES...: what records.py says of NAME.img in $TARGET_FOLDER and NAME.acknowledged in the run's folder.
compare_records() {
  local seed=$1 status=0
  shift
  while (($#)); do
    /usr/bin/python3 -S -E "$LAB/records.py" compare "$TARGET_FOLDER/$1.img" "$SHARED/$1.acknowledged" "$2" "$seed" || status=1
    shift 2
  done
  return $status
}

# start_example NAME ARGUMENT...: in the target's place, one of the fabric's examples, the other end of an RDMA tool.
start_example() {
  launch "$SHARED/$1" "${@:2}"
  until_true 20 target_log_has listening || { tail -20 "$TARGET_LOG"; return 1; }
}

# start_ceph: a Ceph cluster beside the target, with an image `disk` of 64 MiB in its pool `rbd`.
start_ceph() { start_cluster "$TARGET_FOLDER/ceph" && rbd create disk --size 64M; }

# rbd_sha256 BYTES: of the beginning of that image, read without the target.
rbd_sha256() { rbd export --no-progress disk - 2>/dev/null | head -c "$1" | sha256sum; }

# clear_target: nothing of it is left, by force if it must be.
clear_target() {
  local pid
  pid=$(cat "$TARGET_FOLDER/target.pid" 2>/dev/null) && end_process "$pid"
  end_cluster "$TARGET_FOLDER/ceph"
  rm -rf "$SOCKET" "$TARGET_FOLDER"/[!l]* # not lost+found
  [ -z "$pid" ] || [ ! -e "/proc/$pid" ]
}

# ── Also of use elsewhere ───────────────────────────────────────────────────────────────────────────────────────────

end_process() {
  kill "$1" 2>/dev/null
  until_true 20 test ! -e "/proc/$1" || kill -9 "$1"
  until_true 10 test ! -e "/proc/$1"
}
