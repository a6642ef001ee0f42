# The tools that build, and their versions.

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

