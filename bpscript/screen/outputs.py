"""The screen of `--screen MODE`: the one place that knows all outputs."""

from pathlib import Path

from ..base.errors import UsageError
from .display import Display
from .screen import Screen

SCREENS = "none|terminal|png:DIR|framebuffer[:DEVICE]"      # as the help shows them


def open_screen(mode: str) -> Screen:
    """The screen of a mode: "none", "png:DIR", "framebuffer". Raises UsageError. Whoever opens it closes it."""
    kind, _, argument = mode.partition(":")
    match kind:
        case "none" if not argument:
            return Display(modes=())
        case "png" if argument:
            from .png import PngOutput  # noqa: PLC0415 - only when pictures are wanted

            return Display(PngOutput(Path(argument)))
        case "framebuffer":
            from .framebuffer import open_frame_buffer  # noqa: PLC0415 - only on a workstation

            output = open_frame_buffer(argument or "/dev/fb0")
            return Display(output, modes=output.modes)
    raise UsageError(f'--screen "{mode}": expected {SCREENS}')
