"""Namespaces. The keeper lives in the network that all hosts hang on; each has a process that waits for its init."""

import ctypes
import json
import os
import select
import signal
import socket
import stat
import subprocess
import time

from rigs.common import batch, check, libc, limit

PATIENCE = 60
NEWNS, NEWUTS, NEWIPC, NEWPID, NEWNET = 0x20000, 0x4000000, 0x8000000, 0x20000000, 0x40000000
MS_RDONLY, MS_NOSUID, MS_NODEV, MS_NOEXEC, MS_REC, MS_PRIVATE = 1, 2, 4, 8, 16384, 1 << 18


def unshare(flags):
    check(libc.unshare(flags), "unshare")


def mount(source, target, kind, flags=0, data=""):
    arguments = [os.fsencode(word) for word in (source, target, kind)]
    check(libc.mount(*arguments, ctypes.c_ulong(flags), data.encode()), f"mount {target}")


def die_with_parent():
    libc.prctl(1, signal.SIGKILL, 0, 0, 0)


class Keeper:
    """Starts the hosts, says so, and waits to be ended."""

    def __init__(self, rig, hosts, until, ready):
        self.rig, self.hosts, self.until, self.ready, self.waiting = rig, hosts, until, ready, []

    def run(self):
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGINT, signal.SIGHUP})
        try:
            unshare(NEWNET)
            for nth, host in enumerate(self.hosts):
                host["go"] = self.start(nth, host)
            self.network()
            for host in self.hosts:
                os.write(host["go"], b"!")
                os.close(host.pop("go"))
            for host in self.hosts:
                self.answers(host)
            state = {"keeper": os.getpid(), "hosts": [{k: host[k] for k in ("name", "address", "pid", "login", "sshd")}
                                                      for host in self.hosts]}
            part = self.rig.dir / ".state.part"
            part.write_text(json.dumps(state))
            part.rename(self.rig.dir / "state.json")
            os.write(self.ready, b"ready")
            os.close(self.ready)
            self.wait()
        except (OSError, subprocess.SubprocessError) as error:
            os.write(self.ready, str(error).encode()[:4000])
        finally:
            for host in self.hosts:
                if "pid" in host:
                    os.kill(host["pid"], signal.SIGKILL)
            for pid in self.waiting:
                os.waitpid(pid, 0)

    def start(self, nth, host):
        """Forks a host that waits for its network; the descriptor that tells it to go on."""
        go_read, go_write = os.pipe()
        said_read, said_write = os.pipe()
        waiter = os.fork()
        if waiter == 0:
            # `up` waits for the end of all copies of this one.
            os.close(self.ready)
            os.close(go_write)
            signal.pthread_sigmask(signal.SIG_SETMASK, set())
            try:
                die_with_parent()
                unshare(NEWNS | NEWUTS | NEWIPC | NEWPID | NEWNET)
                init = os.fork()
                if init == 0:
                    die_with_parent()
                    self.init(nth, host, go_read)
                os.write(said_write, b"%d" % init)
                os.close(said_write)
                os.waitpid(init, 0)
            except OSError as error:
                os.write(said_write, str(error).encode())
            finally:
                os._exit(0)
        os.close(said_write)
        os.close(go_read)
        self.waiting.append(waiter)
        said = os.read(said_read, 4096)
        os.close(said_read)
        if not said.isdigit():
            raise OSError(said.decode())
        host["pid"] = int(said)
        return go_write

    def network(self):
        bridge = self.rig.prefix
        lines = ["link set lo up", f"link add {bridge} type bridge", f"link set {bridge} up",
                 f"addr add 198.18.0.1/16 dev {bridge}"]
        for nth, host in enumerate(self.hosts):
            outer = self.rig.outer(nth)
            lines += [f"link add {outer} type veth peer name {outer}i netns {host['pid']}",
                      f"link set {outer} master {bridge} up"]
        batch("ip", lines)
        for nth, host in enumerate(self.hosts):
            if host["rate"]:
                limit(self.rig, nth, host["pid"], host["rate"])

    def init(self, nth, host, go):
        """The first process of a host: never returns."""
        folder, inner = self.rig.host_dir(host), self.rig.outer(nth) + "i"
        rig = os.open(self.rig.dir, os.O_PATH)
        log = os.open(folder / "log", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        null = os.open("/dev/null", os.O_RDWR)
        for to, source in ((0, null), (1, log), (2, log)):
            os.dup2(source, to)
        try:
            os.setsid()
            if not os.read(go, 1):
                os._exit(1)
            batch("ip", ["link set lo up", f"link set {inner} name eth0", "link set eth0 up",
                         f"addr add {host['address']}/16 dev eth0"])
            socket.sethostname(host["name"])
            root = folder / "root"
            mount("none", "/", "", MS_REC | MS_PRIVATE)
            mount("overlay", root, "overlay", 0, f"lowerdir=/,upperdir={folder / 'upper'},workdir={folder / 'work'}")
            proc = "usr/libexec/stand-in/proc" if host["bsd"] else "proc"
            mount("proc", root / proc, "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC)
            mount("sysfs", root / "sys", "sysfs", MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC)
            mount("tmpfs", root / "dev", "tmpfs", MS_NOSUID, "mode=755,size=64m")
            devices(root / "dev", f"/{proc}")
            os.chroot(root)
            os.chdir("/")
            os.umask(0o022)
            server = os.fork()
            if server == 0:
                os.execve(host["command"][0], host["command"], {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin"})
            wait_for_all(server, rig)
        except BaseException as error:
            os.write(2, f"{error}\n".encode())
            os._exit(1)

    def answers(self, host):
        end = time.monotonic() + PATIENCE
        while True:
            try:
                with socket.create_connection((host["address"], 22), 5) as stream:
                    if stream.recv(4) == b"SSH-":
                        return
            except OSError:
                pass
            if time.monotonic() > end or not os.path.exists(f"/proc/{host['pid']}"):
                said = (self.rig.host_dir(host) / "log").read_text(errors="replace")
                raise OSError(f"{host['name']} does not answer; it says: {said[-2000:]}")
            time.sleep(0.02)

    def wait(self):
        """Until a signal, or the end of the process that this rig is for."""
        watch, woken = [], os.pipe()
        os.set_blocking(woken[1], False)
        signal.set_wakeup_fd(woken[1], warn_on_full_buffer=False)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, lambda *_: None)
        if self.until:
            try:
                watch.append(os.pidfd_open(self.until))
            except ProcessLookupError:
                return
        signal.pthread_sigmask(signal.SIG_SETMASK, set())
        select.select([woken[0], *watch], [], [])


def wait_for_all(server, rig):
    """What the first process of a host does: never returns. A server that does not even start ends the host."""
    while True:
        try:
            if os.wait()[0] == server:
                os.stat("state.json", dir_fd=rig)
        except ChildProcessError:
            # Somebody may start another server.
            time.sleep(0.2)


def devices(dev, proc):
    for name, major, minor in (("null", 1, 3), ("zero", 1, 5), ("full", 1, 7), ("random", 1, 8), ("urandom", 1, 9),
                               ("tty", 5, 0)):
        os.mknod(dev / name, stat.S_IFCHR, os.makedev(major, minor))
        os.chmod(dev / name, 0o666)
    for name in ("pts", "shm"):
        (dev / name).mkdir()
    (dev / "shm").chmod(0o1777)
    for name, to in (("ptmx", "pts/ptmx"), ("fd", f"{proc}/self/fd"), ("stdin", "fd/0"), ("stdout", "fd/1"),
                     ("stderr", "fd/2")):
        (dev / name).symlink_to(to)
    mount("devpts", dev / "pts", "devpts", MS_NOSUID | MS_NOEXEC, "newinstance,ptmxmode=0666,mode=620")
