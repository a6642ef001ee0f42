# Says all that a cache holds: repositories, revisions, files, blobs, and parts that wait to be gone on with.
# Given: ONLY a repository's folder, or nothing for all. Paths are last in their lines, for their blanks.
# shellcheck disable=SC2154
put "cache $C"
for m in "$C"/models--*; do
  [ -d "$m" ] || continue
  [ -z "$ONLY" ] || [ "${m##*/}" = "$ONLY" ] || continue
  put "repo ${m##*/}"
  find "$m/refs" -type f 2>/dev/null | while IFS= read -r f; do
    l=''
    { read -r l || [ -n "$l" ]; } <"$f" && put "ref $l ${f#"$m/refs/"}"
  done
  for s in "$m/snapshots"/*; do
    [ -d "$s" ] || continue
    put "snapshot ${s##*/}"
    find "$s" ! -type d 2>/dev/null | while IFS= read -r f; do
      l=$(readlink "$f") || l=-
      put "link ${l##*/} ${f#"$s/"}"
    done
  done
  for f in "$m/blobs"/*; do
    [ -f "$f" ] || continue
    size "$f" && put "blob ${f##*/} $n"
  done
  for p in "$m/.rbee"/*/; do
    [ -d "$p" ] || continue
    p=${p%/}
    put "parts ${p##*/} $(($(du -sk "$p" 2>/dev/null | { read -r k _; put "${k:-0}"; })))"
  done
done
put ok
