# What the shell can see by itself, while the jobs run.

for tool in curl openssl sha256sum shasum sha256 tar setsid perl pkg-config xz zstd unzip ld doas \
    apt-get dnf yum pacman zypper apk brew; do
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

# How long builds took here: lines of `WORKER SECONDS`.
if [ -f "$cache/build-times" ]; then
    text=$(dd if="$cache/build-times" bs=8192 count=1 2>/dev/null)
    IFS=$nl
    set -f
    for line in $text; do
        rec built "${line%% *}" "${line#* }"
    done
    set +f
    IFS=$space
fi

if [ -f "$state/lock" ]; then
    text=$(dd if="$state/lock" bs=512 count=1 2>/dev/null)
    rec lock "${text%%"$nl"*}"
fi

