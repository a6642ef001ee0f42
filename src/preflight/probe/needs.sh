# What recipes need beyond the tools of every probe: a job each, since any of them may hang. Answers are
# `capability NAME yes|no [VERSION]`.

pkgconfig=
if seek pkg-config || seek pkgconf; then
    pkgconfig=$at
fi
compiler=
if seek cc; then
    harmless cc "$at"
    compiler=$run
fi

# need_tool NAME ARGUMENT COMMANDS: the first command that is there; asked for its version by ARGUMENT, if there is one.
need_tool() {
    for program in $3; do
        seek "$program" || continue
        number=
        if [ -n "$2" ]; then
            harmless "$program" "$at"
            [ -z "$run" ] || dotted "$("$run" "$2" 2>/dev/null)"
        fi
        rec capability "$1" yes "$number"
        return
    done
    rec capability "$1" no
}

# module NAME MODULES: whether pkg-config knows one of them.
module() {
    [ -n "$pkgconfig" ] || return
    for name in $2; do
        if "$pkgconfig" --exists "$name" 2>/dev/null; then
            rec capability "$1" yes "$("$pkgconfig" --modversion "$name" 2>/dev/null)"
            return 0
        fi
    done
    return 1
}

# need_library NAME MODULES HEADERS: by pkg-config, by the header's file, by the compiler, which knows more folders.
need_library() {
    ! module "$1" "$2" || return
    for header in $3; do
        for dir in /usr/include /usr/include/*-linux-* /usr/local/include /opt/homebrew/include \
            /opt/homebrew/opt/*/include /usr/local/opt/*/include "$cuda_home/include" /usr/local/cuda/include \
            /opt/cuda/include /opt/rocm/include; do
            if [ -f "$dir/$header" ]; then
                rec capability "$1" yes
                return
            fi
        done
    done
    if [ -n "$compiler" ]; then
        for header in $3; do
            # Reads stdin and writes to stdout: makes no file.
            if put "#include <$header>" | "$compiler" -E -x c - >/dev/null 2>&1; then
                rec capability "$1" yes
                return
            fi
        done
    fi
    rec capability "$1" no
}

# need_file NAME: a shared library as the loader finds it.
need_file() {
    for dir in /usr/lib/*-linux-* /usr/lib64 /usr/lib /lib/*-linux-* /lib64 /lib /usr/local/lib /usr/local/lib64 \
        /opt/homebrew/lib; do
        for file in "$dir/${1%.so}.so" "$dir/${1%.so}.so".* "$dir/${1%.so}.dylib"; do
            if [ -e "$file" ]; then
                rec capability "$1" yes
                return
            fi
        done
    done
    rec capability "$1" no
}

# need_any NAME: of what is not known what it is, nothing is run.
need_any() {
    if seek "$1"; then
        rec capability "$1" yes
    else
        module "$1" "$1" || rec capability "$1" no
    fi
}

