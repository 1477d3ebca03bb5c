"""What a boot loader would start: kernel, ramdisks, command line."""

from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass

from ....filesystems.filesystem import FileKind, Filesystem
from ....filesystems.links import follow_links

_LONGEST = 1 << 20      # bytes of a configuration file


@dataclass(frozen=True, slots=True)
class Entry:
    """One system. Paths are on the volume, without leading slash; `origin` is the file that says so."""

    title: str
    kernel: str
    ramdisks: tuple[str, ...]
    command_line: str
    origin: str


class Texts:
    """Small files of a volume by their paths; what is not there is nothing."""

    def __init__(self, volume: Filesystem) -> None:
        self.volume = volume

    def resolved(self, path: str) -> str:
        """The path with links followed; "" when it does not lead to a file."""
        found = follow_links(self.volume, clean(path))
        if not self.volume.exists(found) or self.volume.stat(found).kind is not FileKind.FILE:
            return ""
        return found

    def read(self, path: str) -> str | None:
        """The text of a file; None when it is not there or too large to be a configuration."""
        found = self.resolved(path)
        if not found or self.volume.stat(found).size > _LONGEST:
            return None
        with closing(self.volume.open(found)) as reader:
            return b"".join(iter(lambda: reader.read(_LONGEST), b"")).decode("utf-8", "replace")

    def names(self, path: str) -> list[str]:
        """Names in a directory, sorted; empty when there is none."""
        found = follow_links(self.volume, clean(path))
        if found and (not self.volume.exists(found) or self.volume.stat(found).kind is not FileKind.DIRECTORY):
            return []
        return sorted(name for name, _ in self.volume.entries(found))


def clean(path: str) -> str:
    """A path below the root: `/boot//x/../y` is `boot/y`."""
    parts: list[str] = []
    for part in path.replace("\\", "/").split("/"):
        if part == "..":
            del parts[-1:]
        elif part not in {"", "."}:
            parts.append(part)
    return "/".join(parts)


def beside(folder: str, path: str) -> str:
    """A path as a file in `folder` names it: from the root when it begins with a slash."""
    return clean(path if path.startswith("/") else f"{folder}/{path}")


def lines(text: str) -> Iterator[tuple[str, str]]:
    """The first word of each line, in lower case, and the rest; no comments, no empty lines."""
    for line in text.splitlines():
        word, _, rest = line.strip().replace("\t", " ").partition(" ")
        if word and not word.startswith("#"):
            yield word.lower(), rest.strip()
