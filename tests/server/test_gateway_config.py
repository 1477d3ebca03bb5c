"""The gateway's file: the original's lines and ours, and every mistake with its place."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bpscript.base.errors import UsageError
from bpscript.network.gateway.radius import Server
from bpscript.server.gateway_config import Ldap, Pam, PasswordFile, Samba, read_config

ORIGINAL = """\
#
# STFTPD configuration file
#
radius         sec-dom-rad     radiusserver    testing123
winnt          sec-dom-nt1     192.168.1.1     NTSERVER1
winnt          sec-dom-smb     samba           SAMBA1
"""


def written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "stftpd.conf"
    path.write_bytes(text.encode())
    return path


def test_a_file_of_the_original(tmp_path: Path) -> None:
    config = read_config(written(tmp_path, ORIGINAL.replace("\n", "\r\n")))
    assert config.domains == {
        "sec-dom-rad": Server("radiusserver", b"testing123"), "sec-dom-nt1": Samba("192.168.1.1", "NTSERVER1"),
        "sec-dom-smb": Samba("samba", "SAMBA1"), "unix": Pam("login"),
    }
    assert config.key == tmp_path / "stftpd.key"
    assert not config.unix_is_meant


def test_our_lines(tmp_path: Path) -> None:
    config = read_config(written(tmp_path, (
        "RADIUS Lab [fe80::1%eth0]@1645 #se:cret= CHAP unsigned\n"
        "ldap staff ldap://dir.example.org ou=people,dc=example,dc=org attribute=cn ca=ca.pem\n"
        "ldap more ldaps://dir.example.org:6360 ou=x\n"
        "Unix file /etc/shadow\n\tdeny Eve LAB\\mallory  # nobody\nkey keys/gateway.pem\n"
    )))
    assert config.domains == {
        "lab": Server("fe80::1%eth0", b"#se:cret=", 1645, chap=True, unsigned=True),
        "staff": Ldap("dir.example.org", 389, False, "ou=people,dc=example,dc=org", "cn", tmp_path / "ca.pem"),
        "more": Ldap("dir.example.org", 6360, True, "ou=x"), "unix": PasswordFile(Path("/etc/shadow")),
    }
    assert {"eve", "mallory"} <= config.denied
    assert config.key == tmp_path / "keys" / "gateway.pem"


@pytest.mark.parametrize(("text", "expected"), [
    ("tacacs a b c", '1:1: unknown word "tacacs"; expected radius, winnt, ldap, unix, deny or key'),
    ("\n  radius lab", "2:13: the line ends too early; expected radius DOMAIN HOST SECRET"),
    ("radius lab host secret clear", '1:24: unknown word "clear" after the secret'),
    ("radius lab host@99999 secret", '1:12: "host@99999" is no server'),
    ("radius la/b host secret", '1:8: "la/b" is no name of a domain'),
    ("radius unix host secret", "1:8: the domain Unix is this host's own"),
    ("radius a h s\nwinnt A h N", "2:7: the domain A is there already"),
    ("winnt lab host", "1:15: the line ends too early"),
    ("winnt lab host NAME more", '1:21: one word too many: "more"'),
    ("winnt lab host SIXTEENLETTERSXX", '1:16: "SIXTEENLETTERSXX" is no NetBIOS name'),
    ("ldap lab http://host ou=x", '1:10: "http://host" is no address of a directory'),
    ("ldap lab ldap://host/ou=x ou=x", "1:10: "),
    ("ldap lab ldap://host:x ou=x", "1:10: "),
    ("ldap lab ldap://host people", '1:22: "people" is no base'),
    ("ldap lab ldap://host ou=x tls=no", '1:27: unknown word "tls=no" after the base'),
    ("unix", "1:5: expected unix pam [SERVICE], or unix file PATH"),
    ("unix nis", "1:6: expected unix pam"),
    ("unix file", "1:10: the line ends too early"),
    ("unix pam ../x", '1:10: "../x" is no name of a PAM service'),
    ("unix pam\nunix file x", "2:1: the domain unix is there already"),
    ("deny", "1:5: deny needs the name of a user"),
    ("key a b", '1:7: one word too many: "b"'),
], ids=lambda value: value if isinstance(value, str) and value[:1].isdigit() else None)
def test_a_mistake_is_told_with_its_place(tmp_path: Path, text: str, expected: str) -> None:
    path = written(tmp_path, text + "\n")
    with pytest.raises(UsageError) as caught:
        read_config(path)
    assert caught.value.message.startswith(f"{path}:{expected}")
    assert "\n" not in caught.value.message


def test_bytes_that_are_no_text(tmp_path: Path) -> None:
    path = tmp_path / "stftpd.conf"
    path.write_bytes(b"deny a\ndeny \xff\n")
    with pytest.raises(UsageError, match=r"stftpd\.conf:2:6: the byte ff is not UTF-8"):
        read_config(path)


@given(st.text(st.sampled_from("radius winnt ldap unix deny key file pam ://=@[]# \t\n\\\x00é"), max_size=120))
def test_any_text_is_a_configuration_or_wrong_usage(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    path = tmp_path_factory.getbasetemp() / "fuzz.conf"
    path.write_text(text, encoding="utf-8")
    try:
        read_config(path)
    except UsageError as error:
        assert error.message.startswith(str(path))  # noqa: PT017
