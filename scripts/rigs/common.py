"""The folder of a rig, and what all of it uses."""

import ctypes
import json
import os
import pathlib
import subprocess
import sys
import zlib

libc = ctypes.CDLL(None, use_errno=True)


def fail(text):
    sys.exit(f"scripts/rig: {text}")


class Rig:
    def __init__(self, folder):
        self.dir = pathlib.Path(folder).absolute()
        # Names of interfaces are at most 15 bytes long.
        self.prefix = f"rg{zlib.crc32(str(self.dir).encode()) & 0xffffff:06x}"

    def host_dir(self, host):
        return self.dir / "hosts" / host["name"]

    def state(self):
        try:
            return json.loads((self.dir / "state.json").read_text())
        except FileNotFoundError:
            fail(f"there is no rig in {self.dir}")

    def host(self, name):
        for nth, host in enumerate(self.state()["hosts"]):
            if host["name"] == name:
                return nth, host
        fail(f"no host {name} in {self.dir}")

    def outer(self, nth):
        return f"{self.prefix}h{nth}"

    def enter(self, pid, *options):
        return ["nsenter", f"--target={pid}", *options]


def check(result, what):
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")


def batch(tool, lines):
    done = subprocess.run([tool, "-batch", "-"], input="\n".join(lines) + "\n", capture_output=True, text=True)
    if done.returncode:
        raise OSError(f"{tool}: {done.stderr.strip()}")


def limit(rig, nth, pid, rate):
    """Limits both directions of a link; run in the network of the hosts."""
    outer, inside = rig.outer(nth), rig.enter(pid, "--net")
    inner = "eth0" if (rig.dir / "state.json").exists() else outer + "i"
    for enter, device in (([], outer), (inside, inner)):
        if rate == "none":
            subprocess.run([*enter, "tc", "qdisc", "del", "dev", device, "root"], stderr=subprocess.DEVNULL)
        else:
            shape = ["root", "tbf", "rate", rate, "burst", "32kb", "latency", "400ms"]
            done = subprocess.run([*enter, "tc", "qdisc", "replace", "dev", device, *shape], capture_output=True)
            if done.returncode:
                raise OSError(f"tc: {done.stderr.decode().strip()}")
