# passthrough: SCSI devices through the target as they are: a disk with its data, sense and resets, other types, and one that is unplugged
# seconds: 600

DEBUG=/sys/bus/pseudo/drivers/scsi_debug

# scsi_device DRIVER TYPE [VENDOR]: the H:C:I:L of the last SCSI device of this type behind this driver.
scsi_device() {
  local folder address host found=
  for folder in /sys/bus/scsi/devices/[0-9]*:*; do
    address=${folder##*/}
    host=/sys/class/scsi_host/host${address%%:*}
    [ "$(cat "$host/proc_name")" = "$1" ] && [ "$(cat "$folder/type")" = "$2" ] && [[ $(cat "$folder/vendor") = ${3:-Linux}* ]] && found=$address
  done
  [ -n "$found" ] && echo "$found"
}
node() { echo "/dev/$(ls "/sys/bus/scsi/devices/$1/$2")"; } # node H:C:I:L block|scsi_generic
refuses() { local pattern=$1 said; shift; said=$("$@" 2>&1) && return 1; echo "$said"; grep -qE -- "$pattern" <<<"$said"; }
export_device() { rpc bdev_scsi_create "{\"name\": \"$1\", \"device\": \"$2\"}" && rpc srp_target_add_lun "{\"target\": \"tgt0\", \"bdev_name\": \"$1\", \"lun\": $3}"; }
add_debug() { echo "$1" >"$DEBUG/ptype" && echo 1 >"$DEBUG/add_host" && until_true 10 scsi_device scsi_debug "$1"; }
same_bytes() { cmp <(dd if="$1" bs=1M count="$3" iflag=direct 2>/dev/null) <(dd if="$2" bs=1M count="$3" iflag=direct 2>/dev/null); }
same_answer() { # what sg_raw prints of a command, at the device and through the target
  local there here
  there=$(sg_raw "$@" "$SG" "${CDB[@]}" 2>&1) || true
  here=$(sg_raw "$@" "$THROUGH_SG" "${CDB[@]}" 2>&1) || true
  echo "$here"
  same "$there" "$here"
}

must "a SCSI disk" modprobe scsi_debug dev_size_mb=256 delay=0 dif=0 dix=0
must "it is there" until_true 10 scsi_device scsi_debug 0
ADDRESS_BELOW=$(scsi_device scsi_debug 0) BELOW=$(node "$ADDRESS_BELOW" block) SG=$(node "$ADDRESS_BELOW" scsi_generic)
must "the target starts" start_target 0x3

check "a device that is not there is refused" refuses 'device: 99:0:0:0: does not exist' rpc bdev_scsi_create '{"name": "s", "device": "99:0:0:0"}'
mkfs.ext4 -q "$BELOW" && mkdir -p /mnt/lab/below && mount "$BELOW" /mnt/lab/below
check "a disk that is mounted is refused" refuses 'in use by a mounted' rpc bdev_scsi_create "{\"name\": \"s\", \"device\": \"$BELOW\"}"
umount /mnt/lab/below
must "the disk is exported by its address" export_device disk "$ADDRESS_BELOW" 3
check "and not twice" refuses 'another bdev of this process' rpc bdev_scsi_create "{\"name\": \"s\", \"device\": \"$SG\"}"
check "nobody can mount it now" eval '! mount "$BELOW" /mnt/lab/below'
check "bdev_get_bdevs names it" prints '"product": "scsi_debug"' rpc bdev_get_bdevs '{"name": "disk"}'

must "login" login_disks
must "the initiator finds the disk" until_true 30 scsi_device ib_srp 0
lsscsi -g | sed 's/^/       /' | tee /dev/fd/3
ABOVE=$(node "$(scsi_device ib_srp 0)" block) THROUGH_SG=$(node "$(scsi_device ib_srp 0)" scsi_generic)
check "INQUIRY with its serial number" prints 'Unit serial number: [^ ]' sg_inq "$THROUGH_SG"
CDB=(12 01 83 00 ff 00) && check "VPD 83 is the device's" same_answer -r 255
check "VPD B0 tells no more than gets through" prints 'Maximum transfer length: (2048|1[0-9]{3}|[1-9][0-9]{0,2}) ' sg_vpd -p bl "$ABOVE"
CDB=(5e 00 00 00 00 00 00 00 08 00) && check "PERSISTENT RESERVE IN is refused" refuses 'Invalid command operation code' sg_raw -r 8 "$THROUGH_SG" "${CDB[@]}"
CDB=(84 03 00 00 00 00 00 00 00 00 00 00 02 00 00 00) && check "RECEIVE COPY RESULTS is refused" refuses 'Invalid command operation code' sg_raw -r 512 "$THROUGH_SG" "${CDB[@]}"
CDB=(9e 10 00 00 00 00 00 00 00 00 00 00 00 20 00 00) && check "READ CAPACITY(16) is the device's" same_answer -r 32

check "fio writes and verifies, with resets of the device" eval '
  FIO_OPTIONS=(--rate=,2m)
  verify_with_fio 16M "$ABOVE" & fio=$!
  for i in 1 2 3; do sleep 2; sg_reset --device "$ABOVE"; done
  wait $fio'
check "the resets reached the device" target_log_has "the SCSI device was reset"
sync
check "what was written is on the device" same_bytes "$ABOVE" "$BELOW" 64

echo 2 >$DEBUG/opts # a medium error from block 1234h on
CDB=(28 00 00 00 12 30 00 00 08 00) && check "a medium error has all of the device's sense" same_answer -r 4096
check "which says where" prints 'Medium Error' eval 'sg_raw -r 4096 "$THROUGH_SG" "${CDB[@]}" 2>&1 || true'
check "and the initiator reports it" eval '! dd if="$ABOVE" of=/dev/null bs=4k skip=$((0x1230 / 8)) count=1 iflag=direct; initiator_says "critical medium error, dev ${ABOVE#/dev/}, sector 46"'
echo 0 >$DEBUG/opts
check "the rest reads" dd if="$ABOVE" of=/dev/null bs=1M count=2 iflag=direct

fio --name=below --filename="$ABOVE" --ioengine=libaio --direct=1 --rw=randrw --bs=4k --iodepth=16 --size=64M --time_based --runtime=60 >/run/lab/$SCENARIO.fio.log 2>&1 &
fio=$!
sleep 3
check "fio is under way" is_running $fio
echo 1 >"/sys/bus/scsi/devices/$ADDRESS_BELOW/delete"
status=0
wait $fio || status=$?
check "the device is unplugged: fio ends with an error" test "$status" != 0
# What the kernel took back while it removed the device ended as an error of the adapter; from now on it is gone.
check "reads fail" eval '! dd if="$ABOVE" of=/dev/null bs=4k count=1 skip=99 iflag=direct && ! dd if="$ABOVE" of=/dev/null bs=4k count=1 skip=98 iflag=direct'
check "the log says it once" eval 'test "$(target_log_has "the SCSI device is gone" | wc -l)" = 1'
check "the other disks go on" dd if="$RAM" of=/dev/null bs=1M count=4 iflag=direct
check "its LUN goes" rpc srp_target_remove_lun '{"target": "tgt0", "lun": 3}'
check "its bdev goes" rpc bdev_scsi_delete '{"name": "disk"}'

# An enclosure, a tape and a changer. scsi_debug's parameter is about all of its devices, so one after the other.
for type in 13 1 8; do
  must "a device of type $type" add_debug $type
  must "type $type is exported by its sg node" export_device "type$type" "$(node "$(scsi_device scsi_debug $type)" scsi_generic)" $((20 + type))
  echo "- - -" >"/sys/class/scsi_host/host$(srp_host)/scan"
  must "type $type: the initiator finds it" until_true 20 scsi_device ib_srp $type
  sg=$(node "$(scsi_device ib_srp $type)" scsi_generic)
  check "type $type: INQUIRY names the device" prints 'Product identification: scsi_debug' sg_inq "$sg"
  check "type $type: it is ready when it has said that it is new" until_true 10 sg_turs "$sg"
done
check "logout" logout # with the first disk of scsi_debug gone, no disk is left
check "SIGTERM ends the target with status 0" stop_target
