# Says all that is known of the workers that were kept; a record each, then how much they compute between two looks.
# shellcheck disable=SC2154,SC2086
all='' z=$(printf '\036')
clock() {
  up=0
  { read -r up _ </proc/uptime; } 2>/dev/null
}
for d in "$W"/w*; do
  [ -d "$d/kept" ] || continue
  i=${d##*/}
  members "$d"
  put "$z$i"
  put "members$left"
  [ -z "$own" ] || put "keeper $own"
  if lives "$w" "$ws"; then
    put "worker $w"
    e=$(readlink "/proc/$w/exe" 2>/dev/null) && put "exe $e"
  fi
  e=''
  { read -r e <"$d/ended"; } 2>/dev/null
  [ -z "$e" ] || put "ended $e"
  if [ -r /proc/self/stat ]; then
    pages=0 sum=0
    for p in $left; do
      stat "$p" && pages=$((pages + rss)) sum=$((sum + ticks))
    done
    clock
    put "pages $pages"
    put "ticks $up $sum"
  else
    for p in $left; do
      ps -o pcpu= -o rss= -p "$p" 2>/dev/null | while read -r c n; do put "ps $c $n"; done
    done
  fi
  all="$all $i:$(put $left | tr ' ' ',')"
  if [ -n "$left" ] && { read -r ha hp hq <"$d/health"; } 2>/dev/null; then
    get "$ha" "$hp" "$hq"
    [ -z "$h" ] || ours "$hp" || h=stranger
    put "health ${h:-none}"
  fi
  put record
  cat "$d/record"
  put ''
done
put "$z."
put "clock $(getconf CLK_TCK 2>/dev/null || put 100) $(getconf PAGESIZE 2>/dev/null || put 4096)"
if [ -n "$all" ] && [ -r /proc/self/stat ]; then
  nap
  for i in $all; do
    sum=0
    for p in $(put "${i#*:}" | tr ',' ' '); do
      stat "$p" && sum=$((sum + ticks))
    done
    clock
    put "again ${i%%:*} $up $sum"
  done
fi
if [ -n "$all" ] && has nvidia-smi; then
  if has timeout; then t='timeout 5'; else t=''; fi
  $t nvidia-smi --query-compute-apps=pid,used_memory --format=csv,noheader,nounits 2>/dev/null |
    while IFS=', ' read -r p n _; do put "vram $p $n"; done
fi
put end
