# Takes the digest of each blob that is there, says it, and remembers those that hold; wrong ones go away when $GO is yes.
# Given: M, BLOBS names and sizes by turns.
# shellcheck disable=SC2154,SC2086
m=$C/$M
set -- $BLOBS
while [ $# -gt 1 ]; do
  b=$m/blobs/$1
  if [ ! -f "$b" ]; then
    put "gone $1"
  elif ! size "$b" || [ "$n" != "$2" ]; then
    [ "$GO" != yes ] || rm -f "$b"
    put "short $1 $n"
  else
    d=$(digest "$1" "$b" 2>/dev/null)
    if [ "$d" = "$1" ]; then
      [ "$GO" != yes ] || { mkdir -p "$m/.rbee" && true >"$m/.rbee/ok.$1"; }
      put "holds $1 $n"
    elif [ "${#d}" != "${#1}" ]; then
      put "unread $1"
    else
      [ "$GO" != yes ] || rm -f "$b"
      put "wrong $1 $d"
    fi
  fi
  shift 2
done
put ok
