# passthrough-tape: a tape library (tgtd's, over iSCSI) through the target: tar, block lengths, mtx
# seconds: 600
# packages: tgt open-iscsi mtx mt-st

# scsi_device DRIVER TYPE: the H:C:I:L of the SCSI device of this type behind this driver.
scsi_device() {
  local folder address
  for folder in /sys/bus/scsi/devices/[0-9]*:*; do
    address=${folder##*/}
    [ "$(cat "/sys/class/scsi_host/host${address%%:*}/proc_name")" = "$1" ] && [ "$(cat "$folder/type")" = "$2" ] && echo "$address" && return
  done
  return 1
}
child() { echo "/dev/$(ls "/sys/bus/scsi/devices/$1/$2" | head -1)"; }
export_device() { rpc bdev_scsi_create "{\"name\": \"$1\", \"device\": \"$2\"}" && rpc srp_target_add_lun "{\"target\": \"tgt0\", \"bdev_name\": \"$1\"}"; }

LIBRARY=/srv/lab/library
lu() { tgtadm --lld iscsi --mode logicalunit --tid 1 "$@"; }
changer() { lu --op update --lun 2 --params "$1"; }
# One drive and four slots, two of them with a tape.
make_library() {
  mkdir -p "$LIBRARY" /run/lock/iscsi && truncate -s 1k "$LIBRARY/smc" || return
  for barcode in 00000001 00000002; do tgtimg --op new --device-type tape --barcode $barcode --size 64 --type data --file "$LIBRARY/$barcode" || return; done
  tgtd --iscsi portal=127.0.0.1:3260 && until_true 10 tgtadm --lld iscsi --op show --mode target &&
    tgtadm --lld iscsi --op new --mode target --tid 1 -T iqn.2009-06.lab:library &&
    lu --op new --lun 1 -b "$LIBRARY/00000001" --device-type=tape && lu --op update --lun 1 --params online=0 &&
    lu --op new --lun 2 -b "$LIBRARY/smc" --device-type=changer && changer "media_home=$LIBRARY" &&
    changer element_type=4,start_address=1,quantity=1 && changer element_type=4,address=1,tid=1,lun=1 &&
    changer element_type=1,start_address=2,quantity=1 && changer element_type=2,start_address=3,quantity=4 &&
    changer element_type=2,address=3,barcode=00000001,sides=1 && changer element_type=2,address=4,barcode=00000002,sides=1 &&
    tgtadm --lld iscsi --op bind --mode target --tid 1 -I ALL
}
attach_library() {
  modprobe iscsi_tcp && echo InitiatorName=iqn.2009-06.lab:guest >/etc/iscsi/initiatorname.iscsi && iscsid &&
    iscsiadm -m discovery -t st -p 127.0.0.1 && iscsiadm -m node -l && until_true 20 scsi_device iscsi_tcp 8 && until_true 20 scsi_device iscsi_tcp 1
}
detach_library() { iscsiadm -m node -u; iscsiadm -k 0; pkill -x tgtd; }

must "a tape library" make_library
must "the host has it" attach_library
must "drivers for tapes and changers" modprobe -a st ch
must "the target starts" start_target 0x3
must "the drive is exported by its tape node" export_device drive "$(child "$(scsi_device iscsi_tcp 1)" scsi_tape)"
must "the changer by its sg node" export_device changer "$(child "$(scsi_device iscsi_tcp 8)" scsi_generic)"
must "login" login_disks
must "the initiator finds both" eval 'until_true 20 scsi_device ib_srp 1 && until_true 20 scsi_device ib_srp 8'
lsscsi -g | sed 's/^/       /' | tee /dev/fd/3
CHANGER=$(child "$(scsi_device ib_srp 8)" scsi_generic) DRIVE=$(child "$(scsi_device ib_srp 1)" scsi_generic)
TAPE=/dev/n$(ls "/sys/bus/scsi/devices/$(scsi_device ib_srp 1)/scsi_tape" | grep -xE 'st[0-9]+')

check "mtx lists drive, slots and tapes" prints 'Storage Element 1:Full.*00000001' mtx -f "$CHANGER" status
check "mtx loads a tape" mtx -f "$CHANGER" load 1 0
check "which is in the drive then" prints 'Data Transfer Element 0:Full.*00000001' mtx -f "$CHANGER" status
check "the drive is ready" until_true 10 mt -f "$TAPE" status
check "and has no fixed block length" mt -f "$TAPE" setblk 0

mkdir -p /tmp/tape/in /tmp/tape/out
head -c 3M /dev/urandom >/tmp/tape/in/random && cp -r /etc/init.d /tmp/tape/in/
check "tar writes" tar -C /tmp/tape/in -b 20 -cf "$TAPE" .
check "a second file of blocks of 10000 bytes" dd if=/tmp/tape/in/random of="$TAPE" bs=10000 count=5
check "rewind" mt -f "$TAPE" rewind
check "tar reads" tar -C /tmp/tape/out -b 20 -xf "$TAPE"
check "the same" diff -r /tmp/tape/in /tmp/tape/out
check "space to the second file" eval 'mt -f "$TAPE" rewind && mt -f "$TAPE" fsf 1'
check "a read of more than a block returns the block" eval 'dd if="$TAPE" bs=32768 count=1 2>/dev/null | cmp -n 10000 - /tmp/tape/in/random && mt -f "$TAPE" bsr 1'
check "a read of less than a block fails" eval '! dd if="$TAPE" of=/dev/null bs=512 count=1'
mt -f "$TAPE" bsr 1
sg_raw -r 32768 -o /tmp/tape/block "$DRIVE" 08 00 00 80 00 00 >/tmp/tape/said 2>&1
check "ILI and its residual come with the data" eval 'cat /tmp/tape/said; grep -qi "ILI\|Incorrect Length" /tmp/tape/said && cmp -n 10000 /tmp/tape/block /tmp/tape/in/random'
check "the end of the data is told as such" eval 'mt -f "$TAPE" eod && prints "EOD|EOF|File number=2" mt -f "$TAPE" status'
check "LUN reset" sg_reset --device "$DRIVE"
check "the tape still works" eval 'mt -f "$TAPE" rewind; mt -f "$TAPE" rewind && tar -b 20 -tf "$TAPE" >/dev/null'
check "mtx puts the tape away" eval 'mt -f "$TAPE" offline; mtx -f "$CHANGER" unload 1 0 && prints "Storage Element 1:Full" mtx -f "$CHANGER" status'

check "logout" logout
check "SIGTERM ends the target with status 0" stop_target
detach_library
