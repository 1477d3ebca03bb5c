"""`image keygen`, `image sign`, `image verify --key`: openssl is the judge of keys and signatures."""

import json
import os
import stat
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from bpscript.api import NewDisk, RunOptions, execute
from bpscript.archive import signing
from bpscript.archive.container import Archive
from bpscript.archive.positional import fragment_name, open_from_host
from bpscript.archive.table import SIGNED_TEXT
from bpscript.base.errors import NoSpaceError
from bpscript.cli.main import main
from tests.cli.images import captured, fat_image, flip, make_tree, packed
from tests.oracles import run_tool


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("keys")
    tree = make_tree(folder / "tree")
    fat_image(folder / "fat.img", tree)
    captured(folder / "fat.img", folder / "fat.imz")
    packed(tree, folder / "files.imi")
    assert main(["image", "keygen", str(folder / "lab")]) == 0
    assert main(["image", "keygen", str(folder / "other")]) == 0
    return folder


@pytest.fixture
def place(made: Path, tmp_path: Path) -> Path:
    for name in ("fat.imz", "files.imi", "lab.key", "lab.pub", "other.pub", "other.key"):
        (tmp_path / name).write_bytes((made / name).read_bytes())
    return tmp_path


def root_of(archive: Path) -> bytes:
    with Archive.open(open_from_host(archive)) as found:  # type: ignore[arg-type]
        assert found.table is not None
        return found.table.root


def signature_of(archive: Path) -> bytes:
    with Archive.open(open_from_host(archive)) as found:  # type: ignore[arg-type]
        assert found.signature is not None
        return found.signature.signature


def test_the_keys_are_what_openssl_takes_for_a_pair(made: Path) -> None:
    public = run_tool(["openssl", "pkey", "-in", made / "lab.key", "-pubout"]).stdout
    assert public == (made / "lab.pub").read_text()
    assert "ED25519" in run_tool(["openssl", "pkey", "-in", made / "lab.key", "-noout", "-text"]).stdout
    assert stat.S_IMODE((made / "lab.key").stat().st_mode) == 0o600
    assert (made / "lab.key").read_bytes() != (made / "other.key").read_bytes()


@pytest.mark.parametrize("there", ["lab.key", "lab.pub"])
def test_keygen_overwrites_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str], there: str) -> None:
    (tmp_path / there).write_text("mine")
    assert main(["image", "keygen", str(tmp_path / "lab")]) == 2
    assert f"{there} exists already" in capsys.readouterr().err
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [(there, "mine")]


@pytest.mark.parametrize("name", ["fat.imz", "files.imi"])
def test_openssl_finds_the_signature_good(place: Path, name: str) -> None:
    before = place / "before"
    run_tool(["zstd", "-q", "-d", place / name, "-o", before])
    assert main(["image", "sign", str(place / name), str(place / "lab.key")]) == 0
    (place / "text").write_bytes(SIGNED_TEXT + root_of(place / name))
    assert len(SIGNED_TEXT) == 22
    (place / "signature").write_bytes(signature_of(place / name))
    command: list[str | Path] = ["openssl", "pkeyutl", "-verify", "-pubin", "-inkey", place / "lab.pub", "-rawin", "-in", place / "text", "-sigfile", place / "signature"]
    run_tool(command)
    (place / "text").write_bytes(SIGNED_TEXT + bytes(32))
    assert run_tool(command, ok=None).returncode != 0
    run_tool(["zstd", "-q", "-d", place / name, "-o", place / "after"])
    assert (place / "after").read_bytes() == before.read_bytes()


def test_a_key_of_openssl_signs_too(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run_tool(["openssl", "genpkey", "-algorithm", "ed25519", "-out", place / "their.key"])
    run_tool(["openssl", "pkey", "-in", place / "their.key", "-pubout", "-out", place / "their.pub"])
    assert main(["image", "sign", str(place / "fat.imz"), str(place / "their.key")]) == 0
    assert main(["image", "verify", str(place / "fat.imz"), "--key", str(place / "their.pub")]) == 0


@pytest.mark.parametrize("name", ["fat.imz", "files.imi"])
def test_signing_again_replaces_the_signature(place: Path, capsys: pytest.CaptureFixture[str], name: str) -> None:
    archive = str(place / name)
    assert main(["image", "sign", archive, str(place / "lab.key")]) == 0
    size = (place / name).stat().st_size
    assert main(["image", "sign", archive, str(place / "other.key")]) == 0
    assert (place / name).stat().st_size == size
    assert main(["image", "verify", archive, "--key", str(place / "other.pub")]) == 0
    capsys.readouterr()
    assert main(["image", "verify", archive, "--key", str(place / "lab.pub")]) == 1
    assert "no valid signature" in capsys.readouterr().err
    assert main(["image", "info", archive, "--json"]) == 0
    key = json.loads(capsys.readouterr().out)["signature"]
    der = run_tool(["openssl", "pkey", "-pubin", "-in", place / "other.pub", "-outform", "DER", "-out", place / "der"])
    assert der.returncode == 0
    assert key == {"key": (place / "der").read_bytes()[-32:].hex(), "valid": True}


def test_no_signature_is_no_good_signature(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("fat.imz", "files.imi", "fat.imz"):
        assert main(["image", "verify", str(place / name), "--key", str(place / "lab.pub")]) == 1
        assert "is not signed" in capsys.readouterr().err


def test_a_changed_signature_is_found(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    archive = place / "fat.imz"
    assert main(["image", "sign", str(archive), str(place / "lab.key")]) == 0
    flip(archive, archive.read_bytes().index(signature_of(archive)) + 5)
    assert main(["image", "verify", str(archive), "--key", str(place / "lab.pub")]) == 1
    assert "no valid signature" in capsys.readouterr().err
    assert main(["image", "info", str(archive)]) == 0
    assert "NOT VALID" in capsys.readouterr().out


def test_scripts_take_what_was_signed_and_nothing_else(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (place / "s.bpb").write_text('SetPartitions "FAT32:60"\nset Image-Key = "lab.pub"\nFullUnzip "fat.imz" 1\nIncrUnzip "files.imi" "{:1}/"\n')

    def run() -> str:
        result = execute(RunOptions(script=place / "s.bpb", disks=[NewDisk(place / "disk.img", 64 << 20)]))
        return "" if result.error is None else result.error.message

    assert "is not signed" in run()
    assert main(["image", "sign", str(place / "fat.imz"), str(place / "lab.key")]) == 0
    assert "files.imi" in run()
    assert main(["image", "sign", str(place / "files.imi"), str(place / "other.key")]) == 0
    assert "no valid signature" in run()
    assert main(["image", "sign", str(place / "files.imi"), str(place / "lab.key")]) == 0
    assert run() == ""
    run_tool(["mtype", "-i", f"{place / 'disk.img'}@@1M", "::/etc/fstab"])


# --- what a crash leaves ---------------------------------------------------------------------------------------------


def cut(place: Path, made: Path, sizes: list[int]) -> Path:
    """The archive in fragments of these sizes, the last with the rest."""
    data = (made / "fat.imz").read_bytes()
    name = place / "cut.imz"
    for number, size in enumerate([*sizes, len(data)]):
        name.with_name(fragment_name(name.name, number)).write_bytes(data[:size])
        data = data[size:]
    return name


def end_of(made: Path) -> tuple[int, int]:
    """Bytes of the archive, and where its seek table begins."""
    data = (made / "fat.imz").read_bytes()
    return len(data), len(data) - (8 + 8 * int.from_bytes(data[-9:-5], "little") + 9)


CUTS = ["one file", "a long last fragment", "a full last fragment", "the end begins a fragment", "the end is cut"]


def fragments(made: Path, kind: str) -> list[int]:
    size, position = end_of(made)
    return {
        "one file": [], "a long last fragment": [size * 2 // 3], "a full last fragment": [size // 2 + size % 2],
        "the end begins a fragment": [position // 2, position - position // 2], "the end is cut": [position + 20],
    }[kind]


@pytest.mark.parametrize("kind", CUTS)
def test_fragments_are_signed(place: Path, made: Path, capsys: pytest.CaptureFixture[str], kind: str) -> None:
    archive = cut(place, made, fragments(made, kind))
    assert main(["image", "sign", str(archive), str(place / "lab.key")]) == 0
    assert main(["image", "verify", str(archive), "--key", str(place / "lab.pub")]) == 0
    assert main(["image", "sign", str(archive), str(place / "other.key")]) == 0
    assert main(["image", "verify", str(archive), "--key", str(place / "other.pub")]) == 0
    whole = b"".join(part.read_bytes() for part in sorted(place.glob("cut.imz*")))
    assert main(["image", "sign", str(place / "fat.imz"), str(place / "other.key")]) == 0
    assert whole == (place / "fat.imz").read_bytes()


class Crash(Exception):
    pass


@pytest.mark.parametrize("kind", CUTS)
def test_after_a_crash_it_is_the_old_archive_or_the_new(
    place: Path, made: Path, capsys: pytest.CaptureFixture[str], kind: str
) -> None:
    """Every change of the folder is a place to crash at: before the first, after the first, and so on."""
    outcomes: list[bool] = []
    finished = False
    while not finished:
        archive = cut(place, made, fragments(made, kind))
        with pytest.MonkeyPatch.context() as patch, suppress(Crash):
            crash_after(patch, len(outcomes))
            signing.sign_archive(archive, signing.load_private_key(place / "lab.key"))
            finished = True
        assert main(["image", "verify", str(archive)]) == 0, capsys.readouterr()
        outcomes.append(main(["image", "verify", str(archive), "--key", str(place / "lab.pub")]) == 0)
        for part in place.glob("cut.imz*"):
            part.unlink()
    assert 2 <= len(outcomes) <= 4
    assert not outcomes[0]
    assert outcomes[-1]


def crash_after(patch: pytest.MonkeyPatch, count: int) -> None:
    """The process dies at the change of the folder after `count` others."""
    left = [count]
    for holder, name in ((Path, "replace"), (Path, "unlink"), (os, "truncate")):
        real: Callable[..., object] = getattr(holder, name)

        def change(path: Path, *args: object, real: Callable[..., object] = real, name: str = name, **options: object) -> object:
            if name != "unlink" or path.suffix != ".part":      # the temporary file is cleaned up, or left behind
                left[0] -= 1
                if left[0] < 0:
                    raise Crash
            return real(path, *args, **options)

        patch.setattr(holder, name, change)


def test_no_room_leaves_the_archive_as_it_was(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = (place / "fat.imz").read_bytes()

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(NoSpaceError, match="as it was"):
        signing.sign_archive(place / "fat.imz", signing.load_private_key(place / "lab.key"))
    assert (place / "fat.imz").read_bytes() == before
    assert not list(place.glob("*.part"))


def test_signing_works_without_the_help_of_the_kernel(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: object) -> int:
        raise OSError(18, "Invalid cross-device link")

    monkeypatch.setattr(os, "copy_file_range", refuse)
    assert main(["image", "sign", str(place / "fat.imz"), str(place / "lab.key")]) == 0
    assert main(["image", "verify", str(place / "fat.imz"), "--key", str(place / "lab.pub")]) == 0


@pytest.mark.parametrize(
    ("words", "status", "said"),
    [
        (["sign", "fat.imz", "missing.key"], 2, "missing.key: No such file"),
        (["sign", "fat.imz", "lab.pub"], 1, "lab.pub: this is a public key"),
        (["sign", "fat.imz", "fat.imz"], 1, "fat.imz: this is no private key"),
        (["sign", "fat.imz", "locked.key"], 1, "locked by a passphrase"),
        (["sign", "fat.imz", "ec.key"], 1, "expected one for Ed25519"),
        (["sign", "lab.pub", "lab.key"], 1, "lab.pub: not an archive"),
        (["sign", "missing.imz", "lab.key"], 2, "missing.imz: no such file"),
        (["sign", ".", "lab.key"], 2, "is a directory"),
        (["sign", "-", "lab.key"], 2, "standard input cannot be signed"),
        (["verify", "fat.imz", "--key", "lab.key"], 1, "lab.key: this is a private key"),
        (["verify", "fat.imz", "--key", "missing.pub"], 2, "missing.pub: No such file"),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, list) else None,
)
def test_wrong_keys_and_archives_get_one_sentence(
    place: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, words: list[str], status: int, said: str
) -> None:
    monkeypatch.chdir(place)
    run_tool(["openssl", "genpkey", "-algorithm", "ed25519", "-aes256", "-pass", "pass:x", "-out", "locked.key"])
    run_tool(["openssl", "ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", "ec.key"])
    before = (place / "fat.imz").read_bytes()
    assert main(["image", *words]) == status
    assert said in capsys.readouterr().err
    assert (place / "fat.imz").read_bytes() == before


def test_a_signed_pipe_is_checked_at_its_end(place: Path) -> None:
    assert main(["image", "sign", str(place / "fat.imz"), str(place / "lab.key")]) == 0
    for key, status in (("lab.pub", 0), ("other.pub", 1)):
        command = f"cat {place / 'fat.imz'} | {sys.executable} -m bpscript image verify - --key {place / key}"
        done = subprocess.run(command, shell=True, capture_output=True, text=True, check=False)
        assert done.returncode == status, done.stderr
