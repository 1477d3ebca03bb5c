"""Real user bases for tests: FreeRADIUS, slapd, Samba and PAM, each in a temporary folder, on loopback and ports of their own."""

import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest

PATH = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"


def program(name: str) -> str:
    found = shutil.which(name, path=PATH)
    if found is None:
        pytest.skip(f"{name} is not installed")
    return found


def free_port(kind: socket.SocketKind = socket.SOCK_STREAM) -> int:
    with socket.socket(socket.AF_INET, kind) as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def run(*command: str, text: str = "") -> str:
    done = subprocess.run(command, input=text, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, f"{' '.join(command)}: {done.returncode}\n{done.stdout}{done.stderr}"
    return done.stdout


def start(stack: ExitStack, log: Path, *command: str, is_ready: Callable[[], bool]) -> "subprocess.Popen[bytes]":
    """A server that runs until the stack is closed."""
    with log.open("wb") as out:
        # In a session of its own: smbd ends its whole process group.
        child = subprocess.Popen(command, stdout=out, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, start_new_session=True)

    def stop() -> None:
        child.terminate()
        try:
            child.wait(5)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()
        with suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)

    stack.callback(stop)
    end = time.monotonic() + 20
    while not is_ready():
        assert child.poll() is None, f"{command[0]} ended with {child.returncode}:\n{log.read_text(errors='replace')}"
        assert time.monotonic() < end, f"{command[0]} is not ready:\n{log.read_text(errors='replace')}"
        time.sleep(0.05)
    return child


def takes_connections(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(0.5)
        return probe.connect_ex(("127.0.0.1", port)) == 0


def with_files(mounts: Sequence[tuple[Path, str]]) -> list[str]:
    """A command in front of another, which then sees these files in the places of the system's: in a mount namespace of its own."""
    binds = " && ".join(f"mount --bind '{source}' '{target}'" for source, target in mounts)
    return [program("unshare"), "--mount", "--propagation", "private", "sh", "-c", f'{binds} && exec "$@"', "sh"]


_RADIUS = """\
prefix = /usr
libdir = /usr/lib/freeradius
name = radiusd
confdir = {folder}
logdir = {folder}
run_dir = {folder}
db_dir = {folder}
pidfile = {folder}/pid
max_request_time = 5
log {{
    destination = stdout
}}
security {{
    reject_delay = 0
    status_server = no
}}
client gateway {{
    ipaddr = 127.0.0.1
    secret = {secret}
    require_message_authenticator = yes
}}
thread pool {{
    start_servers = 1
    max_servers = 2
    min_spare_servers = 1
    max_spare_servers = 2
    max_requests_per_server = 0
}}
modules {{
    pap {{
    }}
    chap {{
    }}
    files {{
        filename = {folder}/users
    }}
}}
"""

_RADIUS_PORT = """\
server {name} {{
    listen {{
        type = auth
        ipaddr = 127.0.0.1
        port = {port}
    }}
    authorize {{
        chap
        files
        pap
    }}
    authenticate {{
        Auth-Type PAP {{
            pap
        }}
        Auth-Type CHAP {{
            chap
        }}
    }}
    post-auth {{
        {sign}
        Post-Auth-Type REJECT {{
            {sign}
        }}
    }}
}}
"""
_SIGN = "update reply { Message-Authenticator := 0x00 }"      # what later versions do by themselves


def free_radius(stack: ExitStack, folder: Path, users: dict[str, str], secret: str) -> tuple[int, int]:
    """FreeRADIUS; a port where answers have a Message-Authenticator, and one where they have none, as before CVE-2024-3596."""
    folder.mkdir()
    signed, plain = free_port(socket.SOCK_DGRAM), free_port(socket.SOCK_DGRAM)
    text = _RADIUS.format(folder=folder, secret=secret)
    text += _RADIUS_PORT.format(name="signed", port=signed, sign=_SIGN) + _RADIUS_PORT.format(name="plain", port=plain, sign="")
    (folder / "radiusd.conf").write_text(text)
    (folder / "users").write_text("".join(f'{user} Cleartext-Password := "{password}"\n' for user, password in users.items()))
    (folder / "dictionary").write_text("")
    log = folder / "log"
    start(
        stack, log, program("freeradius"), "-f", "-l", "stdout", "-d", str(folder),
        is_ready=lambda: "Ready to process requests" in log.read_text(errors="replace"),
    )
    return signed, plain


def certificate(folder: Path) -> tuple[Path, Path]:
    """A certificate for 127.0.0.1 that is its own authority, and its key."""
    crt, key = folder / "server.crt", folder / "server.key"
    run(
        program("openssl"), "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", str(key), "-out", str(crt), "-days", "2",
        "-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1,DNS:localhost",
    )
    return crt, key


BASE = "ou=people,dc=example,dc=org"


def slapd(stack: ExitStack, folder: Path, users: dict[str, str]) -> tuple[int, int, Path]:
    """OpenLDAP; the ports of ldap and ldaps, and the file of its authority."""
    folder.mkdir()
    (folder / "db").mkdir()
    crt, key = certificate(folder)
    schemas = "".join(f"include /etc/ldap/schema/{name}.schema\n" for name in ("core", "cosine", "inetorgperson"))
    conf = folder / "slapd.conf"
    conf.write_text(
        f"{schemas}modulepath /usr/lib/ldap\nmoduleload back_mdb\npidfile {folder}/pid\nallow bind_v2\n"
        f"TLSCertificateFile {crt}\nTLSCertificateKeyFile {key}\nTLSVerifyClient never\n"
        f'database mdb\nmaxsize 10485760\nsuffix "dc=example,dc=org"\ndirectory {folder}/db\n'
    )
    ldif = "dn: dc=example,dc=org\nobjectClass: dcObject\nobjectClass: organization\no: x\ndc: example\n\n"
    ldif += f"dn: {BASE}\nobjectClass: organizationalUnit\nou: people\n\n"
    for user, password in users.items():
        ldif += f"dn: uid={user},{BASE}\nobjectClass: inetOrgPerson\nuid: {user}\ncn: {user}\nsn: {user}\nuserPassword: {password}\n\n"
    run(program("slapadd"), "-f", str(conf), text=ldif)
    plain, tls = free_port(), free_port()
    start(
        stack, folder / "log", program("slapd"), "-f", str(conf), "-h", f"ldap://127.0.0.1:{plain} ldaps://127.0.0.1:{tls}", "-d", "0",
        is_ready=lambda: takes_connections(plain) and takes_connections(tls),
    )
    return plain, tls, crt


def host_users(folder: Path, users: dict[str, str]) -> list[tuple[Path, str]]:
    """passwd, group and shadow of a host with these users, as `with_files` takes them."""
    folder.mkdir()
    root = "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n"
    shadow = "root:*:19000:0:99999:7:::\nnobody:*:19000:0:99999:7:::\n"
    for number, (user, password) in enumerate(users.items(), 2000):
        root += f"{user}:x:{number}:{number}::/nonexistent:/bin/sh\n"
        shadow += f"{user}:{run(program('openssl'), 'passwd', '-6', '-stdin', text=password).strip()}:19000:0:99999:7:::\n"
    group = "root:x:0:\nshadow:x:42:\nnogroup:x:65534:\n" + "".join(f"{user}:x:{number}:\n" for number, user in enumerate(users, 2000))
    found = []
    for name, text in (("passwd", root), ("shadow", shadow), ("group", group)):
        (folder / name).write_text(text)
        (folder / name).chmod(0o640 if name == "shadow" else 0o644)
        found.append((folder / name, f"/etc/{name}"))
    return found


def samba(stack: ExitStack, folder: Path, users: dict[str, str]) -> int:
    """smbd, a standalone server that makes guests of strangers; the port."""
    folder.mkdir()
    mounts = host_users(folder / "etc", users)
    port = free_port()
    conf = folder / "smb.conf"
    places = "".join(
        f"{name} = {folder}/{name.split()[0]}\n"
        for name in ("private dir", "lock directory", "state directory", "cache directory", "pid directory", "ncalrpc dir", "binddns dir")
    )
    for name in ("private", "lock", "state", "cache", "pid", "ncalrpc", "binddns"):
        (folder / name).mkdir()
    conf.write_text(
        f"[global]\nworkgroup = LAB\nnetbios name = SAMBA1\nserver role = standalone server\nmap to guest = bad user\n{places}"
        f"passdb backend = tdbsam:{folder}/passdb.tdb\nsmb ports = {port}\ninterfaces = 127.0.0.1/8\nbind interfaces only = yes\n"
        f"load printers = no\nprinting = bsd\nprintcap name = /dev/null\ndisable spoolss = yes\nlog file = {folder}/log.smbd\n[files]\npath = {folder}\n"
    )
    for user, password in users.items():
        run(*with_files(mounts), program("pdbedit"), "-s", str(conf), "-a", "-t", "-u", user, text=f"{password}\n{password}\n")
    start(
        stack, folder / "log", *with_files(mounts), program("smbd"), "-F", "--no-process-group", "--debug-stdout", "-s", str(conf),
        is_ready=lambda: takes_connections(port),
    )
    return port
