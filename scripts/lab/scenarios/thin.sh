# thin: a thin file on a small file system gives space back, tells holes from data, warns at its threshold, and is told from a broken disk when full
# seconds: 600

SMALL=/mnt/lab-small MOUNT=/mnt/lab-thin
BACKING=$SMALL/thin.img
mkdir -p $SMALL $MOUNT

allocated() { echo $(($(stat -c %b $BACKING) / 2048)); } # MiB
allocates() { sync -f $BACKING; echo "$(allocated) MiB, between $1 and $2?"; [ "$(allocated)" -ge "$1" ] && [ "$(allocated)" -le "$2" ]; }
# Writes bytes that are not zero at a place of the disk; both in MiB.
fill() { head -c "$2M" /dev/urandom | dd of="$THIN" bs=1M seek="$1" iflag=fullblock oflag=direct conv=notrunc status=none; }
discard() { blkdiscard -o "$1M" -l "$2M" "$THIN"; }
# The blocks from a place on, as "LBA-IN-MIB LENGTH-IN-MIB STATUS", where 0 is mapped and 1 a hole.
status_from() {
  sg_get_lba_status --brief --maxlen=4096 --lba=$(($1 * 2048)) "$THIN" | grep ^0x |
    while read -r lba blocks status _; do echo "$((lba / 2048)) $((blocks / 2048)) $status"; done
}
# The bytes in one line.
threshold_page() { sg_modes -6 -H --page=0x1c,2 "$THIN" | sed 's/^ *[0-9a-f]* *//' | tr -s ' \n' ' '; }
warnings() { kernel_log | grep -c "reached a thin provisioning soft threshold"; }
# The kernel hears of it with the next command that it sends.
is_warned() { dd if="$THIN" of=/dev/null bs=4k count=1 iflag=direct status=none; [ "$(warnings)" = "$1" ]; }

truncate -s 128M /srv/lab/small.fs
must "a small file system" mkfs.ext4 -q -m 0 /srv/lab/small.fs
must "is mounted" mount -o loop /srv/lab/small.fs $SMALL
cat >"$CONFIG" <<JSON
{"subsystems": [
  {"subsystem": "bdev", "config": [
    {"method": "bdev_uring_create", "params": {"name": "thin01", "filename": "$BACKING", "size": 268435456, "block_size": 512, "threshold_percent": 60}}
  ]},
  {"subsystem": "srp", "config": [
    {"method": "srp_create_target", "params": {"name": "tgt0", "id_ext": "0x$ID_EXT", "ioc_guid": "0x$IOC_GUID"}},
    {"method": "srp_target_add_lun", "params": {"target": "tgt0", "bdev_name": "thin01", "lun": 0, "eui64": "0002c90300001234"}},
    {"method": "srp_create_listener", "params": {"fabric": "$FABRIC", "address": "$ADDRESS", "port": $PORT}}
  ]}
]}
JSON
must "the target starts" start_target 0x3
must "login" login
must "the disk is there, larger than what is beneath" until_true 30 disk thin01
THIN=$(disk thin01)

# ── What it says of itself ──────────────────────────────────────────────────────────────────────────────────────────
check "VPD B2: thin, with thresholds" prints "Threshold exponent: 11" sg_vpd -p lbpv "$THIN"
check "VPD 83: the EUI-64 it was given" prints "0x0002c90300001234" sg_vpd -p di "$THIN"
check "the mode page of the threshold: one, enabled, armed increasing, at 67 MiB in use (60 %)" prints " 81 02 00 00 00 00 00 43" threshold_page
check "READ CAPACITY(16): LBPME and LBPRZ" prints "lbpme=1, lbprz=1" sg_readcap --16 "$THIN"

# ── Space ───────────────────────────────────────────────────────────────────────────────────────────────────────────
check "a new file takes no space" allocates 0 0
check_equal "all of it is a hole" "0 256 1" "$(status_from 0)"
check "8 MiB are written" fill 16 8
check "they take 8 MiB" allocates 8 9
check_equal "and are told from the holes about them" "0 16 1
16 8 0
24 232 1" "$(status_from 0)"
check "blkdiscard of 4 MiB among them" discard 18 4
check "gives 4 MiB back" allocates 4 5
check_equal "which are a hole now, too" "17 1 0
18 4 1
22 2 0
24 232 1" "$(status_from 17)"
check "a file system on it" mkfs.ext4 -q -F -E lazy_itable_init=0,lazy_journal_init=0 "$THIN"
must "is mounted" mount "$THIN" $MOUNT
check "a file of 24 MiB" dd if=/dev/urandom of=$MOUNT/large bs=1M count=24 conv=fsync status=none
check "takes its space beneath" allocates 24 60
before=$(allocated)
rm $MOUNT/large
sync -f $MOUNT # ext4 trims what is free by its journal
check "fstrim after it was removed" fstrim $MOUNT
check "gives its space back" allocates 0 $((before - 22))
must "umount" umount $MOUNT
check "blkdiscard of everything" blkdiscard "$THIN"
check "leaves nothing" allocates 0 0
check_equal "nobody was warned so far" 0 "$(warnings)"

# ── The threshold ───────────────────────────────────────────────────────────────────────────────────────────────────
check "80 of some 120 MiB are written" fill 0 80
check "the initiator is warned" until_true 30 is_warned 1
check "the target's log says so, too" target_log_has "runs short"
sleep 3 # some looks more
check "once" is_warned 1
check "blkdiscard gives the space back" blkdiscard "$THIN"
sleep 3
check "which is no news" is_warned 1
check "the same is written again" fill 0 80
check "the initiator is warned again" until_true 30 is_warned 2

# ── Full ────────────────────────────────────────────────────────────────────────────────────────────────────────────
fills_up() { ! fill 80 100 2>/tmp/said && grep "No space left on device" /tmp/said; }
check "writing on ends with ENOSPC, not with an I/O error" fills_up
check "the initiator's kernel has the sense" initiator_says "Space allocation failed write protect"
check "and takes it for what it is" initiator_says "critical space allocation error"
check "what was written can be read" dd if="$THIN" of=/dev/null bs=1M count=80 iflag=direct status=none
check "blkdiscard of a part" discard 0 40
check "makes room to write again" fill 80 20
check "the unit is ready" sg_turs "$THIN"
check "logout" logout
check "SIGTERM ends the target with status 0" stop_target
