# relogin: 25 logins and logouts in a row leave no session, no memory and no open file behind in the target
# seconds: 600
# fabrics: verbs roce
# all: roce

login_and_out() { login_disks ch_count=2 && dd if="$RAM" of=/dev/null bs=64k count=8 iflag=direct && logout; }
cycle() { for _ in $(seq "$1"); do login_and_out || return 1; done; }
no_session() { [ "$(rpc srp_get_sessions | tr -d ' \n')" = "[]" ]; }

must "the target starts" start_target 0x3
# So many, because what a login takes may meet what the one before has not given back yet, or not: then it is more, once.
must "12 logins and logouts" cycle 12
check "no session is left" until_true 10 no_session
rss=$(target_rss_kib) files=$(target_open_files)
must "13 more" cycle 13
check "no session is left" until_true 10 no_session
note "       after 12: $rss KiB resident, $files files; after 25: $(target_rss_kib) KiB, $(target_open_files) files"
check_equal "open files are the same" "$files" "$(target_open_files)"
check "resident memory is flat (within 256 KiB)" test "$(target_rss_kib)" -le $((rss + 256))
check "SIGTERM ends the target with status 0" stop_target
