# protection: T10 protection information: blocks of 520 bytes by sg_raw and ddpt, damage in the file found and named, kill -9
# seconds: 900
# packages: ddpt

BLOCKS=524288 # 256 MiB of data
MD='"md_size": 8, "md_interleave": true'

pi() { /usr/bin/python3 -S -E "$LAB/protection.py" "$@"; }
hex() { printf "%0$(($1 * 2))x" "$2" | sed 's/../& /g'; }
# read_blocks DEVICE FIELD LBA BLOCKS: READ(16) with RDPROTECT, to /tmp/blocks. write_blocks: WRITE(16) with WRPROTECT of what stdin has.
read_blocks() { sg_raw -r $(($4 * 520)) -o /tmp/blocks "$1" 88 $(hex 1 $(($2 << 5))) $(hex 8 "$3") $(hex 4 "$4") 00 00 2>&1; }
write_blocks() { cat >/tmp/sent && sg_raw -s $(($4 * 520)) -i /tmp/sent "$1" 8a $(hex 1 $(($2 << 5))) $(hex 8 "$3") $(hex 4 "$4") 00 00 2>&1; }
wrong_guard() { head -c 512 /dev/zero && yes | head -c 512 | pi make 6000 | tail -c 8; } # another block's
data() { head -c $(($1 * 512)) /dev/urandom >/tmp/data; }
# refuses PATTERN... COMMAND: it fails, and says all of these; the patterns end with --.
refuses() {
  local patterns=() said
  while [ "$1" != -- ]; do patterns+=("$1") && shift; done
  shift
  said=$("$@" 2>&1) && return 1
  echo "$said"
  for pattern in "${patterns[@]}"; do grep -qE -- "$pattern" <<<"$said" || { echo "this does not say: $pattern"; return 1; }; done
}
in_file() { echo $(($1 * 520 + ${2:-0})); } # in_file LBA [BYTE]: where a block's byte is in the file
# spoil LBA BYTE: flips a bit of a block in the file, behind the target's back.
spoil() {
  local at byte
  at=$(in_file "$1" "$2") && byte=$(od -An -tu1 -j "$at" -N 1 "$DISK_FILE")
  printf "\\x$(printf %02x $((byte ^ 0x10)))" | dd of="$DISK_FILE" bs=1 seek="$at" conv=notrunc,fsync status=none
}
GUARD='Logical block guard check failed' TAG='Logical block reference tag check failed'

write_config \
  "{\"method\": \"bdev_malloc_create\", \"params\": {\"name\": \"ram01\", \"num_blocks\": $BLOCKS, \"block_size\": 512, $MD, \"dif_type\": 1}}" \
  "$(uring disk01 "$DISK_FILE" "\"size\": $((BLOCKS * 520)), \"block_size\": 512, $MD, \"dif_type\": 1")" \
  "{\"method\": \"bdev_malloc_create\", \"params\": {\"name\": \"ram03\", \"num_blocks\": 8192, \"block_size\": 512, $MD, \"dif_type\": 3}}" \
  '{"method": "bdev_malloc_create", "params": {"name": "plain", "num_blocks": 8192, "block_size": 512}}'
must "the target starts" start_target 0x3
must "login" login_to ram01 disk01 ram03 plain
RAM=${DISK[ram01]} FILE=${DISK[disk01]} TYPE3=${DISK[ram03]} PLAIN=${DISK[plain]}

# ── What it says of itself ──────────────────────────────────────────────────────────────────────────────────────────
check "the initiator's kernel takes it for type 1, and leaves protection to us" initiator_says "Disabling DIF Type 1 protection"
check "and the other for type 3" initiator_says "Disabling DIF Type 3 protection"
for device in "$RAM" "$FILE"; do
  check "$device: INQUIRY: PROTECT" prints "Protect=1" sg_inq "$device"
  check "$device: VPD 86: types 1 and 3, guard and reference tag are checked" prints "SPT=3.* GRD_CHK=1 APP_CHK=0 REF_CHK=1" sg_vpd -p ei "$device"
  check "$device: READ CAPACITY(16): enabled, type 1, an interval a block" prints "prot_en=1, p_type=0, p_i_exponent=0" sg_readcap --16 "$device"
  check_equal "$device: blocks of 512 bytes" "512 $BLOCKS" "$(blockdev --getss "$device") $(blockdev --getsz "$device")"
done
check "type 3: READ CAPACITY(16)" prints "prot_en=1, p_type=2" sg_readcap --16 "$TYPE3"
check "a plain disk: no PROTECT" prints "Protect=0" sg_inq "$PLAIN"
check "nor RDPROTECT" refuses "Illegal Request" "Invalid field in cdb" -- read_blocks "$PLAIN" 1 0 1
check "blocks that nobody wrote: zeroes that are not checked" eval 'read_blocks "$FILE" 1 9 1 && same "$(printf "%0512d%08d" 0 0 | tr 0 x)" "$(head -c 512 /tmp/blocks | tr "\0" x)$(tail -c 8 /tmp/blocks | tr "\377" x)"'

# ── An ordinary initiator, and one that knows ───────────────────────────────────────────────────────────────────────
FIO_OPTIONS=(--size=60M)
check "fio writes and verifies, without a thought of it" verify_with_fio 8M "$RAM" "$FILE"
for device in "$RAM" "$FILE" "$TYPE3"; do
  tag='' && [ "$device" != "$TYPE3" ] || tag=0xffffffff
  data 8 && dd if=/tmp/data of="$device" bs=512 seek=4096 oflag=direct status=none
  check "$device: what was written without information has it" eval 'read_blocks "$device" 1 4096 8 && pi check 4096 $tag </tmp/blocks'
  check "$device: about the same data" cmp /tmp/data <(pi strip </tmp/blocks)
  for field in 1 2 3 4 5; do
    data 16
    check "$device: WRPROTECT $field" eval 'pi make 5000 </tmp/data | write_blocks "$device" $field 5000 16'
    check "$device: RDPROTECT $field gives the same back" eval 'read_blocks "$device" $field 5000 16 && cmp /tmp/sent /tmp/blocks'
    check "$device: RDPROTECT 0 its data" cmp /tmp/data <(dd if="$device" bs=512 skip=5000 count=16 iflag=direct status=none)
  done
  check "$device: RDPROTECT 6 is reserved" refuses "Illegal Request" "Invalid field in cdb" -- read_blocks "$device" 6 0 1
  check "$device: a wrong guard is refused" refuses "Aborted Command" "$GUARD" "0x1770 \[6000\]" -- eval 'wrong_guard | write_blocks "$device" 1 6000 1'
done
data 1
check "a wrong reference tag is refused" refuses "Aborted Command" "$TAG" "0x1771 \[6001\]" -- eval 'pi make 6000 </tmp/data | write_blocks "$RAM" 1 6001 1'
check "but not of type 3" eval 'pi make 6000 </tmp/data | write_blocks "$TYPE3" 1 6001 1'
check "VERIFY with VRPROTECT" sg_verify --16 --vrprotect=1 --lba=4096 --count=8 "$FILE"
data 1 && pi make 7000 </tmp/data >/tmp/sent
check "WRITE SAME(16) with WRPROTECT" sg_write_same --16 --wrprotect=1 --lba=7000 --num=100 --in=/tmp/sent --xferlen=520 "$FILE"
check "numbers the blocks" eval 'read_blocks "$FILE" 1 7084 16 && pi check 7084 </tmp/blocks'
data 64 && dd if=/tmp/data of="$RAM" bs=512 seek=8000 oflag=direct status=none
check "ddpt copies blocks with their information" ddpt if="$RAM" of="$FILE" bs=512 skip=8000 seek=8000 count=64 bpt=32 iflag=pt oflag=pt protect=1,1
check "which arrive" cmp /tmp/data <(dd if="$FILE" bs=512 skip=8000 count=64 iflag=direct status=none)

# ── Damage in the file ──────────────────────────────────────────────────────────────────────────────────────────────
read_kernel() { dd if="$FILE" of=/dev/null bs=4k skip=500 count=1 iflag=direct; } # blocks 4000 to 4007
data 8 && dd if=/tmp/data of="$FILE" bs=512 seek=4000 oflag=direct status=none
check "blocks read" read_kernel
spoil 4003 100
check "a bit that changed in the file: the kernel's read fails" refuses "Invalid or incomplete multibyte" -- read_kernel # EILSEQ is its word for this
check "the initiator hears: ABORTED COMMAND" initiator_says "Sense Key : Aborted Command"
check "guard check failed" initiator_says "Add. Sense: $GUARD"
for field in 0 1 4 5; do
  check "VERIFY with VRPROTECT $field names the block" refuses "$GUARD" "0xfa3 \[4003\]" -- sg_verify -v --16 --vrprotect=$field --lba=4000 --count=8 "$FILE"
done
check "RDPROTECT 3 gives it as it is" eval 'read_blocks "$FILE" 3 4000 8 && ! cmp /tmp/data <(pi strip </tmp/blocks)'
check "its neighbours read" dd if="$FILE" of=/dev/null bs=512 skip=4004 count=4 iflag=direct
check "bdev_get_bdevs says what it is" prints '"dif_type": 1' rpc bdev_get_bdevs '{"name": "disk01"}'
dd if=/tmp/data of="$FILE" bs=512 seek=4000 oflag=direct status=none
check "written again, it is whole" read_kernel
dd if="$DISK_FILE" of=/tmp/whole bs=1 skip="$(in_file 4001)" count=520 status=none
dd if=/tmp/whole of="$DISK_FILE" bs=1 seek="$(in_file 4005)" conv=notrunc,fsync status=none
check "a block that came to lie elsewhere" refuses "$TAG" "0xfa5 \[4005\]" -- read_blocks "$FILE" 1 4000 8
check "fails the kernel's read, too" refuses "Invalid or incomplete multibyte" -- read_kernel
check "blkdiscard" blkdiscard -o $((4000 * 512)) -l 4096 "$FILE"
check "leaves zeroes that are not checked" read_kernel

# ── kill -9 ─────────────────────────────────────────────────────────────────────────────────────────────────────────
check "fio writes and verifies" verify_with_fio 8M "$FILE"
check "logout" logout
check "kill -9" kill_target
must "the target starts again" start_target 0x3
must "login" login_to disk01
FILE=${DISK[disk01]}
check "fio's data are there" reads_again_with_fio 8M "$FILE"
check "and all blocks agree with their information" sg_verify --16 --bpc=65536 --lba=0 --count=$BLOCKS "$FILE"
check "logout" logout
check "SIGTERM ends the target with status 0" stop_target
