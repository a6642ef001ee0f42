# Finds a port on which nobody listens, and which no living worker has. Given: FROM, and LAST to be tried.
# shellcheck disable=SC2154
used=' '
if [ -r /proc/net/tcp ]; then
  for f in /proc/net/tcp /proc/net/tcp6; do
    { while read -r _ l _ t _; do
      [ "$t" = 0A ] && used="$used${l##*:} "
    done <"$f"; } 2>/dev/null
  done
else
  used=" $(netstat -an 2>/dev/null | while read -r p _ _ l _ t; do
    case $p$t in tcp*LISTEN*) put "${l##*[.:]}" ;; esac
  done | tr '\n' ' ') "
fi
for d in "$W"/w*; do
  p='' k='' ks='' kb=''
  { read -r p <"$d/port" && read -r k ks kb <"$d/keeper"; } 2>/dev/null || continue
  [ "$kb" = "$boot" ] && lives "$k" "$ks" && used="$used$p "
done
p=$FROM
while [ "$p" -le "$LAST" ]; do
  case $used in
    *" $p "* | *" $(printf '%04X' "$p") "*) ;;
    *) put "port $p"; exit 0 ;;
  esac
  p=$((p + 1))
done
put none
