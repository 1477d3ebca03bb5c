"""A volume that is a dict: the plain model that trees and archives are compared with."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from io import BytesIO

from bpscript.base.errors import InTheWayError, NotFoundError
from bpscript.base.sources import Reader
from bpscript.blocks.device import Buffer
from bpscript.filesystems.filesystem import DosFacts, Facts, Family, FileKind, Problem, UnixFacts, Usage, split_path


@dataclass
class MemoryTree:
    """Directories, files and links by path; hard links share an inode number and a content list."""

    files: dict[str, tuple[Facts, bytearray]] = field(default_factory=lambda: {"": (Facts(FileKind.DIRECTORY), bytearray())})
    kind: str = "MEMORY"
    family: Family = Family.LINUX
    label: str = ""
    ident: str = ""
    ignores_case: bool = False
    room: int = 1 << 40
    inodes: int = 1

    def usage(self) -> Usage:
        return Usage(self.room, self.room - sum(len(data) for _, data in self.files.values()))

    def _found(self, path: str) -> tuple[Facts, bytearray]:
        if path not in self.files:
            raise NotFoundError(f"{path}: no such file or directory")
        return self.files[path]

    def stat(self, path: str) -> Facts:
        facts, data = self._found(path)
        if facts.unix is not None:
            links = sum(other.unix is not None and other.unix.inode == facts.unix.inode for other, _ in self.files.values())
            facts = facts._replace(unix=facts.unix._replace(links=links))
        return facts._replace(size=len(data)) if facts.kind is FileKind.FILE else facts

    def exists(self, path: str) -> bool:
        return path in self.files

    def entries(self, path: str) -> list[tuple[str, Facts]]:
        if self._found(path)[0].kind is not FileKind.DIRECTORY:
            raise InTheWayError(f"{path}: not a directory")
        start = f"{path}/" if path else ""
        return [
            (name[len(start):], self.stat(name)) for name in self.files if name and name.startswith(start) and "/" not in name[len(start):]
        ]

    def open(self, path: str) -> Reader:
        return BytesIO(bytes(self._found(path)[1]))

    def write_file(self, path: str, chunks: Iterable[Buffer], size: int | None = None, facts: Facts | None = None) -> None:
        self._parent(path)
        if path in self.files and self.files[path][0].kind is FileKind.DIRECTORY:
            raise InTheWayError(f"{path}: is a directory")
        data = bytearray()
        for chunk in chunks:
            data += chunk
        assert size is None or size == len(data)
        self._put(path, facts or Facts(FileKind.FILE), data)

    def make_dir(self, path: str, facts: Facts | None = None) -> None:
        if path:
            self._parent(path)
        if path in self.files:
            if self.files[path][0].kind is not FileKind.DIRECTORY:
                raise InTheWayError(f"{path}: not a directory")
            if facts is not None:
                self.set_facts(path, facts)
        else:
            self._put(path, facts or Facts(FileKind.DIRECTORY), bytearray())

    def set_facts(self, path: str, facts: Facts) -> None:
        old, data = self._found(path)
        inode = old.unix.inode if old.unix is not None else 0
        unix = facts.unix if facts.unix is not None else old.unix
        self.files[path] = (
            old._replace(mtime_ns=facts.mtime_ns, unix=None if unix is None else unix._replace(inode=inode), dos=facts.dos or old.dos), data
        )

    def remove(self, path: str) -> None:
        if self._found(path)[0].kind is FileKind.DIRECTORY and self.entries(path):
            raise InTheWayError(f"{path}: not empty")
        del self.files[path]

    def rename(self, old: str, new: str) -> None:
        if new in self.files:
            raise InTheWayError(f"{new}: exists")
        for name in [name for name in self.files if name == old or name.startswith(f"{old}/")]:
            self.files[new + name[len(old):]] = self.files.pop(name)

    def make_symlink(self, path: str, target: str, facts: Facts | None = None) -> None:
        self._new(path)
        self._put(path, facts._replace(target=target) if facts else Facts(FileKind.SYMLINK, target=target), bytearray())

    def make_hard_link(self, path: str, existing: str) -> None:
        self._new(path)
        self.files[path] = self._found(existing)

    def make_node(self, path: str, facts: Facts) -> None:
        self._new(path)
        self._put(path, facts, bytearray())

    def used_ranges(self) -> Iterator[tuple[int, int]]:
        return iter(())

    def check(self) -> list[Problem]:
        return []

    def flush(self) -> None: ...

    def close(self) -> None: ...

    def _new(self, path: str) -> None:
        self._parent(path)
        if path in self.files:
            raise InTheWayError(f"{path}: exists")

    def _parent(self, path: str) -> None:
        if self._found(split_path(path)[0])[0].kind is not FileKind.DIRECTORY:
            raise InTheWayError(f"{split_path(path)[0]}: not a directory")

    def _put(self, path: str, facts: Facts, data: bytearray) -> None:
        self.inodes += 1
        unix = facts.unix or UnixFacts(mode=0o755 if facts.kind is FileKind.DIRECTORY else 0o644)
        self.files[path] = (facts._replace(unix=unix._replace(inode=self.inodes)), data)


def tree_of(files: Mapping[str, bytes | None], *, dos: bool = False) -> MemoryTree:
    """A tree with parents made as needed; None is a directory."""
    made = MemoryTree(ignores_case=dos)
    for path, data in files.items():
        parts = path.split("/")
        for count in range(1, len(parts)):
            made.make_dir("/".join(parts[:count]))
        if data is None:
            made.make_dir(path)
        else:
            made.write_file(path, [data], facts=Facts(FileKind.FILE, dos=DosFacts() if dos else None))
    return made
