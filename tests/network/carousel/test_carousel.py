"""Server and clients on loopback: what arrives, what is told, and what is never taken for success."""

import math
import os
import random
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace

import pytest

from bpscript.base.errors import NetworkError, UsageError
from bpscript.base.events import Event, Kind
from bpscript.network.carousel import receiver, source
from bpscript.network.carousel.packets import BLOCK, HEAD, MAGIC, session_of
from bpscript.network.carousel.server import CarouselServer
from bpscript.network.carousel.station import RefusedError
from bpscript.network.carousel.talk import PATH, Word
from bpscript.network.http.files import Folder
from bpscript.network.http.remote import RemoteFile
from bpscript.network.sockets import Datagrams
from tests.network.carousel.serving import Serving, serving, texts
from tests.network.http import serving as http

SIZE = 5_000_001


@pytest.fixture
def data(tmp_path: Path) -> bytes:
    (tmp_path / "root").mkdir()
    found = random.Random(1).randbytes(SIZE)
    (tmp_path / "root" / "big image.imz").write_bytes(found)
    return found


def read(served: Serving, heard: list[Event] | None = None) -> bytes:
    with closing(served.source(heard)) as client, closing(client.open("big image.imz")) as file:
        return file.read()


def posted(served: Serving, word: Word) -> bytes:
    body = word.build()
    return served.http.talk(b"POST %s HTTP/1.1\r\nHost: h\r\nConnection: close\r\nContent-Length: %d\r\n\r\n" % (PATH.encode(), len(body)) + body)


def test_a_room_receives_a_file_together(data: bytes, tmp_path: Path) -> None:
    heard: list[Event] = []
    with serving(tmp_path / "root", rate=100_000_000) as served, ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda number: read(served, heard if number == 0 else None), range(4)))
        sent = next(each for each in texts(served.events, Kind.NOTE))
        parts = sum(each.sent for each in served.served)
    assert found == [data] * 4
    assert "carousel /big image.imz: 4 of 4 machines have it" in sent
    assert float(sent.split("it, ")[1].split(" turns")[0]) < 2.2
    assert parts < SIZE // 2
    done = [each.data for each in heard if each.kind is Kind.PROGRESS]
    assert (done[-1]["task"], done[-1]["done"], done[-1]["total"]) == ("receive big image.imz", SIZE, SIZE)
    assert [(each.data["outcome"], each.data["size"]) for each in served.events if each.kind is Kind.TRANSFER] == [("done", SIZE)] * 4


def test_a_file_is_received_once_and_read_often(data: bytes, tmp_path: Path) -> None:
    with serving(tmp_path / "root") as served, closing(served.source()) as client:
        for _ in range(3):
            with closing(client.open("big image.imz")) as file:
                assert file.read() == data
        assert len([each for each in served.events if each.kind is Kind.TRANSFER]) == 1
        changed = data[::-1]
        (tmp_path / "root" / "big image.imz").write_bytes(changed)
        os.utime(tmp_path / "root" / "big image.imz", (5, 5))
        with closing(client.open("big image.imz")) as file:
            assert file.read() == changed


def test_a_small_file_comes_by_http(tmp_path: Path) -> None:
    (tmp_path / "script.bpb").write_bytes(b"# nothing\n")
    with serving(tmp_path) as served, closing(served.source()) as client:
        with closing(client.open("script.bpb")) as file:
            assert file.read() == b"# nothing\n"
        assert served.events == []


def test_where_no_packet_arrives_the_file_comes_by_http_with_a_warning(data: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(receiver, "SILENCE_S", 0.3)
    monkeypatch.setattr(Datagrams, "send_segments", lambda *_: None)         # as a switch that filters them
    heard: list[Event] = []
    with serving(tmp_path / "root") as served:
        assert read(served, heard) == data
        assert [each.data["outcome"] for each in served.events if each.kind is Kind.TRANSFER] == ["failed"]
    assert texts(heard) == [f"no packet of 239.255.69.71 port {served.target[1]} arrives: does a switch hold multicast back?; the file comes by HTTP"]


def test_a_server_without_a_carousel_gives_the_file_by_http_with_a_warning(data: bytes, tmp_path: Path) -> None:
    heard: list[Event] = []
    with http.serving(tmp_path / "root") as served:
        client = source.CarouselSource(f"carousel+{served.url()}", events=heard.append)
        with closing(client), closing(client.open("big image.imz")) as file:
            assert file.read() == data
    assert len(texts(heard)) == 1
    assert "the server has no carousel for http://127.0.0.1" in texts(heard)[0]
    assert "405 Method Not Allowed); the file comes by HTTP" in texts(heard)[0]


def test_without_room_the_file_comes_by_http_with_a_warning(data: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.disk_usage", lambda _: SimpleNamespace(free=1000))
    heard: list[Event] = []
    with serving(tmp_path / "root") as served:
        assert read(served, heard) == data
    assert "a carousel needs 4.8 MB in " in texts(heard)[0]
    assert "where 1000 B are free; the file comes by HTTP" in texts(heard)[0]


def test_a_carousel_that_falls_silent_is_finished_by_http(data: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(receiver, "SILENCE_S", 0.3)
    honest, count = Datagrams.send_segments, 0

    def dying(*words: object) -> None:
        nonlocal count
        count += 1
        if count < 20:
            honest(*words)  # type: ignore[arg-type]

    monkeypatch.setattr(Datagrams, "send_segments", dying)
    heard: list[Event] = []
    with serving(tmp_path / "root") as served:
        assert read(served, heard) == data
        told = next(each.data for each in served.events if each.kind is Kind.TRANSFER)
        assert 0 < int(str(told["repaired"])) < SIZE
    assert "the carousel fell silent" in texts(heard)[0]


def test_lost_packets_are_repaired_by_ranges(data: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    honest, count = Datagrams.send_segments, 0

    def losing(*words: object) -> None:
        nonlocal count
        count += 1
        if count % 30:
            honest(*words)  # type: ignore[arg-type]

    monkeypatch.setattr(Datagrams, "send_segments", losing)
    heard: list[Event] = []
    sending: list[bool] = []
    with serving(tmp_path / "root") as served:
        fetched = RemoteFile.read_at

        def looking(remote: RemoteFile, offset: int, length: int) -> bytes:
            sending.append(served.carousel._station.deadline < math.inf)
            return fetched(remote, offset, length)

        monkeypatch.setattr(RemoteFile, "read_at", looking)
        assert read(served, heard) == data
        assert sending
        assert not any(sending)         # nothing is sent for a machine that repairs
        assert [each.data["done"] for each in heard if each.kind is Kind.PROGRESS][-1] == SIZE
        repaired = int(str(next(each.data for each in served.events if each.kind is Kind.TRANSFER)["repaired"]))
        assert 0 < repaired < SIZE // 8
        parts = [each for each in served.served if each.status == 206]
        assert sum(each.sent for each in parts) <= repaired + 2 * 65_536


def test_wrong_bytes_of_another_sender_are_found_and_fetched_again(data: bytes, tmp_path: Path) -> None:
    heard: list[Event] = []
    stopping = threading.Event()
    with serving(tmp_path / "root", rate=60_000_000) as served:
        etag = http_etag(served)
        session = session_of("/big%20image.imz", SIZE, etag)

        def lie() -> None:
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as liar:
                liar.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton("127.0.0.1"))
                while not stopping.is_set():
                    for index in range(2000, 2100):
                        liar.sendto(HEAD.pack(MAGIC, session, index * BLOCK) + bytes(BLOCK), served.target)
                    time.sleep(0.005)

        liar = threading.Thread(target=lie)
        liar.start()
        try:
            assert read(served, heard) == data
        finally:
            stopping.set()
            liar.join()
    assert "came with wrong bytes and were fetched again by HTTP: does another sender use the group" in texts(heard)[0]


def http_etag(served: Serving) -> str:
    head = served.http.talk(b"HEAD /big%20image.imz HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n").decode()
    return next(line.partition(": ")[2] for line in head.splitlines() if line.startswith("ETag"))


@pytest.mark.parametrize("how", ["replaced", "written"])
def test_a_file_that_changes_meanwhile_is_no_success(how: str, data: bytes, tmp_path: Path) -> None:
    path = tmp_path / "root" / "big image.imz"
    with serving(tmp_path / "root", rate=8_000_000) as served:          # 5 s for a turn

        def change() -> None:
            while not served.carousel.members:
                time.sleep(0.01)
            if how == "written":
                with path.open("r+b") as file:
                    file.write(b"other")
            else:
                (tmp_path / "other").write_bytes(data)
                (tmp_path / "other").rename(path)

        changer = threading.Thread(target=change)
        changer.start()
        with pytest.raises(NetworkError, match=r"big%20image\.imz changed on the server while it was received"):
            read(served)
        changer.join()
        assert not served.served        # it was noticed while the carousel was listened to, not by what HTTP brought
        assert "done" not in [each.data["outcome"] for each in served.events if each.kind is Kind.TRANSFER]


def test_who_loses_its_place_fetches_the_rest_by_http(data: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bpscript.network.carousel.server.KEEP_ALIVE_S", 0.1)
    heard: list[Event] = []
    with serving(tmp_path / "root", rate=8_000_000) as served, ThreadPoolExecutor(1) as pool:       # 5 s for a turn
        future = pool.submit(read, served, heard)
        while not served.carousel.members:
            time.sleep(0.01)
        time.sleep(0.3)

        def refuse(*_: object, **__: object) -> bytes:
            raise RefusedError("12 turns have passed")

        monkeypatch.setattr(served.carousel._station, "join", refuse)
        assert future.result(20) == data
        assert sum(each.sent for each in served.served) > SIZE // 2
    assert any("has no carousel for" in text and text.endswith("what is missing comes by HTTP") for text in texts(heard))


def test_digests_that_do_not_fit_are_no_success(data: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bpscript.network.carousel.server.digests_of", lambda *_: bytes(5 * 32))
    with serving(tmp_path / "root") as served:
        with pytest.raises(NetworkError, match="do not fit the digests"):
            read(served)
        assert [each.data["outcome"] for each in served.events if each.kind is Kind.TRANSFER] == ["failed"]


def test_a_server_that_starts_again_is_joined_again(data: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bpscript.network.carousel.server.KEEP_ALIVE_S", 0.1)
    with serving(tmp_path / "root", rate=30_000_000) as served, ThreadPoolExecutor(1) as pool:      # 1.4 s for a turn
        future = pool.submit(read, served)
        while not served.carousel.members:
            time.sleep(0.01)
        time.sleep(0.3)
        before = served.carousel._station
        with served.carousel._changed:
            served.carousel._station = type(before)(30_000_000, served.carousel._over)      # it knows nobody any more
            served.carousel._files.clear()
        assert future.result(20) == data
        assert served.carousel._station is not before
        assert [each.data["outcome"] for each in served.events if each.kind is Kind.TRANSFER] == ["done"]


@pytest.mark.parametrize(("word", "status"), [
    (Word("/none", "00000000"), b"404"), (Word("/../etc/passwd", "00000000"), b"400"), (Word("/empty", "00000000"), b"503"), (Word("/none", "00000000", "complete"), b"404"),
], ids=["missing", "outside", "empty", "leaving"])
def test_what_cannot_be_sent_is_refused(word: Word, status: bytes, tmp_path: Path) -> None:
    (tmp_path / "empty").touch()
    with serving(tmp_path) as served:
        assert posted(served, word).split(b" ")[1] == status
        assert served.http.talk(b"GET %s HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n" % PATH.encode()).split(b" ")[1] == b"405"
        assert served.carousel.members == 0


def test_who_leaves_another_members_place_does_not_take_it(data: bytes, tmp_path: Path) -> None:
    with serving(tmp_path / "root", rate=1_000_000) as served:
        assert b" 200 " in posted(served, Word("/big%20image.imz", "00000001"))
        assert b" 204 " in posted(served, Word("/big%20image.imz", "00000002", "complete"))
        assert served.carousel.members == 1
        assert b" 204 " in posted(served, Word("/big%20image.imz", "00000001", "incomplete"))
        assert served.carousel.members == 0
    assert "0 of 1 machines have it" in texts(served.events)[0]


def test_a_group_that_cannot_be_joined_is_a_warning(data: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> str:
        raise NetworkError("there is no way to the server")

    monkeypatch.setattr("bpscript.network.carousel.fetch.address_towards", refuse)
    heard: list[Event] = []
    with serving(tmp_path / "root") as served:
        assert read(served, heard) == data
    assert texts(heard) == ["there is no way to the server; the file comes by HTTP"]


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'{"path": "/x"}', b"[" * 5000], ids=["empty", "half", "list", "short", "deep"])
def test_words_that_are_none_are_refused(body: bytes, tmp_path: Path) -> None:
    with serving(tmp_path) as served:
        head = b"POST %s HTTP/1.1\r\nHost: h\r\nConnection: close\r\nContent-Length: %d\r\n\r\n" % (PATH.encode(), len(body))
        assert served.http.talk(head + body).split(b" ")[1] == b"400"


def test_a_carousel_needs_one_interface(tmp_path: Path) -> None:
    for address in ("0.0.0.0", "::", "::1", ""):
        with pytest.raises(UsageError, match="one interface with an IPv4 address"):
            CarouselServer(Folder(tmp_path), address, ("239.1.1.1", 1), rate=1_000_000, events=lambda _: None)
