# Sourced in the guest: one load on one peer.

# measure PEER LOAD FILE [SECONDS]: fio's report as FILE.json, the guest's CPU time around the load as FILE.before and FILE.after (/proc/stat).
measure() {
  local rw bytes depth form device
  IFS=: read -r rw bytes depth form <<<"$2"
  device=${DEVICE[$1${form:+:$form}]:-}
  [ -n "$device" ] || return 0 # this peer has no such form
  cd /tmp && fio --name="$rw" --filename="$device" --ioengine=libaio --direct=1 --rw="$rw" --bs="$bytes" --iodepth="$depth" --norandommap --randrepeat=0 \
    --size=8g --time_based --runtime="${4:-$SECONDS_EACH}" --output-format=json --output="$3.json" --eta=never \
    --exec_prerun="cp /proc/stat $3.before" --exec_postrun="cp /proc/stat $3.after" >>/run/lab/fio.log 2>&1
}
