"""Which files an archive operation leaves out: the `Filter` command (language.md 8.9).

A rule is one negative pattern with its own list of positive ones. A path is left out when some rule's negative pattern
matches it and none of that rule's positive patterns does. Patterns (language.md 3.5) know `?` and `*` only, match the whole
path below the source, and `*` also runs across `/`.

`Filters` is what a script collects; `Filters.selector` compiles it for one source, whose kind decides about upper and lower
case. `Selection` then turns the paths of a walk into what is really made: a directory that is left out comes back when
something below it is let in, and trees in which nothing can be let in are not entered at all (they may be unreadable).
"""

import re
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from ..base.errors import StorageError
from ..filesystems.filesystem import Facts, FileKind, Filesystem, remove_tree


class Rule(NamedTuple):
    """Leave out what matches `pattern`, except what matches one of `exceptions`."""

    pattern: str
    exceptions: tuple[str, ...] = ()


class Filters(NamedTuple):
    """The filters of a run, in the order they were given; without rules everything is included."""

    rules: tuple[Rule, ...] = ()

    def leave_out(self, pattern: str) -> "Filters":
        """With `Filter -"pattern"` added."""
        return Filters((*self.rules, Rule(_clean(pattern))))

    def let_in(self, pattern: str) -> "Filters":
        """With `Filter +"pattern"` added to the last rule. Raises StorageError when there is none."""
        if not self.rules:
            raise StorageError(f'+"{pattern}" has no - filter before it', hint='first leave something out, for example Filter -"tmp/*"')
        last = self.rules[-1]
        return Filters((*self.rules[:-1], last._replace(exceptions=(*last.exceptions, _clean(pattern)))))

    def selector(self, *, ignore_case: bool) -> "Selector":
        """Compiled for a source whose names differ in case (ext), or do not (FAT, DOS drives)."""
        return Selector(self, ignore_case=ignore_case)


class Selector:
    """Filters compiled to regular expressions."""

    def __init__(self, filters: Filters, *, ignore_case: bool) -> None:
        self._flags = re.DOTALL | (re.IGNORECASE if ignore_case else 0)
        self._ignore_case = ignore_case
        self.passes_all = not filters.rules
        plain = [rule.pattern for rule in filters.rules if not rule.exceptions]
        self._plain = self._compile(plain) if plain else None
        self._excepted = [
            (self._compile([rule.pattern]), self._compile(list(rule.exceptions))) for rule in filters.rules if rule.exceptions
        ]
        # A pattern that ends in `*` and matches "directory/" matches every longer path too.
        self._bulk = [(self._compile([rule.pattern]), rule.exceptions) for rule in filters.rules if rule.pattern.endswith("*")]

    def _compile(self, patterns: list[str]) -> re.Pattern[str]:
        return re.compile("|".join(map(_expression, patterns)), self._flags)

    def leaves_out(self, path: str) -> bool:
        """Whether a path below the source (no leading slash) is left out by itself."""
        if self._plain is not None and self._plain.fullmatch(path):
            return True
        return any(negative.fullmatch(path) and not positive.fullmatch(path) for negative, positive in self._excepted)

    def leaves_out_all_below(self, directory: str) -> bool:
        """Whether every possible path below a directory is left out: then it need not be read."""
        start = f"{directory}/"
        return any(
            negative.fullmatch(start) and not any(_could_begin(pattern, start, self._ignore_case) for pattern in exceptions)
            for negative, exceptions in self._bulk
        )


def select(volume: Filesystem, root: str, selector: Selector) -> Iterator[tuple[str, Facts]]:
    """Paths below `root` (relative to it) that the filters let through, parents first, names sorted by code point."""
    pending: list[tuple[str, Facts]] = []       # directories left out themselves that something below may bring back
    for path, facts in _walk(volume, root, selector):
        if selector.passes_all:
            yield path, facts
            continue
        while pending and not path.startswith(f"{pending[-1][0]}/"):
            pending.pop()
        if not selector.leaves_out(path):
            yield from pending
            pending.clear()
            yield path, facts
        elif facts.kind is FileKind.DIRECTORY:
            pending.append((path, facts))


def select_paths(paths: Iterable[str], selector: Selector) -> set[str]:
    """Of the paths of a tree, those the filters let through, with the directories above them."""
    kept: set[str] = set()
    for path in paths:
        if not selector.leaves_out(path):
            while path and path not in kept:
                kept.add(path)
                path = path.rpartition("/")[0]  # noqa: PLW2901 - up to the root
    return kept


def keep_selected(volume: Filesystem, filters: Filters) -> set[str]:
    """Remove from a volume what the filters leave out, and tell what stays: for one that keeps its changes in memory."""
    kept = {path for path, _ in select(volume, "", filters.selector(ignore_case=volume.ignores_case))}
    _remove_others(volume, "", kept)
    return kept


def _remove_others(volume: Filesystem, folder: str, kept: set[str]) -> None:
    for name, facts in volume.entries(folder):
        path = f"{folder}/{name}" if folder else name
        if path not in kept:
            remove_tree(volume, path)
        elif facts.kind is FileKind.DIRECTORY:
            _remove_others(volume, path, kept)


def _walk(volume: Filesystem, root: str, selector: Selector) -> Iterator[tuple[str, Facts]]:
    """Without recursion: a hostile volume may be thousands of directories deep."""
    stack = [_listing(volume, root, "")]
    while stack:
        found = next(stack[-1], None)
        if found is None:
            stack.pop()
            continue
        yield found
        path, facts = found
        if facts.kind is FileKind.DIRECTORY and (selector.passes_all or not selector.leaves_out_all_below(path)):
            stack.append(_listing(volume, root, path))


def _listing(volume: Filesystem, root: str, below: str) -> Iterator[tuple[str, Facts]]:
    names = sorted(volume.entries(f"{root}/{below}" if root and below else root or below), key=lambda entry: entry[0])
    return ((f"{below}/{name}" if below else name, facts) for name, facts in names)


def compiled_pattern(pattern: str) -> re.Pattern[str]:
    """One pattern as a regular expression for whole paths; case counts."""
    return re.compile(_expression(_clean(pattern)), re.DOTALL)


def _clean(pattern: str) -> str:
    r"""`\` is a separator too (language.md 4); a leading one is dropped, as in "full path below the source"."""
    return pattern.replace("\\", "/").lstrip("/")


def _expression(pattern: str) -> str:
    """A regular expression that takes linear time: each `*` but the last stops at the first place where the rest fits."""
    pieces = ["".join("." if char == "?" else re.escape(char) for char in piece) for piece in re.split(r"\*+", pattern)]
    if len(pieces) == 1:
        return pieces[0]
    first, *middle, last = pieces
    return f"{first}{''.join(f'(?>.*?{piece})' for piece in middle)}.*{last}"


def _could_begin(pattern: str, start: str, ignore_case: bool) -> bool:
    """Whether some text that begins with `start` matches: follow all ways through the pattern at once."""
    places = {0}
    for char in start:
        reached: set[int] = set()
        for place in places:
            while place < len(pattern) and pattern[place] == "*":
                reached.add(place)      # the star takes the character
                place += 1              # noqa: PLW2901 - or nothing
            if place < len(pattern) and (
                pattern[place] in {"?", char} or (ignore_case and pattern[place].casefold() == char.casefold())
            ):
                reached.add(place + 1)
        places = reached
    return bool(places)
