"""`bpscript boot build`: the boot environment of workstations."""

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..base.events import Event, Kind
from ..base.units import format_size
from .main import DONE

if TYPE_CHECKING:
    from ..initramfs.build import Built

_EXAMPLES = """examples:
  bpscript boot build boot/                                       from Debian's packages, as any user
  bpscript boot build boot/ --append "nbp.onerror=reboot"         what every machine's kernel is told
  bpscript boot build boot/ --kernel /boot/vmlinuz-6.1 --modules /lib/modules/6.1
  bpscript boot build pi/ --architecture arm64 --raspberry-pi /usr/lib/raspi-firmware      on a PC, for Raspberry Pis
  bpscript serve boot/ --interface eth1 --dhcp 10.0.0.100-10.0.0.199    machines boot from it
"""
_LEVELS = range(1, 23)


def add_to(verbs: Any, summary: str) -> None:  # noqa: ANN401 - argparse's own type is private
    """Declare the verb and its action."""
    raw = argparse.RawDescriptionHelpFormatter
    parser = verbs.add_parser("boot", help=summary, description="The boot environment of workstations.", epilog=_EXAMPLES, formatter_class=raw)
    actions = parser.add_subparsers(title="actions", metavar="ACTION", required=True, prog=parser.prog)
    text = "make kernel, initramfs and boot programs: a folder that `bpscript serve` serves"
    sub = actions.add_parser("build", help=text, description=text[0].upper() + text[1:] + ".", epilog=_EXAMPLES, formatter_class=raw)
    sub.set_defaults(function=build_verb)
    sub.add_argument("out", metavar="OUT", help="the folder; files of these names are replaced, others stay")
    sub.add_argument("--kernel", metavar="FILE", help="a kernel (default: Debian's, by apt-get download); with --modules")
    sub.add_argument("--modules", metavar="DIR", help="the modules of that kernel, as in /lib/modules/VERSION")
    sub.add_argument("--architecture", metavar="KIND", choices=("amd64", "arm64"), help="of the machines, when it is not that of this host: amd64 or arm64")
    sub.add_argument("--ipxe", metavar="DIR", help="a folder with undionly.kpxe and ipxe.efi (default: Debian's)")
    sub.add_argument("--raspberry-pi", metavar="DIR", help="for arm64: the firmware of Raspberry Pi from this folder, config.txt and cmdline.txt")
    sub.add_argument("--firmware", metavar="DIR", action="append", default=[], help="what the modules ask for of this folder (such as /lib/firmware) or Debian package; may be repeated")
    sub.add_argument("--tls", action="store_true", help="take files by https://, too, from servers that this host would trust")
    sub.add_argument("--ca", metavar="FILE", help="the same, and trust the authorities of this file only (PEM)")
    sub.add_argument("--append", metavar="TEXT", default="", help="more for the kernel's command line, such as nbp.onerror=reboot")
    sub.add_argument("--no-graphics", action="store_true", help="leave a BIOS machine in text mode")
    sub.add_argument("--level", metavar="N", type=_level, default=19, help="of zstd, 1 to 22; default 19")
    sub.add_argument("--json", action="store_true", help="the sizes as JSON")
    sub.add_argument("--debug", action="store_true", help="show tracebacks")


def build_verb(options: argparse.Namespace) -> int:
    """`boot build`."""
    from ..initramfs.build import BuildOptions, build  # noqa: PLC0415 - the builder is for this alone

    chosen = BuildOptions(
        out=Path(options.out), kernel=_path(options.kernel), modules=_path(options.modules), architecture=options.architecture, ipxe=_path(options.ipxe), raspberry_pi=_path(options.raspberry_pi),
        firmware=tuple(options.firmware), tls=options.tls, ca=_path(options.ca), append=options.append, graphics=not options.no_graphics, level=options.level,
    )
    built = build(chosen, _say)
    if options.json:
        print(json.dumps(_as_json(built), ensure_ascii=False, indent=1))
    else:
        _print_table(built)
    return DONE


def _print_table(built: "Built") -> None:
    rows = [(part.name, str(part.files), format_size(part.size), format_size(part.packed)) for part in built.parts]
    size = sum(part.size for part in built.parts)
    rows.append(("initramfs", str(sum(part.files for part in built.parts)), format_size(size), format_size(built.initramfs_size)))
    print(f"{'part':<12}{'files':>7}{'size':>12}{'packed':>12}")
    for name, files, plain, packed in rows:
        print(f"{name:<12}{files:>7}{plain:>12}{packed:>12}")
    print(f"kernel {built.kernel_version}; in {built.out}:")
    for name, length in built.files:
        print(f"{name:<31}{format_size(length):>12}")


def _as_json(built: "Built") -> dict[str, Any]:
    return {
        "out": str(built.out),
        "kernel": built.kernel_version,
        "parts": [part._asdict() for part in built.parts],
        "files": [{"name": name, "size": size} for name, size in built.files],
    }


def _say(event: Event) -> None:
    if event.kind is Kind.WARNING:
        print(f"bpscript: warning: {event.data['text']}", file=sys.stderr)
    if event.kind is Kind.NOTE and sys.stderr.isatty():
        print(f"{event.data['text']} ...", file=sys.stderr)


def _path(text: str | None) -> Path | None:
    return None if text is None else Path(text)


def _level(text: str) -> int:
    if not text.isascii() or not text.isdecimal() or len(text) > 3 or int(text) not in _LEVELS:
        raise argparse.ArgumentTypeError(f"{text!r} is no level; expected 1 to 22")
    return int(text)
