# roce-perftest: perftest's ib_read_lat, ib_read_bw and ib_write_bw have the kernel READ and WRITE memory of ours
# seconds: 300
# fabrics: roce

GID=$(gid_index "::ffff:$INITIATOR_ADDRESS")
CLIENTS=0

# perftest WRITTEN NAME MTU SIZE [OPTION...]: runs the tool; our end agrees that it is done, and that so many bytes (a pattern) were written.
perftest() {
  timeout 60 "$2" -d rxe0 -x "$GID" -F -m "$3" -s "$4" -n 50 "${@:5}" "$ADDRESS" &&
    until_true 5 target_log_has "client $CLIENTS is done: $1 bytes"
}

# perftests MTU SIZE
perftests() {
  CLIENTS=$((CLIENTS + 1)) && check "reading $2 bytes one after the other, with a path MTU of $1" perftest 0 ib_read_lat "$1" "$2"
  CLIENTS=$((CLIENTS + 1)) && check "four at once" perftest 0 ib_read_bw "$1" "$2" -o 4
  CLIENTS=$((CLIENTS + 1)) && check "writing" perftest '[1-9][0-9]*' ib_write_bw "$1" "$2"
}

must "the server starts" start_example roce_perftest "$ADDRESS"
perftests 1024 4
perftests 1024 65536
perftests 4096 65536
