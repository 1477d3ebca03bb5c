"""Our client as a source of files: from our server, from other people's, and in scripts."""

import os
import signal
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import pytest

from bpscript.api import NewDisk, run
from bpscript.base.errors import NetworkError, NotFoundError, ReadOnlyError, ScriptError, StorageError, UsageError
from bpscript.base.sources import SourceFacts
from bpscript.network.roots import open_root
from bpscript.network.tftp.packets import ack_packet, data_packet, error_packet, oack_packet
from bpscript.network.tftp.source import TftpSource
from tests.network.tftp.peers import content, foreign_server, free_port, serving, stub

SIZES = (0, 1, 511, 512, 1427, 1428, 1429, 45_696, 1_000_000)


def read_all(source: TftpSource, name: str) -> bytes:
    with closing(source.open(name)) as reader:
        return b"".join(iter(lambda: reader.read(70_000), b""))


@pytest.mark.parametrize("server", ["ours", "tftpd-hpa", "atftpd"])
def test_files_of_a_server_are_read(server: str, tmp_path: Path) -> None:
    for size in SIZES:
        (tmp_path / f"f{size}").write_bytes(content(size))
    with foreign_server(server, tmp_path) as port:
        for block_size, window in ((1428, 32), (512, 1), (1428, 1), (8192, 4), (65464, 2)):
            source = TftpSource("127.0.0.1", port, block_size=block_size, window=window)
            for size in SIZES:
                assert read_all(source, f"f{size}") == content(size), (block_size, window, size)
                assert source.stat(f"f{size}") == SourceFacts(size, None)
        with pytest.raises(NotFoundError, match=rf'no file "nothing" of tftp://127.0.0.1:{port}'):
            source.open("nothing")
        assert source.stat("nothing") is None


def test_a_reader_gives_as_much_as_is_asked_for(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(content(100_000))
    with serving(tmp_path) as served, closing(TftpSource("127.0.0.1", served.server.port).open("file")) as reader:
        assert reader.size == 100_000
        assert reader.read(0) == b""
        pieces = [reader.read(7), reader.read(50_000), reader.read(1428 * 3), reader.read()]
        assert [len(piece) for piece in pieces] == [7, 50_000, 4284, 45_709]
        assert b"".join(pieces) == content(100_000)
        assert reader.read() == reader.read(5) == b""


def test_a_reader_that_is_closed_early_says_so(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(content(1_000_000))
    with serving(tmp_path) as served:
        reader = TftpSource("127.0.0.1", served.server.port).open("file")
        reader.read(10_000)
        reader.close()
        reader.close()
        assert served.last()[0]["outcome"] == "aborted"
        assert served.server.transfers == 0


def test_no_more_than_a_window_is_held(tmp_path: Path) -> None:
    """A reader that does not read stops the server: what waits is in the kernel's buffer, and none of it in ours."""
    (tmp_path / "file").write_bytes(content(3_000_000))
    with serving(tmp_path) as served, closing(TftpSource("127.0.0.1", served.server.port).open("file")) as reader:
        reader.read(1000)
        time.sleep(0.3)
        assert reader._held <= 2 * 32 * 1428
        assert reader.read() == content(3_000_000)[1000:]


def test_the_enhanced_port_of_the_original_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bpscript.network.tftp.source.ENHANCED_PORT", port := free_port())
    with stub(port, [data_packet(1, bytes(1408)), data_packet(2, b"end")]) as heard:
        assert read_all(TftpSource("127.0.0.1", port), "x") == bytes(1408) + b"end"
        end = time.monotonic() + 5
        while len(heard) < 3 and time.monotonic() < end:
            time.sleep(0.005)
    assert heard == [b"\0\1x\0octet\0", ack_packet(1), ack_packet(2)]


@pytest.mark.parametrize(
    ("answers", "words"),
    [
        ([error_packet(2, "go away")], 'cannot be fetched: access is refused: it says "go away"'),
        ([error_packet(0, "")], "cannot be fetched: the server refuses without a reason"),
        ([error_packet(77, "x\x1b[31my")], 'cannot be fetched: error 77: it says "x \\[31my"'),
        ([oack_packet({"blksize": "9000"})], 'the server sent option blksize was answered with "9000"; expected 8 to 1428'),
        ([data_packet(1, bytes(600))], "the server sent a block of 600 bytes; expected at most 512"),
        ([oack_packet({"tsize": "5"}), data_packet(1, b"1234")], "has 4 bytes; the server announced 5"),
        ([oack_packet({"tsize": "5"}), error_packet(3, "full")], 'its disk is full: it says "full"'),
    ],
    ids=["access", "no-reason", "unknown-code", "block-size", "large-block", "short", "full"],
)
def test_what_a_server_does_wrong_is_said_in_a_sentence(answers: list[bytes], words: str) -> None:
    port = free_port()
    with stub(port, answers), pytest.raises(NetworkError, match=words) as error:
        read_all(TftpSource("127.0.0.1", port), "file")
    assert f'"file" of tftp://127.0.0.1:{port}' in error.value.message


def test_a_port_without_a_server_is_said_at_once() -> None:
    started = time.monotonic()
    with pytest.raises(NetworkError, match="the host has no TFTP server on that port") as error:
        TftpSource("127.0.0.1", free_port()).open("file")
    assert time.monotonic() - started < 1
    assert error.value.hint is not None


def test_facts_of_a_file_are_asked_of_a_server_that_is_there() -> None:
    """A server that refuses the file has none for us; one that is not there is an error, not a file that is missing."""
    port = free_port()
    with pytest.raises(NetworkError, match="the host has no TFTP server on that port"):
        TftpSource("127.0.0.1", port).stat("file")
    with stub(port, []), pytest.raises(NetworkError, match="the server gives no answer"):
        TftpSource("127.0.0.1", port, repetitions=0).stat("file")
    with stub(port, [error_packet(2, "not yours")]):
        assert TftpSource("127.0.0.1", port).stat("file") is None


def test_a_server_that_falls_silent_is_given_up() -> None:
    port = free_port()
    with stub(port, []), pytest.raises(NetworkError, match="the server gives no answer") as error:
        TftpSource("127.0.0.1", port, repetitions=0).open("file")
    assert error.value.hint is not None
    with stub(port, [oack_packet({"tsize": "5000", "blksize": "1428"}), data_packet(1, bytes(1428))]), pytest.raises(
        NetworkError, match="gives no answer after 0 repetitions after 1428 bytes"
    ):
        read_all(TftpSource("127.0.0.1", port, repetitions=0), "file")


def test_a_host_without_an_address_is_named() -> None:
    with pytest.raises(NetworkError, match=r'no address is known for the server "nowhere\.invalid"'):
        TftpSource("nowhere.invalid").open("file")


def test_nothing_is_written_or_listed() -> None:
    source = open_root("tftp://127.0.0.1/images")
    with pytest.raises(ReadOnlyError, match=r'"x" cannot be written: tftp://127\.0\.0\.1 is a server'):
        source.store("x", [b""])
    with pytest.raises(StorageError, match="a TFTP server has no directories"):
        source.entries("x")


@pytest.mark.parametrize("url", ["tftp://", "tftp:///x", "tftp://h:0/x", "tftp://h:99999/", "tftp://a b@c/", "ftp://h/", "tftp://[::1/x"])
def test_what_is_no_address_is_refused(url: str) -> None:
    with pytest.raises(UsageError, match="expected"):
        open_root(url)


def test_server_parts_are_real_servers(tmp_path: Path) -> None:
    for name in ("one/images", "two"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "one" / "images" / "f").write_bytes(b"one/images/f")
    (tmp_path / "one" / "f").write_bytes(b"one/f")
    (tmp_path / "two" / "f").write_bytes(b"two/f")
    with serving(tmp_path / "one") as one, serving(tmp_path / "two") as two, serving(tmp_path / "two", address="::1") as six:
        root = open_root(f"tftp://127.0.0.1:{one.server.port}/images")
        for name, expected in (
            ("f", b"one/images/f"), ("/f", b"one/images/f"), (f"@{one.server.port}:f", b"one/f"), (f"127.0.0.1@{two.server.port}:f", b"two/f"),
            (f"@{two.server.port}:f", b"two/f"), (f"[::1]@{six.server.port}:f", b"two/f"),
        ):
            with closing(root.open(name)) as reader:
                assert reader.read(100) == expected, name
            assert root.stat(name) == SourceFacts(len(expected), None)
        with pytest.raises(StorageError, match="leaves the directory of the server"):
            root.open("../f")
        assert root.stat("../f") is None


def test_a_script_runs_from_a_server(tmp_path: Path) -> None:
    root = tmp_path / "root"
    root.mkdir()
    (root / "inner.bpb").write_text('set a="from the server"\n')
    (root / "big").write_bytes(content(300_000))
    script = tmp_path / "x.bpb"
    with serving(root) as served:
        url = f"tftp://127.0.0.1:{served.server.port}"
        script.write_text(
            f'Include "inner.bpb"\nSetPartitions "FAT16:20"\nClean 1\nCopy "@{served.server.port}:big" "{{:1}}big"\n'
            'if exist "big" set b="yes"\nif exist "nothing" set c="yes"\nLogFile "inner.bpb"\n'
        )
        done = run(script, disks=[NewDisk(tmp_path / "disk.img", 64 << 20)], root=url)
        assert done.variables["a"] == "from the server"
        assert done.variables["b"] == "yes"
        assert "c" not in done.variables
        assert 'set a="from the server"' in done.log
        for line, words in (
            ('Copy "inner.bpb" "outer.bpb"', "cannot be written"), ('LogDir "folder"', "no directory"), ('Include "nothing.bpb"', "no file"),
        ):
            script.write_text(line + "\n")
            with pytest.raises(ScriptError, match=words):
                run(script, root=url)


def test_ctrl_c_ends_a_script_that_waits_for_a_server(tmp_path: Path) -> None:
    port = free_port()
    script = tmp_path / "x.bpb"
    script.write_text('LogFile "x"\n')
    with stub(port, []) as heard:
        child = subprocess.Popen(
            [sys.executable, "-m", "bpscript", "run", script, "--root", f"tftp://127.0.0.1:{port}"], stderr=subprocess.PIPE, cwd=Path(__file__).parents[3],
            env={**os.environ, "PYTHONFAULTHANDLER": "1"},
        )
        end = time.monotonic() + 20
        while not heard and time.monotonic() < end:
            time.sleep(0.01)
        child.send_signal(signal.SIGINT)
        _, words = child.communicate(timeout=10)
    assert (child.returncode, words) == (130, b"bpscript: interrupted\n")
