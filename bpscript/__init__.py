"""Workstation imaging by BPBATCH scripts: partition, restore, patch and boot raw disk images and real disks.

The Python interface does what the verbs of the command line do; it returns objects, raises the errors of
`bpscript.base.errors` and prints nothing:

    result = bpscript.run("deploy.bat", disks=["disk.img"], variables={"BOOTP-Host-Name": "pc7"})
    with bpscript.open_disk("disk.img") as disk: ...
    report = bpscript.check("deploy.bat", disks=[200 << 30])
"""

from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from .api import capture, check, convert, open_archive, open_disk, restore, run, squash

__all__ = ["__version__", "capture", "check", "convert", "open_archive", "open_disk", "restore", "run", "squash"]


def __getattr__(name: str) -> Any:  # noqa: ANN401 - module attribute hook
    # Late, so that `bpscript --version` stays near bare Python.
    if name in __all__:
        from . import api  # noqa: PLC0415

        return getattr(api, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
