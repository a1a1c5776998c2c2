# cdrom: an ISO image as a CD drive: the kernel's sr mounts it, locks it, ejects it, and finds the next disc; nobody writes to it
# seconds: 500
# packages: xorriso eject

MOUNT=/mnt/lab/cd CD=/dev/sr0 # $SG: the same without a look at the disc
refuses() { local pattern=$1 said; shift; said=$("$@" 2>&1) && { echo "it did it"; return 1; }; echo "$said"; grep -qiE -- "$pattern" <<<"$said"; }
iso() { xorriso -as mkisofs -quiet -R -V "$1" -o "$TARGET_FOLDER/$2.iso" "$3"; }
drive() { rpc srp_get_targets | tr -d ' \n' | grep -oE '"cdrom":\{[^}]*\}'; }
drive_is() { prints "$1" drive; }
mount_cd() { mount -t iso9660 -o ro $CD $MOUNT; }
size_is() { [ "$(cat /sys/block/sr0/size)" = $((($(stat -c %s "$1") + 511) / 512)) ]; }
same_as() { mount_cd && diff -r "$1" $MOUNT && umount $MOUNT; }
insert() { rpc srp_cdrom_insert "{\"bdev_name\": \"cd0\", \"filename\": \"$TARGET_FOLDER/$1.iso\"}"; }
eject_by_rpc() { rpc srp_cdrom_eject "{\"bdev_name\": \"cd0\"${1:+, \"force\": $1}}"; }

mkdir -p $MOUNT /tmp/one/deep/er /tmp/two
seq 1 200000 >/tmp/one/deep/er/numbers
cp /bin/busybox /tmp/one/program 2>/dev/null || cp /bin/bash /tmp/one/program
head -c 5000001 /dev/urandom >/tmp/two/random
must "modules of the initiator" modprobe -a sr_mod isofs
must "two images" eval 'iso ONE one /tmp/one && iso TWO two /tmp/two && truncate -s 1G "$TARGET_FOLDER/large.iso"'
must "the target starts" start_target 0x3
must "a bdev of an image" rpc bdev_uring_create "{\"name\": \"cd0\", \"filename\": \"$TARGET_FOLDER/one.iso\", \"block_size\": 2048, \"readonly\": true}"
must "a LUN that is a CD drive" rpc srp_target_add_lun '{"target": "tgt0", "bdev_name": "cd0", "lun": 3, "device_type": "cdrom"}'
must "login" login_disks
must "the kernel finds the drive" until_true 30 test -b $CD
SG=/dev/$(ls /sys/block/sr0/device/scsi_generic)
check "INQUIRY: a CD/DVD drive" prints 'PDT=5 +RMB=1' sg_inq $SG
check "its profile is a CD's" prints '[Cc]urrent profile: CD-ROM' sg_get_config $SG
check "the kernel knows what it can do" eval 'grep -E "Can (open|close) tray|Can lock tray|Can read multisession" /proc/sys/dev/cdrom/info && grep -qE "Can open tray:[[:space:]]+1" /proc/sys/dev/cdrom/info && grep -qE "Can lock tray:[[:space:]]+1" /proc/sys/dev/cdrom/info'
check "it mounts, with every byte" same_as /tmp/one
check "it is as large as its image" size_is "$TARGET_FOLDER/one.iso"
check "so are its bytes without a file system" cmp $CD "$TARGET_FOLDER/one.iso"
check "READ TOC: one data track and the lead-out" prints '00 12 01 01 00 14 01 00 +00 00 00 00 00 14 aa' sg_raw -r 20 $SG 43 00 00 00 00 00 00 00 14 00
check "READ DISC INFORMATION: complete" prints '00 20 0e 01 01 01 01' sg_raw -r 34 $SG 51 00 00 00 00 00 00 00 22 00
check "MECHANISM STATUS" sg_raw -r 8 $SG bd 00 00 00 00 00 00 00 00 08 00 00

# Nobody writes.
check "the kernel does not open it for writing" refuses 'Read-only file system' dd if=/dev/zero of=$CD bs=2048 count=1 conv=notrunc
head -c 2048 /dev/zero >/tmp/block
check "a WRITE(10) ends with WRITE PROTECTED" refuses 'Write protected' sg_raw -s 2048 -i /tmp/block $SG 2a 00 00 00 00 00 00 00 01 00

# In use it stays where it is.
must "it is mounted" mount_cd
check "its removal is prevented" drive_is '"removal_prevented":true'
check "an eject is refused: MEDIUM REMOVAL PREVENTED" refuses 'removal prevented' sg_raw $SG 1b 00 00 00 02 00
check "the administrator is told who has it" refuses 'force' eject_by_rpc
check "it is still there" diff -r /tmp/one $MOUNT
must "umount" umount $MOUNT
check "its removal is allowed" until_true 5 drive_is '"removal_prevented":false'

# The initiator's button.
check "eject" eject $CD
check "the tray is open" drive_is '"tray":"open","ejected":false'
check "TEST UNIT READY: not present, tray open" refuses 'not present - tray open' sg_raw $SG 00 00 00 00 00 00
check "eject -t closes it" eject -t $CD
check "and it mounts again" same_as /tmp/one

# The administrator's hand.
must "the disc is taken out" eject_by_rpc
check "it does not mount" refuses 'No medium|no medium' mount_cd
check "nor does closing the tray bring it back" eval '! { eject -t $CD; mount_cd; }'
must "another is put in" insert two
check "every initiator is told: medium may have changed" refuses 'medium may have changed' sg_raw $SG 00 00 00 00 00 00
check "the new one mounts, with every byte" same_as /tmp/two
check "it has the new one's size" size_is "$TARGET_FOLDER/two.iso"
check "a disc in use goes by force" eval 'mount_cd && eject_by_rpc true && umount $MOUNT'
check "a large one is a DVD" eval 'insert large && { sg_turs $SG; sg_turs $SG; prints "[Cc]urrent profile: DVD-ROM" sg_get_config $SG; }'

# It is all saved.
check "save_config" eval 'eject_by_rpc && rpc save_config >/tmp/saved && grep -q "\"device_type\": *\"cdrom\"" /tmp/saved && grep -q srp_cdrom_eject /tmp/saved && grep -q large.iso /tmp/saved'
must "logout" logout
must "SIGTERM ends the target with status 0" stop_target
