# Sourced wherever something has to be waited for.

# until_true SECONDS COMMAND...: waits for the command to succeed.
until_true() {
  local deadline=$((SECONDS + $1))
  shift
  until "$@"; do
    ((SECONDS < deadline)) || return 1
    sleep 0.2
  done
}
