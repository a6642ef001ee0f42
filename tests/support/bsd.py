#!/usr/libexec/stand-in/python3 -SE
"""Stands for the tools of macOS: takes what POSIX and the BSD tools promise, and refuses what only GNU's know.

`scripts/rig up --bsd FILE` puts this in place of each tool that it names; the real ones are beside the interpreter
above, where no PATH leads. What is refused is also noted, since a script may throw words and status away.
"""

import os
import sys

HERE = "/usr/libexec/stand-in"
NOTES = "/var/log/stand-in"

# Options without and with an argument; a * takes whatever there is.
TOOLS = {
    "awk": ("", "Ffv"), "basename": ("a", "s"), "cat": ("benstuvl", ""), "chmod": ("RHLPfhv", ""), "chown": ("RHLPfhvnx", ""),
    "cmp": ("hlsxz", "in"), "comm": ("123i", ""), "cp": ("RHLPafinpvXcls", ""), "cut": ("nsw", "bcdf"),
    "date": ("ujnR", "frvIz"), "dd": ("", ""), "df": ("PkhHmgilnY", "tT"), "dirname": ("", ""), "du": ("AHLPashkmgcxn", "dItB"),
    "env": ("i0v", "uPS"), "expr": ("*", ""), "find": ("*", ""), "getconf": ("a", "v"),
    "grep": ("abcEFGHhIiLlnOopqRrSsUVvwxZz", "ABCDdefm"), "head": ("", "nc"), "id": ("AFGMPaugnpr", ""),
    "install": ("bCcdMpsvS", "Bfglmohi"), "ln": ("sfhnFivLPw", ""), "ls": ("*", ""), "mkdir": ("pv", "m"),
    "mktemp": ("dqu", "t"), "mv": ("finvh", ""), "od": ("*", ""), "pgrep": ("*", ""), "pwd": ("LP", ""),
    "readlink": ("n", ""), "rm": ("dfiPRrvWxI", ""), "rmdir": ("pv", ""), "sed": ("Ealnu", "efi"), "seq": ("w", "fst"),
    "sleep": ("", ""), "sort": ("bcdfgimnrsuMS", "kotT"), "stat": ("FLnqlrsx", "ft"), "tail": ("Ffrq", "bcn"), "tee": ("ai", ""),
    "touch": ("acfhm", "Art"), "tr": ("Ccdsu", ""), "true": ("", ""), "false": ("", ""), "tty": ("s", ""), "uniq": ("cdiu", "fs"),
    "wc": ("clmwL", ""), "xargs": ("0oprtx", "EIJLnPRsS"), "which": ("as", ""), "who": ("*", ""), "yes": ("*", ""),
}
OWN = ("ps", "uname", "sw_vers", "sysctl", "xcode-select", "tar")
FIND = {"-printf", "-fprintf", "-regextype", "-executable", "-readable", "-writable", "-quit", "-samefile", "-newermt"}


def refuse(why):
    with open(NOTES, "a") as notes:
        notes.write(f"{sys.argv}: {why}\n")
    sys.exit(f"{name}: illegal option: {why}")


def real(arguments, program=None):
    path = f"{HERE}/real/{program or name}"
    os.execv(path, [program or name, *arguments])


def check(without, with_argument):
    """Reads options as getopt(3) does, which stops at the first word that is none."""
    words = iter(sys.argv[1:])
    for word in words:
        if word == "--" or word == "-" or not word.startswith("-"):
            break
        if word.startswith("--"):
            refuse(word)
        if name in ("head", "tail") and word[1:].isdigit():
            continue
        for at, letter in enumerate(word[1:], 1):
            if letter in with_argument:
                if at + 1 == len(word) and next(words, None) is None:
                    refuse(f"{word} wants an argument")
                break
            if letter not in without:
                refuse(f"-{letter}")
    # GNU's tools also take options after other words; BSD's take them for words.
    for word in words:
        if word.startswith("-") and len(word) > 1 and name not in ("awk", "env", "seq", "xargs", "tr", "grep", "sed", "getconf"):
            refuse(f"{word} after a word")


def special():
    words = sys.argv[1:]
    if name == "stat":
        if "-f" not in words:
            refuse("stat without -f")
        at = words.index("-f")
        form = words[at + 1]
        for bsd, gnu in (("%z", "%s"), ("%m", "%Y"), ("%Lp", "%a"), ("%Su", "%U"), ("%i", "%i"), ("%u", "%u")):
            form = form.replace(bsd, gnu.upper() if bsd == "%m" else gnu)
        real([*words[:at], "-c", form, *words[at + 2:]])
    if name == "date" and any("%N" in word for word in words):
        refuse("%N")
    if name == "dd" and any(word.split("=")[0] in ("iflag", "oflag", "status") for word in words):
        refuse("an operand of GNU's")
    if name == "find":
        if not words or words[0].startswith("-") and words[0] not in ("-H", "-L", "-P", "-E", "-x", "-d", "-s"):
            refuse("no path first")
        for word in words:
            if word in FIND:
                refuse(word)
    if name == "head" and any(word.startswith("-") and word[1:2] in "nc" and "-" in word[1:] for word in words):
        refuse("a count from the end")
    if name == "mktemp" and words and not words[-1].startswith("-") and not words[-1].endswith("XXXXXX"):
        refuse("something after the Xs")
    if name == "getconf" and words[:1] == ["GNU_LIBC_VERSION"]:
        sys.exit("getconf: no such configuration parameter `GNU_LIBC_VERSION'")
    if name == "grep" and words == ["-V"]:
        print("grep (BSD grep, GNU compatible) 2.6.0-FreeBSD")
        sys.exit(0)
    if name == "wc":
        # Numbers stand in columns.
        import subprocess
        done = subprocess.run([f"{HERE}/real/wc", *words], stdout=subprocess.PIPE)
        for line in done.stdout.decode(errors="surrogateescape").splitlines():
            sys.stdout.write("".join(f"{word:>8}" if word.isdigit() else f" {word}" for word in line.split(" ") if word) + "\n")
        sys.exit(done.returncode)


def process(pid):
    try:
        with open(f"{HERE}/proc/{pid}/stat", "rb") as file:
            fields = file.read().rpartition(b") ")[2].split()
        with open(f"{HERE}/proc/{pid}/cmdline", "rb") as file:
            command = file.read().replace(b"\0", b" ").strip()
    except OSError:
        return None
    try:
        with open(f"{HERE}/proc/{pid}/environ", "rb") as file:
            environment = file.read().replace(b"\0", b" ").strip()
    except OSError:
        environment = b""
    return {"pid": pid.encode(), "stat": fields[0], "state": fields[0], "ppid": fields[1], "pgid": fields[2],
            "command": command, "environment": environment, "lstart": b"Mon Jan  1 00:00:00 2024 +" + fields[19]}


def ps():
    """`-A`, `ax` or `-p`, `e`, `ww` and columns without headings: the rest is not needed, and so is refused."""
    words, columns, everything, environment, one = sys.argv[1:], [], False, False, None
    at = 0
    while at < len(words):
        word = words[at]
        if word == "-p":
            at += 1
            one = words[at]
        elif word == "-o":
            at += 1
            columns.append(words[at].rstrip("="))
            if not words[at].endswith("="):
                refuse("a heading")
        elif word.startswith("--") or set(word.lstrip("-")) - set("Aaxeww"):
            refuse(word)
        else:
            everything |= "A" in word or "x" in word
            environment |= not word.startswith("-") and "e" in word
        at += 1
    if everything == bool(one) or not columns:
        refuse("neither all processes nor one")
    for pid in [one] if one else os.listdir(f"{HERE}/proc"):
        found = process(pid) if pid.isdigit() else None
        if found and found["pid"] != b"%d" % os.getpid():
            if environment:
                found["command"] += b" " + found["environment"]
            sys.stdout.buffer.write(b" ".join(b"%5s" % found[column] for column in columns) + b"\n")


def own():
    words = sys.argv[1:]
    if name == "ps":
        ps()
    elif name == "tar":
        if any(word.startswith("--") and word.split("=")[0] not in ("--exclude", "--strip-components") for word in words):
            refuse("an option that not every bsdtar has")
        real(words, "bsdtar")
    elif name == "uname":
        known = {"s": "Darwin", "n": "mac", "r": "24.1.0", "v": "Darwin Kernel Version 24.1.0", "m": "arm64", "p": "arm"}
        letters = "".join(word.lstrip("-") for word in words) or "s"
        if set(letters) - set(known):
            refuse(letters)
        print(*(known[letter] for letter in "snrmpv" if letter in letters))
    elif name == "sw_vers":
        print("15.1" if words == ["-productVersion"] else refuse(words))
    elif name == "sysctl":
        known = {"hw.memsize": "17179869184", "machdep.cpu.brand_string": "Apple M4", "hw.ncpu": "2",
                 "kern.boottime": "{ sec = 1700000000, usec = 0 } Tue Nov 14 22:13:20 2023"}
        print(known[words[1]] if words[0] == "-n" and words[1] in known else refuse(words))
    else:
        sys.exit("xcode-select: error: unable to get active developer directory")


if __name__ == "__main__":
    name = os.path.basename(sys.argv[0])
    if sys.argv[1:] == ["--names"]:
        print(*TOOLS, *OWN)
    elif name in OWN:
        own()
    elif name == "grep" and sys.argv[1:] == ["--version"]:
        print("grep (BSD grep, GNU compatible) 2.6.0-FreeBSD")
    else:
        without, with_argument = TOOLS[name]
        if without != "*":
            check(without, with_argument)
        special()
        real(sys.argv[1:])
