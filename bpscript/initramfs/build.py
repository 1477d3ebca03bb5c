"""`bpscript boot build`: kernel, initramfs and boot programs in a folder that `bpscript serve` serves as it is.

The initramfs is made of parts, each a cpio archive compressed by itself; the kernel unpacks one after the other. So the size of
each part is a fact and not an estimate, and parts are compressed side by side.

    base            directories, /init, the console
    libraries       the C library, what programs and extension modules need of others, Python's own
    python          interpreter and standard library
    packages        what we import
    bpscript        ourselves
    programs        e2fsprogs, busybox
    modules         of the kernel
    firmware        that the modules ask for, if --firmware says where it is
    tls             what https:// needs, with --tls
"""

import os
import tempfile
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from ..base.errors import UsageError
from ..base.events import Event, Kind, Sink, ignore
from .boot_files import INITRAMFS, KERNEL, add_boot_files
from .cpio import Tree
from .firmware import add_firmware, firmware_folder
from .foreign import ForeignRoot
from .kernel import debians_kernel, given_kernel
from .libraries import Libraries
from .modules import Modules, add_modules
from .origin import Origin, ThisHost
from .packages import Packages
from .programs import add_programs
from .python import INTERPRETER, OWN_FOLDER, PACKAGES, PythonFiles
from .raspberry import add_device_trees, raspberry_files
from .tls import add_tls, authorities

LEVEL = 19          # of zstd; what the kernel unpacks takes no longer for it
_WINDOW_LOG = 27    # bits; the most that the kernel's zstd takes
_MACHINES = {"amd64": "x86_64", "arm64": "aarch64"}     # as Debian calls them, and `uname -m`
_RASPBERRY_PI = "aarch64"
_ALIGNMENT = 4      # of a part in the initramfs
_NAMED = 4              # missing files that are named

INIT = f"""#!/{INTERPRETER} -IS
import sys
sys.path.append("/{OWN_FOLDER}")
try:
    from bpscript.workstation.start import main
    main()
except BaseException:
    import os, traceback
    traceback.print_exc()
    os.execv("/bin/sh", ["sh"])     # rather than a kernel that has lost its first process
"""
PROGRAM = f"""#!/{INTERPRETER} -IS
import sys
sys.path.append("/{OWN_FOLDER}")
from bpscript.cli.main import main
sys.exit(main())
"""


@dataclass(frozen=True, kw_only=True)
class BuildOptions:
    """What to build; the fields are the options of `bpscript boot build` (see the manual)."""

    out: Path
    kernel: Path | None = None
    modules: Path | None = None
    ipxe: Path | None = None
    raspberry_pi: Path | None = None
    append: str = ""
    firmware: tuple[str, ...] = ()  # folders as /lib/firmware, or Debian packages
    tls: bool = False
    architecture: str | None = None     # of the machines, as Debian calls it; default: that of this host
    ca: Path | None = None          # with it, https:// is there and trusts its certificates only
    graphics: bool = True
    level: int = LEVEL
    cache: Path | None = None       # default: bpscript/boot in the folder of XDG_CACHE_HOME, or in ~/.cache


class Part(NamedTuple):
    """A part of the initramfs: the number of its files and directories, and its bytes before and after compression."""

    name: str
    files: int
    size: int
    packed: int


@dataclass(frozen=True, slots=True)
class Built:
    """What was made."""

    out: Path
    kernel_version: str
    parts: tuple[Part, ...]         # of the initramfs
    files: tuple[tuple[str, int], ...]     # all files of the folder that were written, with their sizes

    @property
    def initramfs_size(self) -> int:
        """Bytes of the initramfs."""
        return dict(self.files)[INITRAMFS]


def build(options: BuildOptions, events: Sink = ignore) -> Built:
    """Build it. Raises UsageError, NotFoundError, StorageError, FormatError; files that are there are replaced at the very end."""
    if options.out.exists() and not options.out.is_dir():
        raise UsageError(f"{options.out} is not a folder")
    _check_writable(options.out)
    if (options.kernel is None) != (options.modules is None):
        raise UsageError("--kernel and --modules go together: modules fit one kernel only")
    here = ThisHost().machine
    machine = here if options.architecture is None else _MACHINES[options.architecture]
    if options.raspberry_pi is not None and machine != _RASPBERRY_PI:
        raise UsageError("--raspberry-pi: a Raspberry Pi does not run what is made for this kind of machine", hint="--architecture arm64 makes it on any machine")
    certificates = authorities(options.ca) if options.tls or options.ca is not None else None
    cache = options.cache or _user_cache()
    packages = Packages(cache / "packages", events)
    theirs = packages if machine == here else Packages(cache / str(options.architecture), events, foreign=options.architecture)
    with tempfile.TemporaryDirectory(prefix="bpscript-boot-") as name:
        work = Path(name)
        unpacked = _unpacker(packages, work)
        firmware = [firmware_folder(each, unpacked) for each in options.firmware]
        files: dict[str, bytes] = {}
        add_boot_files(files, options.ipxe, unpacked, options.append, graphics=options.graphics, machine=machine)
        if options.raspberry_pi is not None:
            files |= raspberry_files(options.raspberry_pi, options.append)
        if options.kernel is not None and options.modules is not None:
            kernel, modules = given_kernel(options.kernel, options.modules, machine)
        else:
            kernel, modules = debians_kernel(theirs, work / "kernel")
        if options.raspberry_pi is not None and not add_device_trees(files, work / "kernel"):
            events(Event(Kind.WARNING, {"text": f"--raspberry-pi {options.raspberry_pi}: no device trees (*.dtb) in it; each model needs its own beside the kernel"}))
        origin: Origin = ThisHost() if machine == here else ForeignRoot(machine, theirs, work / "root", cache / "wheels", events)
        trees = _trees(modules, unpacked, events, host=origin, firmware=firmware, certificates=certificates)
        _note(events, "compressing")
        pieces = _compressed(trees, options.level)
        files |= {KERNEL: kernel, INITRAMFS: b"".join(pieces.values())}
    _write(options.out, files)
    parts = tuple(Part(name, sum(1 for _ in trees[name]), trees[name].size, len(pieces[name])) for name in trees)
    return Built(options.out, modules.version, parts, tuple((name, len(data)) for name, data in files.items()))


def _trees(
    modules: Modules, unpacked: Callable[[str], Path], events: Sink, *, host: Origin | None = None, firmware: Sequence[Path] = (), certificates: bytes | None = None,
) -> dict[str, Tree]:
    """The parts, in the order of the initramfs."""
    trees = {name: Tree() for name in ("base", "libraries", "python", "packages", "bpscript", "programs", "modules")}
    origin: Origin = host or ThisHost()
    libraries = Libraries(trees["libraries"], origin=origin)
    _fill_base(trees["base"])
    _note(events, "collecting Python and programs")
    python = PythonFiles(libraries, origin)
    python.add_interpreter(trees["python"])
    for package in PACKAGES:
        python.add_package(trees["packages"], package)
    python.add_ourselves(trees["bpscript"])
    python.finish()
    add_programs(trees["programs"], libraries, origin, unpacked)
    _note(events, f"collecting modules of kernel {modules.version}")
    chosen = modules.chosen()
    add_modules(trees["modules"], chosen, modules.version)
    if firmware:
        trees["firmware"] = Tree()
        missing = add_firmware(trees["firmware"], firmware, chosen)
        if missing:
            some = f"{', '.join(missing[:_NAMED])}{' ...' if len(missing) > _NAMED else ''}"
            events(Event(Kind.WARNING, {"text": f"--firmware: not there are {len(missing)} of the files that modules may ask for: {some}"}))
    if certificates is not None:
        trees["tls"] = Tree()
        add_tls(trees["tls"], Libraries(trees["tls"], trees["libraries"], origin), origin, certificates)
    return trees


def _fill_base(tree: Tree) -> None:
    for folder in ("dev", "proc", "sys", "run", "tmp", "root", "mnt", "etc", "lib", "usr/bin", "usr/sbin"):
        tree.add_folder(folder, 0o1777 if folder == "tmp" else 0o755)
    tree.add_link("bin", "usr/bin")
    tree.add_link("sbin", "usr/sbin")
    tree.add_device("dev/console", 5, 1)
    tree.add_device("dev/null", 1, 3)
    tree.add_device("dev/urandom", 1, 9)        # Python asks it where the kernel has no random numbers yet: processors without RDRAND
    tree.add_file("init", INIT.encode(), executable=True)
    tree.add_file("usr/bin/bpscript", PROGRAM.encode(), executable=True)
    tree.add_file("etc/passwd", b"root:x:0:0:root:/root:/bin/sh\n")
    tree.add_file("etc/group", b"root:x:0:\n")
    tree.add_file("etc/mtab", b"")


def _compressed(trees: dict[str, Tree], level: int) -> dict[str, bytes]:
    """The parts as they stand in the initramfs: padded to where the kernel looks for the next."""
    import zstandard  # noqa: PLC0415 - not to read the help

    def packed(tree: Tree) -> bytes:
        parameters = zstandard.ZstdCompressionParameters.from_level(level, window_log=_WINDOW_LOG, write_checksum=False)
        data = zstandard.ZstdCompressor(compression_params=parameters).compress(tree.to_cpio())
        return data + bytes(-len(data) % _ALIGNMENT)

    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        return dict(zip(trees, pool.map(packed, trees.values()), strict=True))


def _unpacker(packages: Packages, work: Path) -> Callable[[str], Path]:
    def unpacked(name: str) -> Path:
        folder = work / name
        if not folder.exists():
            packages.unpack(packages.fetch(name), folder)
        return folder

    return unpacked


def _check_writable(out: Path) -> None:
    """Told before minutes of work, and nothing is made yet."""
    there = next(each for each in (out.absolute(), *out.absolute().parents) if each.exists())
    try:
        with tempfile.TemporaryFile(dir=there):
            return
    except OSError as error:
        raise UsageError(f"{out}: cannot be written: {there}: {error.strerror}") from error


def _write(out: Path, files: dict[str, bytes]) -> None:
    """Each file whole or not at all: machines may be loading them."""
    for name, data in files.items():
        path = out / name
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
        try:
            temporary.write_bytes(data)
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)


def _user_cache() -> Path:
    home = os.environ.get("XDG_CACHE_HOME")
    try:
        return (Path(home) if home else Path.home() / ".cache") / "bpscript" / "boot"
    except RuntimeError as error:
        raise UsageError("there is no home folder to keep packages in", hint="set XDG_CACHE_HOME") from error


def _note(events: Sink, text: str) -> None:
    events(Event(Kind.NOTE, {"text": text}))
