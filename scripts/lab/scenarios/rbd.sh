# rbd: an image of a real Ceph cluster: the stock initiator's data verified, read again without the target, grown while it is used
# seconds: 300
# fabrics: roce
# packages: ceph-mon ceph-osd ceph-common

written() { dd if="$DEVICE" bs=1M count=8 iflag=direct status=none | sha256sum; }
grown() { [ "$(blockdev --getsize64 "$DEVICE")" = $((96 << 20)) ]; }

must "a Ceph cluster of one node comes up" start_ceph
must "the target starts" start_target 0x1
must "it opens the image" rpc bdev_rbd_create '{"name": "rbd01", "pool_name": "rbd", "rbd_name": "disk", "block_size": 4096}'
must "the image becomes a unit" rpc srp_target_add_lun '{"target": "tgt0", "bdev_name": "rbd01", "lun": 3}'
must "login" login_disks
must "the initiator has the image as a disk" until_true 30 disk rbd01
DEVICE=$(disk rbd01)
check_equal "of 4096-byte blocks" 4096 "$(blockdev --getss "$DEVICE")"
check_equal "and 64 MiB" $((64 << 20)) "$(blockdev --getsize64 "$DEVICE")"
check "fio verifies what it wrote" fio --name=rbd --filename="$DEVICE" --ioengine=libaio --direct=1 --iodepth=8 --rw=randwrite \
  --bssplit=4k/60:64k/30:1m/10 --size=48M --io_size=12M --verify=crc32c --verify_fatal=1 --verify_dump=0 --do_verify=1 --end_fsync=1
check_equal "the image has the same bytes, read without the target" "$(rbd_sha256 $((8 << 20)))" "$(written)"
check "blkdiscard gives space back" blkdiscard --offset 0 --length $((16 << 20)) "$DEVICE"
check "the image grows" rpc bdev_rbd_resize '{"name": "rbd01", "new_size": 96}'
dd if="$DEVICE" of=/dev/null bs=4096 count=1 iflag=direct status=none # the next command brings the unit attention
check "the initiator is told" initiator_says "Capacity data has changed"
echo 1 >"/sys/block/${DEVICE##*/}/device/rescan"
check "and has the new size" until_true 20 grown
check "SIGTERM ends the target with status 0" stop_target
