# Removes snapshots, then the blobs that no other snapshot uses, and says what was freed.
# Given: M, KILL the commits that go, REFS the refs that go with them, a line each, FREE the blobs that go, PARTS those whose
# parts go, ALL `yes` when nothing stays.
# shellcheck disable=SC2154,SC2086
m=$C/$M
[ -d "$m" ] || { put ok; exit; }
me
if [ "$ALL" = yes ]; then
  for l in "$C/.locks/$M"/*.rbee; do
    [ ! -e "$l" ] || ! held "$l" || { put "w held $holder"; exit; }
  done
fi
put "$REFS" | while IFS= read -r r; do
  [ -z "$r" ] || rm -f "$m/refs/$r" || put "w disk cannot remove $m/refs/$r"
done
for k in $KILL; do
  rm -rf "$m/snapshots/$k" || put "w disk cannot remove $m/snapshots/$k"
done
for b in $FREE; do
  [ -f "$m/blobs/$b" ] || continue
  size "$m/blobs/$b"
  rm -f "$m/blobs/$b" "$m/.rbee/ok.$b" && put "freed $n"
done
for b in $PARTS; do
  [ -d "$m/.rbee/$b" ] || continue
  # Somebody may be at it.
  l=$C/.locks/$M/$b.rbee
  if [ -e "$l" ] && held "$l"; then put "busy $b"; continue; fi
  n=$(du -sk "$m/.rbee/$b" 2>/dev/null | { read -r k _; put "${k:-0}"; })
  rm -rf "${m:?}/.rbee/$b" "$l" && put "freed $((n))k"
done
if [ "$ALL" = yes ]; then
  rm -rf "$m" "$C/.locks/$M" || put "w disk cannot remove $m"
fi
put ok
