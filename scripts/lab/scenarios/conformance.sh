# conformance: libiscsi's conformance suite passes on the initiator's sg nodes, with two paths to each unit
# seconds: 1800
# packages: libiscsi-bin

# What is expected of which test, and why; the same file as the native test's, which runs those that are for iSCSI only.
EXPECTED=$LAB/../../transport-srp/src/tests/conformance/expected.txt
UNITS=(plain physical removable readonly large)

malloc() { echo "{\"method\": \"bdev_malloc_create\", \"params\": {\"name\": \"$1\", \"num_blocks\": $2, \"block_size\": 512${3:+, $3}}}"; }
hosts() { grep -lx ib_srp /sys/class/scsi_host/host*/proc_name | sed 's|.*/host\([0-9]*\)/.*|\1|' | sort -n; }
# The sg nodes of LUN N, one for each path; fails if a path has none yet.
nodes() { local host; for host in $(hosts); do echo "/dev/$(ls "/sys/class/scsi_device/$host:0:0:$1/device/scsi_generic")" || return; done; }
two_paths() { [ "$(nodes $((${#UNITS[@]} - 1)) | wc -l)" = 2 ]; }

# rows KIND: the lines of a kind, without that word.
rows() { sed -n "s/^$1 //p" "$EXPECTED"; }
# names BEGINNING...: any of them is the beginning of the test's name.
names() { local beginning; for beginning; do [[ $test = "$beginning"* ]] && return; done; return 1; }
expects() { names $(rows "$1" | awk '$1 != "front" { print $2 }'); } # expects OUTCOME

# supported CODE[,ACTION]: by REPORT SUPPORTED OPERATION CODES.
supported() { sg_opcodes --opcode="0x${1/,/,0x}" "${paths[0]}" 2>&1 | grep -qF 'supported ['; }
unit() {
  local unit beginning
  while read -r unit beginning; do names "$beginning" && { echo "$unit"; return; }; done < <(rows on)
  echo "${UNITS[0]}"
}
left_out() {
  local code beginning
  names $(rows never | cut -d' ' -f1) && return
  while read -r code beginning; do names "$beginning" && ! supported "$code" && return; done < <(rows needs)
  return 1
}

# Whether every reason to skip that the text gives holds here: a command that is not there, or a test that needs the suite to speak iSCSI itself.
skips_by_right() {
  local why name row
  while read -r why; do
    [[ $why = *"supported for iSCSI backends"* || $why = *"Non-iSCSI multipath"* ]] && continue
    name=${why%% is not implemented*} name=${name%% Not Supported*}
    row=$(rows command | grep -E "^$name [0-9a-f,]+$") && ! supported "${row##* }" || { echo "       skipped, but: $why"; return 1; }
  done < <(sed -n 's/.*\[SKIPPED\] //p' <<<"$1")
}

# run_test: runs $test, and says what became of it; fails if that is not what is expected.
run_test() {
  local text own outcome status=0
  mapfile -t paths < <(nodes "$(lun_of "$(unit)")")
  left_out && { echo "left out: $test"; return 0; }
  for path in "${paths[@]}"; do sg_turs --number=4 "$path" >/dev/null 2>&1; done # the last test's unit attentions
  text=$(timeout 120 iscsi-test-cu --dataloss --allow-sanitize --fail --Verbose-scsi --test="$test" "${paths[@]}" 2>&1) || status=$?
  # What the test says itself: between its name and its result.
  own=${text%%Run Summary:*} own=${own%passed*} own=${own#*" ..."}
  case $status,$own in
  0,*'[SKIPPED]'*) outcome=skipped ;;
  0,*) outcome=passed ;;
  124,*) outcome=hanging ;;
  *) outcome=failed ;;
  esac
  echo "$outcome: $test"
  case $outcome in
  passed) ! expects failed && ! expects skipped ;;
  skipped) expects skipped || skips_by_right "$own" ;;
  *) expects $outcome ;;
  esac && return
  echo "$text"
  echo "other than expected, $outcome: $test"
  return 1
}
lun_of() { local lun; for lun in "${!UNITS[@]}"; do [ "${UNITS[lun]}" != "$1" ] || echo "$lun"; done; }

run_suite() {
  local test status=0
  for test in $(grep "^$1\.[^.]*$" /tmp/tests); do run_test || status=1; done
  return $status
}

write_config "$(malloc plain 61440)" "$(malloc physical 61440 '"physical_block_size": 4096')" \
  "$(uring removable medium.img '"size": 16777216, "block_size": 512, "removable": true')" "$(malloc readonly 4096)" "$(malloc large 163840)"
must "the target starts" start_target 0x3
must "one unit is read-only" rpc bdev_set_read_only '{"name": "readonly", "read_only": true}'
must "login" login
must "login as another initiator port" login initiator_ext=0000000000000002
must "each unit has two sg nodes" until_true 60 two_paths
lsscsi -g | sed 's/^/       /' | tee /dev/fd/3

iscsi-test-cu --list >/tmp/tests
check "the suite lists its tests" grep -q '^ALL\.Read10\.Simple' /tmp/tests
for suite in $(grep -E '^ALL\.[^.]+$' /tmp/tests); do
  check "${suite#ALL.}" run_suite "$suite"
done
check "most of it passed" test "$(grep -c '^passed: ' "/run/lab/$SCENARIO.log")" -ge 100
check "logout" logout
check "SIGTERM ends the target with status 0" stop_target
