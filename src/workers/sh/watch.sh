# Waits for a while until a worker is healthy, or has ended. Given: ID, N rounds.
# shellcheck disable=SC2154
d=$W/$ID
read -r ha hp hq <"$d/health" && read -r v vs <"$d/worker" || exit
while [ "$N" -gt 0 ]; do
  N=$((N - 1))
  get "$ha" "$hp" "$hq"
  if [ "$h" = 200 ]; then
    members "$d"
    ours "$hp" && { put "healthy $v"; exit 0; }
    h=stranger
  fi
  if ! lives "$v" "$vs"; then
    # What was said last is still on its way to the log: the keeper goes when all of it is there.
    k='' ks='' c=25
    { read -r k ks _ <"$d/keeper"; } 2>/dev/null
    while lives "$k" "$ks" && [ "$c" -gt 0 ]; do
      nap
      c=$((c - 1))
    done
    e=''
    { read -r e _ <"$d/ended"; } 2>/dev/null
    if listened "$hp"; then put "ended ${e:--} taken"; else put "ended ${e:--} free"; fi
    tail -n 20 "$d/log" 2>/dev/null | while IFS= read -r l || [ -n "$l" ]; do put "log $l"; done
    exit 0
  fi
  nap
done
members "$d"
sum=0
for p in $left; do
  stat "$p" && sum=$((sum + ticks))
done
n=0
[ ! -f "$d/log" ] || size "$d/log"
put "waiting $sum $n ${h:-none}"
