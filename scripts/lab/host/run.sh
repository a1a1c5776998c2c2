# Sourced: one run of the lab, from the job to its logs.

# new_run NAME: makes the run's folder $RUN with a copy of the target in it, and the trap that ends the guest with this shell.
new_run() {
  make_image
  local app=${SRPT_APP:-}
  [ -n "$app" ] || app=$(build_app "$SCRIPTS/..")
  [ -x "$app" ] || die "no target to run: $app"
  forget_old_runs
  RUN=$(mktemp -d "$LAB_CACHE/run/$(date +%Y%m%d-%H%M%S)-$1-XXXX")
  cp "$app" "$RUN/srpt-app" # a build or an editor beside us shall not change what runs
  cp -r "$SCRIPTS" "$RUN/scripts"
  trap 'stop_guest; rm -rf "$RUN/disk.img" "$RUN/srpt-app" "$RUN/scripts"' EXIT
  trap 'exit 130' INT
  trap 'exit 143' TERM HUP
}

# guest_job JOB SECONDS [NAME=VALUE...]: boots the guest for one job.
guest_job() {
  local job=$1 seconds=$2
  shift 2
  {
    printf '%s=%q\n' JOB "$job" LAB /run/lab/scripts/lab APP /run/lab/srpt-app MODULES "$LAB_CACHE/kernel/lib/modules" SPDK_CLIENT "$LAB_CACHE/spdk"
    while (($#)); do printf '%s=%q\n' "${1%%=*}" "${1#*=}" && shift; done
  } >"$RUN/env"
  boot_guest "$RUN" "$seconds"
}

# run_scenarios NAME...: all of them, in one guest as long as it lives. Status 1 if any check failed.
run_scenarios() {
  local name left passed failed total_passed=0 total_failed=0 started=$SECONDS seconds
  new_run "$1"
  left=("$@")
  while ((${#left[@]})); do
    seconds=120 # to boot, and for the clearing up between scenarios
    for name in "${left[@]}"; do seconds=$((seconds + $(scenario_seconds "$name") + 60)); done
    guest_job run-scenarios.sh "$seconds" SCENARIOS="${left[*]}" || say "the guest was ended (status $?)"
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

  printf '\n'
  for name in "$@"; do
    read -r passed failed seconds <"$RUN/$name.result"
    total_passed=$((total_passed + passed)) total_failed=$((total_failed + failed))
    printf '%-14s %3d passed, %d failed, %4d s   log: %s\n' "$name" "$passed" "$failed" "$seconds" "$RUN/$name.log"
  done
  printf 'lab: %d scenarios in %d s\n' $# $((SECONDS - started))
  printf '%d passed, %d failed\n' "$total_passed" "$total_failed"
  [ "$total_failed" = 0 ]
}

scenario_seconds() { sed -n 's/^# seconds: //p' "$LAB/scenarios/$1.sh" | grep . || echo 300; }
without_result() { local name; for name in "$@"; do [ -e "$RUN/$name.result" ] || echo "$name"; done; }
first_without_result() { without_result "$@" | head -1; }

forget_old_runs() {
  find "$LAB_CACHE/run" -mindepth 1 -maxdepth 1 -type d | sort -r | tail -n "+$KEEP_RUNS" | while read -r run; do rm -rf "$run"; done
}
