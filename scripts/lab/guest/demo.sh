# A job of guest/init.sh for scripts/run.sh: the target on the host's $MASK, the kernel's initiator logged in, lsscsi and a short fio table.
# With $ONCE it ends there; without, the target stays up until the guest is ended. Leaves its status in /run/lab/status.
. "$LAB/guest/lib.sh" 3>&1
exec 3>&1

demo() {
  start_target "$MASK" || return
  printf '\nThe target listens on %s:%s. The guest logs in with\n\n  echo "%s" > %s/add_target\n\n' \
    "$ADDRESS" "$PORT" "$(login_string "$ADDRESS")" "$SRP_HOST"
  login_disks cmd_sg_entries=255 >/dev/null || return
  lsscsi
  printf '\nfio, 4 KiB, direct. This is a processor in software emulation: the numbers say that it works, not how fast it is.\n\n'
  fio_table null01 ram01 disk01 || return
  [ -n "$ONCE" ] || {
    printf '\nTarget and guest stay up. Ctrl-C ends them.\n'
    until target_is_gone; do sleep 2; done
  }
}

# fio_table DISK...: 3 s each of random reads and writes at depth 1 and 32.
fio_table() {
  local name rw depth jobs=()
  for name in "$@"; do
    for rw in randread randwrite; do
      for depth in 1 32; do
        jobs+=("--name=$name $rw $depth" --stonewall "--filename=$(disk "$name")" --size=32M "--rw=$rw" "--iodepth=$depth")
      done
    done
  done
  fio --output-format=json --output=/tmp/fio.json --eta=never --ioengine=libaio --direct=1 --bs=4k --time_based --runtime=3 "${jobs[@]}" &&
    /usr/bin/python3 - /tmp/fio.json <<'PYTHON'
import json
import sys

print(f"{'disk':8}{'test':11}{'depth':>5}{'IOPS':>9}{'MiB/s':>9}{'mean µs':>10}{'p99 µs':>10}")
for job in json.load(open(sys.argv[1]))["jobs"]:
    disk, test, depth = job["jobname"].split()
    way = job[test.removeprefix("rand")]
    tail = way["clat_ns"]["percentile"]["99.000000"] / 1000
    print(f"{disk:8}{test:11}{depth:>5}{way['iops']:9.0f}{way['bw'] / 1024:9.1f}{way['lat_ns']['mean'] / 1000:10.0f}{tail:10.0f}")
PYTHON
}

demo
status=$?
[ "$status" = 0 ] || { echo "the demonstration failed; the end of the target's log:"; tail -30 "/run/lab/$SCENARIO".target*.log; dmesg | tail -20; }
take_down >/dev/null 2>&1
echo "$status" >/run/lab/status
