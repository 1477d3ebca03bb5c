"""Archives of files as the programs of others make them, unpacked by `IncrUnzip` in a script and judged by fsck.

The tree has what people have: owners, modes, times, long and odd names, links, devices, holes, attributes, lists of access rights.
"""

import os
import shutil
import stat
import tarfile
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

import bpscript
from bpscript.base.errors import ScriptError
from bpscript.base.events import Kind
from bpscript.filesystems.filesystem import Facts, FileKind, Filesystem, walk
from tests.archive.test_difference import JUDGES, START, blank, volume
from tests.oracles import need, run_tool

LONG = "a directory with a name that is long enough/" + "n" * 120
Found = dict[str, tuple[object, ...]]


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What every program packs. Owners and devices need root, as the tests of this project have it in CI."""
    folder = tmp_path_factory.mktemp("foreign") / "tree"
    (folder / "sub dir" / "deep").mkdir(parents=True)
    (folder / "sub dir" / "file").write_bytes(bytes(range(256)) * 700)
    (folder / "empty").touch()
    (folder / "sub dir" / "deep" / "räume.txt").write_text("ä\n")
    (folder / LONG).parent.mkdir()
    (folder / LONG).write_text("long")
    (folder / "link").symlink_to("sub dir/file")
    os.link(folder / "empty", folder / "sub dir" / "second name")
    with (folder / "holes").open("wb") as file:
        for place in (0, 3 << 20, 5 << 20):
            file.seek(place)
            file.write(b"data" * 1024)
        file.truncate(6 << 20)
    os.chmod(folder / "sub dir" / "file", 0o4751)
    os.chmod(folder / "sub dir" / "deep", 0o2770)
    if os.geteuid() == 0:
        os.chown(folder / "sub dir" / "file", 1234, 56789)
        os.chown(folder / "link", 7, 8, follow_symlinks=False)
        os.mknod(folder / "null", 0o666 | stat.S_IFCHR, os.makedev(1, 3))
        os.mkfifo(folder / "fifo", 0o600)
    for number, path in enumerate(sorted(folder.rglob("*"))):
        os.utime(path, ns=(10**18, 1_234_567_890_123_456_789 + number * 10**10), follow_symlinks=False)
    return folder


def expected(tree: Path, *, step_ns: int = 1, owners: bool = True) -> Found:
    found: Found = {}
    for path in sorted(tree.rglob("*")):
        status = path.lstat()
        kind = stat.S_IFMT(status.st_mode)
        owner = (status.st_uid, status.st_gid) if owners else None
        content = path.read_bytes() if kind == stat.S_IFREG else os.readlink(path) if kind == stat.S_IFLNK else None
        found[str(path.relative_to(tree))] = (
            kind, stat.S_IMODE(status.st_mode), owner, status.st_mtime_ns // step_ns, content, status.st_nlink if kind == stat.S_IFREG else 0,
        )
    return found


_KINDS = {
    FileKind.FILE: stat.S_IFREG, FileKind.DIRECTORY: stat.S_IFDIR, FileKind.SYMLINK: stat.S_IFLNK, FileKind.FIFO: stat.S_IFIFO,
    FileKind.CHARACTER_DEVICE: stat.S_IFCHR, FileKind.BLOCK_DEVICE: stat.S_IFBLK,
}


def unpacked(folder: Path, archive: str, *, step_ns: int = 1, owners: bool = True) -> Found:
    """What a script of ours makes of an archive on ext4; fsck has nothing to say."""
    blank(folder, "ext.img", "ext4")
    warnings = run(folder, archive, "ext.img")
    assert warnings == []
    JUDGES["ext4"](folder / "ext.img", START)
    opened = volume(folder / "ext.img", writable=False)
    found: Found = {}
    for name, facts in _walk(opened):
        assert facts.unix is not None
        content = opened.open(name).read() if facts.kind is FileKind.FILE else facts.target or None
        found[name] = (
            _KINDS[facts.kind], facts.unix.mode, (facts.unix.uid, facts.unix.gid) if owners else None, facts.mtime_ns // step_ns, content,
            facts.unix.links if facts.kind is FileKind.FILE else 0,
        )
    opened.close()
    return found


def _walk(opened: Filesystem) -> Iterator[tuple[str, Facts]]:
    return ((name, facts) for name, facts in walk(opened) if name != "lost+found")


def run(folder: Path, archive: str, disk: str) -> list[str]:
    (folder / "script.bpb").write_text(f'IncrUnzip "{archive}" 1\n')
    warnings: list[str] = []
    bpscript.run(
        folder / "script.bpb", disks=[folder / disk],
        events=lambda event: warnings.append(str(event.data["text"])) if event.kind is Kind.WARNING else None,
    )
    return warnings


GNU = ["tar", "--numeric-owner"]
TARS = {
    "gnu": [*GNU, "--format=gnu"], "gnu-sparse": [*GNU, "--format=gnu", "-S"], "oldgnu-sparse": [*GNU, "--format=oldgnu", "-S"],
    "pax": [*GNU, "--format=pax"], "pax-sparse-0.0": [*GNU, "--format=pax", "-S", "--sparse-version=0.0"],
    "pax-sparse-0.1": [*GNU, "--format=pax", "-S", "--sparse-version=0.1"], "pax-sparse-1.0": [*GNU, "--format=pax", "-S", "--sparse-version=1.0"],
    "bsdtar-pax": ["bsdtar", "--format=pax"], "bsdtar-restricted": ["bsdtar", "--format=paxr"], "bsdtar-gnutar": ["bsdtar", "--format=gnutar"],
    "busybox": ["busybox", "tar"],
}  # fmt: skip


@pytest.mark.parametrize("tool", TARS)
def test_a_tar_comes_out_as_it_went_in(tool: str, tree: Path, tmp_path: Path) -> None:
    command = TARS[tool]
    run_tool([*command, "-cf", tmp_path / "t.tar", "-C", tree, "."])
    fine = "pax" in tool and tool != "bsdtar-restricted"
    step = 1 if fine else 10**9
    found = unpacked(tmp_path, "t.tar", step_ns=step)
    wanted = expected(tree, step_ns=step)
    if tool == "bsdtar-restricted":     # fractions of seconds only where something else needs a pax header anyway
        found, wanted = ({name: (*each[:3], each[3], *each[4:]) for name, each in side.items()} for side in (found, wanted))
    assert found == wanted


@pytest.mark.parametrize("tool", ["v7", "ustar", "bsdtar-ustar", "bsdtar-v7"])
def test_the_oldest_formats(tool: str, tree: Path, tmp_path: Path) -> None:
    """They hold neither names of this length nor, some of them, devices: the tree without these."""
    small = tmp_path / "small"
    shutil.copytree(tree, small, symlinks=True, ignore=lambda _, names: {name for name in names if len(name) > 90 or name in {"null", "fifo"}})
    program, form = ("bsdtar", tool[7:]) if tool.startswith("bsdtar") else ("tar", tool)
    run_tool([program, f"--format={form}", "-cf", tmp_path / "t.tar", "-C", small, "."])
    assert unpacked(tmp_path, "t.tar", step_ns=10**9) == expected(small, step_ns=10**9)


@pytest.mark.parametrize("form", [tarfile.GNU_FORMAT, tarfile.PAX_FORMAT], ids=["gnu", "pax"])
def test_a_tar_of_python(form: int, tree: Path, tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "t.tar.xz", "w:xz", format=form) as archive:
        archive.add(tree, ".")
    assert unpacked(tmp_path, "t.tar.xz", step_ns=10**9) == expected(tree, step_ns=10**9)


@pytest.mark.parametrize("packing", ["gzip", "bzip2", "xz", "zstd", "lzma", "lz4"])
def test_every_packing(packing: str, tmp_path: Path) -> None:
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree" / "file").write_bytes(os.urandom(300_000) + bytes(300_000))
    run_tool(["tar", "-cf", "t.tar", "-C", "tree", "file"])
    command = ["xz", "--format=lzma", "--stdout"] if packing == "lzma" else [packing, "-c"]
    run_tool(["sh", "-c", f"{' '.join([need(command[0]), *command[1:]])} t.tar > t.packed"])
    blank(tmp_path, "fat.img", "fat")
    run(tmp_path, "t.packed", "fat.img")
    opened = volume(tmp_path / "fat.img", writable=False)
    assert opened.open("file").read() == (tmp_path / "tree" / "file").read_bytes()
    opened.close()


@pytest.mark.parametrize("tool", ["tar", "bsdtar"])
def test_attributes_capabilities_and_access_rights(tool: str, tmp_path: Path) -> None:
    """The values that the kernel has on disk come out on an ext4 that the kernel would read."""
    tree = tmp_path / "tree"
    tree.mkdir()
    (tree / "file").write_text("x")
    (tree / "folder").mkdir()
    acl = bytes.fromhex("02000000" "0100" "0600" "ffffffff" "0200" "0700" "f6010000" "0400" "0400" "ffffffff" "1000" "0700" "ffffffff" "2000" "0400" "ffffffff")
    capability = bytes.fromhex("01000002" "00040000" "00000000" "00000000" "00000000")      # cap_net_bind_service=ep
    values = {"user.comment": b"a\0\xff=\n", "security.capability": capability, "system.posix_acl_access": acl}
    kept = {}
    for name, value in values.items():
        try:
            os.setxattr(tree / "file", name, value)
        except OSError:
            continue        # not every file system of a host has all of these
        kept[name] = value
    if not kept:
        pytest.skip("the file system of this host has no extended attributes")
    options = ["--xattrs", "--xattrs-include=*", "--acls"] if tool == "tar" else ["--acls", "--xattrs"]
    run_tool([tool, "--format=pax", "--numeric-owner", *options, "-cf", "t.tar", "-C", "tree", "."])
    blank(tmp_path, "ext.img", "ext4")
    assert run(tmp_path, "t.tar", "ext.img") == []
    JUDGES["ext4"](tmp_path / "ext.img", START)
    opened = volume(tmp_path / "ext.img", writable=False)
    unix = opened.stat("file").unix
    assert unix is not None
    assert dict(unix.xattrs) == kept
    opened.close()


@pytest.mark.parametrize("tool", ["gnu", "bsdtar-pax", "busybox"])
def test_on_fat_what_fat_can_hold(tool: str, tree: Path, tmp_path: Path) -> None:
    run_tool([*TARS[tool], "-cf", tmp_path / "t.tar", "-C", tree, "."])
    blank(tmp_path, "fat.img", "fat")
    warnings = run(tmp_path, "t.tar", "fat.img")
    assert warnings == (["2 devices skipped: FAT32 cannot hold them"] if os.geteuid() == 0 else [])
    JUDGES["fat"](tmp_path / "fat.img", START)
    opened = volume(tmp_path / "fat.img", writable=False)
    for path in tree.rglob("*"):
        if path.is_file():
            assert opened.open(str(path.relative_to(tree))).read() == path.read_bytes()
    opened.close()


# --- zip -------------------------------------------------------------------------------------------------------------

ZIPS = {
    "info-zip": ["zip", "-qry", "t.zip", "."], "info-zip-stored": ["zip", "-qry0", "t.zip", "."], "info-zip-bzip2": ["zip", "-qryZ", "bzip2", "t.zip", "."],
    "bsdtar": ["bsdtar", "--format=zip", "-cf", "t.zip", "."], "bsdtar-zip64": ["bsdtar", "--format=zip", "--options=zip:zip64", "-cf", "t.zip", "."],
    "7zz-lzma": ["7zz", "a", "-tzip", "-snl", "-mm=LZMA", "t.zip", "."], "7zz-xz": ["7zz", "a", "-tzip", "-snl", "-mm=xz", "t.zip", "."],
}  # fmt: skip


@pytest.mark.parametrize("tool", ZIPS)
def test_a_zip_comes_out_as_it_went_in(tool: str, tree: Path, tmp_path: Path) -> None:
    """Zip has no hard links and no devices; times are whole seconds, and 7-Zip keeps no owners."""
    small = tmp_path / "small"
    shutil.copytree(tree, small, symlinks=True, ignore=lambda _, names: {"null", "fifo", "second name"} & set(names))
    for path in sorted(small.rglob("*"), reverse=True):
        times = (tree / path.relative_to(small)).lstat().st_mtime_ns
        os.utime(path, ns=(times, times), follow_symlinks=False)
        if os.geteuid() == 0 and not path.is_symlink() and path.is_file():
            os.chown(path, 1234, 567)
            os.chmod(path, 0o640)
    command = ZIPS[tool]
    run_tool(["sh", "-c", f"cd small && {need(command[0])} {' '.join(command[1:])} && mv t.zip .."])
    owners = not tool.startswith("7zz")
    found, wanted = unpacked(tmp_path, "t.zip", step_ns=2 * 10**9, owners=owners), expected(small, step_ns=2 * 10**9, owners=owners)
    found.pop("t.zip", None)
    # Of a link zip keeps the text; when and whose it was, not every program.
    assert {name: each for name, each in found.items() if each[0] != stat.S_IFLNK} == {
        name: each for name, each in wanted.items() if each[0] != stat.S_IFLNK
    }
    assert found["link"][4] == wanted["link"][4]


def test_a_zip_packed_by_zstd(tmp_path: Path) -> None:
    """Method 93; made by hand, for the programs at hand cannot."""
    import zstandard  # noqa: PLC0415

    data = b"packed by zstd " * 10_000
    packed = zstandard.ZstdCompressor().compress(data)
    with zipfile.ZipFile(tmp_path / "t.zip", "w") as archive:
        archive.writestr("file", packed)
    raw = bytearray((tmp_path / "t.zip").read_bytes())
    import zlib  # noqa: PLC0415

    for start, method, crc, size in ((raw.index(b"PK\3\4"), 8, 14, 22), (raw.index(b"PK\1\2"), 10, 16, 24)):
        raw[start + method : start + method + 2] = (93).to_bytes(2, "little")
        raw[start + crc : start + crc + 4] = zlib.crc32(data).to_bytes(4, "little")
        raw[start + size : start + size + 4] = len(data).to_bytes(4, "little")
    (tmp_path / "t.zip").write_bytes(raw)
    (tmp_path / "out").mkdir()
    blank(tmp_path, "fat.img", "fat")
    run(tmp_path, "t.zip", "fat.img")
    opened = volume(tmp_path / "fat.img", writable=False)
    assert opened.open("file").read() == data
    opened.close()


@pytest.mark.parametrize(
    ("command", "message"),
    [
        ("zip -qre -P secret t.zip tree", '"tree/a" is encrypted, which is not supported'),
        ("7zz a -tzip -mm=Deflate64 t.zip tree", '"tree/a" is packed by Deflate64, which is not supported'),
        ("7zz a -tzip -mm=PPMd t.zip tree", '"tree/a" is packed by PPMd, which is not supported'),
        ("7zz a -t7z t.zip tree", "it is 7z, and this program reads"),
        ("tar -cf - tree | busybox cpio -o -H newc > t.zip < /dev/null", "it is cpio, and this program reads"),
    ],
    ids=["encrypted", "deflate64", "ppmd", "7z", "cpio"],
)
def test_what_is_not_read_is_named_before_anything_is_written(command: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree" / "a").write_bytes(b"text " * 1000)
    need(command.split(maxsplit=1)[0])
    run_tool(["sh", "-c", command])
    blank(tmp_path, "ext.img", "ext4")
    before = (tmp_path / "ext.img").read_bytes()
    with pytest.raises(ScriptError) as caught:
        run(tmp_path, "t.zip", "ext.img")
    assert message in str(caught.value)
    assert (tmp_path / "ext.img").read_bytes() == before


# --- several in a row ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["ext4", "fat"])
def test_layers_over_each_other(kind: str, tmp_path: Path) -> None:
    """Ours, a tar, a zip, ours again: files replaced, grown, shrunk; fsck after each."""
    blank(tmp_path, "disk.img", kind)
    model: dict[str, bytes] = {}
    for layer in range(6):
        tree = tmp_path / f"tree{layer}"
        for number in range(layer, layer + 4):
            (tree / f"dir{number % 3}").mkdir(parents=True, exist_ok=True)
            data = bytes([layer]) * ((layer * 7919 + number * 104729) % 90_000)
            (tree / f"dir{number % 3}" / f"file {number}").write_bytes(data)
            model[f"dir{number % 3}/file {number}"] = data
        if layer % 3 == 0:
            (tmp_path / "pack.mrz").write_text(f'IncrZip "{tree}" "{tmp_path}/layer{layer}"\n')
            bpscript.run(tmp_path / "pack.mrz")
        elif layer % 3 == 1:
            run_tool(["tar", "-czf", f"layer{layer}", "-C", tree, "."])
        else:
            shutil.make_archive(f"layer{layer}", "zip", tree)
            (tmp_path / f"layer{layer}.zip").rename(tmp_path / f"layer{layer}")
        run(tmp_path, f"layer{layer}", "disk.img")
        JUDGES[kind](tmp_path / "disk.img", START)
    opened = volume(tmp_path / "disk.img", writable=False)
    assert {name: opened.open(name).read() for name, facts in _walk(opened) if facts.kind is FileKind.FILE} == model
    opened.close()
