# Sourced: one run of the lab, from the job to its logs.

EXAMPLES=(roce_rping roce_pingpong roce_perftest) # of lib/fabric: what else than the target may run on the host

# new_run NAME: makes the run's folder $RUN with a copy of the target in it, and the trap that ends the guest with this shell.
new_run() {
  make_image
  local app=${SRPT_APP:-}
  [ -n "$app" ] || app=$(build "$SCRIPTS/.." bin srpt-app)
  [ -x "$app" ] || die "no target to run: $app"
  forget_old_runs
  RUN=$(mktemp -d "$LAB_CACHE/run/$(date +%Y%m%d-%H%M%S)-$1-XXXX")
  cp "$app" "$RUN/srpt-app" # a build or an editor beside us shall not change what runs
  cp -r "$SCRIPTS" "$RUN/scripts"
  trap end_run EXIT
  trap 'exit 130' INT
  trap 'exit 143' TERM HUP
}

# end_run: what is large or running goes, the logs stay.
end_run() {
  stop_guest
  stop_network
  rm -rf "$RUN/disk.img" "$RUN/srpt-app" "$RUN/srptctl" "${EXAMPLES[@]/#/$RUN/}" "$RUN/scripts" "$RUN/agent" "$RUN/target"
}

# guest_job FABRIC JOB SECONDS [NAME=VALUE...]: boots the guest for one job, with the target in it (verbs) or on the host (roce).
guest_job() {
  local fabric=$1 job=$2 seconds=$3 status=0
  shift 3
  {
    printf '%s=%q\n' FABRIC "$fabric" JOB "$job" SHARED /run/lab LAB /run/lab/scripts/lab APP /run/lab/srpt-app LAB_MTU "$LAB_MTU" LAB_NETEM "${LAB_NETEM:-}" LAB_SEED "${LAB_SEED:-}" LAB_KILLS "${LAB_KILLS:-}"
    printf '%s=%q\n' MODULES "$LAB_CACHE/kernel/lib/modules"
    while (($#)); do printf '%s=%q\n' "${1%%=*}" "${1#*=}" && shift; done
  } >"$RUN/env"
  [ "$fabric" = verbs ] || start_network "$RUN"
  boot_guest "$RUN" "$seconds" || status=$?
  stop_network
  return "$status"
}

# run_scenarios FABRIC NAME...: all of them, in one guest as long as it lives. Adds to $RESULTS what report_results prints.
RESULTS=()
run_scenarios() {
  local fabric=$1 name program left passed failed seconds
  shift
  need_packages $(for name in "$@"; do scenario_packages "$name"; done)
  new_run "$fabric-$1"
  [ "$fabric" = verbs ] || for name in "${EXAMPLES[@]}"; do cp "$(build "$SCRIPTS/.." example "$name")" "$RUN/"; done
  for program in $(for name in "$@"; do scenario_programs "$name"; done | sort -u); do cp "$(build "$SCRIPTS/.." bin "$program")" "$RUN/"; done
  left=("$@")
  while ((${#left[@]})); do
    seconds=120 # to boot, and for the clearing up between scenarios
    for name in "${left[@]}"; do seconds=$((seconds + $(scenario_seconds "$name") + 60)); done
    guest_job "$fabric" run-scenarios.sh "$seconds" SCENARIOS="${left[*]}" || say "the guest was ended (status $?)"
    # A guest that went down in the middle of a scenario left no result of it.
    name=$(first_without_result "${left[@]}")
    if [ -n "$name" ] && [ -e "$RUN/$name.log" ]; then
      passed=$(grep -cs '^pass ' "$RUN/$name.checks" || true) failed=$(($(grep -cs '^FAIL ' "$RUN/$name.checks" || true) + 1))
      echo "$passed $failed 0" >"$RUN/$name.result"
      printf '  FAIL the guest survives\n%s passed, %s failed\n' "$passed" "$failed"
    elif [ -n "$name" ] && [ "$name" = "${left[0]}" ]; then
      die "the guest did not come up; its console: $RUN/console.log"
    fi
    left=($(without_result "${left[@]}"))
  done
  for name in "$@"; do RESULTS+=("$fabric $name $(cat "$RUN/$name.result") $RUN/$name.log"); done
  end_run
}

# report_results: a line for each scenario that ran, and the sum. Status 1 if any check failed.
report_results() {
  local fabric name passed failed seconds log total_passed=0 total_failed=0
  printf '\n'
  while read -r fabric name passed failed seconds log; do
    total_passed=$((total_passed + passed)) total_failed=$((total_failed + failed))
    printf '%-5s %-14s %3d passed, %d failed, %4d s   log: %s\n' "$fabric" "$name" "$passed" "$failed" "$seconds" "$log"
  done < <(printf '%s\n' "${RESULTS[@]}")
  printf 'lab: %d scenarios in %d s\n' "${#RESULTS[@]}" "$SECONDS"
  printf '%d passed, %d failed\n' "$total_passed" "$total_failed"
  [ "$total_failed" = 0 ]
}

# scenario_fabrics NAME: where it can run; verbs, unless its file says otherwise.
scenario_fabrics() { sed -n 's/^# fabrics: //p' "$LAB/scenarios/$1.sh" | grep . || echo verbs; }
# scenario_in_all NAME: the fabrics under which "all" runs it; all that it is for, unless its file says otherwise. "none": only by name, and with "rest".
scenario_in_all() { sed -n 's/^# all: //p' "$LAB/scenarios/$1.sh" | grep . || scenario_fabrics "$1"; }
# scenario_packages NAME: Debian packages that it alone needs.
scenario_packages() { sed -n 's/^# packages: //p' "$LAB/scenarios/$1.sh"; }
# scenario_programs NAME: programs of this checkout that it needs beside the target.
scenario_programs() { sed -n 's/^# programs: //p' "$LAB/scenarios/$1.sh"; }
scenario_seconds() { sed -n 's/^# seconds: //p' "$LAB/scenarios/$1.sh" | grep . || echo 300; }
without_result() { local name; for name in "$@"; do [ -e "$RUN/$name.result" ] || echo "$name"; done; }
first_without_result() { without_result "$@" | head -1; }

forget_old_runs() {
  find "$LAB_CACHE/run" -mindepth 1 -maxdepth 1 -type d | sort -r | tail -n "+$KEEP_RUNS" | while read -r run; do rm -rf "$run"; done
}
