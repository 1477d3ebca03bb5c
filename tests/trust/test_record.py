"""`run --record` and `bpscript replay`: the same end again, and no secret in the bundle."""

import json
import random
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from bpscript.base.secrets import Secrets
from bpscript.cli.main import main
from bpscript.trust.replay import Record, replay
from tests.trust.images import digest

MIB = 1 << 20
SECRETS = ["justdoit", "geheimtext", "key12345", "BpR8oiIlRR9bo", "fromset", "neverrun1", "neverkey", "typedpw9", "hidden77"]
SCRIPT = r"""
getpasswd p
input mypassword
if "$p" match-passwd "BpR8oiIlRR9bo" goto ok
echo "wrong"
poweroff
:ok
echo "you typed $p and $mypassword"
set token = "fromset"
set copy = "x $token"
include "more.bpb"
setpartitions "bigdos:20 linux-ext2:20"
clean "1 2"
copy "in.txt" "{:1}/x"
descrypt "geheimtext" "key12345" z
crypt "$p" "Bp" c
if exist "{:1}/x" echo "there"
fullunzip "good.imz" 2
if exist "{:2}/inside" echo "restored"
fullunzip "bad.imz" 1
descrypt "neverrun1" "neverkey" y
"""
KEYS = "justdoit\rtypedpw9\r"


@pytest.fixture
def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "lab"
    folder.mkdir()
    monkeypatch.chdir(folder)
    (folder / "in.txt").write_text("hello")
    (folder / "more.bpb").write_text('set more = "yes"\n')
    (folder / "noise").write_bytes(random.Random(1).randbytes(400_000))
    (folder / "make.mrz").write_text('setpartitions "linux-ext2:20"\nclean 1\ncopy "in.txt" "{:1}/inside"\ncopy "noise" "{:1}/noise"\nfullzip "{:1}/" "good.imz"\n')
    assert main(["run", "make.mrz", "--disk", "source.img:30M"]) == 0
    (folder / "bad.imz").write_bytes(random.Random(2).randbytes(700_001))
    (folder / "s.bpb").write_text(SCRIPT)
    (folder / "first.bpb").write_text('setpartitions "bigdos:20"\nclean 1\n')
    assert main(["run", "first.bpb", "--disk", "disk.img:60M"]) == 0
    subprocess.run(["cp", "disk.img", "before.img"], check=True)
    assert main(["run", "s.bpb", "--disk", "disk.img", "--keys", KEYS, "--set", "adminpass=hidden77", "--seed", "s", "--record", "r.record"]) == 1
    return folder


def test_no_secret_is_in_the_bundle(lab: Path) -> None:
    with zipfile.ZipFile(lab / "r.record") as bundle:
        found = {name: bundle.read(name) for name in bundle.namelist()}
    assert {"record.json", "script", "log.txt", "events.jsonl", "disks/0/0", "disks/0/1048576"} <= found.keys()
    for secret in SECRETS:
        for name, data in found.items():
            assert secret.encode() not in data, f"{secret} in {name}"
    assert b"you typed *** and ***" in found["log.txt"]
    assert found["script"].decode().count("\n") == SCRIPT.count("\n")
    facts = json.loads(found["record.json"])
    assert facts["variables"]["adminpass"] == "***"
    assert [character for character, _, secret in facts["keys"] if secret] == ["*", "*"], "not even how long they are"
    assert facts["result"]["error"]["line"] == 20
    assert (lab / "r.record").stat().st_mode & 0o777 == 0o600


def test_it_ends_the_same_with_disks_and_images(lab: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = {path: digest(path) for path in lab.iterdir()}
    capsys.readouterr()
    assert main(["replay", "r.record", "--root", ".", "--disk", "before.img"]) == 0
    said = capsys.readouterr().out
    assert "it ends as in the record" in said
    assert "s.bpb:20:11: error: archive" in said
    assert {path: digest(path) for path in lab.iterdir()} == before


def test_it_ends_the_same_without_the_disk(lab: Path) -> None:
    done = replay(lab / "r.record", root=lab)
    assert done.ends_as_recorded, done
    assert any("disk 0 is empty but for its table" in each for each in done.notes)


def test_with_nothing_but_the_bundle_it_ends_the_same(lab: Path, tmp_path: Path) -> None:
    """On another machine: the ends of the images are enough for an error that their heads cause."""
    away = tmp_path / "away"
    away.mkdir()
    done = subprocess.run([sys.executable, "-m", "bpscript", "replay", lab / "r.record"], cwd=away, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert 'the file "bad.imz" is not at hand: a file of its size (700001 bytes) with the first and last 64 KiB of it stands in for it' in done.stdout
    assert "s.bpb:18 FullUnzip is passed over, it succeeded in the record" in done.stdout
    assert "s.bpb:19 If is answered as in the record: true" in done.stdout
    assert 's.bpb:20:11: error: archive "bad.imz": this is no image of a partition: its 700001 bytes are not whole sectors' in done.stdout
    assert "it ends as in the record" in done.stdout
    assert list(away.iterdir()) == []


def test_an_error_in_the_middle_of_an_image_is_that_of_the_record(lab: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Where the image is not at hand; where another one is, that one is tried."""
    data = bytearray((lab / "good.imz").read_bytes())
    data[200_000:200_016] = bytes(16)
    (lab / "torn.imz").write_bytes(data)
    (lab / "t.bpb").write_text('setpartitions "linux-ext2:30"\nfullunzip "torn.imz" 1\n')
    assert main(["run", "t.bpb", "--disk", "other.img:40M", "--record", "t.record"]) == 1
    assert replay(lab / "t.record", root=lab).ends_as_recorded
    (tmp_path / "empty").mkdir()
    done = replay(lab / "t.record", root=tmp_path / "empty")
    assert done.ends_as_recorded
    assert done.taken_over
    assert not done.differences
    assert done.error is not None
    wanted = Record.load(lab / "t.record").facts["result"]["error"]
    assert (done.error.message, done.error.line, done.error.column) == (wanted["text"], 2, wanted["column"])
    assert done.notes[0].startswith(f'the file "torn.imz" is not at hand: a file of its size ({len(data)} bytes)')
    assert done.notes[-1].startswith('t.bpb:2 FullUnzip fails as in the record: here it would fail otherwise ("')
    capsys.readouterr()
    assert main(["replay", str(lab / "t.record"), "--root", str(tmp_path / "empty")]) == 0
    assert "the error there is the recorded one, for what fails is not at hand" in capsys.readouterr().out
    data[300_000:300_016] = bytes(16)
    (tmp_path / "empty" / "torn.imz").write_bytes(data)
    done = replay(lab / "t.record", root=tmp_path / "empty")
    assert not done.taken_over
    assert 'the file "torn.imz" is not at hand, or another one' in done.notes[0]
    (tmp_path / "empty" / "torn.imz").write_bytes((lab / "good.imz").read_bytes())
    assert not replay(lab / "t.record", root=tmp_path / "empty").ends_as_recorded


def test_where_it_goes_another_way_is_said(lab: Path) -> None:
    (lab / "bad.imz").write_bytes((lab / "good.imz").read_bytes())
    done = replay(lab / "r.record", root=lab, disks=[lab / "before.img"])
    assert not done.ends_as_recorded
    assert any("bad.imz" in each for each in done.notes)
    assert done.differences


def test_a_changed_answer_is_the_first_difference(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "s.bpb").write_text('if exist "large" goto there\necho "none"\nnonsense\n:there\nhdboot 7:1\n')
    (tmp_path / "large").write_bytes(bytes(300_000))
    assert main(["run", "s.bpb", "--record", "r"]) == 1
    assert replay(tmp_path / "r", root=tmp_path).ends_as_recorded
    (tmp_path / "large").unlink()
    done = replay(tmp_path / "r", root=tmp_path)
    assert done.differences[0] == "s.bpb:1 If is false, in the record it was true"
    assert done.error is not None
    assert done.error.line == 3


def test_a_success_is_recorded_and_replayed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "s.bpb").write_text('getkey k\nwaitforkey 30\ngettime t\nif "$k" == "a" poweroff\n')
    assert main(["run", "s.bpb", "--keys", "ab", "--record", "r"]) == 0
    done = replay(tmp_path / "r")
    assert done.ends_as_recorded
    assert done.boot == "poweroff"


def _unpackable(bundle: bytes) -> bytes:
    """A block of a type that deflate does not have, in the first file (PKZIP APPNOTE 4.3.7: 30 bytes, its name, an extra field)."""
    at = 30 + int.from_bytes(bundle[26:28], "little") + int.from_bytes(bundle[28:30], "little")
    return bundle[:at] + b"\xff" + bundle[at + 1 :]


@pytest.mark.parametrize("damage", ["empty", "noise", "no facts", "other facts", "cut", "packed wrongly"])
def test_what_is_no_record_is_refused(damage: str, lab: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = lab / "r.record"
    good = path.read_bytes()
    if damage == "no facts":
        with zipfile.ZipFile(path, "w") as bundle:
            bundle.writestr("script", "x")
    elif damage == "other facts":
        with zipfile.ZipFile(path, "w") as bundle:
            bundle.writestr("record.json", '{"format": "bpscript record", "version": 1}')
    else:
        path.write_bytes({"empty": b"", "noise": bytes(1000), "cut": good[: len(good) // 2], "packed wrongly": _unpackable(good)}[damage])
    assert main(["replay", str(path)]) == 1
    assert "is no record" in capsys.readouterr().err or damage == "other facts"
    assert main(["replay", "nowhere"]) == 2


def test_a_place_that_cannot_be_written_costs_no_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "s.bpb").write_text('echo "ran"\n')
    assert main(["run", "s.bpb", "--record", "no/such/place"]) == 2
    assert "ran" not in capsys.readouterr().out
    assert main(["run", "s.bpb", "--record", "r", "--disk", "none.img"]) == 2
    assert "none.img: no such image" in capsys.readouterr().err


BY_KEYS = r"""
getkey menu
:again
getkey k
if "$k" == "\r" goto done
set password = "$password$k"
goto again
:done
if "$password" == "kestrel7" echo "welcome"
input code
if "$code" match-passwd "BpR8oiIlRR9bo" echo "right"
getkey yourpassword
if "$passwd" == "neverset1" echo "no"
nonsense
"""


def test_passwords_that_are_typed_key_by_key_are_masked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By GetKey, by Input into a plain variable that is then compared as a password, and what both are compared with."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "s.bpb").write_text(BY_KEYS)
    assert main(["run", "s.bpb", "--keys", "3kestrel7\rjustdoit\rQ", "--record", "r"]) == 1
    with zipfile.ZipFile("r") as bundle:
        found = {name: bundle.read(name) for name in bundle.namelist()}
    for secret in ("kestrel7", "kestrel", "justdoit", "BpR8oiIlRR9bo", "neverset1"):
        assert [name for name, data in found.items() if secret.encode() in data] == []
    keys = json.loads(found["record.json"])["keys"]
    star = ["*", False, True]
    assert keys == [["3", False, False], *[star] * 8, ["\r", False, False], star, ["\r", False, False], star]
    assert found["script"].decode().count("\n") == BY_KEYS.count("\n")
    done = replay(tmp_path / "r")
    assert done.ends_as_recorded, done


def test_a_secret_that_grows_is_one_secret() -> None:
    secrets = Secrets()
    for text in ("s", "se", "set", "setup"):
        secrets.assign("password", text)
    assert list(secrets) == ["setup"]
    assert secrets.masked('set x = "setup"') == 'set x = "***"'
    secrets.add("se")
    secrets.assign("password", "se")
    secrets.assign("password", "sesame")
    assert sorted(secrets) == ["se", "sesame", "setup"], "what was secret for another reason stays so"


@pytest.mark.parametrize(
    ("keys", "found"),
    [("1setup\r", "setup"), ("12\r", "12"), ("123\r", ""), ("1\b12\r", "1\b12"), ("x\b\bsetuq\bp\r", "x\b\bsetuq\bp"), ("setusetup", "setup")],
)
def test_keys_that_spell_a_secret_are_found(keys: str, found: str) -> None:
    secrets = Secrets()
    secrets.add("setup", "12")
    assert "".join(keys[index] for index in sorted(secrets.typed(keys))) == found
