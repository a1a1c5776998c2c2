# The scenarios' helpers. One target (srpt-app), one initiator (the kernel's ib_srp on soft-RoCE). Under the fabric verbs both are in the guest
# and share its RDMA device; under roce the target is on the host, and its helpers (target.sh) act there.
# A scenario reads top to bottom: start_target, login, check …, and cleans up nothing: guest/afterwards.sh does.

. "$LAB/target.sh"
[ "$FABRIC" = verbs ] || . "$LAB/guest/on-host.sh"
. "$LAB/guest/network.sh"
. "$LAB/guest/devices.sh"

CHECKS=/run/lab/$SCENARIO.checks
SRP_HOST=/sys/class/infiniband_srp/srp-rxe0-1
touch "$CHECKS"

# ── Checks ──────────────────────────────────────────────────────────────────────────────────────────────────────────

# check WHAT COMMAND...: a pass when the command's status is 0. Its output goes to the log, and to the console when it fails.
check() {
  # No name that a command with variables of its scenario could mean: it would see this one.
  local check_what=$1 check_status=0
  shift
  printf -- '--- %s s: %s\n+ %s\n' "$SECONDS" "$check_what" "$*"
  "$@" >/tmp/check.out 2>&1 || check_status=$?
  cat /tmp/check.out
  [ "$check_status" != 0 ] || { pass "$check_what"; return 0; }
  fail "$check_what (status $check_status)"
  tail -15 /tmp/check.out | sed 's/^/       | /' >&3
  return 1
}

# is_running PID: a child that has not ended. (To kill -0, one that ended and was not waited for is there.)
is_running() { grep -qE '^State:[[:space:]]+[^Z]' "/proc/$1/status" 2>/dev/null; }

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

# ── The initiator ───────────────────────────────────────────────────────────────────────────────────────────────────

# load_initiator [PARAMETER=VALUE...]: the module ib_srp with these parameters, and no others of an earlier load. On a bad network without
# registrations: once one is lost, soft-RoCE of Linux 6.1 cannot send it again, and falls silent.
load_initiator() {
  unload_initiator && modprobe ib_srp "$@" ${LAB_NETEM:+never_register=1} && until_true 10 test -e "$SRP_HOST/add_target"
}
unload_initiator() { [ ! -e /sys/module/ib_srp ] || timeout 120 modprobe -r ib_srp; }

# login [OPTIONS]: logs in with add_target's options; fails as the kernel's write does.
login() { login_as "id_ext=$ID_EXT,ioc_guid=$IOC_GUID${1:+,$1}"; }
login_as() { login_with "$(login_string "$ADDRESS" "$1")"; }
# login_with STRING: as a target prints it; which of the initiator's addresses it is, is the lab's affair.
login_with() {
  local string=$1,src=$INITIATOR_ADDRESS said deadline=$((SECONDS + 30))
  [ -e /sys/module/ib_srp ] || load_initiator
  echo "login: $string"
  # A session that was logged out is in the initiator's way a little longer than anything shows.
  until said=$(timeout 60 bash -c 'echo "$1" >"$2"' - "$string" "$SRP_HOST/add_target" 2>&1); do
    [[ $said = *"File exists"* ]] && ((SECONDS < deadline)) || { echo "$said"; return 1; }
    sleep 0.2
  done
}

# login_disks [OPTIONS]: logs in and waits for the three disks; sets $NULL, $RAM and $FILE to their device nodes.
login_disks() {
  login "$@" || return 1
  until_true 30 all_disks_there || { lsscsi; return 1; }
  NULL=$(disk null01) RAM=$(disk ram01) FILE=$(disk disk01)
}
all_disks_there() { disk null01 && disk ram01 && disk disk01; } >/dev/null

# login_to NAME...: logs in, waits for the disks of these names, and sets ${DISK[NAME]} to their device nodes.
declare -A DISK
login_to() {
  local name
  login || return 1
  until_true 60 disks_are_there "$@" || { lsscsi; return 1; }
  for name; do DISK[$name]=$(disk "$name"); done
}
disks_are_there() { local name; for name; do disk "$name" || return 1; done; } >/dev/null

# disk PRODUCT: the device node of the disk that INQUIRY names so.
disk() {
  local entry model
  for entry in /sys/block/sd*; do
    [ -e "$entry/device/model" ] && read -r model <"$entry/device/model" && [ "$model" = "$1" ] && [ "$(cat "$entry/size")" != 0 ] &&
      [ -b "/dev/${entry##*/}" ] && echo "/dev/${entry##*/}" && return 0
  done
  return 1
}

# srp_host: the number of the initiator's SCSI host, as lsscsi and SCSI addresses have it.
srp_host() { local host; host=$(grep -lx ib_srp /sys/class/scsi_host/host*/proc_name | head -1) && host=${host%/proc_name} && echo "${host##*/host}"; }

# logout: every session, and waits until its disks are gone.
logout() {
  local port
  for port in /sys/class/srp_remote_ports/port-*; do
    [ ! -e "$port/delete" ] || timeout 60 bash -c 'echo 1 >"$1"' - "$port/delete"
  done
  until_true 60 logged_out
}
logged_out() { ! compgen -G '/sys/class/srp_remote_ports/port-*' && ! grep -sx ib_srp /sys/class/scsi_host/*/proc_name; } >/dev/null

# gid_index ADDRESS: which GID of the initiator's RDMA device that is, for tools that are told no address; an IPv4 address as ::ffff:a.b.c.d.
gid_index() {
  local gid
  gid=$(/usr/bin/python3 -S -E -c 'import ipaddress, sys; print(ipaddress.IPv6Address(sys.argv[1]).exploded)' "$1")
  (cd /sys/class/infiniband/rxe0/ports/1/gids && grep -sxl "$gid" {0..15})
}

# kernel_log: what the guest's kernel, and so the initiator, said since this scenario began. initiator_says PATTERN waits for it.
kernel_log() { dmesg | sed "1,/scenario $SCENARIO begins/d"; }
initiator_says() { until_true 15 grep_kernel_log "$1"; }
grep_kernel_log() { kernel_log | grep -E -- "$1"; }

# verify_with_fio AMOUNT DEVICE...: writes AMOUNT to each device in mixed block sizes, 512 B to 1 MiB, 16 commands deep, all over its first
# 192 MiB, then reads everything back and compares checksums. fio's status: 0 means no error and every byte as it was written.
verify_with_fio() {
  local amount=$1 device jobs=()
  shift
  for device in "$@"; do
    jobs+=("--name=${device##*/}" "--filename=$device")
    [ "$(</sys/block/"${device##*/}"/queue/logical_block_size)" = 512 ] || jobs+=(--bssplit=4k/60:8k/10:32k/10:128k/10:512k/6:1m/4)
  done
  # More room than is written: fio cuts blocks short that would overlap, and in a full range only small ones would be left.
  fio --ioengine=libaio --direct=1 --iodepth=16 --rw=randwrite --bssplit=512/30:4k/30:8k/10:32k/10:128k/10:512k/6:1m/4 \
    --size=192M --io_size="$amount" --verify=crc32c --verify_fatal=1 --verify_dump=0 --do_verify=1 --verify_state_save=0 ${FIO_OPTIONS[@]+"${FIO_OPTIONS[@]}"} "${jobs[@]}"
}

# reads_again_with_fio AMOUNT DEVICE...: the same bytes are still there, after a verify_with_fio of that AMOUNT to as many devices in that order.
reads_again_with_fio() { FIO_OPTIONS+=(--verify_only) && verify_with_fio "$@"; }

# ── Everything ──────────────────────────────────────────────────────────────────────────────────────────────────────

# take_down: no process, no mount, no session, no target, no initiator, no files, no devices. Fails when something will not go.
take_down() {
  local pid mount
  restore_network
  for pid in $(cat /tmp/jobs 2>/dev/null); do [ "$pid" = "$(cat "$TARGET_FOLDER/target.pid" 2>/dev/null)" ] || end_process "$pid"; done
  for mount in $(awk '$2 ~ "^/mnt/lab" { print $2 }' /proc/mounts); do umount "$mount" || umount -l "$mount"; done
  logout # while the target is there to hear of it
  rm -f /tmp/jobs
  clear_target && unload_initiator && logged_out && remove_devices
}
