# sg3-utils: every tool of the package that applies to a disk, with what must come of it
# seconds: 1200
# packages: sg3-utils

# Not a command for a disk: they know the kernel, a file or the host's other devices only.
NOT_FOR_A_DISK="rescan-scsi-bus.sh scsi_logging_level scsi_satl sg_decode_sense sg_scan"

# ends STATUS COMMAND...: with the tool's exit status, which says what the sense was (sg3_utils(8)).
ends() {
  local expected=$1 status=0
  shift
  "$@" || status=$?
  [ $status = "$expected" ] || { echo "ended with $status, not $expected"; return 1; }
}
INVALID_FIELD=5 INVALID_OPCODE=9 MISCOMPARE=14 OUT_OF_RANGE=22

# refused COMMAND...: by the target, as something that it does not have.
refused() {
  local said
  said=$("$@" 2>&1) && { echo "$said"; echo "it was not refused"; return 1; }
  echo "$said"
  grep -qiE 'out of domain|illegal request|invalid command|invalid opcode|invalid field|not support|unsupported' <<<"$said"
}
blocks() { head -c $(($1 * 512)) "${2:-/dev/urandom}"; }
# The blocks from a place on are those of a file.
has() { sg_dd if="$D" skip="$1" bs=512 count="$(($(stat -c %s "$2") / 512))" of=- 2>/dev/null | cmp - "$2"; }
put() { sg_dd if="$2" of="$D" seek="$1" bs=512 count="$(($(stat -c %s "$2") / 512))" 2>&1; }
ready() { until_true 10 sg_turs "$D"; }

write_config '{"method": "bdev_malloc_create", "params": {"name": "ram", "num_blocks": 65536, "block_size": 512}}' \
  "$(uring thin thin.img '"size": 33554432, "block_size": 512')"
must "the target starts" start_target 0x3
must "login" login_to ram thin
D=${DISK[ram]} T=${DISK[thin]}
sg_node() { echo "/dev/$(ls "/sys/block/${1#/dev/}/device/scsi_generic")"; }
SG=$(sg_node "$D") TSG=$(sg_node "$T")
lsscsi -g | sed 's/^/       /' | tee /dev/fd/3
cd /tmp || exit
blocks 1 >one && blocks 16 >sixteen && blocks 16 /dev/zero >zeros && tr '\0' '\377' <zeros >ones

# ── What it is ──────────────────────────────────────────────────────────────────────────────────────────────────────
check "sg_inq: INQUIRY" prints 'Product identification: ram *$' sg_inq "$D"
check "sg_inq --export: names for udev" prints 'SCSI_IDENT_LUN_NAA' sg_inq --page=di --export "$D"
pages=$(sg_vpd --raw --page=0x0 "$D" | od -An -v -tx1 -j4)
check "sg_vpd: the list of VPD pages is this" same '00 80 83 85 86 87 88 8a 8f b0 b1 b2' "$(echo $pages)"
for page in $pages; do
  check "sg_vpd: page ${page}h, whose header is right" eval 'sg_vpd --page=0x$page "$D" && sg_vpd --raw --page=0x$page "$D" >page &&
    [ "$(od -An -tx1 -j1 -N1 page | tr -d " ")" = $page ] && [ $((0x$(od -An -tx1 -j2 -N2 page | tr -d " ") + 4)) = "$(stat -c %s page)" ]'
done
check "sg_vpd --all" sg_vpd --all "$D"
check "sg_vpd: a page that is not there is refused" refused sg_vpd --page=0xb3 "$D"
check "sg_luns: two LUNs" prints 'Lun list length = 16 ' sg_luns "$D"
check "sg_luns --select=1: the well known one for REPORT LUNS" prints 'c101000000000000' sg_luns --select=1 "$D"
check "sg_luns --select=2: all" prints 'Lun list length = 24 ' sg_luns --select=2 "$D"
check "sg_turs" sg_turs --number=8 "$D"
check "sg_requests" prints 'No additional sense|No Sense' sg_requests "$D"
check "sg_requests --desc" prints 'No additional sense|No Sense' sg_requests --desc "$D"
check "sg_readcap" prints 'Number of logical blocks=65536$' sg_readcap "$D"
check "sg_readcap --16" prints 'lbpme=1, lbprz=1' sg_readcap --16 "$D"
check "scsi_readcap" scsi_readcap "$D"
check "sg_opcodes: COMPARE AND WRITE is among them" prints 'Compare and write' sg_opcodes "$D"
check "sg_opcodes --rctd: with timeouts" sg_opcodes --rctd "$D"
check "sg_opcodes: one command with its usage map" prints 'Opcode=0x89' sg_opcodes --opcode=0x89 "$D"
check "sg_opcodes --tmf: LOGICAL UNIT RESET is among them" prints 'Logical unit reset' sg_opcodes --tmf "$D"
check "sg_map names the disk of an sg node" prints "$SG +$D" sg_map
check "sg_map26, too" prints "$D" sg_map26 "$SG"
check "sginfo" prints 'ram' sginfo "$D"
check "scsi_mandat: all that SPC-3 demands" prints 'total number of bad errors: 0' scsi_mandat "$SG"
check "scsi_ready" scsi_ready "$D"

# ── Pages that can be changed, and logs ─────────────────────────────────────────────────────────────────────────────
check "sg_modes: all pages and subpages" prints 'Control' sg_modes -aa "$D"
check "sg_modes -6" prints 'Caching' sg_modes -6 --page=8 "$D"
for control in 1 2 3; do check "sg_modes --control=$control" sg_modes -a --control=$control "$D"; done
check "sg_modes: a page that is not there is refused" refused sg_modes --page=0x2c "$D"
check "sg_wr_mode: the control page as it is" eval 'sg_modes -R --page=0xa --dbd "$D" | sg_wr_mode --page=0xa --contents=- "$D"'
check "sg_wr_mode -6: SWP is set" sg_wr_mode -6 --page=0xa --mask=0,0,0,0,8 --contents=8a,a,0,0,8 "$D"
check "then writing is refused" ends 7 sg_write_same --lba=0 --num=1 --in=one "$D"
check "sg_wr_mode: and taken back" sg_wr_mode --page=0xa --mask=0,0,0,0,8 --contents=8a,a,0,0,0 "$D"
check "sg_logs: all pages" sg_logs --all "$D"
for page in 0x0 0x2 0x3 0x5 0xd 0xe 0xf 0x19 0x2f; do check "sg_logs: page ${page#0x}h" sg_logs --page=$page "$D"; done
check "sg_logs --reset" sg_logs --reset "$D"
check "sg_logs: a page that is not there is refused" refused sg_logs --page=0x18 "$D"
check "scsi_temperature" scsi_temperature "$SG"
check "sg_ident --set" eval 'printf "disk of the lab" | sg_ident --set "$D"'
check "sg_ident: it is kept" prints 'disk of the lab' sg_ident --ascii "$D"
check "sg_ident --clear" sg_ident --clear "$D"
check "sg_timestamp: set" sg_timestamp --milliseconds=1600000000000 "$D"
check "sg_timestamp: goes on from there" prints '^16000000[0-9]{5}$' sg_timestamp "$D"

# ── Tests and buffers ───────────────────────────────────────────────────────────────────────────────────────────────
check "sg_senddiag --list" sg_senddiag --list "$D"
check "sg_senddiag --test" sg_senddiag --test "$D"
check "sg_senddiag --selftest=5" sg_senddiag --selftest=5 "$D"
check "sg_senddiag: a page that is not there is refused" prints 'RECEIVE DIAGNOSTIC RESULTS command failed' sg_senddiag --page=0x40 "$D"
check "sg_write_buffer: data" sg_write_buffer --mode=data --in=one "$D"
check "sg_read_buffer: data" sg_read_buffer --mode=data --length=512 "$D"
check "which is the same" eval 'sg_raw --binary --request=512 "$D" 3c 02 00 00 00 00 00 02 00 00 2>/dev/null | cmp - one'
check "sg_read_buffer: its descriptor" sg_read_buffer --mode=desc "$D"
check "sg_read_buffer: echo, that nobody has filled, is refused" refused sg_read_buffer --mode=echo --length=4 "$D"
check "sg_write_buffer: microcode is refused" refused sg_write_buffer --mode=dmc_save --in=one "$D"
check "sg_test_rwbuf" sg_test_rwbuf --size=2048 --times=3 "$SG"
check "sg_rbuf" sg_rbuf --size=65536 "$SG"
check "sg_rbuf --echo, that nobody has filled" ends $INVALID_FIELD sg_rbuf --echo --size=65536 "$SG"

# ── Reading and writing ─────────────────────────────────────────────────────────────────────────────────────────────
check "sg_dd writes" put 0 sixteen
check "and reads the same" has 0 sixteen
for tool in sgm_dd sgp_dd; do check "$tool" eval '$tool if="$SG" of=copy bs=512 count=16 && cmp copy sixteen'; done
check "sg_read" sg_read if="$SG" bs=512 count=64
check "sg_raw: READ(10)" eval 'sg_raw --binary --request=8192 "$D" 28 00 00 00 00 00 00 00 10 00 2>/dev/null | cmp - sixteen'
check "sg_raw: past the end" ends $OUT_OF_RANGE sg_raw --request=512 "$D" 28 00 00 01 00 00 00 00 01 00
check "sg_raw: no such command" ends $INVALID_OPCODE sg_raw "$D" ff 00 00 00 00 00
for form in '' --16; do
  name=${form:-10} name=${name#--}
  check "sg_verify $form" sg_verify $form --count=64 "$D"
  check "sg_verify $form --ebytchk=1: the same bytes" sg_verify $form --ebytchk=1 --count=16 --ndo=8192 --in=sixteen "$D"
  check "sg_verify $form: others are told" ends $MISCOMPARE sg_verify $form --ebytchk=1 --count=16 --ndo=8192 --in=zeros "$D"
  check "sg_verify $form: past the end" ends $OUT_OF_RANGE sg_verify $form --lba=65536 "$D"
  blocks 16 >other
  check "sg_write_verify $form" sg_write_verify $form --lba=32 --num=16 --in=other "$D"
  check "which has written" has 32 other
  check "sg_write_verify $form --bytchk=1" sg_write_verify $form --bytchk=1 --lba=32 --num=16 --in=sixteen "$D"
  check "so has this" has 32 sixteen
  check "sg_sync $form" sg_sync $form "$D"
  check "sg_sync $form --immed" sg_sync $form --immed "$D"
  check "sg_write_same --$name" sg_write_same --$name --lba=64 --num=16 --in=one --xferlen=512 "$D"
  check "each block is that one" eval 'for i in {0..15}; do has $((64 + i)) one || exit; done'
  check "sg_write_same --$name --anchor is refused" refused sg_write_same --$name --anchor --unmap --lba=64 --num=16 "$D"
  check "sg_write_same --$name --unmap" sg_write_same --$name --unmap --lba=64 --num=16 "$D"
  check "they are zero" has 64 zeros
  put 64 ones
done
check "sg_verify --ebytchk=3: one block for all" eval 'sg_verify --ebytchk=3 --lba=64 --count=16 --ndo=512 --ff "$D"'
check "sg_write_same --ndob" sg_write_same --16 --ndob --lba=64 --num=16 "$D"
check "they are zero" has 64 zeros
# The initiator has no room for CDBs of 32 bytes.
check "sg_write_same --32 does not get through" eval '! sg_write_same --32 --lba=64 --num=16 "$D"'

check "sg_write_x --normal" sg_write_x --16 --normal --in=sixteen --lba=96 --num=16 "$D"
check "has written" has 96 sixteen
check "sg_write_x --or: FFh" sg_write_x --16 --or --in=ones --lba=96 --num=16 "$D"
check "all bits are set" has 96 ones
check "sg_write_x --same=0" sg_write_x --16 --same=0 --in=one --lba=112 --num=1 "$D"
check "has written" has 112 one
check "sg_write_x --same=1 --unmap=1" sg_write_x --16 --same=1 --unmap=1 --lba=96 --num=16 "$D"
check "they are zero" has 96 zeros
check "sg_write_x --atomic: a RAM disk writes all or nothing" sg_write_x --16 --atomic=0 --in=sixteen --lba=128 --num=16 "$D"
check "has written" has 128 sixteen
check "sg_write_x --atomic: a file makes no such promise" refused sg_write_x --16 --atomic=0 --in=sixteen --lba=128 --num=16 "$T"
check "sg_write_x --stream is refused" refused sg_write_x --16 --stream=1 --in=one --lba=0 --num=1 "$D"
printf '0,1\n' >list
check "sg_write_x --scattered is refused" refused sg_write_x --16 --scattered=1 --scat-file=list --in=one "$D"

cat sixteen other >pair
check "sg_compare_and_write: what is there is as said" sg_compare_and_write --in=pair --lba=0 --num=16 --xferlen=16384 "$D"
check "and the other has been written" has 0 other
check "sg_compare_and_write again: it is not" ends $MISCOMPARE sg_compare_and_write --quiet --in=pair --lba=0 --num=16 --xferlen=16384 "$D"
check "and nothing has been written" has 0 other

check "sg_seek --pre-fetch" sg_seek --pre-fetch --lba=0 --num-blocks=64 "$D"
check "sg_seek --pre-fetch --10" sg_seek --pre-fetch --10 --lba=0 --num-blocks=64 "$D"
check "sg_seek: SEEK(10), which is obsolete, is refused" refused sg_seek "$D"

check "sg_unmap" sg_unmap --force --lba=0,8 --num=4,4 "$D"
check "the one half" eval 'head -c 2048 zeros >some && has 0 some && has 8 some'
check "but not the other" eval 'dd if=other bs=2048 skip=1 count=1 status=none >some && has 4 some'
check "sg_unmap: past the end" ends $OUT_OF_RANGE sg_unmap --force --lba=65536 --num=1 "$D"
D=$T
check "a file: sg_dd writes" put 2048 sixteen
check "sg_get_lba_status tells what is mapped" prints '^0x0*800 +0x[0-9a-f]+ +0' sg_get_lba_status --brief --lba=2048 "$T"
check "and what is not" prints '^0x0*8000 +0x[0-9a-f]+ +1' sg_get_lba_status --brief --lba=32768 "$T"
check "sg_get_lba_status: past the end" ends $OUT_OF_RANGE sg_get_lba_status --lba=65536 "$T"

# ── Copies by the target ────────────────────────────────────────────────────────────────────────────────────────────
D=${DISK[ram]}
put 0 sixteen
check "sg_copy_results: operating parameters" prints 'Maximum target descriptor count' sg_copy_results --params "$D"
check "sg_xcopy from one unit to the other" sg_xcopy if="$SG" of="$TSG" bs=512 count=2048
check "sg_xcopy has copied" eval 'cmp <(sg_dd if="$D" bs=512 count=2048 of=- 2>/dev/null) <(sg_dd if="$T" bs=512 count=2048 of=- 2>/dev/null)'

# ── Reservations and paths ──────────────────────────────────────────────────────────────────────────────────────────
persist() { sg_persist --no-inquiry "$@" "$D"; }
check "sg_persist: no keys" prints 'there are NO registered reservation keys' persist --in --read-keys
check "sg_persist: capabilities" prints 'Persistent Reservation|PTPL_C|Report capabilities' persist --in --report-capabilities
check "sg_persist: register" persist --out --register --param-sark=abc
check "sg_persist: the key is there" prints '0xabc' persist --in --read-keys
check "sg_persist: reserve" persist --out --reserve --param-rk=abc --prout-type=5
check "sg_persist: it is reserved" prints 'Write Exclusive, registrants only' persist --in --read-reservation
check "sg_persist: full status" prints 'Reservation holder|<< Reservation holder >>|holder' persist --in --read-full-status
check "sg_persist: another key is a conflict" ends 24 persist --out --release --param-rk=def --prout-type=5
check "sg_persist: another type is refused" refused persist --out --release --param-rk=abc --prout-type=1
check "sg_persist: release" persist --out --release --param-rk=abc --prout-type=5
check "sg_persist: preempting a key that nobody has is a conflict" ends 24 persist --out --preempt --param-rk=abc --param-sark=def --prout-type=1
check "sg_persist: clear" persist --out --clear --param-rk=abc
check "sg_persist: nothing is left" prints 'there is NO reservation held' persist --in --read-reservation
check "sg_rtpg" prints 'active/optimized' sg_rtpg --decode "$D"
check "sg_rtpg --extended" sg_rtpg --extended "$D"
check "sg_stpg: a group that is not there is refused" eval 'sg_stpg --standby --tp=77 "$D" 2>&1 | grep "Illegal request"' # and ends with status 0

# ── The unit as a whole ─────────────────────────────────────────────────────────────────────────────────────────────
check "sg_prevent" sg_prevent --prevent=1 "$D"
check "sg_prevent --allow" sg_prevent --allow "$D"
check "sg_start --stop" sg_start --stop "$D"
check "sg_start --start" sg_start --start "$D"
check "scsi_stop" scsi_stop "$D"
check "scsi_start" scsi_start "$D"
check "sg_start --eject is refused: there is no tray" refused sg_start --eject "$D"
check "it is ready" ready
check "sg_reassign --grown: no list of defects" sg_reassign --grown "$D"
check "sg_reassign --primary: neither" sg_reassign --primary "$D"
check "sg_reassign is refused" refused sg_reassign --address=1 "$D"
check "sg_reset --device" sg_reset --device "$D"
check "it is ready" ready
put 0 sixteen
check "sg_format says how many blocks there are" prints '65536' sg_format "$D"
check "sg_format formats" sg_format -FFF --quick --wait "$D"
check "it is ready" ready
check "and all zero" eval 'has 0 zeros'
check "sg_format: another block size is refused" refused sg_format --format --quick --wait --size=4096 "$D"
check "sg_format --resize is refused" refused sg_format --resize --count=1000 "$D"
put 0 sixteen
check "sg_sanitize --overwrite" sg_sanitize --overwrite --pattern=one --quick --wait "$D"
check "it is ready" ready
check "and each block is the pattern" eval 'for at in 0 1 65535; do has $at one || exit; done'
check "sg_sanitize --block" sg_sanitize --block --quick --wait "$T"
check "the file is empty" prints '^0x0+ +0x0*10000 +1' eval 'sg_turs --number=4 "$T"; sg_get_lba_status --brief --lba=0 "$T"'
check "sg_sanitize --early" sg_sanitize --overwrite --zero --early --quick "$D"
check "comes to its end by itself" until_true 120 sg_turs "$D"
check "and all is zero" has 65520 zeros
check "sg_sanitize --fail: there is no failure" sg_sanitize --fail --quick --wait "$D"
check "sg_sanitize --crypto is refused" refused sg_sanitize --crypto --quick --wait "$D"

# ── What is not for this kind of unit ───────────────────────────────────────────────────────────────────────────────
check "sg_bg_ctl is refused" refused sg_bg_ctl "$D"
check "sg_emc_trespass is refused" eval '! sg_emc_trespass "$D"'
check "sg_get_config is refused" refused sg_get_config "$D"
check "sg_get_elem_status is refused" refused sg_get_elem_status "$D"
check "sg_rdac is refused" refused sg_rdac "$D"
check "sg_read_attr is refused" refused sg_read_attr "$D"
check "sg_read_block_limits is refused" refused sg_read_block_limits "$D"
check "sg_read_long is refused" refused sg_read_long --xfer_len=520 "$D"
check "sg_referrals is refused" refused sg_referrals "$D"
check "sg_rep_pip is refused" refused sg_rep_pip "$D"
check "sg_rep_zones is refused" refused sg_rep_zones "$D"
check "sg_reset_wp is refused" refused sg_reset_wp --all "$D"
check "sg_rmsn is refused" refused sg_rmsn "$D"
check "sg_safte is refused" eval '! sg_safte "$D"'
check "sg_sat_identify is refused" refused sg_sat_identify "$D"
check "sg_sat_phy_event is refused" refused sg_sat_phy_event "$D"
check "sg_sat_read_gplog is refused" refused sg_sat_read_gplog "$D"
check "sg_sat_set_features is refused" refused sg_sat_set_features --feature=0x2 "$D"
# Its usual 64 KiB are more pages than a request may have, if they do not lie together.
check "sg_ses: no enclosure" prints 'not an enclosure' sg_ses --maxlen=4096 "$D"
check "sg_ses_microcode is refused" eval '! sg_ses_microcode --mode=dmc_offs --in=one "$D"'
check "sg_stream_ctl is refused" refused sg_stream_ctl --open "$D"
check "sg_write_long is refused" refused sg_write_long --xfer_len=520 "$D"
check "sg_zone is refused" refused sg_zone --open --zone=0 "$D"

check "the unit is as it was" sg_turs "$D"
unnamed() { dpkg -L sg3-utils | sed -n 's|^/usr/bin/||p' | while read -r tool; do grep -qw -- "$tool" "$LAB/scenarios/sg3-utils.sh" || echo "$tool"; done; }
check_equal "no tool of the package was forgotten" "" "$(unnamed)"
check "logout" logout
check "SIGTERM ends the target with status 0" stop_target
