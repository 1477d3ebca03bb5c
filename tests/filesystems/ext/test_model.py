"""Random sequences of everything a Unix volume can do, against a plain model: links, devices, facts, holes, attributes.

The model: path → inode number of its own, inode number → what it is. e2fsck judges after each sequence.
"""

from dataclasses import dataclass, field

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bpscript.base.clock import Clock
from bpscript.base.errors import StorageError
from bpscript.blocks.memory import MemoryDevice
from bpscript.filesystems.ext import ExtVolume, format_ext
from bpscript.filesystems.filesystem import Facts, FileKind, UnixFacts, walk

KIB = 1 << 10
NAMES = ("a", "b", "name with blanks", "x" * 200, "größe")
PATHS = st.lists(st.sampled_from(NAMES), min_size=1, max_size=2).map("/".join)
DATA = st.lists(
    st.one_of(st.builds(lambda byte, size: bytes([byte]) * size, st.integers(0, 3), st.sampled_from([1, 100, 1023, 65_536, 200_000])), st.binary(max_size=20)),
    max_size=4,
)  # fmt: skip
XATTRS = st.dictionaries(st.sampled_from(["user.a", "user.b", "security.c", "trusted.d"]), st.binary(max_size=120), max_size=3)
FACTS = st.builds(
    lambda mode, uid, gid, atime_ns, ctime_ns, xattrs: UnixFacts(mode, uid, gid, atime_ns, ctime_ns, xattrs=xattrs),
    st.integers(0, 0o7777), st.sampled_from([0, 1000, 100_000]), st.sampled_from([0, 5, 70_000]),
    st.integers(1, 2**60), st.integers(1, 2**60), XATTRS,
)  # fmt: skip
STEPS = st.one_of(
    st.tuples(st.just("write"), PATHS, DATA, st.none() | FACTS),
    st.tuples(st.just("write"), PATHS, DATA, st.none() | FACTS),
    st.tuples(st.just("make_dir"), PATHS, st.none() | FACTS),
    st.tuples(st.just("symlink"), PATHS, st.integers(1, 300)),
    st.tuples(st.just("link"), PATHS, PATHS),
    st.tuples(st.just("node"), PATHS, st.sampled_from([FileKind.FIFO, FileKind.SOCKET, FileKind.BLOCK_DEVICE]), FACTS),
    st.tuples(st.just("facts"), PATHS, FACTS),
    st.tuples(st.just("remove"), PATHS),
    st.tuples(st.just("rename"), PATHS, PATHS),
    st.tuples(st.just("flush")),
    st.tuples(st.just("reopen")),
)


@dataclass
class Node:
    kind: FileKind
    data: bytes = b""
    unix: UnixFacts | None = None       # None: the defaults, whatever they are


@dataclass
class Model:
    paths: dict[str, int] = field(default_factory=dict)
    nodes: dict[int, Node] = field(default_factory=dict)

    def node(self, path: str) -> Node | None:
        return self.nodes.get(self.paths.get(path, -1))

    def can_be_made(self, path: str) -> bool:
        parent, _, _ = path.rpartition("/")
        above = self.node(parent)
        return path not in self.paths and (not parent or (above is not None and above.kind is FileKind.DIRECTORY))

    def make(self, path: str, node: Node) -> None:
        number = len(self.nodes)
        self.nodes[number] = node
        self.paths[path] = number

    def apply(self, step: tuple[object, ...]) -> bool:
        """True when the step is allowed; then it was done."""
        match step:
            case ("write", str(path), list(chunks), unix):
                data = b"".join(chunks)
                there = self.node(path)
                assert unix is None or isinstance(unix, UnixFacts)
                if there is None:
                    if not self.can_be_made(path):
                        return False
                    self.make(path, Node(FileKind.FILE, data, unix))
                elif there.kind is FileKind.DIRECTORY:
                    return False
                elif unix is None and there.kind is FileKind.FILE:
                    there.data = data
                else:
                    self.make(path, Node(FileKind.FILE, data, unix))
            case ("make_dir", str(path), unix):
                assert unix is None or isinstance(unix, UnixFacts)
                there = self.node(path)
                if there is not None:
                    if there.kind is not FileKind.DIRECTORY:
                        return False
                    there.unix = unix or there.unix
                    return True
                if not self.can_be_made(path):
                    return False
                self.make(path, Node(FileKind.DIRECTORY, b"", unix))
            case ("symlink", str(path), int(length)):
                if not self.can_be_made(path):
                    return False
                self.make(path, Node(FileKind.SYMLINK, b"t" * length))
            case ("node", str(path), FileKind() as kind, UnixFacts() as unix):
                if not self.can_be_made(path):
                    return False
                self.make(path, Node(kind, b"", unix))
            case ("link", str(path), str(existing)):
                there = self.node(existing)
                if there is None or there.kind is FileKind.DIRECTORY or not self.can_be_made(path):
                    return False
                self.paths[path] = self.paths[existing]
            case ("facts", str(path), UnixFacts() as unix):
                there = self.node(path)
                if there is None:
                    return False
                there.unix = unix
            case ("remove", str(path)):
                if path not in self.paths or any(other.startswith(f"{path}/") for other in self.paths):
                    return False
                del self.paths[path]
            case ("rename", str(old), str(new)):
                if old == new:
                    return old in self.paths
                if old not in self.paths or not self.can_be_made(new) or new.startswith(f"{old}/"):
                    return False
                for path in [path for path in self.paths if f"{path}/".startswith(f"{old}/")]:
                    self.paths[new + path[len(old) :]] = self.paths.pop(path)
            case _:
                raise AssertionError(step)
        return True


def act(volume: ExtVolume, step: tuple[object, ...]) -> None:
    match step:
        case ("write", str(path), list(chunks), unix):
            size = sum(map(len, chunks)) if len(chunks) % 2 else None
            volume.write_file(path, chunks, size, None if unix is None else Facts(FileKind.FILE, mtime_ns=7, unix=unix))  # type: ignore[arg-type]
        case ("make_dir", str(path), unix):
            volume.make_dir(path, None if unix is None else Facts(FileKind.DIRECTORY, mtime_ns=7, unix=unix))  # type: ignore[arg-type]
        case ("symlink", str(path), int(length)):
            volume.make_symlink(path, "t" * length)
        case ("node", str(path), FileKind() as kind, UnixFacts() as unix):
            volume.make_node(path, Facts(kind, mtime_ns=7, unix=unix))
        case ("link", str(path), str(existing)):
            volume.make_hard_link(path, existing)
        case ("facts", str(path), UnixFacts() as unix):
            volume.set_facts(path, Facts(FileKind.FILE, mtime_ns=7, unix=unix))
        case ("remove", str(path)):
            volume.remove(path)
        case ("rename", str(old), str(new)):
            volume.rename(old, new)


def compare(volume: ExtVolume, model: Model) -> None:
    found = {path: facts for path, facts in walk(volume) if path != "lost+found"}
    assert set(found) == set(model.paths)
    inodes: dict[int, int] = {}
    for path, facts in found.items():
        node = model.nodes[model.paths[path]]
        unix = facts.unix
        assert unix is not None
        assert facts.kind is node.kind
        if node.kind is FileKind.FILE:
            assert volume.open(path).read() == node.data
            assert facts.size == len(node.data)
        if node.kind is FileKind.SYMLINK:
            assert facts.target == node.data.decode()
        assert inodes.setdefault(model.paths[path], unix.inode) == unix.inode
        if node.kind is not FileKind.DIRECTORY:
            assert unix.links == list(model.paths.values()).count(model.paths[path])
        else:
            assert unix.links == 2 + sum(
                other.rpartition("/")[0] == path and model.nodes[model.paths[other]].kind is FileKind.DIRECTORY for other in model.paths
            )
        if node.unix is not None:
            wanted = node.unix._replace(inode=unix.inode, links=unix.links, atime_ns=unix.atime_ns, ctime_ns=unix.ctime_ns, device=unix.device)
            assert unix == wanted
    assert len(set(inodes.values())) == len(inodes)


@pytest.mark.parametrize("kind", ["EXT2", "EXT3", "EXT4"])
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(steps=st.lists(STEPS, min_size=3, max_size=40))
def test_any_sequence_does_what_the_model_does(kind: str, steps: list[tuple[object, ...]]) -> None:
    device = MemoryDevice(12 << 20)
    format_ext(device, kind)
    volume = ExtVolume.on(device, clock=Clock(1_700_000_000_000_000_000))
    free = volume.usage().free
    model = Model()
    for step in steps:
        if step[0] == "flush":
            volume.flush()
        elif step[0] == "reopen":
            volume.close()
            volume = ExtVolume.on(device, clock=Clock(1_700_000_000_000_000_000))
            compare(volume, model)
        elif model.apply(step):
            act(volume, step)
        else:
            with pytest.raises(StorageError):
                act(volume, step)
    compare(volume, model)
    assert volume.check() == []
    for path in sorted(model.paths, reverse=True):
        volume.remove(path)
    volume.flush()
    assert volume.usage().free == free
    assert volume.check() == []
    volume.close()
