# Who serves: the hive writes its process, the start of that, the boot, its port, its version and its program into the
# file that it has locked. d: the hive's state folder.
boot() { b=; { read -r b </proc/sys/kernel/random/boot_id; } 2>/dev/null || b=$(sysctl -n kern.boottime 2>/dev/null | tr -dc 0-9); b=${b:-none}; }
# Sets s to the start of a process; one that only waits to be buried has none.
born() {
  s=gone
  if { read -r s <"/proc/$1/stat"; } 2>/dev/null; then
    s=${s##*) }
    # shellcheck disable=SC2086
    set -- $s
    case $1 in
      Z | X) s=gone ;;
      *) shift 19; s=$1 ;;
    esac
  elif [ ! -r /proc/self/stat ]; then
    s=$(ps -o lstart= -p "$1" 2>/dev/null | tr -dc 0-9A-Za-z)
    s=${s:-gone}
  fi
}
# Sets p t c o v w, and says whether that process is still the one that wrote it.
serving() {
  p='' t='' c='' o='' v='' w=''
  { read -r p t c o v w <"$d/serving"; } 2>/dev/null
  case $p in '' | *[!0-9]*) return 1 ;; esac
  boot
  born "$p"
  [ "$s" != gone ] && [ "$c" = "$b" ] && [ "$s" = "$t" ]
}
# Whether a process leads a group of its own, as the one of a new session does.
apart() {
  if { read -r s <"/proc/$1/stat"; } 2>/dev/null; then
    # shellcheck disable=SC2086
    set -- "$1" ${s##*) }
    [ "$4" = "$1" ]
  else
    [ "$(ps -o pgid= -p "$1" 2>/dev/null | tr -dc 0-9)" = "$1" ]
  fi
}
nap() { sleep 0.05 || sleep 1; }
# What may hang does so for some seconds only.
brief=''
! command -v timeout >/dev/null 2>&1 || brief='timeout 5'
# ask METHOD PATH BODY: the answer of the hive that serves. Its own program is asked for the way, even where another one
# has taken its place meanwhile.
ask() {
  x=/proc/$p/exe
  [ -x "$x" ] || x=$w
  h=''
  [ -z "$3" ] || h="Content-Type: application/json\r\nContent-Length: ${#3}\r\n"
  printf "%s %s HTTP/1.0\r\nHost: localhost\r\n$h\r\n%s" "$1" "$2" "$3" | $brief "$x" hive dial-stdio 2>/dev/null
}
manager() {
  XDG_RUNTIME_DIR=${XDG_RUNTIME_DIR:-/run/user/$(id -u)}
  export XDG_RUNTIME_DIR
  $brief systemctl --user "$@"
}
