"""Raspberry Pi asks TFTP for its files below its serial number first: `4372ee6a/start4.elf`, then `start4.elf`.

With a folder of that name a machine has files of its own; what is not in it comes from the root, so that one `config.txt` below
`4372ee6a/` is enough to treat one machine in its own way. Source: the Raspberry Pi documentation on network boot (TFTP_PREFIX 0: the
serial number; 2: the hardware address with dashes).
"""

import re
from pathlib import Path

_OWN_FOLDER = re.compile(r"/?(?:[0-9a-f]{8}|[0-9a-f]{2}(?:-[0-9a-f]{2}){5})/+(.+)\Z", re.IGNORECASE | re.DOTALL)


class OwnFolders:
    """A `lookup` of the TFTP server: the path of a file in the root when the machine's own folder does not have it."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def __call__(self, name: str, client: str) -> str | None:
        """Another path below the root, or None for the one that was asked for."""
        match = _OWN_FOLDER.match(name)
        if match is None or "\0" in name or ".." in name.split("/"):
            return None             # the server decides what may be served
        try:
            there = (self._root / name.lstrip("/")).exists()
        except OSError:             # a name that is too long
            return None
        return None if there else match[1]
