#!/usr/bin/env bash
# The project's lab: boots Debian's stock kernel in QEMU (software emulation, so it runs anywhere), starts srpt-app in the guest over verbs on
# soft-RoCE, and lets the kernel's own SRP initiator use it.
#
#   lab.sh list            names the scenarios
#   lab.sh SCENARIO...     runs these, one after the other in one guest
#   lab.sh all             runs every one
#
# Each scenario prints `N passed, N failed` and leaves its logs in the folder named at the end, under $SRPT_CACHE (default ~/.cache/srpt).
# SRPT_APP=FILE takes that binary instead of building one. LAB_CPUS=N gives the guest another number of CPUs.
set -euo pipefail
SCRIPTS=$(dirname "$(realpath "$0")")
LAB=$SCRIPTS/lab
. "$LAB/host/packages.sh"
. "$LAB/host/image.sh"
. "$LAB/host/boot.sh"
. "$LAB/host/run.sh"

all_scenarios() { (cd "$LAB/scenarios" && ls ./*.sh | sed 's|^\./||; s|\.sh$||'); }

case "${1:-}" in
list)
  for name in $(all_scenarios); do sed -n "1s/^# $name: /$(printf '%-14s' "$name") /p" "$LAB/scenarios/$name.sh"; done
  ;;
all) run_scenarios $(all_scenarios) ;;
"" | -h | --help)
  sed -n '2,/^set /s/^# \{0,1\}//p' "$0"
  ;;
*)
  for name in "$@"; do [ -e "$LAB/scenarios/$name.sh" ] || die "no scenario $name; './scripts/lab.sh list' names them"; done
  run_scenarios "$@"
  ;;
esac
