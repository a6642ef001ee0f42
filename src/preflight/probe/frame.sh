# Looks at a host and changes nothing on it: creates, modifies and removes no file.
#
# Prints records, one a line, fields parted by tabs: first `probe 1`, last `end`. Whatever may be slow or may hang runs
# as a job beside the others, announced by `ask NAME` and closed by `did NAME`; a watchdog ends what is left of them
# after $limit seconds. Programs never write records: their output is captured and looked through here.
#
# Runs under dash, bash 3.2, busybox ash and mksh. No here-documents (some shells make files of them), and no `case`
# within $( ) (bash 3.2 cannot read that).

limit=6
tab='	'
nl='
'
space=" $tab$nl"
IFS=$space
# Their words in English; no tool may install, record or cache anything.
LC_ALL=C RUSTUP_AUTO_INSTALL=0 CCACHE_DISABLE=1 PYTHONDONTWRITEBYTECODE=1
export LC_ALL RUSTUP_AUTO_INSTALL CCACHE_DISABLE PYTHONDONTWRITEBYTECODE
unset CDPATH ENV BASH_ENV
cd / || exit 1

# mksh has no printf of its own, and a fork for each record would be most of the time.
if [ -n "${KSH_VERSION-}" ]; then
    put() { print -r -- "$1"; }
else
    put() { printf '%s\n' "$1"; }
fi

# rec KEY [FIELD]...: a field that could break the line makes it `bad KEY`.
rec() {
    record=$1
    key=$1
    shift
    for field do
        case $field in
        *"$tab"* | *"$nl"*)
            put "bad$tab$key"
            return
            ;;
        esac
        record=$record$tab$field
    done
    put "$record"
}

# What a login shell's rc files print comes before this, and does not count.
rec probe 1

# The watchdog and the jobs that it watches.

# relative PID PPID: stops a process whose parent is in the family, and takes it in.
relative() {
    if [ "$1" = "$me" ]; then
        [ -n "$family" ] || { family=" $2 " main=$2 grown=1; }
        return
    fi
    case $family in
    *" $1 "*) ;;
    *" $2 "*)
        kill -STOP "$1"
        family="$family$1 " grown=1
        ;;
    esac
}

# Ends everything that came from the main shell, except this one. Stopping first keeps parents from dying before
# their children were seen.
reap() {
    me=$(exec /bin/sh -c 'echo "$PPID"')
    family='' main='' grown=1
    while [ -n "$grown" ]; do
        grown=
        if [ -r /proc/self/status ]; then
            for status in /proc/[0-9]*/status; do
                pid=${status#/proc/}
                pid=${pid%/status}
                while read -r word value _; do
                    case $word in
                    PPid:)
                        relative "$pid" "$value"
                        break
                        ;;
                    esac
                done <"$status"
            done
        else
            set -f
            # shellcheck disable=SC2046
            set -- $(ps -A -o pid= -o ppid=)
            set +f
            while [ $# -gt 1 ]; do
                relative "$1" "$2"
                shift 2
            done
        fi
    done
    for pid in $family; do
        [ "$pid" = "$main" ] || kill -KILL "$pid"
    done
}

(
    before=$!
    # KILL: a sleep that has not yet become one still has this trap.
    trap '[ "$!" = "$before" ] || { kill -KILL "$!"; wait "$!"; }; exit 0' TERM
    sleep "$limit" &
    wait "$!"
    trap '' TERM
    reap
) </dev/null >/dev/null 2>&1 &
dog=$!

jobs=
# job NAME FUNCTION [ARGUMENT]...
job() {
    rec ask "$1"
    (
        job=$1
        shift
        "$@"
        rec did "$job"
    ) </dev/null 2>/dev/null &
    jobs="$jobs $!"
}

