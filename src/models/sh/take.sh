# Takes the small files out of a bundle that was put there: each is proven before it gets its name.
# Given: M, N the bundle, a tar file below $M/.rbee, BLOBS the names and sizes of what is in it.
# shellcheck disable=SC2154,SC2086
m=$C/$M
t=$N.d
rm -rf "$t"
mkdir -p "$m/blobs" "$t" || { put "w disk cannot make $t"; exit; }
{ ln -s . "$t/l" && [ -L "$t/l" ]; } 2>/dev/null || { put "w disk no symbolic links can be made below $C"; rm -rf "$t" "$N"; exit; }
tar -xf "$N" -C "$t" || { put 'w disk the bundle cannot be taken apart'; rm -rf "$t"; exit; }
set -- $BLOBS
while [ $# -gt 1 ]; do
  d=$(digest "$1" "$t/$1")
  [ "$d" = "$1" ] || { put "w wrong $d"; rm -rf "$t"; exit; }
  vacant "$m/blobs/$1" || { put "w disk a folder is in the way: $m/blobs/$1"; rm -rf "$t"; exit; }
  # Whatever mode it came with, it gets what a file that is made here gets.
  cat "$t/$1" >"$t/new" && mv -f "$t/new" "$m/blobs/$1" && true >"$m/.rbee/ok.$1" ||
    { put "w disk cannot put $m/blobs/$1 into its place"; rm -rf "$t"; exit; }
  shift 2
done
rm -rf "$t" "$N"
put ok
