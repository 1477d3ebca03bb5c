"""Root's metadata without being root: owners, modes and devices of a folder's files, from a file (`--owner-map`).

Two forms, told apart by the first line that says something. A specification of mtree(5) (`mtree.py`) names single paths: what
it says of owner, mode and time counts, devices, fifos, directories and links that are not in the folder are added, files must be
there. And lines for people, the last that matches a path counts; `-` leaves a value as it is:

    # PATTERN   UID GID [MODE]         patterns as those of Filter: the full path, * also runs across /
    *           0   0
    home/*      1000 1000
    etc/shadow  0   42  0640
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from ..base.errors import FormatError, ReadOnlyError, StorageError
from ..base.sources import Reader
from ..blocks.device import Buffer
from ..filesystems.filesystem import Facts, Family, FileKind, Filesystem, Problem, UnixFacts, Usage
from .filters import compiled_pattern
from .mtree import Specified, parse_id, parse_mode, parse_mtree

_ADDED = {FileKind.DIRECTORY: 0o755, FileKind.CHARACTER_DEVICE: 0o600, FileKind.BLOCK_DEVICE: 0o600, FileKind.FIFO: 0o600, FileKind.SYMLINK: 0o777}


class OwnerMap:
    """What a map says: single paths, or patterns."""

    def __init__(self, entries: Iterable[Specified] = (), rules: Iterable[tuple[re.Pattern[str], int | None, int | None, int | None]] = ()) -> None:
        self.entries: Mapping[str, Specified] = {entry.path: entry for entry in entries}
        self._rules = list(rules)[::-1]

    @classmethod
    def read(cls, path: Path) -> "OwnerMap":
        """From a file. Raises FormatError with the line, StorageError when it cannot be read."""
        try:
            text = path.read_text(encoding="utf-8", errors="surrogateescape")
        except OSError as error:
            raise StorageError(f"{path}: {error.strerror}") from error
        return cls(parse_mtree(text, str(path))) if _is_mtree(text) else cls(rules=_rules(text, str(path)))

    def apply(self, path: str, facts: Facts) -> Facts:
        """The facts of a file with what the map says. Raises StorageError when the map says it is something else."""
        entry = self.entries.get(path)
        if entry is not None:
            return _specified(entry, facts)
        for pattern, uid, gid, mode in self._rules:
            if pattern.fullmatch(path):
                return _with(facts, uid, gid, mode)
        return facts


class MappedTree:
    """A tree to be read, with the facts of a map, and with what only the map has."""

    def __init__(self, lower: Filesystem, owners: OwnerMap) -> None:
        """Raises StorageError when the map lists a file that is not there."""
        self._lower = lower
        self._owners = owners
        self._added: dict[str, Facts] = {}
        self._children: dict[str, list[str]] = {}
        for path, entry in owners.entries.items():
            if not path or lower.exists(path):
                continue
            if entry.kind is None or entry.kind not in _ADDED or (entry.kind is FileKind.SYMLINK and entry.target is None):
                if entry.optional:
                    continue
                raise StorageError(f'the owner map lists "{path}" in line {entry.line}, which is not in the folder')
            self._added[path] = _new(entry)
        for path in sorted(self._added):
            parent, _, name = path.rpartition("/")
            if parent and parent not in self._added and not lower.exists(parent):
                raise StorageError(f'the owner map lists "{path}", but the directory "{parent}" is neither in the folder nor in the map')
            self._children.setdefault(parent, []).append(name)

    @property
    def kind(self) -> str:
        """That of the tree below."""
        return self._lower.kind

    @property
    def family(self) -> Family:
        """That of the tree below."""
        return self._lower.family

    @property
    def label(self) -> str:
        """That of the tree below."""
        return self._lower.label

    @property
    def ident(self) -> str:
        """That of the tree below."""
        return self._lower.ident

    @property
    def ignores_case(self) -> bool:
        """That of the tree below."""
        return self._lower.ignores_case

    def usage(self) -> Usage:
        """That of the tree below."""
        return self._lower.usage()

    def stat(self, path: str) -> Facts:
        """Facts as the map has them."""
        added = self._added.get(path)
        return added if added is not None else self._owners.apply(path, self._lower.stat(path))

    def exists(self, path: str) -> bool:
        """In the tree or in the map."""
        return path in self._added or self._lower.exists(path)

    def entries(self, path: str) -> list[tuple[str, Facts]]:
        """What is in the tree, and what is added."""
        start = f"{path}/" if path else ""
        listed = [] if path in self._added else self._lower.entries(path)
        found = [(name, self._owners.apply(start + name, facts)) for name, facts in listed]
        return found + [(name, self._added[start + name]) for name in self._children.get(path, ())]

    def open(self, path: str) -> Reader:
        """The contents of a file."""
        return self._lower.open(path)

    def write_file(self, path: str, chunks: Iterable[Buffer], size: int | None = None, facts: Facts | None = None) -> None:
        """Refused."""
        raise _read_only()

    def make_dir(self, path: str, facts: Facts | None = None) -> None:
        """Refused."""
        raise _read_only()

    def set_facts(self, path: str, facts: Facts) -> None:
        """Refused."""
        raise _read_only()

    def remove(self, path: str) -> None:
        """Refused."""
        raise _read_only()

    def rename(self, old: str, new: str) -> None:
        """Refused."""
        raise _read_only()

    def used_ranges(self) -> Iterator[tuple[int, int]]:
        """Those of the tree below."""
        return self._lower.used_ranges()

    def check(self) -> list[Problem]:
        """That of the tree below."""
        return self._lower.check()

    def flush(self) -> None:
        """Nothing is held back."""

    def close(self) -> None:
        """Close the tree below."""
        self._lower.close()


def _is_mtree(text: str) -> bool:
    if text.startswith("#mtree"):
        return True
    for line in text.splitlines():
        words = line.split()
        if words and not words[0].startswith("#"):
            return words[0] in {"/set", "/unset", "."} or any("=" in word for word in words[1:])
    return False


def _rules(text: str, what: str) -> Iterator[tuple[re.Pattern[str], int | None, int | None, int | None]]:
    for number, line in enumerate(text.splitlines(), 1):
        words = line.split()
        if not words or words[0].startswith("#"):
            continue
        where = f"{what}: line {number}"
        if len(words) not in {3, 4}:
            raise FormatError(f"{where} has {len(words)} words; expected PATTERN UID GID [MODE]")
        uid, gid = (None if word == "-" else parse_id(word, where) for word in words[1:3])
        mode = None if len(words) == 3 or words[3] == "-" else parse_mode(words[3], where)
        yield compiled_pattern(words[0]), uid, gid, mode


def _specified(entry: Specified, facts: Facts) -> Facts:
    if entry.kind is not None and entry.kind is not facts.kind:
        raise StorageError(f'the owner map says in line {entry.line} that "{entry.path}" is a {entry.kind}, and it is a {facts.kind}')
    made = _with(facts, _user(entry), _group(entry), entry.mode)
    return made if entry.mtime_ns is None else made._replace(mtime_ns=entry.mtime_ns)


def _new(entry: Specified) -> Facts:
    assert entry.kind is not None
    mtime_ns = entry.mtime_ns or 0
    mode = _ADDED[entry.kind] if entry.mode is None else entry.mode
    unix = UnixFacts(mode, _user(entry) or 0, _group(entry) or 0, mtime_ns, mtime_ns, entry.device or (0, 0))
    if entry.kind in {FileKind.CHARACTER_DEVICE, FileKind.BLOCK_DEVICE} and entry.device is None:
        raise StorageError(f'the owner map lists the {entry.kind} "{entry.path}" in line {entry.line} without its numbers', hint="device=native,MAJOR,MINOR")
    return Facts(entry.kind, 0, mtime_ns, entry.target or "", unix)


def _with(facts: Facts, uid: int | None, gid: int | None, mode: int | None) -> Facts:
    unix = facts.unix or UnixFacts()
    if mode is not None and facts.kind is not FileKind.SYMLINK:
        unix = unix._replace(mode=mode)
    return facts._replace(unix=unix._replace(uid=unix.uid if uid is None else uid, gid=unix.gid if gid is None else gid))


def _user(entry: Specified) -> int | None:
    """The number counts before the name: the name may be another user's on this host."""
    if entry.uid is not None or entry.user is None:
        return entry.uid
    import pwd  # noqa: PLC0415 - numbers are usual

    try:
        return 0 if entry.user == "root" else pwd.getpwnam(entry.user).pw_uid
    except KeyError:
        raise _unknown(entry, "user", entry.user) from None


def _group(entry: Specified) -> int | None:
    if entry.gid is not None or entry.group is None:
        return entry.gid
    import grp  # noqa: PLC0415 - as above

    try:
        return 0 if entry.group in {"root", "wheel"} else grp.getgrnam(entry.group).gr_gid
    except KeyError:
        raise _unknown(entry, "group", entry.group) from None


def _unknown(entry: Specified, what: str, name: str) -> StorageError:
    return StorageError(
        f'the owner map gives "{entry.path}" in line {entry.line} to the {what} "{name}", whom this host does not know', hint=f"write {what[0]}id=NUMBER"
    )


def _read_only() -> ReadOnlyError:
    return ReadOnlyError("a tree with an owner map is only read")
