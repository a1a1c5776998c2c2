# copy: the target copies between its units (sg_xcopy, ddpt): every byte, and none over the fabric; what cannot be copied says why
# seconds: 600
# packages: ddpt

refuses() { local pattern=$1 said; shift; said=$("$@" 2>&1) && { echo "it did it"; return 1; }; echo "$said"; grep -qiE -- "$pattern" <<<"$said"; }
sg_of() { echo "/dev/$(ls "/sys/block/${1##*/}/device/scsi_generic")"; }
drop_caches() { sync; echo 3 >/proc/sys/vm/drop_caches; }
# same_bytes A B BYTES [SKIP-A SKIP-B]: read past the initiator's cache.
same_bytes() { drop_caches; cmp --bytes="$3" --ignore-initial="${4:-0}:${5:-0}" "$1" "$2"; }
bytes_moved() { rpc srp_get_sessions | grep -oE '"bytes_(in|out)": [0-9]+' | awk '{ sum += $2 } END { print sum }'; }
naa_of() { rpc srp_get_targets | tr -d ' \n' | grep -oE "\"bdev_name\":\"$1\"[^}]*" | grep -oE '"naa":"0x[0-9a-f]+' | sed 's/.*0x//'; }
# xcopy SG LIST-ID BLOCKS SOURCE-LBA SOURCE-NAA DESTINATION-LBA DESTINATION-NAA: one segment, as we write it.
xcopy() {
  { hex "$(printf '%02x00004000000000%08x00000000' "$2" 28)"
    for naa in "$5" "$7"; do hex "e400000001030008$naa$(printf '%032d' 0)"; done
    hex "$(printf '02000018000000010000%04x%016x%016x' "$3" "$4" "$6")"
  } >/tmp/xcopy.list
  sg_raw -s "$(stat -c %s /tmp/xcopy.list)" -i /tmp/xcopy.list "$1" 83 00 00 00 00 00 00 00 00 00 00 00 00 "$(printf %x "$(stat -c %s /tmp/xcopy.list)")" 00 00
}
hex() { printf "$(sed 's/../\\x&/g' <<<"$1")"; }

truncate -s 64M /srv/lab/{from,to}.img
truncate -s 16M /srv/lab/guarded.img
write_config "$(uring from from.img)" "$(uring to to.img)" \
  '{"method": "bdev_malloc_create", "params": {"name": "ram4k", "num_blocks": 8192, "block_size": 4096}}' \
  "$(uring guarded guarded.img)" "$(uring hidden hidden.img '"size": 16777216')"
must "the target starts" start_target 0x3
must "LUN 4 is shown to nobody" rpc srp_create_initiator_group '{"name": "all", "initiators": ["*"], "luns": [0, 1, 2, 3]}'
must "LUN 3 takes no writes" rpc bdev_set_read_only '{"name": "guarded", "read_only": true}'
must "login" login_to from to ram4k guarded
from=${DISK[from]} to=${DISK[to]} ram4k=${DISK[ram4k]}
from_sg=$(sg_of "$from") to_sg=$(sg_of "$to") ram4k_sg=$(sg_of "$ram4k")
from_naa=$(naa_of from) to_naa=$(naa_of to)
must "random bytes on one disk" dd if=/dev/urandom of="$from" bs=1M count=64 oflag=direct

check "INQUIRY: third-party copies" prints '3PC=1' sg_inq "$from_sg"
check "the copy manager tells its limits" prints 'Maximum target descriptor count: 64' sg_copy_results --params "$from_sg"
check "and in VPD 8Fh" prints 'Third [Pp]arty [Cc]opy' sg_vpd -p tpc "$from_sg"

before=$(bytes_moved)
check "sg_xcopy, 32 MiB from one disk to another" sg_xcopy "if=$from_sg" "of=$to_sg" bs=512 bpt=16384 count=65536
check "less than 1 MiB went over the fabric" test $(($(bytes_moved) - before)) -lt 1048576
check "every byte is there" same_bytes "$from" "$to" $((32 << 20))
check "sg_xcopy told to the destination" sg_xcopy --on_dst "if=$from_sg" "of=$to_sg" bs=512 bpt=16384 skip=65536 seek=65536 count=65536
check "every byte is there" same_bytes "$from" "$to" $((64 << 20))
# ddpt 0.97 forgets to go on: every command of its has the first one's addresses. So it sends only one.
check "ddpt, onto the other end of the same disk" ddpt --xcopy "if=$from_sg" "of=$from_sg" bs=512 bpt=16384 count=16384 seek=100000
check "every byte is there" same_bytes "$from" "$from" $((8 << 20)) 0 $((100000 * 512))
check "from blocks of 512 bytes to blocks of 4096" xcopy "$from_sg" 1 8000 8 "$from_naa" 5 "$(naa_of ram4k)"
check "every byte is there" same_bytes "$from" "$ram4k" $((8000 * 512)) 4096 $((5 * 4096))
check "and back" xcopy "$ram4k_sg" 2 1000 5 "$(naa_of ram4k)" 77 "$to_naa"
check "every byte is there" same_bytes "$ram4k" "$to" $((1000 * 4096)) $((5 * 4096)) $((77 * 512))
check "its status is kept" prints 'Copy manager status:.*completed without errors' sg_copy_results --status --list_id=2 "$ram4k_sg"
check "and told once" refuses 'Illegal request|Invalid field' sg_copy_results --status --list_id=2 "$ram4k_sg"

check "a unit that this initiator does not see" refuses 'Copy [Aa]borted|Copy target device not reachable' xcopy "$from_sg" 3 8 0 "$from_naa" 0 "$(naa_of hidden)"
check "the details say so" prints 'Extended copy command status: 2' sg_copy_results --failed --list_id=3 "$from_sg"
check "a unit that nobody has" refuses 'Copy [Aa]borted' xcopy "$from_sg" 4 8 0 3000000000000000 0 "$to_naa"
check "a destination that takes no writes" refuses 'Copy [Aa]borted' xcopy "$from_sg" 5 8 0 "$from_naa" 0 "$(naa_of guarded)"
check "a range beyond the end" refuses 'Copy [Aa]borted' xcopy "$from_sg" 6 8 131068 "$from_naa" 0 "$to_naa"
hex 07000041000000000000001c00000000 >/tmp/bad.list
head -c 93 /dev/zero >>/tmp/bad.list
check "a list that is not well formed" refuses 'Illegal [Rr]equest' sg_raw -s 109 -i /tmp/bad.list "$from_sg" 83 00 00 00 00 00 00 00 00 00 00 00 00 6d 00 00
check "nothing of that was written" same_bytes "$from" "$to" 4096

# A copy beside other work, and one that is reset away.
copies() { for _ in 1 2 3; do sg_xcopy "if=$from_sg" "of=$to_sg" bs=512 bpt=65535 count=131072 || return; done; }
FIO_OPTIONS=(--size=24M)
verify_with_fio 8M "$ram4k" >/tmp/fio.log 2>&1 3>&- &
fio=$!
check "copies beside fio on another disk" copies
check "which verifies" wait $fio
check "every byte is there" same_bytes "$from" "$to" $((64 << 20))
sg_xcopy "if=$from_sg" "of=$to_sg" bs=512 bpt=65535 count=131072 >/dev/null 2>&1 3>&- &
check "a LUN reset in the middle of one" sg_reset --device "$from_sg"
wait $!
sg_turs "$from_sg" || sg_turs "$from_sg"
check "the next one is done" sg_xcopy "if=$from_sg" "of=$to_sg" bs=512 bpt=65535 count=131072
check "every byte is there" same_bytes "$from" "$to" $((64 << 20))
must "logout" logout
must "SIGTERM ends the target with status 0" stop_target
