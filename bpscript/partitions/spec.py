"""The list that `SetPartitions` takes: "BIGDOS:500 EXT:800 EMPTY EMPTY LINUX-EXT2:*" (language.md 9.1, 9.2, 9.4, 9.5).

Here it is read and checked as far as that goes without a disk; `layout` says where on a disk it goes.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NoReturn
from uuid import UUID

from ..base.errors import StorageError
from .types import (
    ENTRIES_PER_TABLE,
    EXTENDED_TYPES,
    GPT_TYPES,
    MAX_TABLES,
    MBR_TYPES,
    NO_GUID,
    UNUSED_NAMES,
    PartitionType,
    Scheme,
    type_word,
)

MAX_GPT_ENTRIES = 128
_MAX_DIGITS = 12            # of a size in MB: 2^64 bytes have 14 in MB, no disk has 12

_WORD = re.compile(r"\S+")
_GUID = re.compile(r"[0-9A-Fa-f]{8}-(?:[0-9A-Fa-f]{4}-){3}[0-9A-Fa-f]{12}\Z")


@dataclass(frozen=True, slots=True)
class Word:
    """One word of the list: which it is (from 0) and where it stands in the text (characters from 0)."""

    text: str
    index: int
    offset: int


class PartitionListError(StorageError):
    """A partition list that cannot be written; knows the word that is to blame.

    `word_index` counts words from 0; `offset` and `length` are characters of the list text. They are None, 0 and 0 when the
    list as a whole is to blame.
    """

    def __init__(self, message: str, word: Word | None = None, *, hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.word_index = None if word is None else word.index
        self.offset = 0 if word is None else word.offset
        self.length = 0 if word is None else len(word.text)


@dataclass(frozen=True, slots=True)
class Wanted:
    """One entry of the list. `size_mb` is None for `*` and for an unused entry; `name` is the type word in capitals."""

    number: int
    name: str
    type: PartitionType
    size_mb: int | None
    word: Word

    @property
    def is_used(self) -> bool:
        """False for EMPTY."""
        return self.name != "EMPTY"

    @property
    def is_extended(self) -> bool:
        """True for EXT and EXT-LBA."""
        return self.type in EXTENDED_TYPES

    @property
    def is_star(self) -> bool:
        """True when it takes all that remains."""
        return self.is_used and self.size_mb is None

    def refuse(self, reason: str, hint: str | None = None) -> NoReturn:
        """Raise PartitionListError about this entry."""
        raise PartitionListError(f"partition {self.number} ({self.word.text}) {reason}", self.word, hint=hint)


@dataclass(frozen=True, slots=True)
class PartitionList:
    """A checked list: the entries in order, unused ones included."""

    scheme: Scheme
    entries: tuple[Wanted, ...]

    def tables(self) -> list[tuple[Wanted, ...]]:
        """The used entries, table by table; the one table of a GPT."""
        if self.scheme == "GPT":
            return [tuple(entry for entry in self.entries if entry.is_used)]
        return [tuple(entry for entry in four if entry.is_used) for four in _fours(self.entries)] or [()]


def parse_list(text: str) -> PartitionList:
    """Read and check a list. Raises PartitionListError."""
    words = [Word(match[0], index, match.start()) for index, match in enumerate(_WORD.finditer(text))]
    if words and words[0].text.upper() == "GPT":
        entries = tuple(_parse_entry(word, word.index, "GPT") for word in words[1:])
        if len(entries) > MAX_GPT_ENTRIES:
            entries[MAX_GPT_ENTRIES].refuse(f"is one too many: a GPT has {MAX_GPT_ENTRIES} entries")
        _check_star(entries, "the disk")
        return PartitionList("GPT", entries)
    entries = tuple(_parse_entry(word, word.index + 1, "MBR") for word in words)
    _check_nesting(entries)
    return PartitionList("MBR", entries)


def _parse_entry(word: Word, number: int, scheme: Scheme) -> Wanted:
    name, colon, size = word.text.partition(":")
    if name.upper() in UNUSED_NAMES:
        if colon:
            raise PartitionListError(f'"{word.text}": an unused entry has no size', word, hint=f"write {name.upper()} alone")
        return Wanted(number, "EMPTY", 0 if scheme == "MBR" else NO_GUID, None, word)
    kind = _parse_mbr_type(name, word) if scheme == "MBR" else _parse_gpt_type(name, word)
    canonical = type_word(kind) if isinstance(kind, int) else name.upper()
    return Wanted(number, canonical, kind, _parse_size(size, colon, word), word)


def _parse_mbr_type(name: str, word: Word) -> int:
    kind = MBR_TYPES.get(name.upper())
    if kind is not None:
        return kind
    if name.isascii() and name.isdecimal():
        digits = name.lstrip("0")
        if not digits:
            raise PartitionListError(f'"{word.text}": type 0 is an unused entry', word, hint="write EMPTY")
        if len(digits) > 3 or int(digits) > 255:
            raise PartitionListError(f'"{word.text}": a partition type is a number from 1 to 255', word)
        return int(digits)
    if name.upper() in GPT_TYPES or _GUID.match(name):
        raise PartitionListError(f'"{name}" is a type of GPT disks only', word, hint='a list for a GPT disk begins with the word GPT')
    if name.upper() == "GPT":
        raise PartitionListError("GPT must be the first word of the list, without a size", word)
    raise _unknown(name, word, MBR_TYPES)


def _parse_gpt_type(name: str, word: Word) -> UUID:
    kind = GPT_TYPES.get(name.upper())
    if kind is not None:
        return kind
    if _GUID.match(name):
        if UUID(name) == NO_GUID:
            raise PartitionListError(f'"{word.text}": the zero GUID is an unused entry', word, hint="write EMPTY")
        return UUID(name)
    if name.upper() in {"EXT", "EXT-LBA"}:
        raise PartitionListError(
            f'"{word.text}": a GPT has no extended partitions', word, hint=f"it has room for {MAX_GPT_ENTRIES} entries, in one table"
        )
    if name.isascii() and name.isdecimal():
        raise PartitionListError(f'"{word.text}": a GPT has no type numbers', word, hint="give a type name or a GUID")
    if name.upper() == "GPT":
        raise PartitionListError("GPT must be the first word of the list, and stand there once", word)
    raise _unknown(name, word, GPT_TYPES)


def _unknown(name: str, word: Word, names: dict[str, int] | dict[str, UUID]) -> PartitionListError:
    from difflib import get_close_matches  # noqa: PLC0415 - only for mistakes

    near = get_close_matches(name.upper(), [*names, "EMPTY"], 1)
    hint = f"did you mean {near[0]}?" if near else f"types are {', '.join(names)}, EMPTY"
    return PartitionListError(f'unknown partition type "{name}"', word, hint=hint)


def _parse_size(size: str, colon: str, word: Word) -> int | None:
    if size == "*":
        return None
    if not size:
        missing = f'"{word.text}": the size is missing'
        raise PartitionListError(missing, word, hint=f"write {word.text}{'' if colon else ':'}100 for 100 MB, or * for the rest")
    if not (size.isascii() and size.isdecimal()):
        raise PartitionListError(f'"{word.text}": "{size}" is not a size', word, hint="whole MB in digits, or * for all that remains")
    digits = size.lstrip("0")
    if not digits:
        raise PartitionListError(f'"{word.text}": the size is 0', word, hint="an unused entry is written EMPTY")
    if len(digits) > _MAX_DIGITS:
        raise PartitionListError(f'"{word.text}": no disk is that large', word)
    return int(digits)


def _fours(entries: Sequence[Wanted]) -> Iterator[Sequence[Wanted]]:
    for first in range(0, len(entries), ENTRIES_PER_TABLE):
        yield entries[first : first + ENTRIES_PER_TABLE]


def _check_nesting(entries: Sequence[Wanted]) -> None:
    """One extended entry a table at most, and one in the table before wherever the list goes on."""
    outer: Wanted | None = None
    for index, four in enumerate(_fours(entries)):
        if index >= MAX_TABLES:
            four[0].refuse(f"is nested too deep: {MAX_TABLES} tables are the limit")
        first = four[0].number
        if index and outer is None:
            before = f"entries {first - ENTRIES_PER_TABLE} to {first - 1}"
            four[0].refuse(f"needs an extended partition among {before}", "EXT:size there makes room for it")
        extended = [entry for entry in four if entry.is_extended]
        if len(extended) > 1:
            extended[1].refuse(f"is a second extended partition in one table, beside partition {extended[0].number}",
                               "nest it: put it among the four entries after")
        _check_star(four, "the disk" if outer is None else f"partition {outer.number}")
        outer = extended[0] if extended else None


def _check_star(entries: Sequence[Wanted], whole: str) -> None:
    used = [entry for entry in entries if entry.is_used]
    for entry in used[:-1]:
        if entry.is_star:
            entry.refuse(f"takes the rest of {whole}, but partition {used[-1].number} comes after it",
                         "only the last used entry of a table may have the size *")
