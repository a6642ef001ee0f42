# What there is of a hive on this host, and what could keep one. Changes nothing.
put() { printf '%s\n' "$*"; }
if serving; then
  put serving "$p" "$t" "$c" "$o" "$v" "$w"
  case $(readlink "/proc/$p/exe" 2>/dev/null) in *' (deleted)') put replaced ;; esac
elif [ -s "$d/serving" ]; then
  put stale
fi
[ ! -d "$d/undo.d" ] || put undo
u=${XDG_CONFIG_HOME:-$HOME/.config}/systemd/user/rbee-hive.service
put unit "$u"
[ ! -f "$u" ] || put has-unit
u=$HOME/Library/LaunchAgents/rbee.hive.plist
put agent "$u"
[ ! -f "$u" ] || put has-agent
if command -v systemctl >/dev/null 2>&1 && manager show-environment >/dev/null 2>&1; then
  put systemd
  u=$(id -un 2>/dev/null) || u=$(id -u)
  case $($brief loginctl show-user "$u" -p Linger 2>/dev/null) in
    Linger=yes) put linger yes ;;
    Linger=no) put linger no ;;
    *) if [ -e "/var/lib/systemd/linger/$u" ]; then put linger yes; else put linger no; fi ;;
  esac
fi
! command -v launchctl >/dev/null 2>&1 || put launchd
for x in setsid perl python3; do
  ! command -v "$x" >/dev/null 2>&1 || { put session "$x"; break; }
done
if [ -f "$d/launch" ]; then
  put launch
  while IFS= read -r x || [ -n "$x" ]; do put "|$x"; done <"$d/launch"
fi
