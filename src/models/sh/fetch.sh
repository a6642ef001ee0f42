# Fetches one blob in segments, proves it, and gives it its name. Says `w WORD…` when it could not.
# Given: M the repository's folder, H the blob's name, Z its size, S its segments (first byte, last byte, length by
# turns), CUT their full length, FIX a segment whose beginning is in `base` already and how much of it, OLD parts that fit
# nowhere, W how many curls, R bytes a second of each or 0, Q seconds of silence, X `plain` for a server without
# ranges, A user agent. Stdin: the link, which must not be in an argument, a variable of the environment or a file.
# shellcheck disable=SC2154,SC2086
U=''
IFS= read -r U
cr=$(printf '\r')
m=$C/$M P=$C/$M/.rbee/$H L=$C/.locks/$M/$H.rbee
# On a full disk not even this can be written, but an empty file can be made.
why() { stopped || put "$*" 2>/dev/null >>"$T/why" || true >|"$T/full"; }
stopped() { [ -s "$T/why" ] || [ -e "$T/full" ]; }
fatal() { put "w $*"; exit 0; }

mkdir -p "$m/blobs" "$m/.rbee" "$C/.locks/$M" || fatal disk "cannot make folders below $C"

# The lease: whoever is gone, by process, start or boot, has it no longer; on another machine, whoever beats no more.
me
tries=0
until (set -C; put "$me 0" >"$L") 2>/dev/null; do
  tries=$((tries + 1))
  [ "$tries" -lt 6 ] || fatal disk "cannot make $L"
  ! held "$L" || fatal held "$holder"
  mv "$L" "$L.$$" 2>/dev/null && rm -f "$L.$$"
done
# The hub's own clients lock by flock; where that can be seen, it is kept.
if command -v flock >/dev/null 2>&1 && exec 9>>"$C/.locks/$M/$H.lock"; then
  flock -n 9 || { rm -f "$L"; fatal held 'another client of the hub'; }
fi

mkdir -p "$P" && cd "$P" || { rm -f "$L"; fatal disk "cannot make $P"; }
T=t.$$
rm -rf t.* $OLD
mkdir "$T" && put "$CUT $Z" >cut || { rm -f "$L"; fatal disk "cannot write to $P"; }
if [ -n "$FIX" ]; then
  set -- $FIX
  tail -c "+$(($2 + 1))" "s.$1" >f.new && mv f.new "s.$3" && rm -f "s.$1"
fi

# One connection for all that is missing writes behind the beginning itself, so that nothing has to be put together.
one=''
set -- $S
if [ $# = 3 ] && [ "$X" != plain ] && [ "$U" != - ]; then
  one=yes
  [ ! -s "s.$1" ] || { cat "s.$1" >>base && rm -f "s.$1"; } || { rm -f "$L"; fatal disk "cannot write to $P"; }
fi

over() { expr "$1" '>=' "$2" >/dev/null; }

# Sets `have` to what is there of the segment in $f, whose first byte is in $1.
gauge() {
  have=0
  [ -e "$f" ] && size "$f" || return 0
  have=$n
  [ -z "$one" ] || have=$(expr "$n" - "$1")
}

# Reads the headers of the last answer in $1.
answered() {
  st='' range='' after='' limit=''
  [ -f "$1" ] || return 0
  while IFS= read -r l; do
    l=${l%"$cr"}
    case $l in
      HTTP/*) l=${l#* } st=${l%% *} range='' after='' limit='' ;;
      [Cc]ontent-[Rr]ange:*) range=${l#*[Bb]ytes } ;;
      [Rr]etry-[Aa]fter:*) after=${l#*:} ;;
      [Rr]ate[Ll]imit:*) limit=${l#*:} ;;
    esac
  done <"$1"
}

# One segment, from the byte where it stands.
segment() {
  f=s.$1 tries=0
  [ -z "$one" ] || f=base
  while :; do
    gauge "$1"
    if over "$have" "$3"; then
      true >|"$T/ok.$1"
      return
    fi
    if [ "$X" = plain ] && [ "$have" != 0 ]; then
      true >|"$f"
      have=0
    fi
    from=$1
    [ "$have" = 0 ] || from=$(expr "$1" + "$have")
    [ "$X" = plain ] || set -- "$1" "$2" "$3" -r "$from-$2"
    rm -f "$T/h.$1"
    slow=1000
    [ ! -s "$T/best" ] || { read -r slow <"$T/best"; }
    put "url = \"$U\"" | curl -q -sS -f --proto =http,https --connect-timeout 15 -y "$Q" -Y "$slow" -A "$A" --limit-rate "$R" \
      -D "$T/h.$1" --max-filesize "$(expr "$3" - "$have")" -K - ${4+"$4" "$5"} >>"$f" 2>|"$T/e.$1"
    rc=$?
    set -- "$1" "$2" "$3"
    before=$have
    gauge "$1"
    now=$have have=$before grew=''
    [ "$now" = "$have" ] || grew=yes
    answered "$T/h.$1"
    case $X$st-$range in
      206-"$from-$2/$Z") ;;
      # The whole was asked for, and came.
      *200-*) [ "$from" = 0 ] && [ "$3" = "$Z" ] && [ "$now" = "$Z" ] || now=-1 ;;
      *) now=-1 ;;
    esac
    if [ "$now" = -1 ] && [ "$X$st" != plain200 ]; then
      # Not a byte of what was not asked for stays.
      end=$have
      [ -z "$one" ] || end=$from
      [ -z "$grew" ] || dd if=/dev/null of="$f" bs=1 seek="$end" 2>/dev/null
    fi
    # What a program says goes no further than its first line, and no address with it.
    said=''
    { read -r said <"$T/e.$1"; } 2>/dev/null
    case $rc in
      0)
        [ "$now" != -1 ] || { why page "${st:-none}"; return; }
        [ -z "$grew" ] || continue
        ;;
      22)
        case $st in
          401 | 403 | 404 | 400 | 410) why expired "$st" ;;
          429) why limited "${after:-,}" "$limit" ;;
          416) why wrong 416 ;;
          5*) why busy "$st" "${after:-,}" ;;
          *) why status "$st" ;;
        esac
        return
        ;;
      23) why disk "${said#curl: }"; return ;;
      33 | 63) if [ "$X" = plain ]; then why page "$st"; else why ranges "$st"; fi; return ;;
      1 | 2 | 3 | 4 | 26 | 27 | 126 | 127 | 35 | 51 | 58 | 60 | 77 | 83 | 90 | 91) why curl "$rc ${said#curl: }"; return ;;
    esac
    if [ "$now" = -1 ] && [ -n "$one" ] && [ -n "$grew" ]; then
      # The digest has been begun with what does not belong there.
      why network "$rc the answer was cut off"
      return
    elif [ "$now" != -1 ] && [ -n "$grew" ]; then
      tries=0
    else
      tries=$((tries + 1))
      [ "$tries" -lt 4 ] || { why network "$rc ${said#curl: }"; return; }
      sleep "$tries"
    fi
    ! stopped || return
  done
}

# Takes the segments in their order, each once.
worker() {
  set -C
  set -- $S
  while [ $# -ge 3 ] && ! stopped; do
    if { true >"$T/c.$1"; } 2>/dev/null; then
      begun=$(date +%s)
      segment "$1" "$2" "$3"
      took=$(($(date +%s) - begun))
      # A connection that is eight times slower than another was is made anew, and may come to a better server.
      [ "$took" -lt 3 ] || { true >|"$T/best.$1"; put "$(($3 / took / 8 + 1))" >|"$T/best"; }
    fi
    shift 3
  done
}

# Prints the beginning as it grows, until the segment with the first byte $1 is there.
follow() {
  k=0 last=''
  until [ -n "$last" ]; do
    [ ! -e "$T/stop" ] || [ -e "$T/ok.$1" ] || return 0
    [ ! -e "$T/ok.$1" ] || last=yes
    size base
    b=$(expr "$n" / 1048576)
    if [ -n "$last" ]; then
      dd if=base bs=1048576 skip="$k" 2>/dev/null
    elif [ "$b" -gt "$k" ]; then
      dd if=base bs=1048576 skip="$k" count="$((b - k))" 2>/dev/null
      k=$b
    else
      sleep 0.1 2>/dev/null || sleep 1
    fi
  done
  true >"$T/whole"
}

# Appends the segments in their order, and prints the whole.
assemble() {
  set -- $S
  [ -z "$one" ] || { follow "$1"; return 0; }
  [ ! -s base ] || cat base
  while [ $# -ge 3 ]; do
    until [ -e "$T/ok.$1" ]; do
      [ ! -e "$T/stop" ] || return 0
      nap
    done
    tee -a base <"s.$1" && rm -f "s.$1" || { why disk "cannot write to $P"; return 0; }
    shift 3
  done
  true >"$T/whole"
}

count() {
  ls -n base s.* 2>/dev/null | while read -r l l l l n l; do put "$n ${l##* }"; done
  put .
}

watch() {
  i=0
  while :; do
    i=$((i + 1))
    put "$me $i" >"$L"
    count
    sleep 1
  done
}

[ -e base ] || true >base
if [ "${#H}" = 64 ]; then
  assemble | hashed sha256 >"$T/digest" 2>"$T/trouble" &
else
  { printf 'blob %s\0' "$Z"; assemble; } | hashed sha1 >"$T/digest" 2>"$T/trouble" &
fi
hasher=$!
watch &
watcher=$!
i=0 pids=''
while [ "$i" -lt "$W" ]; do
  worker &
  pids="$pids $!"
  i=$((i + 1))
done
[ -z "$pids" ] || wait $pids
true >"$T/stop"
wait "$hasher"
kill "$watcher" 2>/dev/null
wait "$watcher" 2>/dev/null
count
if [ -s "$T/why" ]; then
  read -r l <"$T/why"
  put "w $l"
elif [ -e "$T/full" ]; then
  put 'w disk no space left on device'
elif [ ! -e "$T/whole" ]; then
  put 'w network the rest did not come'
elif ! d=$(hex <"$T/digest") || [ "${#d}" != "${#H}" ]; then
  l=''
  read -r l <"$T/trouble"
  put "w hash $l"
elif [ "$d" != "$H" ]; then
  rm -f base s.*
  put "w wrong $d"
elif mv -f base "$m/blobs/$H" && true >"$m/.rbee/ok.$H"; then
  cd "$m" && rm -rf ".rbee/$H"
  put ok
else
  put "w disk cannot put $m/blobs/$H into its place"
fi
[ ! -d "$T" ] || rm -rf "$T"
rm -f "$L"
