# Sourced after target.sh when the target runs on the host: the same helpers, done there by host/target-agent.sh.
#
# A request is a file in the run's folder, which the host sees through 9p: not through the network that a scenario may be spoiling.

for helper in "${TARGET_HELPERS[@]}"; do eval "$helper() { on_host $helper \"\$@\"; }"; done

# on_host COMMAND...: has the host do it; output and status are the command's.
on_host() {
  local request
  request=$(mktemp -u "$SHARED/agent/XXXXXX")
  printf '%q ' "SCENARIO=$SCENARIO" "$@" >"$request.writing"
  mv "$request.writing" "$request.request" # whole or not at all
  until_true 180 test -e "$request.status" || { echo "the host does not answer: $*"; rm -f "$request.request"; return 1; }
  cat "$request.output"
  return "$(cat "$request.status")"
}
