# A job of guest/init.sh: runs $SCENARIOS in turn. Each has its time, its log and its result on the host's side.
for name in $SCENARIOS; do
  file=$LAB/scenarios/$name.sh log=/run/lab/$name.log
  seconds=$(sed -n 's/^# seconds: //p' "$file")
  printf '\n== %s: %s\n' "$name" "$(sed -n "1s/^# $name: //p" "$file")"

  started=$SECONDS
  SCENARIO=$name timeout -k 10 "${seconds:-300}" bash "$LAB/guest/scenario.sh" "$file" 3>&1 >>"$log" 2>&1
  status=$?
  SCENARIO=$name bash "$LAB/guest/afterwards.sh" "$status" "${seconds:-300}" 3>&1 >>"$log" 2>&1
  clean=$?

  passed=$(grep -c '^pass ' "/run/lab/$name.checks")
  failed=$(grep -c '^FAIL ' "/run/lab/$name.checks")
  echo "$passed $failed $((SECONDS - started))" >"/run/lab/$name.result"
  echo "$passed passed, $failed failed"
  # Left-overs that will not go would spoil the next scenario: the host boots a fresh guest for the rest.
  [ "$clean" = 0 ] || break
done
