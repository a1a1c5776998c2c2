# Sourced in the guest: one load on one peer.

# measure PEER LOAD FILE [SECONDS]: fio's report as FILE.json, the guest's CPU time around the load as FILE.before and FILE.after (/proc/stat).
measure() {
  local rw bytes depth form device
  IFS=: read -r rw bytes depth form <<<"$2"
  device=$(device_for "$1" "$2")
  [ -n "$device" ] || return 0 # this peer has no such form
  cd /tmp && fio --name="$rw" --filename="$device" --ioengine=libaio --direct=1 --rw="$rw" --bs="$bytes" --iodepth="$depth" --norandommap --randrepeat=0 \
    --size=8g --time_based --runtime="${4:-$SECONDS_EACH}" --output-format=json --output="$3.json" --eta=never \
    --exec_prerun="cp /proc/stat $3.before" --exec_postrun="cp /proc/stat $3.after" >>/run/lab/fio.log 2>&1
}

# device_for PEER LOAD: the disk by the login that the load wants; none if the peer has no such login.
device_for() {
  local form
  IFS=: read -r _ _ _ form <<<"$2"
  echo "${DEVICE[$1${form:+:$form}]:-}"
}

# start_peer PEER: brings it up and leaves it paused; says so if that cannot be done.
start_peer() {
  if ! "start_${1//-/_}" >"/run/lab/$1.log" 2>&1; then
    note "$1 cannot be measured: $(tail -1 "/run/lab/$1.log")"
    return 1
  fi
  pause "$1"
}
