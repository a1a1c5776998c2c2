# roce-rping: librdmacm's rping exchanges SENDs with our RoCE and has us READ and WRITE its memory, without SRP
# seconds: 120
# fabrics: roce

must "the server starts" start_example roce_rping "$ADDRESS"
for size in 100 4000 60000; do
  check "50 rounds of $size bytes" timeout 60 rping -c -a "$ADDRESS" -C 50 -V -S "$size"
done
check "two clients at once" eval 'timeout 60 rping -c -a "$ADDRESS" -C 50 -V -S 4000 & timeout 60 rping -c -a "$ADDRESS" -C 50 -V -S 9000; other=$?; wait $! && [ $other = 0 ]'
check "the server is still there" eval '! target_is_gone'
