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

# -- the watchdog -----------------------------------------------------------------------------------------------

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

# -- who and where ----------------------------------------------------------------------------------------------

# shellcheck disable=SC2046
set -- $(uname -srm)
os=${1-}
rec os "$os"
rec kernel "${2-}"
rec arch "${3-}"

who=$(id)
uid=${who#uid=}
uid=${uid%%[!0-9]*}
user=${who#*\(}
user=${user%%\)*}
rec uid "$uid"
rec user "$user"

# An entry of /etc/passwd fills in what the environment does not say.
if [ -z "${HOME-}" ] || [ -z "${SHELL-}" ]; then
    if [ "$os" != Darwin ] && [ -r /etc/passwd ]; then
        while IFS=: read -r name _ _ _ _ there shell; do
            [ "$name" = "$user" ] || continue
            HOME=${HOME:-$there} SHELL=${SHELL:-$shell}
            break
        done </etc/passwd
    fi
fi
rec home "${HOME-}"
rec shell "${SHELL-}"
rec path "$PATH"
base=${HOME-}
base=${base%/}

# absolute VALUE DEFAULT: sets `dir`; what is not absolute does not count.
absolute() {
    case $1 in
    /*) dir=${1%/} ;;
    *) dir=$2 ;;
    esac
}
absolute "${XDG_CACHE_HOME-}" "$base/.cache"
cache=$dir/rbee
absolute "${XDG_STATE_HOME-}" "$base/.local/state"
state=$dir/rbee
absolute "${XDG_DATA_HOME-}" "$base/.local/share"
data=$dir/rbee
absolute "${RBEE_PREFIX-}" /usr/local
system_bin=$dir/bin
system_data=$dir/share/rbee
user_bin=$base/.local/bin
absolute "${TMPDIR-}" /tmp
tmp=$dir
absolute "${CARGO_HOME-}" "$base/.cargo"
cargo_home=$dir
absolute "${RUSTUP_HOME-}" "$base/.rustup"
rustup_home=$dir
absolute "${CUDA_HOME-}" /usr/local/cuda
cuda_home=$dir
rec cache "$cache"
rec state "$state"
rec data "$data"
rec user_bin "$user_bin"
rec system_bin "$system_bin"
rec system_data "$system_data"

id='' id_like='' version_id=''
for file in /etc/os-release /usr/lib/os-release; do
    [ -r "$file" ] || continue
    while IFS='=' read -r word value; do
        value=${value#[\"\']}
        value=${value%[\"\']}
        case $word in
        ID) id=$value ;;
        ID_LIKE) id_like=$value ;;
        VERSION_ID) version_id=$value ;;
        esac
    done <"$file"
    break
done
[ -z "$id" ] || rec distribution "$id" "$version_id"

# -- finding tools ----------------------------------------------------------------------------------------------

developer=
if [ "$os" = Darwin ]; then
    developer=$(xcode-select -p 2>/dev/null)
fi

# Where toolchains live that a command over SSH does not find.
beyond=$cargo_home/bin:$base/.cargo/bin:/opt/homebrew/bin:/usr/local/bin:$cuda_home/bin:/usr/local/cuda/bin
beyond=$beyond:/opt/cuda/bin:$user_bin:/home/linuxbrew/.linuxbrew/bin:/opt/rocm/bin:/usr/lib/wsl/lib:/snap/bin
beyond=$beyond:/usr/sbin:/sbin

# within FOLDERS NAME: sets `at`.
within() {
    at=
    IFS=:
    set -f
    for dir in $1; do
        dir=${dir%/}
        case $dir in
        /*) ;;
        *) continue ;;
        esac
        if [ ! -f "$dir/$2" ] || [ ! -x "$dir/$2" ]; then
            continue
        fi
        # Without the developer tools these are stubs that open a dialog.
        if [ "$os$dir$developer" = Darwin/usr/bin ]; then
            case $2 in
            cc | c++ | git | make | python3) continue ;;
            esac
        fi
        at=$dir/$2
        break
    done
    set +f
    IFS=$space
}

# seek NAME: sets `at` and `seen`.
seek() {
    seen=on
    within "$PATH" "$1"
    [ -n "$at" ] && return
    seen=off
    within "$beyond" "$1"
    [ -n "$at" ]
}

# toolchain NAME: sets `run` to the program behind a rustup proxy; nothing when there is none yet.
toolchain() {
    run=
    chain=${RUSTUP_TOOLCHAIN-}
    if [ -z "$chain" ] && [ -f "$rustup_home/settings.toml" ]; then
        while read -r word _ value; do
            case $word in
            default_toolchain)
                chain=${value#[\"\']}
                chain=${chain%%[\"\']*}
                break
                ;;
            esac
        done <"$rustup_home/settings.toml"
    fi
    case $chain in
    '' | */*) return ;;
    esac
    for dir in "$rustup_home/toolchains/$chain" "$rustup_home/toolchains/$chain"-*; do
        if [ -x "$dir/bin/$1" ]; then
            run=$dir/bin/$1
            return
        fi
    done
}

# harmless NAME PATH: sets `run` to what may be asked for its version without changing anything; else to nothing.
harmless() {
    run=$2
    case $2 in
    # Shims may install what they stand for; a snap makes folders in the home.
    */shims/* | /snap/* | /var/lib/snapd/*) run= ;;
    /usr/bin/cc | /usr/bin/c++ | /usr/bin/git | /usr/bin/make | /usr/bin/python3)
        # The stubs of macOS keep a cache in TMPDIR; what they stand for does not.
        [ "$os" = Darwin ] || return
        run=$developer/usr/bin/$1
        [ -x "$run" ] || run=$developer/Toolchains/XcodeDefault.xctoolchain/usr/bin/$1
        [ -x "$run" ] || run=
        ;;
    esac
}

# dotted TEXT: sets `number` to the first dotted number in it.
dotted() {
    set -f
    for word in $1; do
        while :; do
            case $word in
            *[0-9]*) ;;
            *) break ;;
            esac
            word=${word#"${word%%[0-9]*}"}
            number=${word%%[!0-9.]*}
            case $number in
            *[0-9].[0-9]*)
                number=${number%.}
                set +f
                return
                ;;
            esac
            word=${word#"$number"}
        done
    done
    number=
    set +f
}

version() {
    dotted "$("$2" --version 2>/dev/null)"
    [ -z "$number" ] || rec version "$1" "$number"
}

for tool in cargo rustc cc c++ cmake ninja make git nvcc python3 bash; do
    seek "$tool" || continue
    harmless "$tool" "$at"
    case $tool in
    cargo | rustc)
        # rustup's proxies make folders; what they stand for does not.
        if [ -e "${at%/*}/rustup" ]; then
            toolchain "$tool"
            if [ -z "$run" ]; then
                rec proxy "$tool" "$at"
                continue
            fi
        fi
        ;;
    esac
    rec tool "$tool" "$seen" "$at"
    [ -z "$run" ] || job "$tool" version "$tool" "$run"
done

# -- what takes its time ----------------------------------------------------------------------------------------

system() {
    rec bits "$(getconf LONG_BIT 2>/dev/null)"
    cores=$(getconf _NPROCESSORS_ONLN 2>/dev/null)
    rec cores "${cores:-$(nproc 2>/dev/null)}"
    [ "$os" = Linux ] || return
    libc=$(getconf GNU_LIBC_VERSION 2>/dev/null)
    case $libc in
    glibc*) dotted "$libc" ;;
    *)
        for loader in /lib/ld-musl-*; do
            if [ -e "$loader" ]; then
                rec libc musl
                return
            fi
        done
        libc=$(ldd --version 2>/dev/null)
        dotted "${libc%%"$nl"*}"
        ;;
    esac
    [ -z "$number" ] || rec libc glibc "$number"
}
number=
job system system

macos() {
    rec distribution macos "$(sw_vers -productVersion 2>/dev/null)"
    rec memory "$(sysctl -n hw.memsize 2>/dev/null)"
    rec cpu "$(sysctl -n machdep.cpu.brand_string 2>/dev/null)"
}
[ "$os" != Darwin ] || job macos macos

# above PATH: sets `dir` to the nearest that exists.
above() {
    dir=$1
    while [ -n "$dir" ] && [ ! -e "$dir" ]; do
        dir=${dir%/*}
    done
    dir=${dir:-/}
}

# disks FOLDER...: df answers a line for each, after its heading, or this says nothing.
disks() {
    above "$1"; a=$dir
    above "$2"; b=$dir
    above "$3"; c=$dir
    above "$4"; d=$dir
    above "$5"; e=$dir
    above "$6"; f=$dir
    table=$(df -Pk "$a" "$b" "$c" "$d" "$e" "$f" 2>/dev/null)
    rows=-1
    IFS=$nl
    set -f
    for row in $table; do
        rows=$((rows + 1))
    done
    [ $rows -eq $# ] || return
    for row in ${table#*"$nl"}; do
        rec disk "$1" "$row"
        shift
    done
    set +f
    IFS=$space
}
job df disks "$cache" "$user_bin" "$system_bin" "$data" "$state" "$tmp"

# Ubuntu's sudo notes its first success with a file in the home of an administrator: leave that to the installation.
sudo_works() {
    if "$1" -n true >/dev/null; then
        rec sudo yes
    else
        rec sudo no
    fi
}
if seek sudo; then
    rec tool sudo "$seen" "$at"
    first=
    case " $id $id_like " in
    *" ubuntu "*)
        case $who in
        *"(sudo)"* | *"(admin)"*) [ -e "$base/.sudo_as_admin_successful" ] || first=yes ;;
        esac
        ;;
    esac
    if [ -n "$first" ]; then
        rec sudo unasked
    elif [ "$uid" != 0 ]; then
        job sudo sudo_works "$at"
    fi
fi

nvidia() {
    asked=--format=csv,noheader,nounits
    rows=$("$1" --query-gpu=name,memory.total,compute_cap $asked 2>/dev/null)
    failed=$?
    if [ $failed -ne 0 ]; then
        # Older drivers know no compute_cap.
        rows=$("$1" --query-gpu=name,memory.total $asked 2>/dev/null)
        failed=$?
    fi
    if [ $failed -ne 0 ]; then
        rec failed nvidia-smi $failed
        return
    fi
    IFS=$nl
    set -f
    for row in $rows; do
        rec nvidia "$row"
    done
}
if seek nvidia-smi; then
    rec tool nvidia-smi "$seen" "$at"
    job nvidia-smi nvidia "$at"
fi

rocm() {
    rows=$("$1" 2>/dev/null)
    IFS=$nl
    set -f
    for row in $rows; do
        case $row in
        *"Marketing Name:"* | *"Device Type:"*) rec rocm "$row" ;;
        esac
    done
}
if seek rocminfo; then
    rec tool rocminfo "$seen" "$at"
    job rocminfo rocm "$at"
fi

# -- what the shell can see by itself, while the jobs run -------------------------------------------------------

for tool in curl openssl sha256sum shasum sha256 tar setsid perl pkg-config xz zstd unzip ld \
    apt-get dnf pacman zypper apk brew; do
    seek "$tool" && rec tool "$tool" "$seen" "$at"
done

if [ -r /proc/meminfo ]; then
    while read -r word value _; do
        [ "$word" = MemTotal: ] || continue
        rec memkb "$value"
        break
    done </proc/meminfo
fi

if [ -r /proc/cpuinfo ]; then
    while read -r word _ value; do
        [ "$word" = flags ] || continue
        rec flags "$value"
        break
    done </proc/cpuinfo
fi

for file in /proc/driver/nvidia/gpus/*/information; do
    [ -r "$file" ] || continue
    while read -r word value; do
        [ "$word" = Model: ] || continue
        rec nvproc "$value"
        break
    done <"$file"
done

# writable KEY FOLDER: predicted, without a try.
writable() {
    above "$2"
    if [ ! -d "$dir" ] || [ ! -w "$dir" ] || [ ! -x "$dir" ]; then
        rec "$1" no
    elif [ "$dir" = "$2" ]; then
        rec "$1" yes
    elif [ -L "$2" ]; then
        rec "$1" no
    else
        rec "$1" creatable
    fi
}
writable system_bin_is "$system_bin"
writable user_bin_is "$user_bin"

# installed FOLDER: its manifests line by line, and what is at the path that each names.
installed() {
    for file in "$1"/*.toml; do
        [ -f "$file" ] || continue
        count=$((count + 1))
        [ $count -le 64 ] || return
        rec manifest "$file"
        text=$(dd if="$file" bs=16384 count=1 2>/dev/null)
        program=
        IFS=$nl
        set -f
        for line in $text; do
            put "|$tab$line"
            case $line in
            'path = "/'*'"')
                program=${line#*\"}
                program=${program%\"}
                ;;
            esac
        done
        set +f
        IFS=$space
        case $program in
        '' | *\\*) continue ;;
        esac
        link='file'
        [ ! -L "$program" ] || link='link'
        if [ ! -f "$program" ]; then
            rec program "$program" "$link"
        elif [ "$os" = Linux ]; then
            rec program "$program" "$link" "$(stat -L -c '%s %Y' "$program" 2>/dev/null)"
        else
            rec program "$program" "$link" "$(stat -L -f '%z %m' "$program" 2>/dev/null)"
        fi
    done
}
count=0
installed "$data/installed"
[ "$data" = "$system_data" ] || installed "$system_data/installed"

if [ -f "$state/lock" ]; then
    text=$(dd if="$state/lock" bs=512 count=1 2>/dev/null)
    rec lock "${text%%"$nl"*}"
fi

# -- the end ----------------------------------------------------------------------------------------------------

for pid in $jobs; do
    wait "$pid"
done 2>/dev/null
kill "$dog" 2>/dev/null
wait "$dog" 2>/dev/null
rec end
