# fio-verify: checksummed data, 512 B to 1 MiB, 16 deep, on the RAM and the file disk under each way to describe a buffer
# seconds: 900
# fabrics: verbs roce

case $FABRIC in
verbs) amount=16M ;;
roce) amount=8M ;; # what differs is below SRP; the rest was seen under verbs
esac

# verify_under WHAT "MODULE PARAMETERS" "LOGIN OPTIONS"
verify_under() {
  check "$1: ib_srp loads${2:+ with $2}" load_initiator $2 || return
  check "$1: login${3:+ with $3}" login_disks "$3" || return
  check "$1: every byte as written" verify_with_fio $amount "$RAM" "$FILE"
  check "$1: logout" logout
}

must "the target starts" start_target 0x3
verify_under "immediate data and direct descriptors (default)" "" ""
verify_under "one descriptor for all sizes" "" cmd_sg_entries=255
verify_under "direct descriptors without registration" never_register=1 cmd_sg_entries=1,sg_tablesize=1
verify_under "partial table, fetched" never_register=1 cmd_sg_entries=2,allow_ext_sg=1,sg_tablesize=64
verify_under "partial table, longest" never_register=1 cmd_sg_entries=2,allow_ext_sg=1,sg_tablesize=2048,max_sect=2048
verify_under "inline table, longest" never_register=1 cmd_sg_entries=255,max_sect=2048
verify_under "no immediate data" use_imm_data=0 ""
check "SIGTERM ends the target with status 0" stop_target
