"""The screen of `--screen MODE`: the one place that knows all outputs."""

from pathlib import Path

from ..base.errors import UsageError
from .display import Display
from .screen import Screen

MODES = "none|png:DIR"      # as the help shows them


def open_screen(mode: str) -> Screen:
    """The screen of a mode: "none", "png:DIR". Raises UsageError. Whoever opens it closes it."""
    kind, _, argument = mode.partition(":")
    match kind:
        case "none" if not argument:
            return Display(has_graphics=False)
        case "png" if argument:
            from .png import PngOutput  # noqa: PLC0415 - only when pictures are wanted

            return Display(PngOutput(Path(argument)))
    raise UsageError(f'--screen "{mode}": expected {MODES}')
