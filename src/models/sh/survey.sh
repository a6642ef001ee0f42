# Says what a host has of a model and what room it has; changes nothing.
# Given: M the repository's folder, K its commit, W `yes` where room and tools are asked for, too, O an origin to be
# reached or nothing, REF the revision's name, BLOBS names and sizes by turns, F the paths of the files, a line each.
# shellcheck disable=SC2154,SC2086
put "cache $C"
if [ "$W" = yes ]; then
  # What will be made will be made in what is there.
  w=yes
  for e in "$C/.locks/$M" "$C/$M/snapshots" "$C/$M/blobs"; do
    while [ ! -e "$e" ] && [ ! -L "$e" ]; do
      case $e in */*) e=${e%/*} ;; *) e=. ;; esac
      [ -n "$e" ] || e=/
    done
    [ -d "$e" ] && [ -w "$e" ] || w="no $e"
  done
  put "writable $w"
  df -Pk "$e" 2>/dev/null | while read -r l; do put "df $l"; done
  mp=$(df -P "$e" 2>/dev/null | while read -r _ _ _ _ _ l; do put "$l"; done)
  mp=${mp##*"
"}
  fs=''
  if [ -r /proc/mounts ]; then
    while read -r _ l t _; do [ "$l" != "$mp" ] || fs=$t; done </proc/mounts
  else
    fs=$(mount 2>/dev/null | while read -r l; do case $l in *" on $mp ("*) l=${l##*(}; put "${l%%[,)]*}" ;; esac; done)
  fi
  [ -z "$fs" ] || put "fs $fs"
  df -Pi "$e" 2>/dev/null | while read -r l; do put "di $l"; done
  if command -v curl >/dev/null 2>&1; then
    curl -q --version 2>/dev/null | { read -r l && put "curl $l"; }
    if [ -n "$O" ]; then
      curl -q -sS -o /dev/null --connect-timeout 6 -m 10 "$O/" 2>/dev/null
      put "reach $?"
    fi
  fi
  for t in openssl sha256sum shasum; do
    ! command -v "$t" >/dev/null 2>&1 || { put "hash $t"; break; }
  done
fi
m=$C/$M
! { read -r l || [ -n "$l" ]; } <"$m/refs/$REF" || put "ref $l"
set -- $BLOBS
while [ $# -gt 1 ]; do
  b=$m/blobs/$1 ok=$m/.rbee/ok.$1 p=$m/.rbee/$1
  if [ -f "$b" ]; then
    size "$b"
    if [ -e "$ok" ] && [ ! "$b" -nt "$ok" ]; then put "proven $1 $n"; else put "blob $1 $n"; fi
  elif [ -d "$p" ]; then
    ! read -r l <"$p/cut" || put "cut $1 $l"
    for f in "$p/base" "$p"/s.*; do
      [ ! -f "$f" ] || { size "$f" && put "part $1 ${f##*/} $n"; }
    done
  fi
  shift 2
done
put "$F" | while IFS= read -r f; do
  [ -z "$f" ] || [ ! -e "$m/snapshots/$K/$f" ] || put "file $f"
done
