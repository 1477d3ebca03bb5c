"""The login gateway against real user bases: FreeRADIUS, OpenLDAP, Samba and PAM, with somebody who listens to everything."""

import os
import socket
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.network.namespaces import patience
from tests.server.gateway_process import Running, gateway
from tests.server.login_servers import (
    BASE,
    certificate,
    free_port,
    free_radius,
    host_users,
    program,
    samba,
    slapd,
    with_files,
)

PASSWORD = "Tr0ub4dor-et-trois"
USERS = {"joe": PASSWORD, "long": PASSWORD * 4, "umlaut": "pässwörd-ключ", "eve": PASSWORD}
RADIUS_SECRET = "testing123-of-the-lab"


def test_free_radius(tmp_path: Path) -> None:
    """The sample of every run; the others are below."""
    with ExitStack() as stack:
        signed, plain = free_radius(stack, tmp_path / "radius", USERS, RADIUS_SECRET)
        config = "\n".join([
            f"radius pap 127.0.0.1@{signed} {RADIUS_SECRET}", f"radius chap 127.0.0.1@{signed} {RADIUS_SECRET} chap",
            f"radius old 127.0.0.1@{plain} {RADIUS_SECRET} unsigned", f"radius forged 127.0.0.1@{plain} {RADIUS_SECRET}",
            f"radius other 127.0.0.1@{signed} another-secret", "unix file none",
        ])
        own = stack.enter_context(gateway(tmp_path / "gateway", config))
        threads = stack.enter_context(ThreadPoolExecutor(8))
        right = [(user, word, domain) for user, word in USERS.items() for domain in ("pap", "chap", "old")]
        wrong = [(user, word, domain) for user, word in (("joe", "wrong"), ("nobody", PASSWORD)) for domain in ("pap", "chap", "old")]
        wrong += [("joe", PASSWORD, "forged"), ("joe", PASSWORD, "other")]
        found = list(threads.map(lambda each: own.ask(*each), right + wrong))
        assert found == [True] * len(right) + [False] * len(wrong), own.text
        assert own.has_line("joe forged FAILED .*without a Message-Authenticator")
        assert own.has_line("joe other FAILED .*gives no answer")
        assert "too many" not in own.text


@dataclass
class Lab:
    """A gateway that asks all of them."""

    gateway: Running
    capture: Path
    config: str
    prefix: list[str]


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    if os.geteuid() != 0:
        pytest.skip("mounts and captures need root")
    folder = tmp_path_factory.mktemp("lab")
    with ExitStack() as stack:
        radius_port, _ = free_radius(stack, folder / "radius", USERS, RADIUS_SECRET)
        ldap_port, ldaps_port, authority = slapd(stack, folder / "slapd", USERS)
        smb_port = samba(stack, folder / "samba", USERS)
        mounts = host_users(folder / "etc", USERS)
        (folder / "pam.d").mkdir()
        (folder / "pam.d" / "logins").write_text("auth required pam_unix.so nodelay\naccount required pam_unix.so\n")
        mounts.append((folder / "pam.d", "/etc/pam.d"))
        (folder / "other").mkdir()
        stranger, _ = certificate(folder / "other")
        silent = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
        silent.bind(("127.0.0.1", 0))
        deaf = stack.enter_context(socket.socket())
        deaf.bind(("127.0.0.1", 0))
        deaf.listen()
        text = "\n".join([
            f"radius rad 127.0.0.1@{radius_port} {RADIUS_SECRET}", f"radius dead-rad 127.0.0.1@{silent.getsockname()[1]} x",
            f"radius no-rad 127.0.0.1@{free_port(socket.SOCK_DGRAM)} x",
            f"ldap dir ldap://127.0.0.1:{ldap_port} {BASE} ca={authority}", f"ldap dirs ldaps://127.0.0.1:{ldaps_port} {BASE} attribute=uid ca={authority}",
            f"ldap untrusted ldap://127.0.0.1:{ldap_port} {BASE}", f"ldap stranger ldaps://127.0.0.1:{ldaps_port} {BASE} ca={stranger}",
            f"ldap dead-dir ldap://127.0.0.1:{deaf.getsockname()[1]} {BASE}", f"ldap no-dir ldap://127.0.0.1:{free_port()} {BASE}",
            f"winnt nt 127.0.0.1@{smb_port} SAMBA1", f"winnt dead-nt 127.0.0.1@{deaf.getsockname()[1]} X", f"winnt no-nt 127.0.0.1@{free_port()} X",
            "unix pam logins", "deny eve",
        ])
        capture = folder / "lo.pcap"
        sniffer = subprocess.Popen(
            [program("tshark"), "-q", "-i", "lo", "-F", "pcap", "-w", str(capture)], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
        )
        stack.callback(sniffer.communicate)
        stack.callback(sniffer.terminate)
        end = time.monotonic() + 20
        while not capture.exists() or not capture.stat().st_size:
            assert time.monotonic() < end
            time.sleep(0.05)
        own = stack.enter_context(gateway(folder / "gateway", text, prefix=with_files(mounts)))
        yield Lab(own, capture, text, with_files(mounts))


DOMAINS = ("rad", "dir", "dirs", "nt", "Unix")


@pytest.mark.net
@pytest.mark.parametrize("domain", DOMAINS)
def test_a_user_base_lets_in_whom_it_knows(lab: Lab, domain: str) -> None:
    for user, word in USERS.items():
        if user != "eve":
            assert lab.gateway.ask(user, word, domain), lab.gateway.text
            assert lab.gateway.has_line(f"login 127.0.0.1 {user} {domain} PASSED")


@pytest.mark.net
@pytest.mark.parametrize("domain", DOMAINS)
def test_a_user_base_lets_in_nobody_else(lab: Lab, domain: str, tmp_path: Path) -> None:
    """A wrong password, an unknown user, and denied ones: told alike. By a gateway of its own, so that the throttle is not what answers."""
    with gateway(tmp_path / "gateway", lab.config, prefix=lab.prefix) as own, ThreadPoolExecutor(4) as threads:
        def ask(user: str, word: str) -> tuple[bool, float]:
            began = time.monotonic()
            return own.ask(user, word, domain), time.monotonic() - began

        users = (("joe", "wrong-one"), ("nobody-knows", PASSWORD), ("eve", PASSWORD), ("EVE", PASSWORD))
        for passed, took in threads.map(lambda each: ask(*each), users):
            assert not passed
            assert 1 <= took < 6 * patience()
        for user, reason in (("joe", "$"), ("nobody-knows", "$"), ("eve", r" \(denied\)"), ("EVE", r" \(denied\)")):
            assert own.has_line(f"(?m)login 127.0.0.1 {user} {domain} FAILED{reason}"), own.text
        assert "wrong-one" not in own.text


@pytest.mark.net
@pytest.mark.parametrize(("domain", "reason"), [
    ("dead-rad", "gives no answer"), ("no-rad", "has no RADIUS server on port"), ("untrusted", "cannot be asked"), ("stranger", "cannot be asked"),
    ("dead-dir", "cannot be asked"), ("no-dir", "cannot be asked"), ("dead-nt", "cannot be asked"), ("no-nt", "cannot be asked"),
])
def test_a_user_base_that_cannot_be_asked_fails_soon_and_with_a_reason(lab: Lab, domain: str, reason: str) -> None:
    began = time.monotonic()
    assert not lab.gateway.ask("joe", PASSWORD, domain)
    assert time.monotonic() - began < 9 * patience()
    assert lab.gateway.has_line(f"joe {domain} FAILED .*{reason}"), lab.gateway.text


@pytest.mark.net
def test_who_listens_to_everything_finds_no_password(lab: Lab) -> None:
    """Of the script's question and of what the gateway says to the user bases."""
    for domain in DOMAINS:
        assert lab.gateway.ask("joe", PASSWORD, domain), lab.gateway.text
    time.sleep(1.5)     # until tshark has written what it saw
    heard = lab.capture.read_bytes()
    assert heard.count(b"check/") > 10
    assert b"SAMBA1" in heard or "SAMBA1".encode("utf-16-le") in heard
    for secret in (PASSWORD, *USERS.values(), RADIUS_SECRET):
        assert secret.encode() not in heard
        assert secret.encode("utf-16-le") not in heard
    assert PASSWORD not in lab.gateway.text
