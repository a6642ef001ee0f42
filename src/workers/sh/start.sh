# Makes a worker's folder and starts its keeper; says who that is, and who the worker.
# Given: ID, V if a service is to keep it, RESTART, P the port, HEALTH "ADDRESS PORT PATH", RECORD, RUN the keeper's text, KEY if stdin brings API keys, MODEL.
# shellcheck disable=SC2154
umask 077
d=$W/$ID
[ -z "$MODEL" ] || [ -r "$MODEL" ] || { put "the model $MODEL is not there, or may not be read" >&2; exit 66; }
mkdir -p "$W" && chmod 700 "$W" || exit
# What a power loss, or worse, has left: nobody lets it go any more.
find "$W" -mindepth 1 -maxdepth 1 -name 'w*' -type d -mmin +1440 2>/dev/null | while IFS= read -r l; do
  members "$l"
  [ -d "$l/kept" ] || [ -n "$left" ] || forget "$l"
done
born "$PPID"
mkdir "$d" "$d/in" && put "$PPID $s" >"$d/lane" || exit
put "$P" >"$d/port" && put "$HEALTH" >"$d/health" && put "$RECORD" >"$d/record" && put "$RUN" >"$d/run" || exit
if [ -n "$KEY" ]; then
  IFS= read -r key
  put "$key" | tr '\t' '\n' >"$d/key" || exit
fi
if [ -n "$V" ]; then
  # What it says last is what went wrong.
  up >&2 || exit 71
  # Without a login, there are no services of the user.
  [ "$V$kind" != usersystemd ] || [ -e "/var/lib/systemd/linger/$(id -un)" ] || put 'linger no'
  how=none
else
  for how in setsid perl python3 ''; do has "$how" && break; done
fi
[ -n "$how" ] || { put 'no setsid, perl or python3 on this host: nothing can be started that stays' >&2; exit 69; }
unset RBEE_COOKIE
RBEE_WORKER=$ID PERL_BADLANG=0
export RBEE_WORKER PERL_BADLANG
case $how in
  setsid) exec_in_session() { exec setsid "$@"; } ;;
  perl) exec_in_session() { exec perl -e 'use POSIX (); POSIX::setsid(); exec { $ARGV[0] } @ARGV' "$@"; } ;;
  python3) exec_in_session() { exec python3 -c 'import os, sys; os.setsid(); os.execv(sys.argv[1], sys.argv[1:])' "$@"; } ;;
esac
[ "$how" = none ] || (exec_in_session /bin/sh "$d/run") </dev/null >/dev/null 2>&1 &
n=100
until [ -s "$d/worker" ] || [ "$n" = 0 ]; do
  nap
  n=$((n - 1))
done
{ read -r k _ <"$d/keeper" && read -r w _ <"$d/worker"; } 2>/dev/null || { put 'its keeper did not start' >&2; exit 70; }
put "started $k $w"
