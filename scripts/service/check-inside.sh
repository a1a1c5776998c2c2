#!/usr/bin/env bash
# What package-check.sh has done within the container that it boots: the service from start to end.
set -euo pipefail
SOCKET=/run/srpt/srpt.sock

main() {
  wait_until "the service is up" systemctl --quiet is-active srpt
  check "it runs as its own user" "$(stat -c %U "/proc/$(main_pid)")" srpt
  check "without a capability" "$(awk '/^Cap(Eff|Prm|Amb|Bnd)/ { print $2 }' "/proc/$(main_pid)/status" | sort -u)" 0000000000000000
  local most=unlimited
  # A machine that may not raise limits gives no more than it has itself.
  has_capability 24 1 || most=$(locked_memory 1)
  check "it may lock as much memory as can be" "$(locked_memory "$(main_pid)")" "$most"
  check "the socket is the group's" "$(stat -c '%a %U %G' $SOCKET)" "660 srpt srpt"
  check "only the service reads its configuration" "$(stat -c '%a %U %G' /etc/srpt/config.json)" "640 root srpt"
  check "others do not even find it" "$(stat -c %a /run/srpt)" 750
  check "the watchdog is set" "$(systemctl show -P WatchdogUSec srpt)" 30s
  wait_until "it says what it does" bash -c "systemctl show -P StatusText srpt | grep -q '^0 targets'"

  cp /usr/share/doc/srpt/examples/config.json /etc/srpt/config.json
  local before
  before=$(main_pid)
  systemctl reload srpt
  wait_until "the example is served after a reload" bash -c "systemctl show -P StatusText srpt | grep -q '^1 targets'"
  check "by the same process" "$(main_pid)" "$before"
  local lun
  for lun in 0 1; do
    srp-perf --adaptive --target 127.0.0.1:5555 --local 127.0.0.2 --id-ext 1 --ioc-guid 2 --lun $lun -w randrw -q 4 -o 4k -d 300 --verify >/srv/perf.log 2>&1 ||
      fail "load on LUN $lun: $(cat /srv/perf.log)"
    echo "ok: LUN $lun keeps what is written"
  done
  check "srptctl finds the service" "$(srptctl target list | awk 'END { print $1 }')" tgt0
  check "a request is answered" "$(request srpt_trace_dump | python3 -c 'import json, sys; print(any(event["event"] == "session_ended" for event in json.load(sys.stdin)["events"]))')" True

  echo '{"subsystems": [' >/etc/srpt/config.json
  systemctl reload srpt
  wait_until "what is wrong with a configuration is logged" logged 'SIGHUP: .*line'
  check "and changes nothing" "$(request srp_get_targets | python3 -c 'import json, sys; print(len(json.load(sys.stdin)))')" 1
  cp /usr/share/doc/srpt/examples/config.json /etc/srpt/config.json

  kill -KILL "$(main_pid)"
  wait_until "it comes back after a crash" bash -c "[ \"\$(systemctl show -P NRestarts srpt)\" = 1 ] && systemctl --quiet is-active srpt"
  wait_until "with all that was configured" bash -c "systemctl show -P StatusText srpt | grep -q '^1 targets'"
  check "lines of the log have their level" "$(journalctl -q -u srpt -o json | python3 -c '
import json, sys
lines = [json.loads(line) for line in sys.stdin]
print(sorted({line["PRIORITY"] for line in lines if "is up" in line["MESSAGE"]}))')" "['6']"
  ! logged '20[0-9-]*T[0-9:.]*Z' || fail "and no time of their own"

  systemctl stop srpt
  check "it ends in good order" "$(systemctl show -P Result srpt)" success
  logged 'stopped' || fail "and says so"
  [ ! -e $SOCKET ] || fail "the socket is left"
}

# has_capability BIT PROCESS: whether the process has a capability; 24: CAP_SYS_RESOURCE.
has_capability() { (((16#$(awk '/^CapEff/ { print $2 }' "/proc/$2/status") >> $1) & 1)); }
locked_memory() { awk '/^Max locked memory/ { print $5 }' "/proc/$1/limits"; }
main_pid() { systemctl show -P MainPID srpt; }
logged() { journalctl -q -u srpt -o cat | grep -q "$1"; }
fail() { echo "FAILED: $*"; journalctl -q -u srpt -n 30; ps -eLo pid,stat,wchan:30,args; exit 1; }

# check WHAT FOUND EXPECTED
check() {
  [ "$2" = "$3" ] || fail "$1: $2 instead of $3"
  echo "ok: $1"
}

# wait_until WHAT COMMAND...: half a minute at most.
wait_until() {
  local what=$1
  shift
  for _ in $(seq 300); do
    ! "$@" || { echo "ok: $what"; return 0; }
    sleep 0.1
  done
  fail "waited in vain until $what"
}

# request METHOD: prints the result.
request() { srptctl --json call "$1"; }

main
