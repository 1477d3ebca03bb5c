import io
import os
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bpscript.archive.tar_layout import BLOCK, END, MAX_EXTENSION
from bpscript.archive.tar_read import TarReader, is_clean_path
from bpscript.archive.tar_write import padding, pax_header, tar_header
from bpscript.base.errors import FormatError, StorageError
from bpscript.filesystems.filesystem import DosFacts, Facts, FileKind, UnixFacts
from tests.oracles import run_tool

Entry = tuple[str, Facts, str | None, bytes]


def pack(*entries: Entry) -> bytes:
    parts = []
    for path, facts, link, data in entries:
        parts += [tar_header(path, facts, link), data, padding(len(data))]
    return b"".join([*parts, END])


def file(data: bytes = b"", mtime_ns: int = 0, **unix: object) -> Facts:
    return Facts(FileKind.FILE, len(data), mtime_ns, unix=UnixFacts(**unix))  # type: ignore[arg-type]


def unpack(data: bytes, chunk: int = 1 << 20) -> list[Entry]:
    def buffers() -> Iterator[memoryview]:
        """As an archive gives them: each buffer is spoilt when the next one is asked for."""
        for start in range(0, len(data), chunk):
            buffer = bytearray(data[start : start + chunk])
            yield memoryview(buffer)
            buffer[:] = b"\xee" * len(buffer)

    return [(entry.path, entry.facts, entry.link, b"".join(map(bytes, entry.chunks))) for entry in TarReader(buffers())]


NAMES = st.text(st.characters(exclude_characters="/\0", exclude_categories=["Cs"]), min_size=1, max_size=120).filter(lambda n: n not in {".", ".."})
PATHS = st.lists(NAMES, min_size=1, max_size=4).map("/".join)
TIMES = st.integers(-(10**19), 10**19)
UNIX = st.builds(
    UnixFacts, mode=st.integers(0, 0o7777), uid=st.integers(0, 2**32 - 1), gid=st.integers(0, 2**32 - 1),
    xattrs=st.dictionaries(st.sampled_from(["user.a", "user.é", "security.capability"]), st.binary(max_size=60), max_size=2),
)


@st.composite
def tar_entries(draw: st.DrawFn) -> Entry:
    path, mtime, unix = draw(PATHS), draw(TIMES), draw(UNIX)
    unix = UnixFacts(unix.mode, unix.uid, unix.gid, 0, 0, (0, 0), 0, 1, unix.xattrs)
    kind = draw(st.sampled_from([FileKind.FILE, FileKind.DIRECTORY, FileKind.SYMLINK, FileKind.BLOCK_DEVICE, FileKind.FIFO]))
    dos = draw(st.none() | st.builds(DosFacts, st.sampled_from([0, 0x20, 0x27]), TIMES, st.sampled_from(["", "A B~1.TXT", "ÄÖ~1"])))
    data = draw(st.binary(max_size=2000)) if kind is FileKind.FILE else b""
    if kind is FileKind.BLOCK_DEVICE:
        unix = UnixFacts(unix.mode, unix.uid, unix.gid, 0, 0, draw(st.tuples(st.integers(0, 4095), st.integers(0, 2**20))), 0, 1, unix.xattrs)
    return path, Facts(kind, len(data), mtime, draw(PATHS) if kind is FileKind.SYMLINK else "", unix, dos), None, data


@given(entries=st.lists(tar_entries(), max_size=5), chunk=st.sampled_from([1, 100, 512, 1000, 4096, 1 << 20]))
@settings(deadline=None)
def test_what_is_packed_comes_back_whatever_the_buffers_are(entries: list[Entry], chunk: int) -> None:
    assert unpack(pack(*entries), chunk) == entries


@given(entries=st.lists(tar_entries(), max_size=4))
@settings(deadline=None)
def test_tarfile_reads_what_we_write(entries: list[Entry]) -> None:
    with tarfile.open(fileobj=io.BytesIO(pack(*entries)), errors="surrogateescape") as archive:
        found = archive.getmembers()
        assert [member.name for member in found] == [path for path, *_ in entries]
        for member, (_, facts, _, data) in zip(found, entries, strict=True):
            assert facts.unix is not None
            assert (member.uid, member.gid, member.mode) == (facts.unix.uid, facts.unix.gid, facts.unix.mode)
            assert member.mtime == pytest.approx(facts.mtime_ns / 1e9)
            assert member.linkname == facts.target
            if member.isblk():
                assert (member.devmajor, member.devminor) == facts.unix.device
            if member.isreg():
                content = archive.extractfile(member)
                assert content is not None
                assert content.read() == data


@pytest.mark.parametrize("form", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_we_read_what_tarfile_writes(form: int) -> None:
    buffer = io.BytesIO()
    long = "long/" + "x" * 90 + "/" + "y" * (140 if form != tarfile.USTAR_FORMAT else 90)
    with tarfile.open(fileobj=buffer, mode="w", format=form) as archive:
        for name, kind, data in (("d", tarfile.DIRTYPE, b""), ("d/a", tarfile.REGTYPE, b"hello"), (long, tarfile.REGTYPE, b"z" * 1000)):
            info = tarfile.TarInfo(name)
            info.type, info.size, info.mode, info.uid, info.mtime = kind, len(data), 0o640, 1000, 1_500_000_000
            archive.addfile(info, io.BytesIO(data))
        for name, kind, target in (("s", tarfile.SYMTYPE, "../" + "t" * 95), ("h", tarfile.LNKTYPE, "d/a")):
            info = tarfile.TarInfo(name)
            info.type, info.linkname = kind, target
            archive.addfile(info)
    found = {path: (facts, link, data) for path, facts, link, data in unpack(buffer.getvalue())}
    assert found["d"][0].kind is FileKind.DIRECTORY
    assert found["d/a"][2] == b"hello"
    assert found["d/a"][0].unix is not None
    assert (found["d/a"][0].unix.mode, found["d/a"][0].unix.uid, found["d/a"][0].mtime_ns) == (0o640, 1000, 1_500_000_000 * 10**9)
    assert found[long][2] == b"z" * 1000
    assert found["s"][0].target == "../" + "t" * 95
    assert found["h"][1] == "d/a"


@pytest.fixture
def host_tree(tmp_path: Path) -> Path:
    """A tree with everything an ordinary user can make, and devices when root."""
    root = tmp_path / "tree"
    (root / "dir" / ("n" * 95)).mkdir(parents=True)
    (root / "dir" / ("n" * 95) / "ü ö.txt").write_bytes(b"umlaut")
    (root / "a").write_bytes(b"hello" * 1000)
    os.utime(root / "a", ns=(10**18, 1_234_567_890_123_456_789))
    (root / "a").chmod(0o4751)
    os.symlink("no/where", root / "link")
    os.link(root / "a", root / "hard")
    os.mkfifo(root / "fifo")
    os.setxattr(root / "a", "user.x", b"\0\xffv")
    if os.geteuid() == 0:
        os.mknod(root / "null", 0o20666, os.makedev(1, 3))
        os.chown(root / "link", 4_000_000, 5, follow_symlinks=False)
    return root


@pytest.mark.parametrize("form", ["pax", "gnu", "ustar"])
def test_we_read_what_gnu_tar_writes(host_tree: Path, tmp_path: Path, form: str) -> None:
    if form == "ustar" and os.geteuid() == 0:
        os.chown(host_tree / "link", 4, 5, follow_symlinks=False)      # ustar has no room for large ids
    options = ["--xattrs"] if form == "pax" else []
    run_tool(["tar", f"--format={form}", *options, "--sort=name", "-C", host_tree, "-cf", tmp_path / "t.tar", "."])
    found = {path: (facts, link, data) for path, facts, link, data in unpack((tmp_path / "t.tar").read_bytes(), 4096)}
    assert set(found) == {str(path.relative_to(host_tree)) for path in host_tree.rglob("*")}
    assert found["a"][2] == b"hello" * 1000
    facts = found["a"][0]
    assert facts.unix is not None
    assert facts.unix.mode == 0o4751
    assert found["hard"][1] == "a"
    assert found["link"][0].target == "no/where"
    assert found["fifo"][0].kind is FileKind.FIFO
    assert found[f"dir/{'n' * 95}/ü ö.txt"][2] == b"umlaut"
    if form == "pax":
        assert facts.mtime_ns == 1_234_567_890_123_456_789
        assert facts.unix.xattrs == {"user.x": b"\0\xffv"}
    if os.geteuid() == 0:
        device = found["null"][0].unix
        assert device is not None
        assert device.device == (1, 3)


@pytest.mark.parametrize("options", [["--format=gnu"], ["--format=pax"], *(["--format=pax", f"--sparse-version={v}"] for v in ("0.0", "0.1", "1.0"))])
@pytest.mark.parametrize("holes", [0, 1, 3, 300])
def test_sparse_files_of_gnu_tar_come_back_with_their_holes(options: list[str], holes: int, tmp_path: Path) -> None:
    (tmp_path / "t").mkdir()
    expected = bytearray(holes * 16384 + 5000)
    with (tmp_path / "t" / "sparse file").open("wb") as file:
        file.truncate(len(expected))
        for number in range(holes):
            file.seek(number * 16384 + 4096)
            file.write(b"data%d" % number)
            expected[number * 16384 + 4096 : number * 16384 + 4096 + len(b"data%d" % number)] = b"data%d" % number
    (tmp_path / "t" / "z").write_bytes(b"after")
    run_tool(["tar", "--sparse", "--hole-detection=raw", "--sort=name", *options, "-C", tmp_path / "t", "-cf", tmp_path / "s.tar", "sparse file", "z"])
    packed = (tmp_path / "s.tar").read_bytes()
    assert len(packed) < len(expected) or holes < 3
    for chunk in (1 << 20, 700):
        found = [(path, facts.size, data) for path, facts, _, data in unpack(packed, chunk)]
        assert found == [("sparse file", len(expected), bytes(expected)), ("z", 5, b"after")]


def test_gnu_tar_unpacks_what_we_write(tmp_path: Path) -> None:
    def mine(mode: int = 0o644, **xattrs: bytes) -> UnixFacts:
        return UnixFacts(mode, os.getuid(), os.getgid(), xattrs={f"user.{key}": value for key, value in xattrs.items()})

    long = "/".join(["d" * 60] * 4)
    data = pack(
        ("d", Facts(FileKind.DIRECTORY, mtime_ns=10**18, unix=mine(0o750)), None, b""),
        ("d/ü", Facts(FileKind.FILE, 3, 1_600_000_000_987_654_321, unix=mine(0o600, x=b"\0v")), None, b"abc"),
        ("d/hard", Facts(FileKind.FILE, unix=mine()), "d/ü", b""),
        (long, Facts(FileKind.FILE, 4, unix=mine()), None, b"long"),
        ("s", Facts(FileKind.SYMLINK, target="x" * 150, unix=mine(0o777)), None, b""),
    )
    (tmp_path / "t.tar").write_bytes(data)
    out = tmp_path / "out"
    out.mkdir()
    result = run_tool(["tar", "--xattrs", "-C", out, "-xpf", tmp_path / "t.tar"])
    assert result.stderr == ""
    assert (out / "d" / "ü").read_bytes() == b"abc"
    assert (out / "d" / "ü").stat().st_mtime_ns == 1_600_000_000_987_654_321
    assert (out / "d" / "ü").stat().st_mode & 0o7777 == 0o600
    assert (out / "d").stat().st_mtime_ns == 10**18
    assert os.getxattr(out / "d" / "ü", "user.x") == b"\0v"
    assert (out / "d" / "ü").samefile(out / "d" / "hard")
    assert (out / long).read_bytes() == b"long"
    assert os.readlink(out / "s") == "x" * 150


def test_gnu_tar_says_nothing_about_dos_attributes(tmp_path: Path) -> None:
    facts = Facts(FileKind.FILE, 0, 0, dos=DosFacts(0x21, 10**18, "A~1"))
    (tmp_path / "t.tar").write_bytes(pack(("long name", facts, None, b"")))
    result = run_tool(["tar", "-tvf", tmp_path / "t.tar"])
    assert result.stderr == ""
    assert result.stdout.startswith("-r--r--r-- 0/0")
    assert unpack(pack(("long name", facts, None, b"")))[0][1].dos == facts.dos


def test_a_file_larger_than_ustar_can_say_is_announced_in_a_pax_header() -> None:
    header = tar_header("big", Facts(FileKind.FILE, 9 << 30))
    entry = next(iter(TarReader([header, b"\0" * 512])))
    assert entry.facts.size == 9 << 30
    with tarfile.open(fileobj=io.BytesIO(header + b"\0" * 512)) as archive:
        assert archive.next().size == 9 << 30  # type: ignore[union-attr]


def test_names_that_are_no_unicode_come_back() -> None:
    name = b"caf\xe9".decode(errors="surrogateescape")
    data = pack((name, file(), None, b""), ("s", Facts(FileKind.SYMLINK, target=name, unix=UnixFacts()), None, b""))
    assert [path for path, *_ in unpack(data)] == [name, "s"]
    assert unpack(data)[1][1].target == name
    with tarfile.open(fileobj=io.BytesIO(data), errors="surrogateescape") as archive:
        assert archive.getnames() == [name, "s"]


def test_the_same_facts_make_the_same_bytes() -> None:
    one = file(b"", xattrs={"user.a": b"1", "user.b": b"2"})
    other = file(b"", xattrs={"user.b": b"2", "user.a": b"1"}, inode=77, links=3)
    assert tar_header("x", one) == tar_header("x", other)


@given(st.lists(tar_entries(), max_size=12), st.integers(1, 4).map(lambda blocks: blocks * 1024))
def test_groups_are_the_entries_and_all_of_a_group_are_there_at_once(entries: list[Entry], chunk: int) -> None:
    data = pack(*entries)
    found: list[Entry] = []
    for group in TarReader(memoryview(data[at : at + chunk]) for at in range(0, len(data), chunk)).groups():
        assert len(group) == 1 or all(entry.link is None and entry.facts.kind is FileKind.FILE and isinstance(entry.chunks, tuple) for entry in group)
        found += [(entry.path, entry.facts, entry.link, b"".join(map(bytes, entry.chunks))) for entry in group]
    assert found == unpack(data)


def test_usual_files_of_a_buffer_come_in_one_group() -> None:
    files = [(f"dir/file {number}", file(b"x" * number, 10**18 + number), None, b"x" * number) for number in range(40)]
    odd = ("dir/link", Facts(FileKind.SYMLINK, target="file 1", unix=UnixFacts()), None, b"")
    groups = [len(group) for group in TarReader([pack(*files[:20], odd, *files[20:])]).groups()]
    assert groups == [1, 19, 1, 20], "the first one tells who the owner is"


def test_unread_contents_are_passed_over() -> None:
    data = pack(("a", file(b"x" * 5000), None, b"x" * 5000), ("b", file(b"y"), None, b"y"))
    entries = [(entry.path, entry.facts.size) for entry in TarReader([data[i : i + 700] for i in range(0, len(data), 700)])]
    assert entries == [("a", 5000), ("b", 1)]


def test_a_socket_and_other_things_tar_cannot_hold_are_refused() -> None:
    with pytest.raises(StorageError, match='"s" is a socket'):
        tar_header("s", Facts(FileKind.SOCKET))
    with pytest.raises(StorageError, match="cannot hold the attribute name"):
        tar_header("s", file(xattrs={"user.a=b": b""}))
    with pytest.raises(StorageError, match="device number 3000000:0 is too large"):
        tar_header("s", Facts(FileKind.BLOCK_DEVICE, unix=UnixFacts(device=(3_000_000, 0))))
    with pytest.raises(StorageError, match="cannot hold this path"):
        tar_header("x" * 40_000, file())


# --- hostile streams -------------------------------------------------------------------------------------------------


def foreign(name: str, kind: bytes = b"0", *, linkname: str = "", size: int = 0, pax: dict[str, str] | None = None) -> bytes:
    info = tarfile.TarInfo(name)
    info.type, info.linkname, info.size = kind, linkname, size
    info.pax_headers = pax or {}
    return info.tobuf(tarfile.PAX_FORMAT if pax else tarfile.GNU_FORMAT)


def changed(header: bytes, start: int, value: bytes) -> bytes:
    """A header with a field changed and its checksum put right."""
    block = bytearray(header)
    block[start : start + len(value)] = value
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    return bytes(block)


def sparse_1(text: str) -> bytes:
    """A file of ten bytes in pax format 1.0 with this map."""
    data = text.encode().ljust(BLOCK, b"\0")
    return foreign("s", size=len(data), pax={"GNU.sparse.major": "1", "GNU.sparse.minor": "0", "GNU.sparse.realsize": "10"}) + data


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (foreign("../x"), r'"../x" has the path "../x", which may leave the tree'),
        (foreign("a/../../x"), r"may leave the tree"),
        (foreign("/etc/passwd"), r'"/etc/passwd" has the path "/etc/passwd", which is not inside the tree'),
        (foreign(""), r"which is not inside the tree"),
        (foreign("h", b"1", linkname="../../etc/passwd"), r'"h" has the path "../../etc/passwd", which may leave the tree'),
        (foreign("h", b"1", linkname="/etc/passwd"), r"not inside the tree"),
        (foreign("h", b"1"), r'"h" is a link to nowhere'),
        (foreign("s", b"2"), r'"s" is a link to nowhere'),
        (foreign("x", size=100) + b"x" * 50, r'archive ends in the middle of "x", 50 bytes are missing'),
        (foreign("x", size=1 << 50), r'archive ends in the middle of "x"'),
        (foreign("x", b"Q"), r'''"x" has the unknown type b'Q\''''),
        (foreign("x", b"M"), r"unknown type"),
        (foreign("x", b"S", size=5) + bytes(BLOCK), r'"x" has a damaged map of its holes: more or less is stored'),
        (changed(foreign("x", b"S"), 386, b"7" * 11 + b"\0" + b"1" * 11 + b"\0"), r"a segment beyond the end of the file"),
        (changed(foreign("x", b"S"), 482, b"\1"), r'ends in the middle of the map of "x"'),
        (changed(foreign("x", b"S"), 386, b"rubbish"), r"damaged map of its holes: an impossible number"),
        (foreign("x", pax={"GNU.sparse.major": "1", "GNU.sparse.minor": "0"}), r'"x" has an impossible size'),
        (sparse_1("9999999999\n"), r"damaged map of its holes: too many holes"),
        (sparse_1("x\n"), r"damaged map of its holes: an impossible number"),
        (sparse_1("1" * 600), r"damaged map of its holes: a number without end"),
        (sparse_1("2\n5\n1\n0\n1\n"), r"segments out of order"),
        (sparse_1("1\n0\n"), r"damaged map of its holes: a number without end"),
        (sparse_1("1\n" + "0" * 600)[:-1024], r"ends in the middle of"),
        (foreign("x", pax={"GNU.sparse.size": "9", "GNU.sparse.map": "0,1,2"}), r"an odd number of numbers"),
        (foreign("x", pax={"GNU.sparse.size": "9", "GNU.sparse.map": "0,1"}), r"more or less is stored than the map says"),
        (foreign("x", pax={"mtime": "soon"}), r'"x" has an impossible time'),
        (foreign("x", pax={"mtime": "99999999999999"}), r'"x" has an impossible time'),
        (foreign("x", pax={"size": "-1"}), r'"x" has an impossible size'),
        (foreign("x", pax={"size": "9" * 19}), r'"x" has an impossible size'),
        (foreign("x", pax={"uid": "4294967296"}), r'"x" has an impossible owner'),
        (foreign("x", pax={"path": "a\0b"}), r"not inside the tree"),
        (foreign("x", pax={"path": "p/" * 20_000}), r"has 40000 bytes"),
        (changed(foreign("x"), 124, b"\xff" * 12), r'"x" has an impossible size'),
        (changed(foreign("x"), 124, b"\x81" + b"\xff" * 11), r'"x" has an impossible size'),
        (changed(foreign("x"), 100, b"rwxr-xr"), r'"x" has an impossible mode'),
        (changed(foreign("x"), 136, b"\x81" + b"\0" * 11), r'"x" has an impossible time'),
        (changed(foreign("x", b"x"), 124, b"%011o\0" % (MAX_EXTENSION + 1)), r"an extended header has 4194305 bytes"),
        (changed(foreign("x", b"L"), 124, b"77777777777\0"), r"an extended header has 8589934591 bytes"),
        (changed(foreign("x", b"x"), 124, b"%011o\0" % 5) + b"5 a=b".ljust(BLOCK, b"\0"), r"extended header is damaged at its byte 0"),
        (changed(foreign("x", b"x"), 124, b"%011o\0" % 6) + b"99 a=b".ljust(BLOCK, b"\0"), r"damaged at its byte 0"),
        (changed(foreign("x", b"x"), 124, b"%011o\0" % 6) + b"6 =ab\n".ljust(BLOCK, b"\0"), r"a record without a name"),
        (pax_header([(b"path", b"x")], b"x"), r"ends in the middle of a header"),
        (pax_header([(b"path", b"x")], b"x") + END, r"an extended header at byte \d+ has no entry after it"),
        (foreign("x")[:300], r"archive ends in the middle of a header"),
        (foreign("x"), r"ends in the middle of a header \(the end mark is missing\)"),
        (b"", r"the end mark is missing"),
        (b"\1" * BLOCK, r"no tar header at byte 0, its checksum is wrong"),
        (foreign("x") + b"rubbish".ljust(BLOCK), r"no tar header at byte 512"),
    ],
)
def test_hostile_bytes_are_refused_in_a_clear_sentence(data: bytes, message: str) -> None:
    with pytest.raises(FormatError, match=message):
        unpack(data)


def test_global_headers_cannot_grow_without_end() -> None:
    def endless() -> Iterator[bytes]:
        number = 0
        while True:
            number += 1
            header = pax_header([(b"K%d" % number, b"v" * 100_000)], b"x")
            yield changed(header[:BLOCK], 156, b"g") + header[BLOCK:]

    with pytest.raises(FormatError, match="its global headers have more than 4194304 bytes"):
        list(TarReader(endless()))


def test_the_root_itself_is_not_an_entry_and_leading_dots_are_dropped() -> None:
    assert [path for path, *_ in unpack(foreign("./", b"5") + foreign("./a") + foreign("b/./c") + END)] == ["a", "b/c"]


def test_old_directories_are_marked_by_a_slash() -> None:
    assert unpack(foreign("d/", b"\0") + END)[0][1].kind is FileKind.DIRECTORY


def test_a_checksum_of_signed_bytes_is_accepted() -> None:
    block = bytearray(foreign("ä"))
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(byte - 256 if byte > 127 else byte for byte in block)
    assert unpack(bytes(block) + END)[0][0] == "ä"


@pytest.mark.parametrize("form", [b"%06o\0 ", b"%07o\0", b"%6o \0", b" %06o\0", b"%06o  "])
def test_a_checksum_may_be_written_in_many_ways(form: bytes) -> None:
    block = bytearray(foreign("x"))
    block[148:156] = b" " * 8
    block[148:156] = form % sum(block)
    assert unpack(bytes(block) + END)[0][0] == "x"
    block[0] ^= 1
    with pytest.raises(FormatError, match="its checksum is wrong"):
        unpack(bytes(block) + END)


@given(data=st.data(), position=st.integers(0, 6 * BLOCK - 1), value=st.binary(min_size=1, max_size=8))
@settings(deadline=None)
def test_any_bytes_open_or_raise_format_error(data: st.DataObject, position: int, value: bytes) -> None:
    """Invariant: any stream gives entries whose paths stay inside, or FormatError; nothing else, and never a loop."""
    whole = bytearray(
        pack(("d/a", file(b"x" * 700, 10**9 + 5, xattrs={"user.a": b"1"}), None, b"x" * 700), ("h", file(), "d/a", b""))
    )
    whole[position : position + len(value)] = value
    start = position // BLOCK * BLOCK
    if data.draw(st.booleans()) and start + BLOCK <= len(whole):
        whole[start : start + BLOCK] = changed(bytes(whole[start : start + BLOCK]), 0, b"")
    try:
        found = unpack(bytes(whole), 1000)
    except FormatError:
        return
    assert all(is_clean_path(path) for path, *_ in found)
