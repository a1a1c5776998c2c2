# roce-perftest: perftest's ib_read_lat, ib_read_bw and ib_write_bw have the kernel READ and WRITE memory of ours
# seconds: 180
# fabrics: roce

GID=$(gid_index "::ffff:$INITIATOR_ADDRESS")

# perftest NAME MTU SIZE [OPTION...]: runs the tool; at both ends nothing fails.
perftest() {
  timeout 60 "$1" -d rxe0 -x "$GID" -F -m "$2" -s "$3" -n 50 "${@:4}" "$ADDRESS" && until_true 5 target_log_has "the client is done"
}

for mtu in 1024 4096; do
  for size in 4 4096 65536; do
    must "the server starts" start_example roce_perftest "$ADDRESS"
    check "reading $size bytes one after the other, with a path MTU of $mtu" perftest ib_read_lat $mtu $size
    check "at once" perftest ib_read_bw $mtu $size -o 4
    check "writing" perftest ib_write_bw $mtu $size
    kill_target
  done
done
