# import: set-ups of SCST, as commands of scstadmin and as scst.conf, brought over by srptctl; the login strings that it prints
# seconds: 500
# programs: srptctl

FROM=/run/lab/import
mkdir -p "$FROM"
FIO_OPTIONS=(--size=60M)

lists() { # lists PATTERN: lsscsi shows such a line of an initiator's disk
  prints "^\[$(srp_host):$1" lsscsi
}
login_info() { srptctl login-info --json | /usr/bin/python3 -S -E -c 'import json, sys; print(json.load(sys.stdin)[0][sys.argv[1]])' "$1"; }
three_luns() { lists '.*:0\].*disk01' && lists '.*:1\].*disk02' && lists '.*:2\].*scsi_debug'; } >/dev/null
bring_over() { srptctl import scst "$@" --listen "$ADDRESS:$PORT" >"$CONFIG" 2>"$FROM/said" || { cat "$FROM/said"; return 1; }; }
told() { cat "$FROM/said"; grep -qE -- "$1" "$FROM/said"; }

must "two RAM disks" modprobe brd rd_nr=2 rd_size=65536
must "a real device" debug_disk 64
REAL=$(disk scsi_debug) ADDRESS_OF_REAL=$(basename "$(realpath "/sys/block/${REAL#/dev/}/device")")

# ── The commands by which SCST 1 was set up ─────────────────────────────────────────────────────────────────────────

cat >"$FROM/commands" <<COMMANDS
scstadmin -ClearConfig /etc/scst.conf
scstadmin -adddev disk01 -path /dev/ram0 -handler vdisk -options NV_CACHE
scstadmin -adddev disk02 -path /dev/ram1 -handler vdisk -options NV_CACHE
scstadmin -assigndev disk01 -group Default -lun 0
scstadmin -assigndev disk02 -group Default -lun 1
scstadmin -assigndev $ADDRESS_OF_REAL -group Default -lun 2
scstadmin -WriteConfig /etc/scst.conf
COMMANDS
must "commands of scstadmin are brought over" bring_over "$FROM/commands"
check "what initiators will notice is told, with the line" told 'commands:[0-9]+: warning: .*id_ext='
check "and no device, LUN or option was lost" eval '! told "no equivalent|left out"'
must "the target starts with it" start_target 0x3
must "an initiator logs in with the string of login-info" login_with "$(login_info login)"
must "lsscsi shows disk01, disk02 and the real device as LUN 0, 1 and 2" until_true 30 three_luns
lsscsi | tee /dev/fd/3
check "disk01 keeps every byte" verify_with_fio 2M "$(disk disk01)"
check "and so does the real device" verify_with_fio 2M "$(lsscsi | awk '/:2\].*scsi_debug/ { print $NF }' | tail -1)"
check "session list has the session" prints tgt0 srptctl session list
check "top has it, too" prints disk01 srptctl top --batch --frames 1

# ── As scst.conf, and by the difference ─────────────────────────────────────────────────────────────────────────────

SESSION=$(srptctl session list --json)
cat >"$FROM/scst-1.conf" <<CONF
[HANDLER vdisk]
DEVICE disk01,/dev/ram0,NV_CACHE,512
DEVICE disk02,/dev/ram1,NV_CACHE,512
[HANDLER disk]
DEVICE $ADDRESS_OF_REAL
[ASSIGNMENT Default]
DEVICE disk01,0
DEVICE disk02,1
DEVICE $ADDRESS_OF_REAL,2
CONF
check "the same set-up as scst.conf changes nothing" eval 'bring_over "$FROM/scst-1.conf" && srptctl config diff "$CONFIG"'
cat >"$FROM/scst.conf" <<CONF
HANDLER vdisk_fileio {
	DEVICE disk01 {
		filename /dev/ram0
		nv_cache 1
	}
	DEVICE disk03 {
		filename $TARGET_FOLDER/disk03.img
	}
}
HANDLER dev_disk {
	DEVICE $ADDRESS_OF_REAL
}
TARGET_DRIVER ib_srpt {
	TARGET tgt0 {
		enabled 1
		LUN 0 disk01
		LUN 1 disk03
		LUN 2 $ADDRESS_OF_REAL
	}
}
CONF
truncate -s 64M "$TARGET_FOLDER/disk03.img"
check "what scstadmin writes today: brought about while the session goes on" eval '
  srptctl import scst "$FROM/scst.conf" --listen "$ADDRESS:$PORT" --service-guid "$(srptctl target list --json | grep -oE "\"id_ext\": *\"[^\"]*" | grep -oE "[0-9a-fx]*$")" --apply'
check "LUN 1 is another disk" until_true 20 eval 'sg_inq "$(disk disk02)" | grep -q disk03'
check_equal "in the same session" "$(grep -oE '"id": *[^,]*' <<<"$SESSION")" "$(srptctl session list --json | grep -oE '"id": *[^,]*')"
check "export scst has it" prints 'LUN 1 disk03' srptctl export scst
check "logout" logout

# ── The tuned string, and a stop ────────────────────────────────────────────────────────────────────────────────────

must "an initiator logs in with the tuned string" login_with "$(login_info tuned)"
check "and sees LUN 1 by its new name" until_true 30 lists '.*:1\].*disk03'
check "logout" logout
check "SIGTERM ends the target with status 0" stop_target
