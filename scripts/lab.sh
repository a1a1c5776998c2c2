#!/usr/bin/env bash
# The project's lab: boots Debian's stock kernel in QEMU (software emulation, so it runs anywhere), and lets the kernel's own SRP initiator use
# srpt-app. Under the fabric verbs the target is in the guest, too, on soft-RoCE; under roce it is on the host, and the guest reaches it over a
# tap device (needs root).
#
#   lab.sh list                             names the scenarios
#   lab.sh [--fabric roce] SCENARIO...      runs these, one after the other in one guest
#   lab.sh [--fabric roce] all              runs most of them; without a fabric, under verbs and then under roce, a guest each
#   lab.sh rest                             runs those that "all" leaves to whoever has the time, a quarter of an hour
#
# Each scenario prints `N passed, N failed` and leaves its logs in the folder named at the end, under $SRPT_CACHE (default ~/.cache/srpt).
# SRPT_APP=FILE takes that binary instead of building one. LAB_CPUS=N gives the guest another number of CPUs, LAB_MTU=N its network under roce
# another MTU than 4200, LAB_NETEM='loss 1%' makes that network a bad one for every scenario (tc-netem's options, in both directions). LAB_SEED=N
# repeats the random choices of a run that printed this seed. LAB_SOAK_MINUTES=N is how long the soak lasts.
set -euo pipefail
SCRIPTS=$(dirname "$(realpath "$0")")
LAB=$SCRIPTS/lab
. "$LAB/host/packages.sh"
. "$LAB/host/image.sh"
. "$LAB/host/network.sh"
. "$LAB/host/boot.sh"
. "$LAB/host/run.sh"

main() {
  local fabric='' name
  if [ "${1:-}" = --fabric ]; then
    case "${2:-}" in verbs | roce) fabric=$2 ;; *) die "--fabric is verbs or roce" ;; esac
    shift 2
  fi

  case "${1:-}" in
  list)
    for name in $(all_scenarios); do
      printf '%-14s %-11s %s\n' "$name" "$(scenario_fabrics "$name")" "$(sed -n "1s/^# $name: //p" "$LAB/scenarios/$name.sh")"
    done
    ;;
  all)
    [ "$fabric" = verbs ] || need_network # now, not after half an hour
    for name in ${fabric:-verbs roce}; do run_scenarios "$name" $(scenarios_for "$name"); done
    report_results
    ;;
  rest)
    run_scenarios verbs $(rest_for verbs)
    run_scenarios roce $(for name in $(rest_for roce); do is_for verbs "$name" || echo "$name"; done)
    report_results
    ;;
  "" | -h | --help)
    sed -n '2,/^set /s/^# \{0,1\}//p' "$0"
    ;;
  *)
    fabric=${fabric:-verbs}
    for name in "$@"; do
      [ -e "$LAB/scenarios/$name.sh" ] || die "no scenario $name; './scripts/lab.sh list' names them"
      is_for "$fabric" "$name" || die "$name is not for $fabric, but for: $(scenario_fabrics "$name"); see --fabric"
    done
    run_scenarios "$fabric" "$@"
    report_results
    ;;
  esac
}

all_scenarios() { (cd "$LAB/scenarios" && ls ./*.sh | sed 's|^\./||; s|\.sh$||'); }
# scenarios_for FABRIC: those that "all" runs; for none, those that it does not.
scenarios_for() { local name; for name in $(all_scenarios); do ! grep -qw -- "$1" <<<"$(scenario_in_all "$name")" || echo "$name"; done; }
rest_for() { local name; for name in $(scenarios_for none); do ! is_for "$1" "$name" || echo "$name"; done; }
is_for() { grep -qw -- "$1" <<<"$(scenario_fabrics "$2")"; }

main "$@"
