# Ends a worker that was not kept, and takes its folder away. Given: ID, G.
# shellcheck disable=SC2154
d=$W/$ID
[ -d "$d" ] || exit 0
mv "$d/in" "$d/out" 2>/dev/null
[ ! -d "$d/kept" ] || exit 0
down
finish "$d" && unplace && forget "$d" || { put "left$left"; exit 1; }
