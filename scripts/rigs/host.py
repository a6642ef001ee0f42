"""What a host has of its own: the upper folder of its overlay, written before it starts."""

import glob
import os
import pathlib
import shutil
import stat
import subprocess
import sys

from rigs.common import fail

LOGIN_SHELLS = {"busybox": "ash", "ksh": "mksh"}
BUSY = ("sshd", "dropbear", "sh", "scp")
# The folders in which nothing of this machine is to be seen.
OWN = ("root", "home", "tmp", "run", "var/tmp", "usr/local", "etc/ssh", "etc/dropbear", "etc/sudoers.d")
PROGRAMS = ("usr/local/bin", "usr/bin", "usr/sbin", "usr/games")


class Root:
    def __init__(self, upper, host):
        self.upper, self.host = upper, host
        upper.mkdir(parents=True)
        upper.chmod(0o755)

    def path(self, path):
        """Where an absolute path of the host is in the upper folder; its parents are made as the machine has them."""
        parent, name = os.path.split(path.rstrip("/"))
        real = os.path.join(os.path.realpath(parent), name)
        made = self.upper
        for part in pathlib.PurePath(real).parts[1:-1]:
            made = made / part
            if not made.exists():
                made.mkdir()
                made.chmod(0o755)
                below = "/" / made.relative_to(self.upper)
                if below.is_dir():
                    shutil.copystat(below, made)
        return made / name

    def empty(self, path, mode=0o755):
        own = self.path(path)
        if own.is_symlink() or own.is_file():
            own.unlink()
        own.mkdir(exist_ok=True)
        os.setxattr(own, "trusted.overlay.opaque", b"y")
        own.chmod(mode)
        return own

    def write(self, path, content, mode=0o644, owner=0):
        own = self.path(path)
        own.unlink(missing_ok=True)
        own.write_bytes(content if isinstance(content, bytes) else os.fsencode(content))
        own.chmod(mode)
        os.chown(own, owner, owner)
        return own

    def link(self, path, to):
        own = self.path(path)
        own.unlink(missing_ok=True)
        own.symlink_to(to)

    def hide(self, path):
        own = self.path(path)
        if own.exists() or own.is_symlink():
            own.unlink()
        if os.path.lexists(path):
            os.mknod(own, stat.S_IFCHR | 0o600, os.makedev(0, 0))

    def build(self, authorized):
        host = self.host
        for path in OWN:
            self.empty(f"/{path}", 0o700 if path == "root" else 0o1777 if path.endswith("tmp") else 0o755)
        for path in ("bin", "sbin", "lib", "share"):
            (self.upper / "usr/local" / path).mkdir()
        (self.upper / "run/sshd").mkdir(mode=0o755)
        self.programs()
        self.users(authorized)
        for path in host["empty"]:
            self.empty(path)
        self.write("/etc/hostname", host["name"] + "\n")
        self.write("/etc/hosts", f"127.0.0.1 localhost\n{host['address']} {host['name']}\n")
        self.write("/etc/motd", "")

    def login_shell(self):
        name = self.host["login_shell"]
        path = f"/bin/{LOGIN_SHELLS.get(name, name)}"
        return path

    def programs(self):
        host, shell = self.host, self.login_shell()
        busybox = shutil.which("busybox")
        if host["busybox"]:
            kept = {name: shutil.which(name, path="/usr/sbin:/usr/bin") for name in (*BUSY, os.path.basename(shell))}
            for folder in PROGRAMS[1:]:
                self.empty(f"/{folder}")
            for name in subprocess.run([busybox, "--list"], stdout=subprocess.PIPE, text=True).stdout.split():
                self.link(f"/usr/bin/{name}", "busybox")
            shutil.copy(busybox, self.path("/usr/bin/busybox"))
            kept["sh"] = None
            for name, program in kept.items():
                if program and os.path.realpath(program) != os.path.realpath(busybox):
                    own = self.path(f"/usr/sbin/{name}" if name in ("sshd", "dropbear") else f"/usr/bin/{name}")
                    own.unlink(missing_ok=True)
                    shutil.copy(program, own)
        if host["bsd"]:
            self.bsd(host["bsd"])
        if host["login_shell"] == "busybox":
            self.link("/usr/bin/ash", busybox if not host["busybox"] else "busybox")
        if host["sh_program"]:
            own = self.path("/usr/bin/sh")
            shutil.copy(host["sh_program"], own)
        elif host["sh"]:
            self.link("/usr/bin/sh", shutil.which(host["sh"], path="/usr/bin:/bin") or fail(f"no {host['sh']} on this machine"))
        for name in host["without"]:
            for folder in PROGRAMS[1:]:
                for path in glob.glob(f"/{folder}/{name}") + glob.glob(f"/{folder}/{name}[0-9.]*"):
                    self.hide(path)
        if not host["busybox"] and not os.path.exists(shell) and host["login_shell"] != "busybox":
            fail(f"the login shell {shell} is missing on this machine")
        self.write("/etc/shells", f"/bin/sh\n/bin/bash\n{shell}\n")

    def bsd(self, program):
        """The tools of another system, which call the real ones; and what is there besides them."""
        names = subprocess.run([sys.executable, program, "--names"], check=True, stdout=subprocess.PIPE, text=True)
        kept = ["bash", "perl", "shasum", "openssl", "printf", "sh", "zsh", os.path.basename(self.login_shell())]
        place = "/usr/libexec/stand-in"
        self.path(f"{place}/real/x").parent.chmod(0o755)
        for folder in ("real", "proc"):
            self.path(f"{place}/{folder}").mkdir(exist_ok=True)
        shutil.copy("/usr/bin/python3", self.path(f"{place}/python3"))
        shutil.copy(program, self.path(f"{place}/run"))
        self.path(f"{place}/run").chmod(0o755)
        self.write("/var/log/stand-in", "", 0o666)
        programs = {name: shutil.which(name, path="/usr/bin:/bin:/usr/sbin:/sbin") for name in
                    [*names.stdout.split(), *kept, "sshd", "dropbear", "bsdtar"]}
        for folder in PROGRAMS[1:]:
            self.empty(f"/{folder}")
        for name, real in programs.items():
            if name in kept or name in ("sshd", "dropbear"):
                if real:
                    shutil.copy(real, self.path(f"/usr/sbin/{name}" if name in ("sshd", "dropbear") else f"/usr/bin/{name}"))
                continue
            if real:
                shutil.copy(real, self.path(f"{place}/real/{name}"))
            if name != "bsdtar":
                self.link(f"/usr/bin/{name}", f"{place}/run")

    def users(self, authorized):
        host, shell = self.host, self.login_shell()
        # An account with * is not locked, and has no password.
        secret = "*"
        if host["password"] is not None:
            hashed = subprocess.run(["openssl", "passwd", "-6", "-stdin"], input=host["password"], text=True,
                                    check=True, stdout=subprocess.PIPE)
            secret = hashed.stdout.strip()
        texts = {name: pathlib.Path(f"/etc/{name}").read_text() for name in ("passwd", "shadow", "group")}
        rows = {name: [row for row in text.splitlines() if row] for name, text in texts.items()}
        rows["passwd"] = [row for row in rows["passwd"] if not 1000 <= int(row.split(":")[2]) < 60000]
        accounts = [("root", 0, "/root")]
        for nth, name in enumerate(host["user"]):
            if name != "root":
                accounts.append((name, 4000 + nth, f"/home/{name}"))
        for name, number, home in accounts:
            if name == host["login"] and host["home"]:
                home = host["home"]
            row = f"{name}:x:{number}:{number}::{home}:{shell}"
            rows["passwd"] = [old for old in rows["passwd"] if old.split(":")[0] != name] + [row]
            rows["shadow"] = [old for old in rows["shadow"] if old.split(":")[0] != name]
            rows["shadow"].append(f"{name}:{secret}:19000:0:99999:7:::")
            if number:
                rows["group"].append(f"{name}:x:{number}:")
            folder = self.path(home)
            if host["home_link"]:
                if folder.exists():
                    folder.rmdir()
                folder.symlink_to(f"/srv/homes/{name}")
                folder = self.path(f"/srv/homes/{name}")
            folder.mkdir(exist_ok=True)
            folder.chmod(0o700)
            keys = folder / ".ssh"
            keys.mkdir(mode=0o700)
            (keys / "authorized_keys").write_text(authorized)
            for path in (folder, keys, keys / "authorized_keys"):
                os.chown(path, number, number)
        for name, lines in rows.items():
            self.write(f"/etc/{name}", "\n".join(lines) + "\n", 0o600 if name == "shadow" else 0o644)

    def server(self):
        """Writes the server's configuration; the command that starts it, and its public keys."""
        host, public = self.host, []
        options = []
        for kind in host["host_keys"]:
            if host["sshd"] == "dropbear":
                path = self.path(f"/etc/dropbear/dropbear_{kind}_host_key")
                made = subprocess.run(["dropbearkey", "-t", kind, "-f", path], check=True, text=True,
                                      stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
                public += [row for row in made.stdout.splitlines() if row.startswith(("ssh-", "ecdsa-"))]
                options += ["-r", f"/etc/dropbear/{path.name}"]
            else:
                path = self.path(f"/etc/ssh/ssh_host_{kind}_key")
                keygen(path, kind)
                public.append(path.with_suffix(".pub").read_text().strip())
                options.append(f"HostKey /etc/ssh/{path.name}")
        if host["sshd"] == "dropbear":
            secure = [] if host["password"] is not None else ["-s"]
            return ["/usr/sbin/dropbear", "-F", "-E", *secure, *options, "-p", "22"], public
        rules = "yes" if host["password"] is not None else "no"
        lines = [
            *host["sshd_config"], "Port 22", *options, "UsePAM no", "UseDNS no", "PidFile none", "StrictModes no",
            "PermitRootLogin yes", f"PasswordAuthentication {rules}", "KbdInteractiveAuthentication no",
            "Subsystem sftp internal-sftp", "LogLevel VERBOSE", "PrintMotd no", "PrintLastLog no",
        ]
        self.write("/etc/ssh/sshd_config", "\n".join(lines) + "\n")
        return ["/usr/sbin/sshd", "-D", "-e", "-f", "/etc/ssh/sshd_config"], public


def keygen(path, kind):
    made = subprocess.run(["ssh-keygen", "-q", "-t", kind, "-N", "", "-C", "rig", "-f", path], capture_output=True)
    if made.returncode:
        fail(f"ssh-keygen: {made.stderr.decode()}")
