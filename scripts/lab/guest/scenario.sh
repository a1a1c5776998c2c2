# scenario.sh FILE: runs one scenario with the helpers at hand. Standard output is its log, descriptor 3 the guest's console.
. "$LAB/guest/lib.sh"
trap 'jobs -p >/tmp/jobs' EXIT # for take_down
echo "scenario $SCENARIO begins" >/dev/kmsg
[ -z "$LAB_NETEM" ] || must "$LAB_NETEM, in both directions" impair $LAB_NETEM
. "$1"
