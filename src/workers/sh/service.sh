# A worker as a service: of the user or of the machine (V is user or system), by systemd or launchd. Given: ID, d.
# shellcheck disable=SC2154,SC2034
root() { if [ "$(id -u)" = 0 ]; then "$@"; else sudo -n "$@"; fi; }
manager() { if [ "$V" = system ]; then root systemctl "$@"; else systemctl --user "$@"; fi; }

# Sets `kind`, and `file`, where it is written down.
keeper_of_services() {
  [ -n "${XDG_RUNTIME_DIR-}" ] || XDG_RUNTIME_DIR=/run/user/$(id -u)
  export XDG_RUNTIME_DIR
  name=rbee-worker-$ID kind=''
  if [ "$V" = system ]; then set -- systemctl; else set -- systemctl --user; fi
  if has systemctl && "$@" show-environment >/dev/null 2>&1; then
    kind='systemd'
    case $V in
      system) file=${RBEE_PREFIX-}/etc/systemd/system/$name.service ;;
      *) file=${XDG_CONFIG_HOME:-$HOME/.config}/systemd/user/$name.service ;;
    esac
  elif has launchctl; then
    kind='launchd'
    case $V in
      system) file=${RBEE_PREFIX-}/Library/LaunchDaemons/$name.plist domain=system ;;
      *) file=$HOME/Library/LaunchAgents/$name.plist domain=gui/$(id -u) ;;
    esac
  fi
  [ -n "$kind" ]
}

# Puts a file of ours where only root may, or where anybody may.
place() {
  if [ "$V" = system ]; then
    root mkdir -p "${file%/*}" && root cp "$1" "$file" && root chmod 644 "$file"
  else
    mkdir -p "${file%/*}" && cp "$1" "$file" && chmod 600 "$file"
  fi
}

# Writes it down, and starts it. What is said goes to stderr.
up() {
  keeper_of_services || { put 'neither systemd nor launchd keeps services here; leave --service out' >&2; return 1; }
  case $d$PATH in *[%\"\\\$\&\<]*) put "a service cannot be told a path such as $d" >&2; return 1 ;; esac
  # Before anything is made, so that whoever ends it knows.
  put "$V" >"$d/service" || return
  if [ "$kind" = systemd ]; then
    user='' wanted=default.target again=no
    [ "$V" != system ] || { user="User=$(id -un)$NL" wanted=multi-user.target; }
    [ -z "$RESTART" ] || again=on-failure
    put "[Unit]
Description=rbee worker $ID
After=network.target

[Service]
${user}ExecStart=/bin/sh \"$d/run\"
Environment=\"RBEE_WORKER=$ID\" \"PATH=$PATH\"
Restart=$again
RestartSec=5
UMask=0077

[Install]
WantedBy=$wanted" >"$d/unit" && place "$d/unit" && manager daemon-reload && manager enable "$name.service" &&
      manager start "$name.service"
  else
    user='' again='<false/>'
    [ "$V" != system ] || user="<key>UserName</key><string>$(id -un)</string>$NL"
    [ -z "$RESTART" ] || again='<dict><key>SuccessfulExit</key><false/></dict>'
    put "<?xml version=\"1.0\" encoding=\"UTF-8\"?>
<!DOCTYPE plist PUBLIC \"-//Apple//DTD PLIST 1.0//EN\" \"http://www.apple.com/DTDs/PropertyList-1.0.dtd\">
<plist version=\"1.0\"><dict>
<key>Label</key><string>$name</string>
<key>ProgramArguments</key><array><string>/bin/sh</string><string>$d/run</string></array>
<key>EnvironmentVariables</key><dict><key>RBEE_WORKER</key><string>$ID</string><key>PATH</key><string>$PATH</string></dict>
$user<key>RunAtLoad</key><true/>
<key>KeepAlive</key>$again
</dict></plist>" >"$d/unit" && place "$d/unit" && launch bootstrap "$domain" "$file"
  fi
}

launch() { if [ "$V" = system ]; then root launchctl "$@"; else launchctl "$@"; fi; }

# Takes it from its keeper, which must not start it again; the processes are for the caller to end.
down() {
  [ -f "$d/service" ] || return 0
  { read -r V <"$d/service"; } 2>/dev/null
  keeper_of_services || return 1
  if [ "$kind" = systemd ]; then
    manager disable "$name.service"
    manager stop --no-block "$name.service"
  else
    launch bootout "$domain/$name"
  fi >/dev/null 2>&1
  return 0
}

# Forgets it.
unplace() {
  [ -f "$d/service" ] || return 0
  if [ "$V" = system ]; then root rm -f "$file"; else rm -f "$file"; fi || return
  [ "$kind" != systemd ] || manager daemon-reload >/dev/null 2>&1 || return 0
}
NL='
'
