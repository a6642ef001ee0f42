# What takes its time: a job each.

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

# What it grants is asked where root is needed, and nowhere else: each question is in the host's log.
if seek sudo; then
    rec tool sudo "$seen" "$at"
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

