# Ends a kept worker, looks that it is gone, and takes its folder away. Given: ID, G.
# shellcheck disable=SC2154
d=$W/$ID
[ -d "$d/kept" ] || { put absent; exit 0; }
down || { put 'its keeper of services does not answer' >&2; exit 1; }
finish "$d" || { put "left$left"; exit 0; }
unplace && forget "$d" || exit
put "gone $how"
