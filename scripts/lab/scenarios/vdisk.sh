# vdisk: files on ext4 and XFS, with O_DIRECT, through the page cache, by Linux AIO, loop, null_blk and scsi_debug: identity, data, refusals
# seconds: 600
# packages: xfsprogs

NAMES=(direct cached aio made4k xfs xfs4k loop nullb nullb4k debug)
MIB=64
FIO_OPTIONS=(--size=60M)

# facts NAME: what the initiator's kernel took from READ CAPACITY, MODE SENSE and the VPD pages: blocks, logical, physical, …
facts() {
  local disk=/sys/block/${DISK[$1]##*/} unmap=unmap
  [ "$(<"$disk/queue/discard_max_bytes")" != 0 ] || unmap=no-unmap
  echo "$(($(<"$disk/size") >> 11)) MiB $(<"$disk/queue/logical_block_size") $(<"$disk/queue/physical_block_size")" \
    "$unmap rotational=$(<"$disk/queue/rotational") $(<"$disk/queue/write_cache")"
}
rotational() { echo "$(<"/sys/block/${1##*/}/queue/rotational")"; }
devices() { local name; for name in "${NAMES[@]}"; do echo "${DISK[$name]}"; done; }
start_of() { dd if="$1" bs=1M count=4 iflag=direct status=none | md5sum; }

must "an XFS" file_system xfs xfs 320 -s size=512
truncate -s ${MIB}M /srv/lab/{direct,cached,aio,loop}.img /mnt/target/xfs/{512,4096}.img
loop=$(loop_disk /srv/lab/loop.img) nullb=$(null_disk nullb $MIB discard=1) nullb4k=$(null_disk nullb4k $MIB blocksize=4096)
spare4k=$(null_disk spare4k $MIB blocksize=4096) debug=$(debug_disk $MIB physblk_exp=3 lbpu=1 lbpws=1)
must "devices: loop, null_blk with blocks of 512 and of 4096, scsi_debug" test -b "$loop" -a -b "$nullb" -a -b "$nullb4k" -a -b "$debug"

write_config \
  "$(uring direct direct.img '"direct": true')" \
  "$(uring cached cached.img '"direct": false')" \
  "$(uring aio aio.img '"engine": "aio"')" \
  "$(uring made4k made.img "\"size\": $((MIB << 20)), \"block_size\": 4096, \"direct\": true")" \
  "$(uring xfs /mnt/target/xfs/512.img '"direct": true')" \
  "$(uring xfs4k /mnt/target/xfs/4096.img '"block_size": 4096, "direct": true')" \
  "$(uring loop "$loop")" "$(uring nullb "$nullb")" "$(uring nullb4k "$nullb4k")" "$(uring debug "$debug")"
must "the target starts" start_target 0x3
check "it made the file that was not there" test "$(stat -c %s /srv/lab/made.img)" = $((MIB << 20))
check "Linux AIO does what was asked of it" eval 'rpc bdev_get_bdevs "{\"name\": \"aio\"}" | grep -q "\"engine\": \"aio\""'
check "the log says how each file is used" eval 'target_log_has "cached: .*through the page cache, as asked" && target_log_has "direct: .*with O_DIRECT"'
must "login" login_to "${NAMES[@]}"

below_files=$(rotational vda) below_xfs=$(rotational "$(findmnt -no SOURCE /mnt/target/xfs)")
check_equal "direct: facts" "$MIB MiB 512 4096 unmap rotational=$below_files write back" "$(facts direct)"
check_equal "cached: facts" "$MIB MiB 512 4096 unmap rotational=$below_files write back" "$(facts cached)"
check_equal "aio: facts" "$MIB MiB 512 4096 unmap rotational=$below_files write back" "$(facts aio)"
check_equal "made4k: facts" "$MIB MiB 4096 4096 unmap rotational=$below_files write back" "$(facts made4k)"
check_equal "xfs: facts" "$MIB MiB 512 4096 unmap rotational=$below_xfs write back" "$(facts xfs)"
check_equal "xfs4k: facts" "$MIB MiB 4096 4096 unmap rotational=$below_xfs write back" "$(facts xfs4k)"
check_equal "loop: facts" "$MIB MiB 512 512 unmap rotational=$(rotational "$loop") write back" "$(facts loop)"
check_equal "nullb: facts" "$MIB MiB 512 512 unmap rotational=0 write back" "$(facts nullb)"
check_equal "nullb4k: facts" "$MIB MiB 4096 4096 no-unmap rotational=0 write back" "$(facts nullb4k)"
check_equal "debug: facts" "$MIB MiB 512 4096 unmap rotational=0 write back" "$(facts debug)"
check "direct: READ CAPACITY(16) has LBPME, LBPRZ and the physical exponent" prints "lbpme=1, lbprz=1" sg_readcap --16 "${DISK[direct]}"
check "debug: READ CAPACITY(16), too" prints "exponent=3" sg_readcap --16 "${DISK[debug]}"
check "nullb, which discards and does not zero: LBPME without LBPRZ" prints "lbpme=1, lbprz=0" sg_readcap --16 "${DISK[nullb]}"
check "nullb: blkdiscard" blkdiscard --length 1M "${DISK[nullb]}"
check "nullb4k: no LBPME" prints "lbpme=0" sg_readcap --16 "${DISK[nullb4k]}"

check "every byte as written" verify_with_fio 2M $(devices)
must "logout" logout
must "login again" login_to "${NAMES[@]}"
check "every byte is still there" reads_again_with_fio 2M $(devices)
declare -A seen
for name in "${NAMES[@]}"; do seen[$name]=$(start_of "${DISK[$name]}"); done

# What cannot be used is refused by the name of the parameter, and leaves nothing behind.
refusals=()
create() { calls+=(bdev_uring_create "{\"name\": \"no\", $1}") refusals+=("$2"); }
truncate -s 1M /srv/lab/{fixed,locked,other}.img && chattr +i /srv/lab/fixed.img
flock /srv/lab/locked.img sleep 600 &
until_true 10 grep -q ":$(stat -c %i /srv/lab/locked.img) " /proc/locks
calls=(bdev_get_bdevs '{}')
create '"filename": "/dev/vda"' "filename: /dev/vda is in use by a mounted file system"
create '"filename": "/srv/lab"' "filename: /srv/lab is a Directory"
create '"filename": "/srv/lab/none.img"' "filename: /srv/lab/none.img: does not exist; give its size"
create '"filename": "/dev/none"' "filename: /dev/none"
create '"filename": "/dev/null"' "filename: /dev/null is a CharacterDevice"
create '"filename": "/srv/lab/fixed.img"' "filename: /srv/lab/fixed.img: cannot be opened for writing"
create '"filename": "/srv/lab/locked.img"' "filename: /srv/lab/locked.img is in use by process [0-9]+ \(flock\)"
create '"filename": "/srv/lab/direct.img"' "filename: /srv/lab/direct.img is in use by another bdev"
create "\"filename\": \"$spare4k\", \"block_size\": 512" "block_size: 512 is no multiple of the device's own"
create '"filename": "/srv/lab/none.img", "size": 1000' "size: 1000 is no multiple of a block"
create '"filename": "/srv/lab/none.img", "size": 512, "block_size": 500' "block_size: 500 is none of"
create '"filename": "/srv/lab/other.img", "size": 512' "size: 512, but /srv/lab/other.img has 1048576 bytes"
calls+=(bdev_get_bdevs '{}')
rpc "${calls[@]}" >/tmp/bdevs 2>/tmp/refusals
check_equal "${#refusals[@]} refusals" "${#refusals[@]}" "$(wc -l </tmp/refusals)"
for refusal in "${refusals[@]}"; do check "refused: $refusal" grep -E -- "\"message\": \"(Invalid parameters: )?$refusal" /tmp/refusals; done
check_equal "there are no other bdevs than before" $((2 * ${#NAMES[@]})) "$(grep -c '"name"' /tmp/bdevs)"
check "and no new file" test ! -e /srv/lab/none.img
check "a file that may not be written will do for a read-only disk" rpc bdev_uring_create '{"name": "fixed", "filename": "/srv/lab/fixed.img", "readonly": true}'
chattr -i /srv/lab/fixed.img

must "logout" logout
check "SIGTERM ends the target with status 0" stop_target
declare -A below=([direct]=/srv/lab/direct.img [cached]=/srv/lab/cached.img [aio]=/srv/lab/aio.img [made4k]=/srv/lab/made.img [xfs]=/mnt/target/xfs/512.img
  [xfs4k]=/mnt/target/xfs/4096.img [loop]=$loop [nullb]=$nullb [nullb4k]=$nullb4k [debug]=$debug)
for name in "${NAMES[@]}"; do check_equal "$name: what is below it holds the same" "${seen[$name]}" "$(start_of "${below[$name]}")"; done
