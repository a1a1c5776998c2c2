# roce-loss: on a network that loses, doubles, reorders, delays and damages packets no byte is wrong, and the session stays
# seconds: 900
# fabrics: roce

MOUNT=/mnt/lab
mkdir -p $MOUNT

session() { rpc srp_get_sessions | grep -oE '"id": [0-9]+' | xargs; }
state() { cat /sys/class/srp_remote_ports/port-*/state; }
packed() { (cd "$1" && tar -c --sort=name .) | sha256sum; }
tree() { cp -a /usr/lib/python3.*/json/. $MOUNT/ && head -c 4M /dev/urandom >$MOUNT/large && sync -f $MOUNT && packed $MOUNT >/tmp/written; }

counted() { until_true 5 prints "\"$1\": [1-9]" rpc srp_get_stats; } # what is counted is published once a second

# round AMOUNT NETEM-OPTION...: a short verification on such a network.
round() {
  local amount=$1 before
  shift
  check "$*, in both directions" impair "$@" || return
  before=$(session)
  check "every byte as written" verify_with_fio "$amount" "$RAM" "$FILE"
  impaired
  check_equal "the port runs" running "$(state)"
  check_equal "in the same session" "$before" "$(session)"
}

# Without registration: after a lost command, soft-RoCE of Linux 6.1 cannot send ib_srp's registrations again. It falls silent until the SCSI
# command times out, whatever the target does.
must "the target starts" start_target 0x3
must "the initiator loads with never_register=1" load_initiator never_register=1
must "login" login_disks

round 8M loss 1%
must "mkfs.ext4 on such a network" mkfs.ext4 -q -F "$FILE"
must "mount" mount "$FILE" $MOUNT
check "files are written" tree
must "umount" umount $MOUNT
check "fsck finds nothing" e2fsck -fn "$FILE"
must "mount again" mount -r "$FILE" $MOUNT
check_equal "the files are the same" "$(cat /tmp/written)" "$(packed $MOUNT)"
must "umount" umount $MOUNT

round 2M loss 0.1%
round 2M loss 5%
round 2M duplicate 5%
round 2M delay 1ms 20us
round 2M delay 1ms reorder 5%
round 2M corrupt 0.5%
check "a good network again" end_impairment

check "the target sent packets again" counted retransmitted
check "the target reported what was missing" counted sequence_errors_out
check "the target told doubles from new ones" counted duplicates
check "the target dropped damaged packets" counted icrc_errors
check "logout" logout
check "SIGTERM ends the target with status 0" stop_target
