# roce-pingpong: libibverbs' ibv_rc_pingpong exchanges SENDs with an endpoint of our RoCE, without a connection manager
# seconds: 180
# fabrics: roce

# pingpong ADDRESS GID MTU SIZE
pingpong() {
  local gids=/sys/class/infiniband/rxe0/ports/1/gids index
  index=$(cd $gids && grep -sxl "$2" {0..15}) && timeout 60 ibv_rc_pingpong -d rxe0 -g "$index" -m "$3" -s "$4" -n 50 -c "$1"
}
GID=0000:0000:0000:0000:0000:ffff:0a4e:0002 # INITIATOR_ADDRESS

for mtu in 1024 4096; do
  must "the server starts with a path MTU of $mtu" start_example roce_pingpong $mtu 50
  for size in 1 64 4096 65535; do
    check "50 rounds of $size bytes" pingpong "$ADDRESS" $GID $mtu $size
    check "every byte as it has to be" until_true 5 target_log_has "50 rounds of $size bytes"
  done
  check "the server is still there" eval '! target_is_gone'
  kill_target
done
