# Prints the end of a worker's log, and goes on with what comes as long as it runs. Given: ID, N lines, FOLLOW.
# shellcheck disable=SC2154
d=$W/$ID
[ -d "$d/kept" ] || { put 'it is not there any more' >&2; exit 66; }
if [ -z "$FOLLOW" ]; then
  for f in "$d/log.3" "$d/log.2" "$d/log.1" "$d/log"; do
    [ ! -f "$f" ] || cat "$f"
  done | tail -n "$N"
  exit 0
fi
k='' ks=''
{ read -r k ks _ <"$d/keeper"; } 2>/dev/null
[ -f "$d/log" ] || true >>"$d/log"
tail -n "$N" -F "$d/log" 2>/dev/null &
t=$!
while lives "$k" "$ks"; do sleep 1; done
# What was said last is still on its way.
sleep 1
kill "$t"
wait "$t" 2>/dev/null
exit 0
