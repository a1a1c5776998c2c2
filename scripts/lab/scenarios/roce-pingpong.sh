# roce-pingpong: libibverbs' ibv_rc_pingpong exchanges SENDs with an endpoint of our RoCE, without a connection manager
# seconds: 300
# fabrics: roce

# pingpong SIZE: of messages; our end sees whether every byte comes back as it went. Once in some hundred times on a busy host nothing more comes from the
# client until it is ended; our end then says what it counted (silence). Not understood: so it is told of, and has a second try.
pingpong() {
  client "$1" || { note "       the client hung; once more; $(target_log_has silence | tail -1)" && client "$1"; }
}
client() {
  timeout 25 ibv_rc_pingpong -d rxe0 -g "$GID" -m "$MTU" -s "$1" -n 50 -c "$ADDRESS" &&
    until_true 5 target_log_has "50 rounds of $1 bytes, every byte"
}

# pingpongs MTU SIZE...
pingpongs() {
  local MTU=$1 size
  must "the server starts at $ADDRESS, with a path MTU of $1" start_example roce_pingpong "$ADDRESS" "$1" 50
  for size in "${@:2}"; do check "50 rounds of $size bytes" pingpong "$size"; done
  kill_target
}

GID=$(gid_index "::ffff:$INITIATOR_ADDRESS")
pingpongs 1024 64 4096 65536
pingpongs 4096 4096 65535
ADDRESS=$ADDRESS_IPV6 GID=$(gid_index "$INITIATOR_ADDRESS_IPV6")
pingpongs 4096 65536
