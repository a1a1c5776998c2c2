# The scenarios' helpers. One target (srpt-app), one initiator (the kernel's ib_srp) on the same soft-RoCE device.
# A scenario reads top to bottom: start_target, login, check …, and cleans up nothing: guest/afterwards.sh does.

. "$LAB/three-disks.sh"

ADDRESS=10.77.0.1
SOCKET=/var/tmp/srpt.sock
CONFIG=/srv/lab/config.json
DISK_FILE=/srv/lab/disk01.img # what stands behind disk01
CHECKS=/run/lab/$SCENARIO.checks
SRP_HOST=/sys/class/infiniband_srp/srp-rxe0-1
touch "$CHECKS"

# ── Checks ──────────────────────────────────────────────────────────────────────────────────────────────────────────

# check WHAT COMMAND...: a pass when the command's status is 0. Its output goes to the log, and to the console when it fails.
check() {
  local what=$1 status=0
  shift
  printf -- '--- %s s: %s\n+ %s\n' "$SECONDS" "$what" "$*"
  "$@" >/tmp/check.out 2>&1 || status=$?
  cat /tmp/check.out
  [ "$status" != 0 ] || { pass "$what"; return 0; }
  fail "$what (status $status)"
  tail -15 /tmp/check.out | sed 's/^/       | /' >&3
  return 1
}

# must WHAT COMMAND...: a check without which the rest of the scenario makes no sense.
must() { check "$@" || exit 0; }

# check_equal WHAT EXPECTED ACTUAL
check_equal() { check "$1" same "$2" "$3"; }
same() { [ "$1" = "$2" ] || { printf 'expected: %s\nfound:    %s\n' "$1" "$2"; return 1; }; }

# prints PATTERN COMMAND...: the command succeeds and prints the (extended) pattern. `check "…" prints "…" command`.
prints() {
  local pattern=$1 output status=0
  shift
  output=$("$@" 2>&1) || status=$?
  printf '%s\n' "$output"
  [ "$status" = 0 ] || return "$status"
  grep -qE -- "$pattern" <<<"$output" || { echo "this does not print: $pattern"; return 1; }
}

pass() { record pass "  ok   $1"; }
fail() { record FAIL "  FAIL $1"; }
record() { echo "$1 $2" >>"$CHECKS"; note "$2"; }
note() { echo "$*"; echo "$*" >&3; }

# until_true SECONDS COMMAND...: waits for the command to succeed.
until_true() {
  local deadline=$((SECONDS + $1))
  shift
  until "$@"; do
    ((SECONDS < deadline)) || return 1
    sleep 0.2
  done
}

# ── The target ──────────────────────────────────────────────────────────────────────────────────────────────────────

write_config() {
  [ -e "$DISK_FILE" ] || truncate -s 256M "$DISK_FILE"
  three_disks_config "$ADDRESS" "$DISK_FILE" >"$CONFIG"
}

# start_target [MASK [ARGUMENT...]]: starts srpt-app with $CONFIG (written first if there is none) and waits until it listens.
# Its log is $TARGET_LOG, its process $TARGET_PID.
start_target() {
  local mask=${1:-0x3}
  shift || true
  [ -e "$CONFIG" ] || write_config
  TARGET_RUN=$((${TARGET_RUN:-0} + 1))
  TARGET_LOG=/run/lab/$SCENARIO.target$TARGET_RUN.log
  # The guest's two CPUs also run the initiator: a target that only polls would starve it.
  "$APP" -m "$mask" -c "$CONFIG" -r "$SOCKET" --adaptive --stall-us 500000 "$@" >"$TARGET_LOG" 2>&1 3>&- &
  TARGET_PID=$!
  echo "$TARGET_PID" >/tmp/target.pid
  until_true 60 target_answers && rpc srp_get_listeners | grep -q "$PORT" || {
    echo "the target does not come up:"
    tail -20 "$TARGET_LOG"
    return 1
  }
}
target_answers() {
  kill -0 "$TARGET_PID" 2>/dev/null || return 0 # dead: no use to wait, the question after this one fails
  [ -S "$SOCKET" ] && rpc rpc_get_methods >/dev/null 2>&1
}

# end_target SIGNAL: ends it and waits for it; the status is the target's own.
end_target() {
  kill "-$1" "$TARGET_PID" && wait "$TARGET_PID"
  local status=$?
  rm -f /tmp/target.pid
  return "$status"
}
stop_target() { end_target TERM; }
kill_target() { end_target KILL || [ $? = 137 ]; }

# rpc METHOD [PARAMS-AS-JSON]
rpc() { /usr/bin/python3 -S -E "$LAB/guest/rpc.py" "$SOCKET" "$@"; }

target_rss_kib() { awk '/^VmRSS:/ { print $2 }' "/proc/$TARGET_PID/status"; }
target_open_files() { ls "/proc/$TARGET_PID/fd" | wc -l; }
target_log_has() { grep -iE -- "$1" "$TARGET_LOG"; }

# ── The initiator ───────────────────────────────────────────────────────────────────────────────────────────────────

# load_initiator [PARAMETER=VALUE...]: the module ib_srp with these parameters, and no others of an earlier load.
load_initiator() {
  unload_initiator && modprobe ib_srp "$@" && until_true 10 test -e "$SRP_HOST/add_target"
}
unload_initiator() { [ ! -e /sys/module/ib_srp ] || timeout 120 modprobe -r ib_srp; }

# login [OPTIONS]: logs in with add_target's options; fails as the kernel's write does.
login() { login_as "id_ext=$ID_EXT,ioc_guid=$IOC_GUID${1:+,$1}"; }
login_as() {
  [ -e /sys/module/ib_srp ] || load_initiator
  echo "login: $1"
  timeout 60 bash -c 'echo "$1" >"$2"' - "$(login_string "$ADDRESS" "$1"),src=$ADDRESS" "$SRP_HOST/add_target"
}

# login_disks [OPTIONS]: logs in and waits for the three disks; sets $NULL, $RAM and $FILE to their device nodes.
login_disks() {
  login "$@" || return 1
  until_true 30 all_disks_there || { lsscsi; return 1; }
  NULL=$(disk null01) RAM=$(disk ram01) FILE=$(disk disk01)
}
all_disks_there() { disk null01 && disk ram01 && disk disk01; } >/dev/null

# disk PRODUCT: the device node of the disk that INQUIRY names so.
disk() {
  local entry model
  for entry in /sys/block/sd*; do
    [ -e "$entry/device/model" ] && read -r model <"$entry/device/model" && [ "$model" = "$1" ] && [ "$(cat "$entry/size")" != 0 ] &&
      [ -b "/dev/${entry##*/}" ] && echo "/dev/${entry##*/}" && return 0
  done
  return 1
}

# logout: every session, and waits until its disks are gone.
logout() {
  local port
  for port in /sys/class/srp_remote_ports/port-*; do
    [ ! -e "$port/delete" ] || timeout 60 bash -c 'echo 1 >"$1"' - "$port/delete"
  done
  until_true 60 logged_out
}
logged_out() { ! compgen -G '/sys/class/srp_remote_ports/port-*' >/dev/null && ! compgen -G '/sys/block/sd*' >/dev/null; }

# kernel_log: what the guest's kernel, and so the initiator, said since this scenario began. initiator_says PATTERN waits for it.
kernel_log() { dmesg | sed "1,/scenario $SCENARIO begins/d"; }
initiator_says() { until_true 15 grep_kernel_log "$1"; }
grep_kernel_log() { kernel_log | grep -E -- "$1"; }

# verify_with_fio AMOUNT DEVICE...: writes AMOUNT to each device in mixed block sizes, 512 B to 1 MiB, 16 commands deep, all over its first
# 192 MiB, then reads everything back and compares checksums. fio's status: 0 means no error and every byte as it was written.
verify_with_fio() {
  local amount=$1 device jobs=()
  shift
  for device in "$@"; do jobs+=("--name=${device##*/}" "--filename=$device"); done
  # More room than is written: fio cuts blocks short that would overlap, and in a full range only small ones would be left.
  fio --ioengine=libaio --direct=1 --iodepth=16 --rw=randwrite --bssplit=512/30:4k/30:8k/10:32k/10:128k/10:512k/6:1m/4 \
    --size=192M --io_size="$amount" --verify=crc32c --verify_fatal=1 --verify_dump=0 --do_verify=1 ${FIO_OPTIONS[@]+"${FIO_OPTIONS[@]}"} "${jobs[@]}"
}

# ── Everything ──────────────────────────────────────────────────────────────────────────────────────────────────────

# take_down: no process, no mount, no session, no target, no initiator, no files. Fails when something will not go.
take_down() {
  local pid mount target
  target=$(cat /tmp/target.pid 2>/dev/null)
  for pid in $(cat /tmp/jobs 2>/dev/null); do [ "$pid" = "$target" ] || end_process "$pid"; done
  for mount in $(awk '$2 ~ "^/mnt/lab" { print $2 }' /proc/mounts); do umount "$mount" || umount -l "$mount"; done
  logout # while the target is there to hear of it
  [ -z "$target" ] || end_process "$target"
  rm -rf /tmp/jobs /tmp/target.pid "$SOCKET" /srv/lab/[!l]*
  unload_initiator && logged_out
}
end_process() {
  kill "$1" 2>/dev/null
  until_true 20 test ! -e "/proc/$1" || kill -9 "$1"
  until_true 10 test ! -e "/proc/$1"
}
