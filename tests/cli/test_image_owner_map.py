"""`image capture --owner-map`: an ordinary user makes what root would have made; tar, bsdtar, debugfs and e2fsck judge."""

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from bpscript.cli.main import main
from tests.oracles import debugfs, e2fsck, need, run_tool

NOBODY = 65534
MTREE = """#mtree v2.0
# as a person writes it
/set type=file uid=0 gid=0 mode=0644
.               type=dir mode=0755 time=1600000000.0
    etc         type=dir mode=0750
        shadow  gid=42 mode=0600 \\
                time=1600000001.000000005
        with\\040blank uid=7
    ..
    dev         type=dir mode=0755
        console type=char mode=0600 device=native,5,1
        sda     type=block mode=0660 gid=6 device=0x8,0x10
        initctl type=fifo mode=0620 uname=root gname=root
        stdin   type=link link=/proc/self/fd/0
    ..
..
./usr/bin/su    mode=04755 uid=0 gid=0
./var           type=file optional
"""
LINES = """# people write this
*              0    0
home/*         1000 100
etc/shadow     -    42  0600
"""


@pytest.fixture
def place() -> Iterator[Path]:
    """A folder of its own: nobody else may look into those of pytest."""
    with tempfile.TemporaryDirectory() as folder:
        yield Path(folder)


@pytest.fixture
def tree(place: Path) -> Path:
    """A tree that belongs to an ordinary user."""
    made = place / "tree"
    for name in ("etc/shadow", "etc/with blank", "usr/bin/su", "home/me/notes", "home/me/more"):
        path = made / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    if os.geteuid() == 0:
        for path in (place, made, *made.rglob("*")):
            os.chown(path, NOBODY, NOBODY)
    return made


def as_nobody(folder: Path, *words: object) -> "subprocess.CompletedProcess[str]":
    """`bpscript image` as an ordinary user."""
    user = [need("setpriv"), f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"] if os.geteuid() == 0 else []
    if user and subprocess.run([*user, sys.executable, "-c", ""], capture_output=True, check=False).returncode:
        pytest.skip("this interpreter lies in a folder of root: nobody else may run it")
    command = [*user, sys.executable, "-m", "bpscript", "image", *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd=folder)


def listed(archive: Path) -> dict[str, list[str]]:
    """Path → mode, owner and size or device, as GNU tar sees them."""
    lines = run_tool(["tar", "--zstd", "--numeric-owner", "-tvf", archive, "--quoting-style=literal"]).stdout.splitlines()
    return {line.split(maxsplit=5)[5]: line.split(maxsplit=5)[:3] for line in lines}


def test_an_ordinary_user_makes_an_archive_of_root(tree: Path, place: Path) -> None:
    (place / "map").write_text(MTREE)
    done = as_nobody(place, "capture", tree, place / "a.imi", "--incremental", "--owner-map", place / "map")
    assert done.returncode == 0, done.stderr
    found = listed(place / "a.imi")
    assert found["etc/"][:2] == ["drwxr-x---", "0/0"]
    assert found["etc/shadow"][:2] == ["-rw-------", "0/42"]
    assert found["etc/with blank"][:2] == ["-rw-r--r--", "7/0"]
    assert found["usr/bin/su"][:2] == ["-rwsr-xr-x", "0/0"]
    assert found["dev/console"] == ["crw-------", "0/0", "5,1"]
    assert found["dev/sda"] == ["brw-rw----", "0/6", "8,16"]
    assert found["dev/initctl"][:2] == ["prw--w----", "0/0"]
    assert found["dev/stdin -> /proc/self/fd/0"][1] == "0/0"
    own = NOBODY if os.geteuid() == 0 else os.geteuid()
    assert found["home/me/notes"][1].startswith(f"{own}/")      # the map says nothing of it
    assert "var" not in found


def test_a_volume_has_the_devices_too(tree: Path, place: Path) -> None:
    (place / "map").write_text(MTREE)
    done = as_nobody(place, "capture", tree, place / "a.imz", "--owner-map", place / "map", "--temp", place, "--size", "8M", "--type", "ext2")
    assert done.returncode == 0, done.stderr
    raw = place / "raw.img"
    subprocess.run(["zstd", "-dq", place / "a.imz", "-o", raw], check=True)
    e2fsck(raw)
    console = debugfs(raw, "stat /dev/console")
    assert "Type: character special" in console
    assert "Device major/minor number: 05:01" in console
    shadow = debugfs(raw, "stat /etc/shadow")
    assert "Mode:  0600" in shadow
    assert "Group:    42" in shadow
    assert "mtime: 0x5f5e1001:00000014" in shadow       # 5 ns, above the two bits of the epoch
    assert "Mode:  0755" in debugfs(raw, "stat /")
    assert "User:     0" in debugfs(raw, "stat /")


def test_lines_for_people(tree: Path, place: Path) -> None:
    (place / "map").write_text(LINES)
    done = as_nobody(place, "capture", tree, place / "a.imi", "--incremental", "--owner-map", place / "map")
    assert done.returncode == 0, done.stderr
    found = listed(place / "a.imi")
    own = NOBODY if os.geteuid() == 0 else os.geteuid()
    assert found["home/me/notes"][1] == "1000/100"
    assert found["home/"][1] == "0/0"
    assert found["etc/shadow"][:2] == ["-rw-------", f"{own}/42"]
    assert found["usr/bin/su"][1] == "0/0"


def test_what_bsdtar_writes_is_read_and_comes_out_again(tree: Path, place: Path) -> None:
    """A specification by libarchive, with other owners: libarchive sees the same in our archive."""
    keywords = "--options=mtree:!all,mtree:uid,mtree:gid,mtree:mode,mtree:type,mtree:time,mtree:link"
    os.utime(tree / "usr", ns=(1, 1_500_000_000_123_456_789))
    os.symlink("räume und mehr", tree / "etc" / "lïnk")
    spec = run_tool(["bsdtar", "-cf", "-", "--format=mtree", keywords, "-C", tree, "."]).stdout
    wanted = spec.replace(f"uid={(tree / 'etc').stat().st_uid}", "uid=0").replace(f"gid={(tree / 'etc').stat().st_gid}", "gid=12345")
    (place / "map").write_text(wanted)
    assert "gid=12345" in wanted
    os.utime(tree / "etc" / "shadow", (0, 0))       # the map's time counts
    assert main(["image", "capture", str(tree), str(place / "a.imi"), "--incremental", "--owner-map", str(place / "map")]) == 0
    seen = run_tool(["bsdtar", "-cf", "-", "--format=mtree", keywords, f"@{place / 'a.imi'}"]).stdout
    ours = {line.removeprefix("./") for line in seen.splitlines()[1:]}
    theirs = {line.removeprefix("./") for line in wanted.splitlines()[1:] if not line.startswith(". ")}
    assert ours == theirs


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("#mtree\n./etc type=file", 'says in line 2 that "etc" is a file, and it is a directory'),
        ("#mtree\n./none type=file", 'lists "none" in line 2, which is not in the folder'),
        ("#mtree\n./dev/null type=char device=native,1,3", 'the directory "dev" is neither in the folder nor in the map'),
        ("#mtree\n./null type=char", "without its numbers"),
        ("#mtree\n./null type=char device=nonsense", 'line 2 has device "nonsense"'),
        ("#mtree\n./etc type=door", 'line 2 has type "door"'),
        ("#mtree\n./etc uid=x", '"x" is no user or group number'),
        ("#mtree\n./etc mode=u+x", '"u+x" is no mode'),
        ("#mtree\n./etc time=now", 'has time "now"'),
        ("#mtree\n./etc uname=nobody-of-this-name", 'the user "nobody-of-this-name", whom this host does not know'),
        ("#mtree\n..", "line 2 leaves the directory"),
        ("* 0", "has 2 words"),
        ("* 0 0 0999", '"0999" is no mode'),
        ("* root 0", '"root" is no user or group number'),
    ],
    ids=range(14),
)
def test_a_map_that_is_wrong_is_refused_with_its_line(tree: Path, place: Path, text: str, message: str, capsys: pytest.CaptureFixture[str]) -> None:
    (place / "map").write_text(text + "\n")
    assert main(["image", "capture", str(tree), str(place / "a.imi"), "--incremental", "--owner-map", str(place / "map")]) == 1
    assert message in capsys.readouterr().err
    assert not (place / "a.imi").exists()
