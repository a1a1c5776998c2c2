# conformance: libiscsi's conformance suite passes on the initiator's sg nodes, with two paths to each unit
# seconds: 2400
# packages: libiscsi-bin
# all: none

# What is expected of which test, and why. The native test (cargo test -p transport-srp conformance) reads the same file; it runs
# those tests, too, that are for iSCSI only.
EXPECTED=$LAB/conformance.txt
UNITS=(plain physical removable readonly large file)

malloc() { echo "{\"method\": \"bdev_malloc_create\", \"params\": {\"name\": \"$1\", \"num_blocks\": $2, \"block_size\": 512${3:+, $3}}}"; }
hosts() { grep -lx ib_srp /sys/class/scsi_host/host*/proc_name | sed 's|.*/host\([0-9]*\)/.*|\1|' | sort -n; }
# The sg nodes of LUN N, one for each path; fails if a path has none yet.
nodes() { local host; for host in $(hosts); do echo "/dev/$(ls "/sys/class/scsi_device/$host:0:0:$1/device/scsi_generic")" || return; done; }
two_paths() { [ "$(nodes $((${#UNITS[@]} - 1)) | wc -l)" = 2 ]; }

# Rows of a kind without that word, and whether a word of them is the beginning of $test.
rows() { sed -n "s/^$1 //p" "$EXPECTED"; }
names() { local beginning; for beginning; do [[ $test = "$beginning"* ]] && return; done; return 1; }

# supported CODE[,ACTION]: by REPORT SUPPORTED OPERATION CODES.
supported() { sg_opcodes --opcode="0x${1/,/,0x}" "${NODES[plain]% *}" 2>&1 | grep -qF 'supported ['; }
unit() {
  local unit beginning
  for unit in "${UNITS[@]}"; do names ${ON[$unit]} && { echo "$unit"; return; }; done
  echo plain
}
left_out() {
  local code beginning
  names $NEVER && return
  while read -r code beginning; do names "$beginning" && ! supported "$code" && return; done < <(rows needs)
  return 1
}

# Whether every reason to skip that the text gives holds here: a command that is not there, or a test that needs the suite to speak iSCSI itself.
skips_by_right() {
  local why name row
  while read -r why; do
    [[ $why = *"supported for iSCSI backends"* || $why = *"Non-iSCSI multipath"* ]] && continue
    name=${why%% is not implemented*} name=${name%% Not Supported*}
    row=$(rows command | grep -E "^$name [0-9a-f,]+$") && ! supported "${row##* }" || { echo "skipped, but: $why"; return 1; }
  done < <(sed -n 's/.*\[SKIPPED\] //p' <<<"$1")
}

# judge TEXT: what became of $test, by what the suite printed from its name on; fails if that is not what is expected.
judge() {
  local own outcome
  case $1 in
  *passed) own=${1%passed} outcome=passed && [[ $own != *'[SKIPPED]'* ]] || outcome=skipped ;;
  *FAILED$'\n'*) outcome=failed ;;
  *) outcome="ended in the middle" ;;
  esac
  echo "$outcome: $test"
  case $outcome in
  passed) ! names $FAILED && ! names $SKIPPED ;;
  skipped) names $SKIPPED || skips_by_right "$own" ;;
  failed) names $FAILED ;;
  *) false ;;
  esac || { echo "$1"; echo "other than expected: $test: $outcome"; return 1; }
}

# run_tests UNIT TEST...: all in one process, which takes them in any order.
run_tests() {
  local tests=$2 text test path status=0
  for test in "${@:3}"; do tests+=,$test; done
  for path in ${NODES[$1]}; do sg_turs --number=4 "$path" >/dev/null 2>&1; done # unit attentions of the tests before
  text=$(timeout 600 iscsi-test-cu --dataloss --allow-sanitize --fail --Verbose-scsi --test="$tests" ${NODES[$1]} 2>&1)
  for test in "${@:2}"; do
    judge "$(awk -v name="  Test: ${test##*.} ..." '
      /^Suite: |^  Test: |^Run Summary:/ { on = 0 }
      index($0, name) == 1 { on = 1 }
      on && NF' <<<"$text")" || status=1
  done
  [ $status = 0 ] || [[ $text = *"Run Summary:"* ]] || tail -5 <<<"$text"
  return $status
}

run_suite() {
  local test unit status=0
  local -A tests=()
  for test in $(grep "^$1\.[^.]*$" /tmp/tests); do
    left_out && echo "left out: $test" || tests[$(unit)]+=" $test"
  done
  for unit in "${!tests[@]}"; do run_tests "$unit" ${tests[$unit]} || status=1; done
  return $status
}

write_config "$(malloc plain 61440)" "$(malloc physical 61440 '"physical_block_size": 4096')" \
  "$(uring removable medium.img '"size": 16777216, "block_size": 512, "removable": true')" "$(malloc readonly 4096)" "$(malloc large 163840)" \
  "$(uring file thin.img '"size": 31457280, "block_size": 512')"
must "the target starts" start_target 0x3
must "one unit is read-only" rpc bdev_set_read_only '{"name": "readonly", "read_only": true}'
# The suite moves up to 1 MiB at once, page by page.
LARGE="cmd_sg_entries=255,allow_ext_sg=1,sg_tablesize=2048,max_sect=2048"
must "login" login $LARGE
must "login as another initiator port" login "initiator_ext=0000000000000002,$LARGE"
must "each unit has two sg nodes" until_true 60 two_paths
lsscsi -g | sed 's/^/       /' | tee /dev/fd/3

declare -A NODES ON
for lun in "${!UNITS[@]}"; do
  NODES[${UNITS[lun]}]=$(nodes "$lun" | tr '\n' ' ')
  ON[${UNITS[lun]}]=$(rows "on ${UNITS[lun]}")
done
here() { rows "$1" | awk '$1 != "front" { print $2 }'; }
NEVER=$(here never) FAILED=$(here failed) SKIPPED=$(here skipped)
iscsi-test-cu --list >/tmp/tests
check "the suite lists its tests" grep -q '^ALL\.Read10\.Simple' /tmp/tests
for suite in $(grep -E '^ALL\.[^.]+$' /tmp/tests); do
  check "${suite#ALL.}" run_suite "$suite"
done
check "most of it passed" test "$(grep -c '^passed: ' "/run/lab/$SCENARIO.log")" -ge 100
check "logout" logout
check "SIGTERM ends the target with status 0" stop_target
