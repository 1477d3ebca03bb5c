"""Other people's clients read from our server; the bytes are the same."""

from pathlib import Path

import pytest

from bpscript.network.tftp.packets import Request
from tests.network.tftp.peers import ask, content, fetch, serving

CLIENTS = ("curl", "tftp-hpa", "atftp", "busybox")
SIZES = (0, 1, 511, 512, 513, 1428, 100_000)


@pytest.mark.parametrize("client", CLIENTS)
def test_a_client_gets_the_bytes(client: str, tmp_path: Path) -> None:
    root, out = tmp_path / "root", tmp_path / "out"
    root.mkdir()
    with serving(root) as served:
        for size in SIZES:
            (root / f"f{size}").write_bytes(content(size))
            for options in ({}, {"blksize": 1428}):
                if client == "curl" and options and not size:
                    continue        # curl takes tsize=0 in an answer for a mistake
                out.unlink(missing_ok=True)
                done = fetch(client, f"f{size}", out, served.server.port, options)
                assert done.returncode == 0, done.stderr
                assert out.read_bytes() == content(size), (size, options)
        assert all(event.data["outcome"] == "done" and event.data["size"] == int(str(event.data["path"])[1:]) for event in served.events)


@pytest.mark.parametrize("client", CLIENTS)
def test_a_client_hears_that_a_file_is_missing(client: str, tmp_path: Path) -> None:
    with serving(tmp_path) as served:
        done = fetch(client, "nothing", tmp_path / "out", served.server.port)
        assert done.returncode != 0 or "not found" in (done.stdout + done.stderr).lower() or "no file" in done.stdout + done.stderr
        assert served.last()[0]["outcome"] == "refused"


@pytest.mark.parametrize(
    "name", ["../secret", "x/../../secret", "/../secret", "..\\secret", "out", "folder/out", "/etc/hostname", "x:../secret", "folder"],
)
def test_nothing_outside_of_the_root_is_served(name: str, tmp_path: Path) -> None:
    root = tmp_path / "root"
    (root / "folder").mkdir(parents=True)
    (tmp_path / "secret").write_text("secret")
    (root / "out").symlink_to(tmp_path / "secret")
    (root / "folder" / "out").symlink_to("../../secret")
    with serving(root) as served:
        answer = ask(served.server.port, Request(name).build())
        assert answer[:2] == b"\0\5"
        assert b"secret" not in answer[4:].replace(name.encode(), b"")
        assert ask(served.server.port, Request(name, write=True).build())[:2] == b"\0\5"
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["folder", "out", "out", "root", "secret"]


def test_links_and_slashes_inside_the_root_are_followed(tmp_path: Path) -> None:
    (tmp_path / "boot").mkdir()
    (tmp_path / "boot" / "file").write_bytes(b"inside")
    (tmp_path / "link").symlink_to("boot/file")
    with serving(tmp_path) as served:
        for name in ("link", "/boot/file", "boot\\file", "boot//./file"):
            assert ask(served.server.port, Request(name).build()) == b"\0\3\0\1inside"


def test_the_enhanced_port_sends_1408_bytes_without_negotiation(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(content(3000))
    with serving(tmp_path, enhanced=True) as served:
        assert ask(served.server.enhanced_port, Request("file").build()) == b"\0\3\0\1" + content(3000)[:1408]
        assert ask(served.server.port, Request("file").build()) == b"\0\3\0\1" + content(3000)[:512]
