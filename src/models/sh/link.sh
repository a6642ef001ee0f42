# Makes the snapshot's links to blobs that are there, and last the ref.
# Given: M, K the commit, REF the revision's name or nothing, D for each file its blob and path, a line each, BIG `yes` when
# more of them follow.
# shellcheck disable=SC2154
m=$C/$M
mkdir -p "$m/snapshots/$K" || { put "w disk cannot make $m/snapshots/$K"; exit; }
put "$D" | {
  # Blanks at the end of a name belong to it.
  while IFS= read -r l; do
    b=${l%% *} f=${l#* }
    [ -n "$l" ] || continue
    up=../../blobs d=$f
    while :; do
      case $d in */*) up=../$up d=${d#*/} ;; *) break ;; esac
    done
    [ -f "$m/blobs/$b" ] || { put "w gone $b"; exit 1; }
    l=$m/snapshots/$K/$f
    [ "$(readlink "$l" 2>/dev/null)" != "$up/$b" ] || continue
    # A link would be made in it, and not in its place.
    vacant "$l" || { put "w disk a folder is in the way: $l"; exit 1; }
    mkdir -p "${l%/*}" && rm -f "$l.$$" && ln -s "$up/$b" "$l.$$" && mv -f "$l.$$" "$l" ||
      { put "w disk cannot make the link $l"; exit 1; }
    put linked
  done
} || exit 0
if [ -n "$REF" ] && [ "$BIG" != yes ]; then
  r=$m/refs/$REF
  l=''
  { read -r l || [ -n "$l" ]; } <"$r" 2>/dev/null
  if [ "$l" != "$K" ]; then
    vacant "$r" || { put "w disk a folder is in the way: $r"; exit; }
    mkdir -p "${r%/*}" && printf %s "$K" >"$r.$$" && mv -f "$r.$$" "$r" || { put "w disk cannot write $r"; exit; }
    put linked
  fi
fi
put ok
