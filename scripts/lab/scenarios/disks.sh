# disks: lsscsi, sg3_utils and udev's scsi_id see a null, a RAM and a file disk right; 1 and 4 channels, 1 and 2 reactors
# seconds: 600

declare -A BLOCKS=([null01]=8589934592 [ram01]=524288 [disk01]=524288)

identities() { for name in null01 ram01 disk01; do echo "$name $(/lib/udev/scsi_id --whitelisted --device="$(disk $name)") $(sg_vpd -q -p sn "$(disk $name)" | tail -1)"; done; }
lists_pages() { [ "$(sg_vpd -q -p sv "$1" | grep -oE '\[(sv|sn|di|bl|bdc|lbpv)\]' | tr -d '\n')" = "[sv][sn][di][bl][bdc][lbpv]" ]; }
zeros() { [ -z "$(sg_dd if="$1" skip="$2" count="$3" bs=512 of=- 2>/dev/null | tr -d '\0' | head -c1)" ]; }
fill() { head -c $(($3 * 512)) /dev/urandom >/tmp/fill && sg_dd if=/tmp/fill of="$1" seek="$2" count="$3" bs=512 2>&1; }
sg_verify_past_end() { sg_verify --lba="${BLOCKS[$name]}" --count=1 "$1" 2>&1 || true; }

for mask in 0x1 0x3; do
  must "the target starts with -m $mask" start_target "$mask"
  for channels in 1 4; do
    must "login with ch_count=$channels on -m $mask" login_disks "ch_count=$channels"
    lsscsi | sed 's/^/       /' | tee /dev/fd/3
    for name in null01 ram01 disk01; do
      check "lsscsi lists $name" prints "disk +[^ ]+ +$name " lsscsi
      check "$name answers a read" dd if="$(disk $name)" of=/dev/null bs=64k count=16 iflag=direct
    done
    [ "$mask $channels" = "0x3 4" ] || check "logout" logout
  done
  [ "$mask" = 0x3 ] || check "SIGTERM ends the target with status 0" stop_target
done

for name in null01 ram01 disk01; do
  device=$(disk $name)
  check "$name: TEST UNIT READY" sg_turs "$device"
  check "$name: REQUEST SENSE has nothing to report" prints "No additional sense|No Sense" sg_requests "$device"
  check "$name: INQUIRY carries its name" prints "Product identification: $name *$" sg_inq "$device"
  check "$name: VPD 00 lists 00, 80, 83, b0, b1 and b2" lists_pages "$device"
  check "$name: VPD 80, a serial number" prints "Unit serial number: [^ ]" sg_vpd -p 0x80 "$device"
  check "$name: VPD 83, an NAA designator" prints "0x[36][0-9a-f]{15,}" sg_vpd -p 0x83 "$device"
  check "$name: VPD 83, the SRP target port" prints "SRP|SCSI RDMA" sg_vpd -p 0x83 "$device"
  check "$name: VPD B0, block limits" prints "Maximum transfer length: [1-9]" sg_vpd -p 0xb0 "$device"
  [ $name = disk01 ] || check "$name: VPD B1, not a rotating medium" prints "Non-rotating medium" sg_vpd -p 0xb1 "$device"
  check "$name: VPD B2, logical block provisioning" sg_vpd -p 0xb2 "$device"
  check "$name: READ CAPACITY(16)" prints "Number of logical blocks=${BLOCKS[$name]}$" sg_readcap --16 "$device"
  check "$name: its size in bytes" prints "^$((BLOCKS[$name] * 512))$" blockdev --getsize64 "$device"
  check "$name: MODE SENSE(10), caching page" prints "Caching" sg_modes -p 8 "$device"
  check "$name: MODE SENSE(6), all pages" prints "Control" sg_modes -6 -a "$device"
  check "$name: REPORT LUNS names three" prints "Lun list length = 24 " sg_luns "$device"
  check "$name: REPORT SUPPORTED OPERATION CODES" prints "Read\(16\)" sg_opcodes "$device"
  check "$name: SYNCHRONIZE CACHE(10)" sg_sync "$device"
  check "$name: SYNCHRONIZE CACHE(16)" sg_sync --16 "$device"
  check "$name: VERIFY(10)" sg_verify --lba=0 --count=64 "$device"
  check "$name: VERIFY(16)" sg_verify --16 --lba=0 --count=64 "$device"
  check "$name: a read past the end is refused" prints "out of range" sg_verify_past_end "$device"
done

for name in ram01 disk01; do
  device=$(disk $name)
  check "$name: a write through sg" fill "$device" 2048 64
  check "$name: is not zero" eval '! zeros "$device" 2048 64'
  check "$name: WRITE SAME(10) of zeros" sg_write_same --10 --lba=2048 --num=32 --in=/dev/zero --xferlen=512 "$device"
  check "$name: reads as zeros" zeros "$device" 2048 32
  check "$name: and not further" eval '! zeros "$device" 2080 32'
  check "$name: WRITE SAME(16) of zeros" sg_write_same --16 --lba=2080 --num=16 --in=/dev/zero --xferlen=512 "$device"
  check "$name: reads as zeros, too" zeros "$device" 2048 48
  check "$name: UNMAP" sg_unmap --force --lba=2048 --num=64 "$device"
done
check "ram01: unmapped blocks read as zeros" zeros "$(disk ram01)" 2048 64

check "/dev/disk/by-id would have three different names" test "$(identities | awk '{ print $2 }' | grep -E '^3[36][0-9a-f]{15,}' | sort -u | wc -l)" = 3
before=$(identities)
check "logout" logout
check "SIGTERM ends the target with status 0" stop_target
must "the target starts again" start_target 0x3
must "login" login_disks
check_equal "serial numbers and NAA designators are the same after a restart" "$before" "$(identities)"
