"""`bpscript image` with an address of a web server as ARCHIVE: only what is needed is fetched."""

import json
import random
from pathlib import Path

import pytest

from bpscript.cli.main import main
from tests.cli.images import captured, ext_image, make_tree
from tests.network.http.serving import Serving, cutting, serving
from tests.oracles import e2fsck


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A web server's folder with an archive in one piece, and one in fragments; beside it the partition."""
    root = tmp_path / "root"
    root.mkdir()
    (tmp_path / "tree").mkdir()
    tree = make_tree(tmp_path / "tree")
    (tree / "more").write_bytes(random.Random(4).randbytes(6 << 20))
    image = ext_image(tmp_path / "part.img", tree)
    captured(image, root / "model.imz")
    captured(image, root / "cut.imz", 1 << 20)
    assert (root / "cut.imz.001").exists()
    return root


def fetched(server: Serving, name: str = "") -> int:
    """Bytes of the archive that were served since the last call."""
    total = sum(each.sent for each in server.seen if each.status == 206)
    server.told.clear()
    return total


def test_an_archive_is_restored_and_again_by_difference(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The second time only the chunks that differ come over the wire."""
    stored = (folder / "model.imz").stat().st_size
    target = tmp_path / "target.img"
    target.write_bytes(bytes(32 << 20))
    with serving(folder) as server:
        assert main(["image", "restore", server.url("model.imz"), str(target)]) == 0
        first = fetched(server)
        assert stored * 0.95 < first < stored + 400_000
        e2fsck(target)
        whole = target.read_bytes()
        assert whole == _restored(folder / "model.imz", tmp_path, capsys)
        data = bytearray(whole)
        where = whole.index(b"names\n")
        data[where : where + 5] = b"wrong"
        target.write_bytes(data)
        assert main(["image", "restore", server.url("model.imz"), str(target), "--rewrite", "diff", "--json"]) == 0
        again = fetched(server)
        assert target.read_bytes() == whole
        assert again < first / 4, (again, first)
    report = json.loads(capsys.readouterr().out.partition("\n{")[2].join(["{", ""]))
    assert report["equal"] > report["written"]


def _restored(archive: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> bytes:
    """What a restore from the file itself gives."""
    target = tmp_path / "from-file.img"
    target.write_bytes(bytes(32 << 20))
    assert main(["image", "restore", str(archive), str(target)]) == 0
    return target.read_bytes()


def test_nothing_differs_and_hardly_anything_is_fetched(folder: Path, tmp_path: Path) -> None:
    target = tmp_path / "target.img"
    target.write_bytes(bytes(32 << 20))
    with serving(folder) as server:
        assert main(["image", "restore", server.url("model.imz"), str(target)]) == 0
        fetched(server)
        assert main(["image", "restore", server.url("model.imz"), str(target), "--rewrite", "diff"]) == 0
        assert fetched(server) <= 3 * (64 << 10)        # the beginning and the end of the archive


def test_looking_into_an_archive_on_a_server(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with serving(folder) as server:
        url = server.url("model.imz")
        assert main(["image", "info", url, "--json"]) == 0
        assert json.loads(capsys.readouterr().out)["label"] == "model"
        assert fetched(server) <= 3 * (64 << 10)
        assert main(["image", "ls", f"{url}:etc"]) == 0
        assert "fstab" in capsys.readouterr().out
        assert main(["image", "cat", f"{url}:etc/fstab"]) == 0
        assert "/dev/sda1" in capsys.readouterr().out
        assert main(["image", "get", f"{url}:etc/fstab", str(tmp_path / "fstab")]) == 0
        assert (tmp_path / "fstab").read_text().startswith("/dev/sda1")
        assert main(["image", "verify", url]) == 0
        assert capsys.readouterr().out == f"{url}: everything was decoded and is right\n"


def test_fragments_are_found(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with serving(folder) as server:
        assert main(["image", "verify", server.url("cut.imz")]) == 0
        (folder / "cut.imz.001").unlink()
        assert main(["image", "verify", server.url("cut.imz")]) == 1
        assert "fragment" in capsys.readouterr().err


def test_a_restore_over_a_wire_that_is_cut(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    target = tmp_path / "target.img"
    target.write_bytes(bytes(32 << 20))
    with serving(folder) as server, cutting(server.port, lambda number: 400_000) as (port, passed):
        assert main(["image", "restore", f"http://127.0.0.1:{port}/model.imz", str(target)]) == 0
        assert len(passed) > 4
    assert target.read_bytes() == _restored(folder / "model.imz", tmp_path, capsys)


def test_a_missing_archive_is_one_sentence(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with serving(folder) as server:
        assert main(["image", "info", server.url("none.imz")]) == 1
        assert capsys.readouterr().err == f'bpscript: error: no file "none.imz" at {server.url()}\n'
        assert main(["image", "restore", server.url("none.imz"), str(tmp_path / "x")]) == 1


def test_an_archive_replaced_in_the_middle_stops_the_restore(folder: Path, tmp_path: Path) -> None:
    """The partition stays marked: it is not a mixture that looks whole."""
    import bpscript  # noqa: PLC0415
    from bpscript.base.errors import NetworkError  # noqa: PLC0415
    from bpscript.base.events import Event, Kind  # noqa: PLC0415

    target = tmp_path / "target.img"
    target.write_bytes(bytes(32 << 20))
    with serving(folder) as server:
        new = folder / "new"
        new.write_bytes((folder / "cut.imz").read_bytes() + bytes(3_000_000))

        def replace(event: Event) -> None:
            if event.kind is Kind.PROGRESS and new.exists():
                new.replace(folder / "model.imz")

        with pytest.raises(NetworkError, match="changed on the server while it was read"):
            bpscript.restore(server.url("model.imz"), target, events=replace)
    assert target.read_bytes()[:2048] == bytes(2048)
