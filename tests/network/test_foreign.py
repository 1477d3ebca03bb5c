"""Names of files of a server (language.md 4.2)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bpscript.base.errors import StorageError
from bpscript.network.foreign import ForeignName, parse_foreign


@pytest.mark.parametrize(
    ("name", "server", "gateway", "port", "path"),
    [
        ("help.bpb", "", "", None, "help.bpb"),
        ("gifs/MyImage.gif", "", "", None, "gifs/MyImage.gif"),
        ("198.76.54.32:help.bpb", "198.76.54.32", "", None, "help.bpb"),
        ("198.70.0.1/198.76.54.31:help.bpb", "198.76.54.31", "198.70.0.1", None, "help.bpb"),
        ("198.76.54.32@89:getpasswd/smith", "198.76.54.32", "", 89, "getpasswd/smith"),
        ("gw/images.lab.example@6969:a/b", "images.lab.example", "gw", 6969, "a/b"),
        ("gw/@69:x", "", "gw", 69, "x"),
        ("@89:passwd", "", "", 89, "passwd"),
        ("c:autoexec.bat", "c", "", None, "autoexec.bat"),      # a letter is a host name, not a drive
        ("[fe80::1]:x", "fe80::1", "", None, "x"),
        ("[fe80::1%eth0]@69:x", "fe80::1%eth0", "", 69, "x"),
        ("[::1]/[2001:db8::5]@1069:d/x", "2001:db8::5", "::1", 1069, "d/x"),
        ("boot\\menu.bpb", "", "", None, "boot/menu.bpb"),
        ("srv:\\boot\\menu.bpb", "srv", "", None, "boot/menu.bpb"),
        ("srv:/abs//x/./y", "srv", "", None, "abs/x/y"),
        ("/leading/slash", "", "", None, "leading/slash"),
        ("a/../b", "", "", None, "b"),
        ("srv:", "srv", "", None, ""),
        ("srv:a:b", "srv", "", None, "a:b"),                    # the first colon counts
        ("host.:x", "host.", "", None, "x"),
        ("my_host:x", "my_host", "", None, "x"),
    ],
)
def test_the_parts_of_a_name(name: str, server: str, gateway: str, port: int | None, path: str) -> None:
    found = parse_foreign(name)
    assert (found.server, found.gateway, found.port, found.path) == (server, gateway, port, path)


@pytest.mark.parametrize(
    "name",
    ["1.2.3:x", "300.1.1.1:x", "12:30", "a b:x", "-x:y", "x-:y", ":x", "a/b/c:x", "[1.2.3.4]:x", "[fe80::1:x", "srv@:x", "srv@8a:x",
     "a..b:x", "[]:x", "é:x"],
)
def test_what_looks_like_no_server_part_is_path(name: str) -> None:
    found = parse_foreign(name)
    assert (found.server, found.gateway, found.port, found.server_part) == ("", "", None, "")
    assert found.path == name


def test_the_folder_of_a_server_part() -> None:
    assert parse_foreign("198.70.0.1/198.76.54.31@69:help.bpb").folder == "198.70.0.1_198.76.54.31@69"
    assert parse_foreign("help.bpb").folder == ""
    assert str(parse_foreign("gw/srv@69:/a/./b")) == "gw/srv@69:a/b"


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("../x", '"../x" leaves the directory of the server'),
        ("srv:a/../../x", "leaves the directory of the server"),
        ("srv@0:x", "names port 0; expected 1 to 65535"),
        ("srv@65536:x", "names port 65536"),
        ("@99999999999999999999999999999:x", "names port 9999"),
        ("a\0b", "cannot hold the character code 0"),
    ],
)
def test_names_that_cannot_be_are_refused(name: str, reason: str) -> None:
    with pytest.raises(StorageError) as caught:
        parse_foreign(name)
    assert reason in caught.value.message


@given(st.text("ab.-_[]@:/\\0159é\0 ", max_size=30))
def test_any_text_is_a_name_or_refused(name: str) -> None:
    try:
        found = parse_foreign(name)
    except StorageError:
        return
    assert isinstance(found, ForeignName)
    assert ".." not in found.path.split("/")
    assert not found.path.startswith("/")
    assert "/" not in found.folder
    assert found.folder not in {".", ".."}
    assert parse_foreign(str(found)).path == found.path or not found.server_part
