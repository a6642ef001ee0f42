# Fetches one blob in segments, proves it, and gives it its name. Says `w WORD…` when it could not.
# Given: M the repository's folder, H the blob's name, Z its size, S its segments (first byte, last byte, length by
# turns), CUT their full length, FIX a segment whose beginning is in `base` already and how much of it, OLD parts that fit
# nowhere, W how many curls, R bytes a second of each or 0, Q seconds of silence, X `plain` for a server without
# ranges, DOOR `yes` where the link is the hub's own address, A user agent. Stdin: the link and, behind a blank, the token
# for the hub's own address: neither must be in an argument, a variable of the environment or a file.
# shellcheck disable=SC2154,SC2086
# Of these names a host may have variables of its own, which curl would get with their new values.
unset U KEY
U='' KEY=''
read -r U KEY
cr=$(printf '\r')
nl='
'
m=$C/$M P=$C/$M/.rbee/$H L=$C/.locks/$M/$H.rbee
# On a full disk not even this can be written, but an empty file can be made.
why() { stopped || put "$*" 2>/dev/null >>"$T/why" || true >|"$T/full"; }
stopped() { [ -s "$T/why" ] || [ -e "$T/full" ]; }
fatal() { put "w $*"; exit 0; }

mkdir -p "$m/blobs" "$m/.rbee" "$C/.locks/$M" || fatal disk "cannot make folders below $C"
vacant "$m/blobs/$H" || fatal disk "a folder is in the way: $m/blobs/$H"

# The lease: whoever is gone, by process, start or boot, has it no longer; on another machine, whoever beats no more.
me
tries=0
until (set -C; put "$me 0" >"$L") 2>/dev/null; do
  tries=$((tries + 1))
  [ "$tries" -lt 6 ] || fatal disk "cannot make $L"
  ! held "$L" || fatal held "$holder"
  mv "$L" "$L.$$" 2>/dev/null || continue
  # Somebody else may have found the same, and have put a new one there by now.
  a='' b='' c='' d=''
  { read -r a b c d _ <"$L.$$"; } 2>/dev/null
  case "$a $b $c $d" in "$lh $lp $lt $lb" | '   ') ;; *) ln "$L.$$" "$L" 2>/dev/null ;; esac
  rm -f "$L.$$"
done
# The hub's own clients lock by flock; where that can be seen, it is kept. Only 1 means that somebody has it: a file
# system without locks says something else, and holds nobody up. (`exec` would end a shell that may not write there.)
l=$C/.locks/$M/$H.lock
if command -v flock >/dev/null 2>&1 && { true 9>>"$l"; } 2>/dev/null && exec 9>>"$l"; then
  flock -n 9 2>/dev/null
  [ $? != 1 ] || { rm -f "$L"; fatal held 'another client of the hub'; }
fi

# Whoever had the lease before may have brought it to its end.
if [ -f "$m/blobs/$H" ] && [ -e "$m/.rbee/ok.$H" ] && size "$m/blobs/$H" && [ "$n" = "$Z" ]; then
  rm -rf "$P" "$L"
  put ok
  exit
fi
mkdir -p "$P" && cd "$P" || { rm -f "$L"; fatal disk "cannot make $P"; }
T=t.$$
rm -rf t.* $OLD
mkdir "$T" && put "$CUT $Z" >"cut" || { rm -f "$L"; fatal disk "cannot write to $P"; }
{ ln -s . "$T/l" && [ -L "$T/l" ]; } 2>/dev/null || { rm -rf "$T" "$L"; fatal disk "no symbolic links can be made below $C"; }
# No file of this becomes longer than the blob, whatever a server sends without an end.
ulimit -f "$(expr "$Z" / 512 + 2048)" 2>/dev/null
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

# What curl is not to be told by arguments.
asks() {
  put "url = \"$U\""
  [ -z "$KEY" ] || put "header = \"Authorization: Bearer $KEY\""
}

# What it says about why, no further than its first line.
complaint() {
  said=''
  { read -r said <"$1"; } 2>/dev/null
  said=${said#curl: }
}

# Sets `have` to what is there of the segment in $f, whose first byte is in $1.
gauge() {
  have=0
  [ -e "$f" ] && size "$f" || return 0
  have=$n
  [ -z "$one" ] || have=$(expr "$n" - "$1")
}

# Takes one line of an answer's headers.
header() {
  l=${1%"$cr"}
  case $l in
    HTTP/*) l=${l#* } st=${l%% *} range='' after='' limit='' ;;
    [Cc]ontent-[Rr]ange:*) range=${l#*[Bb]ytes } ;;
    [Rr]etry-[Aa]fter:*) after=${l#*:} ;;
    [Rr]ate[Ll]imit:*) limit=${l#*:} ;;
  esac
}

# Reads the headers of the last answer in $1, and takes them away: an address may be among them.
answered() {
  st='' range='' after='' limit=''
  [ -f "$1" ] || return 0
  while IFS= read -r l; do header "$l"; done <"$1"
  rm -f "$1"
}

# What a status means that is none of success.
refused() {
  case $st in
    401 | 403 | 404 | 400 | 410) why expired "$st" ;;
    429) why limited "${after:-,}" "$limit" ;;
    416) why wrong 416 ;;
    5*) why busy "$st" "${after:-,}" ;;
    *) why status "$st" ;;
  esac
}

# Goes from the hub's own address to where the bytes are; the key stays with the hub.
enter() {
  tries=0
  while [ "$tries" -lt 5 ]; do
    tries=$((tries + 1))
    # The address that it leads to is in no file.
    all=$(asks | curl -q -sS -I --proto =http,https --connect-timeout 15 -m 30 -A "$A" -D - -o /dev/null \
      -w '\n%{redirect_url}' -K - 2>"$T/e")
    rc=$?
    complaint "$T/e"
    [ "$rc" = 0 ] || { why network "$rc $said"; return; }
    st='' range='' after='' limit='' to=$all
    while [ -n "$to" ]; do
      header "${to%%"$nl"*}"
      case $to in *"$nl"*) to=${to#*"$nl"} ;; *) to='' ;; esac
    done
    to=${all##*"$nl"}
    case $st in
      2*) return ;;
      3*) ;;
      *) refused; return ;;
    esac
    case $to in http://* | https://*) ;; *) break ;; esac
    old=${U#*://} new=${to#*://}
    [ "${U%%://*} ${old%%[/?#]*}" = "${to%%://*} ${new%%[/?#]*}" ] || KEY=''
    U=$to
    # With a signature it needs no key, and elsewhere nobody gets it.
    [ -n "$KEY" ] || return
  done
  why page "$st"
}

# Remembers an eighth of the best rate so far: $1 bytes came since $2, a second more or less.
compared() {
  rate=$(expr "$1" / "$(($(date +%s) - $2 + 1))" / 8 + 1) most=0
  { read -r most <"$T/best"; } 2>/dev/null
  over "${most:-0}" "$rate" || put "$rate" >|"$T/best"
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
    # A connection that is eight times slower than another was is made anew, and may come to a better server. As long as
    # nothing is known of others, none lasts long.
    slow=1000 last=0
    if [ -s "$T/best" ]; then
      read -r slow <"$T/best"
    elif [ "$W" != 1 ]; then
      last=10
    fi
    begun=$(date +%s)
    asks | curl -q -sS -f --proto =http,https --connect-timeout 15 -y "$Q" -Y "$slow" -m "$last" -A "$A" \
      --limit-rate "$R" -D "$T/h.$1" --max-filesize "$(expr "$3" - "$have")" -K - ${4+"$4" "$5"} >>"$f" 2>|"$T/e.$1"
    rc=$?
    set -- "$1" "$2" "$3"
    before=$have
    gauge "$1"
    now=$have have=$before grew=''
    [ "$now" = "$have" ] || grew=yes
    answered "$T/h.$1"
    # More than was asked for is something else.
    much=''
    over "$3" "$now" || much=yes
    case $much$X$st-$range in
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
    [ -z "$much" ] || { why page "$st"; return; }
    [ "$now" = -1 ] || [ -z "$grew" ] || compared "$(expr "$now" - "$have")" "$begun"
    complaint "$T/e.$1"
    case $rc in
      0)
        [ "$now" != -1 ] || { why page "${st:-none}"; return; }
        [ -z "$grew" ] || continue
        ;;
      22)
        refused
        return
        ;;
      23) why disk "$said"; return ;;
      33 | 63) if [ "$X" = plain ]; then why page "$st"; else why ranges "$st"; fi; return ;;
      1 | 2 | 3 | 4 | 26 | 27 | 126 | 127 | 35 | 51 | 58 | 60 | 77 | 83 | 90 | 91) why curl "$rc $said"; return ;;
    esac
    if [ "$now" = -1 ] && [ -n "$one" ] && [ -n "$grew" ]; then
      # The digest has been begun with what does not belong there.
      why network "$rc the answer was cut off"
      return
    elif [ "$now" != -1 ] && [ -n "$grew" ]; then
      tries=0
    else
      tries=$((tries + 1))
      [ "$tries" -lt 4 ] || { why network "$rc $said"; return; }
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
      segment "$1" "$2" "$3"
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
    # The first one is the beginning itself: a whole that came at once is not there twice.
    if [ -s base ]; then
      tee -a base <"s.$1" && rm -f "s.$1"
    else
      mv -f "s.$1" base && cat base
    fi || { why disk "cannot write to $P"; return 0; }
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
[ "$DOOR" != yes ] || enter
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
