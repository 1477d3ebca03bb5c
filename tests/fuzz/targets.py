"""What is fuzzed: every parser of bytes that come from outside.

The invariant of each: any bytes are taken, or end in one of our errors; nothing else, never a loop, and no memory beyond bounds.
"""

import bz2
import gzip
import io
import lzma
import re
import struct
import tarfile
from collections.abc import Callable
from contextlib import closing, suppress
from hashlib import sha256
from pathlib import Path

from bpscript.archive.bmap import BlockMap
from bpscript.archive.dump import dump
from bpscript.archive.filezip import pack_file, unpack_file
from bpscript.archive.mtree import parse_mtree
from bpscript.archive.opened import OpenArchive
from bpscript.archive.positional import SeekingBytes
from bpscript.archive.unpack import unpack
from bpscript.base.clock import Clock
from bpscript.base.errors import BpscriptError
from bpscript.base.resources import image_bytes
from bpscript.cases.reading import parse_cases
from bpscript.commands import COMMANDS
from bpscript.crypto.signatures import parse_private_key, parse_public_key
from bpscript.filesystems.cache import CacheVolume
from bpscript.filesystems.detect import detect, open_volume, size_of
from bpscript.filesystems.filesystem import FileKind, Filesystem, make_dirs, walk
from bpscript.filesystems.ntfs import NtfsVolume
from bpscript.filesystems.swap import SwapSpace
from bpscript.interpreter.codepages import code_page_from_table
from bpscript.language.check.checker import check_script
from bpscript.language.check.premises import Premises
from bpscript.language.format import format_bytes
from bpscript.machine.workstation.kernels import check_kernel, release
from bpscript.machine.workstation.systems.find import find_system
from bpscript.network.foreign import parse_foreign
from bpscript.network.http.urls import parse_url
from bpscript.partitions.table import cache_range, read_table
from bpscript.screen.font import Font, built_in_font
from bpscript.screen.gif import read_gif
from bpscript.screen.key_decoder import KeyDecoder
from bpscript.screen.memory import ScriptedKeyboard
from bpscript.screen.screen import Mode
from bpscript.server.hosts_format import read_hosts
from bpscript.workstation.parameters import parse_parameters
from tests.archive.damage import KINDS, sample
from tests.archive.memory_tree import MemoryTree
from tests.archive.partclone_images import by_hand, format_1
from tests.fuzz.checksums import cache_entries, ext_metadata, gpt_headers
from tests.fuzz.files import FILES
from tests.fuzz.goldens import golden
from tests.fuzz.network import GATEWAY_KEY, NETWORK
from tests.fuzz.target import MOST, Target
from tests.scripts import run_script

EXAMPLES = Path(__file__).parents[1] / "spec" / "examples"
_STEP = 1 << 16
_TEXT, _LINES = 300, 4      # bytes and lines of a script that is tried


# --- volumes and tables ----------------------------------------------------------------------------------------------


def _read_all(volume: Filesystem) -> None:
    """What reading can do, as long as the budget lasts."""
    with closing(volume):
        for number, (path, facts) in enumerate(walk(volume)):
            if number >= MOST:
                return
            if facts.kind is FileKind.FILE:
                try:
                    with closing(volume.open(path)) as reader:
                        for _ in range(4):
                            if not reader.read(_STEP):
                                break
                except BpscriptError:
                    continue
        volume.usage()
        volume.check()
        for number, _ in enumerate(volume.used_ranges()):
            if number >= MOST:
                return


def _volume(name: str, *, checked: bool = False) -> Callable[[bytes], object]:
    def run(patches: bytes) -> None:
        good = golden(name)
        device = good.damaged(patches)
        if checked:
            ext_metadata(device, good.device)
        kind = detect(device)
        if kind is not None:
            size_of(device, kind)
        _read_all(open_volume(device, clock=Clock(1)))
        with closing(open_volume(device, clock=Clock(1))) as volume:
            volume.write_file("new", [b"x" * 5000])
            volume.remove("new")

    return run


def _ntfs(patches: bytes) -> None:
    device = golden("ntfs").damaged(patches)
    volume = NtfsVolume.read(device)
    volume.label(device)
    for number, _ in enumerate(volume.used_ranges(device)):
        if number >= MOST:
            return


def _table(name: str, *, checked: bool = False) -> Callable[[bytes], object]:
    def run(patches: bytes) -> None:
        device = golden(name).damaged(patches)
        if checked:
            gpt_headers(device)
        table = read_table(device)
        table.to_list()
        cache_range(device, table)

    return run


def _cache(patches: bytes, *, checked: bool = False) -> None:
    device = golden("cache").damaged(patches)
    if checked:
        cache_entries(device)
    _read_all(CacheVolume.on(device, clock=Clock(1)))
    with closing(CacheVolume.on(device, clock=Clock(2))) as volume:
        volume.write_file("new", [b"x" * 100_000])
        volume.remove("image1.imz")


# --- archives and images ---------------------------------------------------------------------------------------------


def _positional(data: bytes) -> SeekingBytes:
    return SeekingBytes(io.BytesIO(data), "input")


def _archive(data: bytes) -> None:
    with OpenArchive(_positional(data)) as archive:
        archive.info  # noqa: B018 - reads it
        archive.check()
        for _ in zip(range(MOST), archive.entries(), strict=False):
            pass


def _image(data: bytes) -> None:
    """Of a partition without a file system."""
    with OpenArchive(_positional(data)) as archive:
        archive.info  # noqa: B018 - reads it
        archive.check()


def _dump(data: bytes) -> None:
    with OpenArchive(_positional(data)) as archive:
        if archive._archive is not None:
            for _ in zip(range(MOST), dump(archive._archive, "HBSDF"), strict=False):
                pass


def _files(data: bytes) -> None:
    unpack(_positional(data), "input", MemoryTree())


def _archives() -> list[bytes]:
    return [sample(kind).data for kind in KINDS if len(sample(kind).data) < 40_000]


def _tars() -> list[bytes]:
    from tests.archive.test_foreign_files import PACKERS, SMALL  # noqa: PLC0415 - it imports much

    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as archive:
        entry = tarfile.TarInfo("with more")
        entry.size = 5
        entry.pax_headers = {"SCHILY.xattr.user.a": "x", "LIBARCHIVE.xattr.user.b": "eA==", "SCHILY.acl.access": "user::rw-,user:joe:r--:1000,group::r--,mask::r--,other::---", "mtime": "1.5"}
        archive.addfile(entry, io.BytesIO(b"words"))
    return [SMALL, buffer.getvalue(), *(pack(SMALL) for pack in PACKERS.values())]


def _zips() -> list[bytes]:
    import zipfile  # noqa: PLC0415 - as above

    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("d/a", "text" * 300)
        archive.writestr("b", "x")
    return [buffer.getvalue()]


def _partclones() -> list[bytes]:
    return [make([True, False, True], [b"x" * 4096, b"y" * 4096]) for make in (by_hand, format_1)]


def _packed() -> list[bytes]:
    import lz4.frame  # noqa: PLC0415 - as above
    import zstandard  # noqa: PLC0415

    image, raw = _partclones()[0], b"raw" * 3000 + bytes(3000)
    return [pack(each) for each in (image, raw) for pack in (gzip.compress, bz2.compress, lzma.compress, zstandard.ZstdCompressor().compress, lz4.frame.compress)]


def _qcow2s() -> list[bytes]:
    # Version, no backing file, 4 KiB clusters, 64 KiB, one L1 entry: a header as qemu-img makes it, with one L2 table and one cluster.
    head = struct.pack(">4sIQIIQIIQQIIQ", b"QFI\xfb", 3, 0, 0, 12, 65536, 0, 1, 8192, 4096, 1, 0, 0) + struct.pack(">QQQII", 0, 0, 0, 4, 104)
    l1, l2 = struct.pack(">Q", 12288 | 1 << 63), struct.pack(">Q", 16384 | 1 << 63)
    return [head.ljust(8192, b"\0") + l1.ljust(4096, b"\0") + l2.ljust(4096, b"\0") + b"x" * 4096]


_BMAP = b"""<?xml version="1.0" ?><bmap version="2.0"><ImageSize> 8192 </ImageSize><BlockSize> 4096 </BlockSize><BlocksCount> 2 </BlocksCount>
<MappedBlocksCount> 2 </MappedBlocksCount><ChecksumType> sha256 </ChecksumType><BmapFileChecksum> SUM </BmapFileChecksum>
<BlockMap><Range chksum="SUM">0-1</Range></BlockMap></bmap>""".replace(b"SUM", b"0" * 64)
_SUM = re.compile(rb"(<BmapFileChecksum>\s*)[0-9a-f]{64}(?=\s*<)")


def _bmap(data: bytes) -> None:
    """With the checksum of the file put right, so that what is behind it is reached."""
    zeros = _SUM.sub(rb"\g<1>" + b"0" * 64, data)
    BlockMap.parse(_SUM.sub(rb"\g<1>" + sha256(zeros).hexdigest().encode(), data))


def _keys(data: bytes) -> None:
    for parse in (parse_public_key, parse_private_key):
        try:
            parse(data)
        except BpscriptError:
            continue


# --- texts -----------------------------------------------------------------------------------------------------------


def _script(data: bytes) -> None:
    """An included file of any bytes; loops end when they have taken enough."""
    ran = run_script('include "x"', files={"x": data.replace(b"goto", b"g0to").replace(b"Goto", b"G0to")}, keyboard=ScriptedKeyboard("ab\r\033"))
    assert ran.error is None or "\n" not in ran.error.message


def _hosts(data: bytes) -> None:
    read_hosts(data, "hosts.toml")


def _hosts_files() -> list[bytes]:
    manual = (Path(__file__).parents[2] / "docs" / "hosts.md").read_text(encoding="utf-8")
    return [manual.split("```toml\n")[1].partition("```")[0].encode()]


def _check(data: bytes) -> None:
    for program in ("MrBatch", "MrZip"):
        report = check_script("x.bpb", data, COMMANDS, program, Premises(None, (1 << 30,)))
        assert all(finding.line >= 1 and finding.column >= 1 for finding in report.findings)


def _format(data: bytes) -> None:
    """What was put in order is in order."""
    done = format_bytes(data, COMMANDS)
    assert format_bytes(done, COMMANDS) == done


def _address(data: bytes) -> None:
    """An address, and where a redirect leads from it."""
    first, _, then = data.decode("utf-8", "replace").partition("\n")
    with suppress(BpscriptError):
        parse_foreign(first)
    url = parse_url(first)
    assert str(url).isascii()
    url.redirected(then)


def _typed(data: bytes) -> None:
    """Whatever a terminal sends are keys, however it is cut, and nothing stays behind."""
    decoder = KeyDecoder()
    for start in range(0, len(data), 3):
        decoder.feed(data[start : start + 3])
    decoder.end()
    assert not decoder.is_open


_CONFIGURATIONS = ("boot/grub/grub.cfg", "extlinux.conf", "loader/entries/a.conf")


def _boot_menu(data: bytes) -> None:
    """The text as the configuration of each boot loader."""
    for name in _CONFIGURATIONS:
        tree = MemoryTree()
        make_dirs(tree, name.rpartition("/")[0])
        tree.write_file(name, [data])
        find_system(tree)


_GRUB = b"""set default="${saved_entry}"
if [ -n "$x" ]; then set a=1; else set a=2; fi
menuentry 'One' --id one { linux /vmlinuz root=/dev/sda1 ; initrd /initrd.img }
submenu 'More' { menuentry "Two" { linux ($root)/vmlinuz-2 quiet
initrd /initrd-2 } }
"""
_EXTLINUX = b"DEFAULT a\nTIMEOUT 10\nLABEL a\n  KERNEL /vmlinuz\n  APPEND root=/dev/sda1 initrd=/initrd.img\n"


def _gifs() -> list[bytes]:
    return [image_bytes(f"gallery/{name}.gif") for name in ("linux", "disk")]


def _scripts() -> list[bytes]:
    """The example scripts, a few lines at a time, and the examples of all commands: what is short is tried often."""
    found = [example.encode() for declaration in COMMANDS for example in declaration.examples]
    for path in sorted(EXAMPLES.glob("**/*.bpb")) + sorted(EXAMPLES.glob("*.mrz")):
        lines = path.read_bytes().splitlines(keepends=True)
        found += [b"".join(lines[start : start + _LINES]) for start in range(0, len(lines), _LINES)]
    return [each for each in dict.fromkeys(found) if len(each) <= _TEXT]


TARGETS = (
    *(Target(name, _volume(name), lambda name=name: golden(name).seeds()) for name in ("fat12", "fat16", "fat32", "ext2", "ext4")),  # type: ignore[misc]
    Target("ntfs", _ntfs, lambda: golden("ntfs").seeds()),
    Target("swap", lambda patches: SwapSpace.parse(golden("swap").damaged(patches)), lambda: golden("swap").seeds()),
    Target("mbr", _table("mbr"), lambda: golden("mbr").seeds()),
    Target("gpt", _table("gpt"), lambda: golden("gpt").seeds()),
    Target("gpt-checked", _table("gpt", checked=True), lambda: golden("gpt").seeds()),
    Target("ext4-checked", _volume("ext4", checked=True), lambda: golden("ext4").seeds()),
    Target("cache", _cache, lambda: golden("cache").seeds()),
    Target("cache-checked", lambda patches: _cache(patches, checked=True), lambda: golden("cache").seeds()),
    Target("archive", _archive, _archives),
    Target("dump", _dump, _archives),
    Target("tar", _files, _tars),
    Target("zip", _files, _zips),
    Target("partclone", _image, _partclones),
    Target("qcow2", _image, _qcow2s),
    Target("packed-image", _image, _packed),
    Target("bmap", _bmap, lambda: [_BMAP]),
    Target("filezip", lambda data: sum(len(each) for each in unpack_file(io.BytesIO(data))), lambda: [b"".join(pack_file([b"text" * 500]))]),
    Target("mtree", lambda data: parse_mtree(data.decode("utf-8", "surrogateescape"), "map"), lambda: [b"#mtree\n/set type=file uid=0 gid=0\n./a mode=0755 size=3\n  b type=dir\n..\n"]),
    Target("keys", _keys, lambda: [GATEWAY_KEY.public_pem(), GATEWAY_KEY.to_pem()]),
    Target("code-page", lambda data: code_page_from_table(data, "cp.bin"), lambda: [b"".join(number.to_bytes(2, "little") for number in range(256))]),
    Target("gif", lambda data: read_gif(data, "x.gif", Mode(1280, 1024)), _gifs),
    Target("font", lambda data: Font.from_codes(data, bytes(range(256)).decode("cp437"), "x.fnt", built_in_font()), lambda: [bytes(4096)]),
    Target("script", _script, _scripts, largest=_TEXT),
    Target("check", _check, _scripts, largest=_TEXT),
    Target("format", _format, _scripts, largest=_TEXT),
    Target("address", _address, lambda: [b"http://server:8080/a%20b/c.imz?x=1\n../d", b"https://[fe80::1]/x", b"tftp://10.0.0.1/linux.imz"]),
    Target("keyboard", _typed, lambda: [b"ab\r\n\033[A\033OP\033x\033[200~paste\033[201~\xc3\xa9", b"\033[[A\033", b"\xe2\x82"]),
    Target("boot-menu", _boot_menu, lambda: [_GRUB, _EXTLINUX, b"title Linux\nlinux /vmlinuz\ninitrd /initrd\noptions root=/dev/sda1 $x\n"]),
    Target("kernel", lambda data: (check_kernel("vmlinuz", data, "x86_64"), release(data, "x86_64"), release(data, "aarch64")), lambda: [bytes(0x1FE) + b"\x55\xaa\xeb\x66HdrS\x0f\x02" + b"\xff" * 600]),
    Target("kernel-line", lambda data: parse_parameters(data.decode("utf-8", "replace")), lambda: [b'quiet nbp.root=http://10.0.0.1/ nbp.onerror=reboot nbp.set.A="b c" BOOTIF=01-02-00-00-00-00-01']),
    Target("hosts", _hosts, _hosts_files),
    Target("cases", lambda data: parse_cases(data, Path("cases.toml")), lambda: [(Path(__file__).parents[1] / "spec" / "cases" / "patch.toml").read_bytes()]),
    *NETWORK,
    *FILES,
)  # fmt: skip
