"""`$Image-Key`: an archive without a good signature is refused before anything is written."""

from collections.abc import Callable
from pathlib import Path

import pytest
from Crypto.PublicKey import ECC
from Crypto.Signature import eddsa

from bpscript.api import NewDisk, RunOptions, execute
from bpscript.archive.capture import capture, survey
from bpscript.archive.destinations import HostDestination
from bpscript.archive.incremental import write_incremental
from bpscript.archive.table import Signature
from bpscript.base.clock import Clock
from bpscript.blocks.memory import MemoryDevice
from bpscript.filesystems.detect import open_volume
from bpscript.filesystems.fat import format_fat

Sign = Callable[[bytes], Signature]


def signer(key: ECC.EccKey, claimed: ECC.EccKey | None = None) -> Sign:
    """Signs with `key`, and says it was `claimed`."""
    public = (claimed or key).public_key().export_key(format="raw")
    return lambda text: Signature(bytes(public), eddsa.new(key, "rfc8032").sign(text))


def full_archive(path: Path, sign: Sign | None) -> None:
    device = MemoryDevice(20 << 20)
    format_fat(device, 16, "SIGNED")
    with HostDestination(path) as sink:
        capture(survey(device, clock=Clock(0)), sink, sign=sign)
        sink.commit()


def run(folder: Path, line: str) -> str:
    """The message of the error, "" when the line succeeded; the partition must be as it was after an error."""
    (folder / "s.bpb").write_text(f'SetPartitions "BIGDOS:20"\nClean 1 "BEFORE"\nset Image-Key = "key.pub"\n{line}\n')
    result = execute(RunOptions(script=folder / "s.bpb", disks=[NewDisk(folder / "disk.img", 32 << 20)]))
    if result.error is None:
        return ""
    assert b"BEFORE" in (folder / "disk.img").read_bytes()[1 << 20 : 2 << 20]
    return result.error.message


@pytest.fixture
def key(tmp_path: Path) -> ECC.EccKey:
    made = ECC.generate(curve="ed25519")
    (tmp_path / "key.pub").write_text(made.public_key().export_key(format="PEM"))
    return made


def test_a_good_signature_is_accepted(tmp_path: Path, key: ECC.EccKey) -> None:
    full_archive(tmp_path / "a.imz", signer(key))
    assert run(tmp_path, 'FullUnzip "a.imz" 1') == ""


def test_no_signature_is_refused(tmp_path: Path, key: ECC.EccKey) -> None:
    full_archive(tmp_path / "a.imz", None)
    assert "is not signed" in run(tmp_path, 'FullUnzip "a.imz" 1')


def test_somebody_elses_signature_is_refused(tmp_path: Path, key: ECC.EccKey) -> None:
    other = ECC.generate(curve="ed25519")
    for sign in (signer(other), signer(other, claimed=key)):
        full_archive(tmp_path / "a.imz", sign)
        assert "no valid signature" in run(tmp_path, 'FullUnzip "a.imz" 1')


def test_a_raw_image_is_refused(tmp_path: Path, key: ECC.EccKey) -> None:
    (tmp_path / "raw.img").write_bytes(bytes(20 << 20))
    assert 'archive "raw.img"' in run(tmp_path, 'FullUnzip "raw.img" 1')


def test_incremental_archives_are_asked_too(tmp_path: Path, key: ECC.EccKey) -> None:
    device = MemoryDevice(20 << 20)
    format_fat(device, 16, "X")
    volume = open_volume(device, clock=Clock(0))
    volume.write_file("f", [b"x"])
    with HostDestination(tmp_path / "a.imi") as sink:
        write_incremental(sink, volume)
        sink.commit()
    assert "is not signed" in run(tmp_path, 'IncrUnzip "a.imi" 1')
    (tmp_path / "key.pub").write_text("nonsense")
    assert "no public key" in run(tmp_path, 'IncrUnzip "a.imi" 1')
