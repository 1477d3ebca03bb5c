"""Where the boot environment looks for its script and its server."""

from pathlib import Path

import pytest

from bpscript.base.errors import NotFoundError, UsageError
from bpscript.network.memory import MemorySource
from bpscript.workstation.network import Network, find_root, write_resolver
from bpscript.workstation.parameters import Parameters
from bpscript.workstation.station import default_script, read_script, server_of


@pytest.mark.parametrize(
    ("boot_file", "script"), [("http://10.0.0.1/boot.ipxe", "boot"), ("lab/bpbatch.P", "bpbatch"), ("", "boot"), ("x\\pxe.0", "pxe")]
)
def test_the_boot_file_names_the_script(boot_file: str, script: str) -> None:
    assert default_script({"BOOTP-Bootfile": boot_file}) == script


def test_an_extension_is_added_unless_the_file_exists() -> None:
    root = MemorySource({"deploy.bpb": b"1", "lab.v2": b"2", "lab.v2.bpb": b"3", "other.v2.bpb": b"4"})
    assert read_script(root, "deploy", is_named=True) == ("deploy.bpb", b"1")
    assert read_script(root, "lab.v2", is_named=True) == ("lab.v2", b"2")
    assert read_script(root, "other.v2", is_named=True) == ("other.v2.bpb", b"4")


def test_a_script_that_was_named_must_be_there() -> None:
    with pytest.raises(NotFoundError, match=r"no script none\.bpb at "):
        read_script(MemorySource({}), "none", is_named=True)
    assert read_script(MemorySource({}), "boot", is_named=False) is None


def test_a_script_stays_in_the_folder() -> None:
    with pytest.raises(UsageError, match="would leave the folder"):
        read_script(MemorySource({}), "../../etc/passwd", is_named=True)


@pytest.mark.parametrize(
    ("variables", "root"),
    [
        ({"BOOTP-Bootfile": "http://10.0.0.1:8080/boot.ipxe", "BOOTP-Server-IP": "10.0.0.1"}, "http://10.0.0.1:8080/"),
        ({"BOOTP-Bootfile": "undionly.kpxe", "BOOTP-Server-IP": "127.0.0.9"}, "tftp://127.0.0.9/"),
    ],
)
def test_the_server_is_where_the_boot_file_came_from(variables: dict[str, str], root: str) -> None:
    assert find_root(Network("eth0", variables), Parameters(), "boot.bpb") == root


def test_a_root_that_was_said_wins() -> None:
    assert find_root(Network("eth0", {}), Parameters(root="tftp://h/x"), "boot.bpb") == "tftp://h/x"


@pytest.mark.parametrize(("url", "server"), [("http://h:8080/x", "http://h:8080/"), ("carousel+http://h/", "http://h/"), ("tftp://h/", None), ("multicast+tftp://h/", None), ("ftp://h/", None)])
def test_reports_go_to_http_servers(url: str, server: str | None) -> None:
    assert server_of(url) == server


def test_names_of_servers_are_asked_where_the_dhcp_reply_says(tmp_path: Path) -> None:
    write_resolver({"BOOTP-Domain-name-Servers": "10.9.0.1 10.9.0.2", "BOOTP-Domain-Name": "lab.example\nnameserver 6.6.6.6"}, tmp_path / "resolv.conf")
    assert (tmp_path / "resolv.conf").read_text() == "search lab.example\nnameserver 10.9.0.1\nnameserver 10.9.0.2\n"
    write_resolver({}, tmp_path / "resolv.conf")
    assert (tmp_path / "resolv.conf").read_text() == ""
