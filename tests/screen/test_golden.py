"""Golden pictures of every drawing command and every mode: what the screen shows, to the pixel."""

import pytest

from bpscript.base.events import Event, Kind
from bpscript.screen.display import Display
from bpscript.screen.font import built_in_font
from bpscript.screen.png import png_bytes
from bpscript.screen.progress import ProgressWindow
from bpscript.screen.screen import MODES, Mode
from tests.golden import Golden
from tests.screen.gifs import gif, gradient
from tests.scripts import run_script

SMALL = 'InitGraph "640x480"\n'
CODES = "".join(
    f'At {code // 32},{code % 32 * 2} Print "\\{code:03o}"\n' for code in range(1, 256) if chr(code) not in "\a\b\t\n\v\r"
)
DISC = bytes(1 + (x // 6 + y // 6) % 2 if (x - 32) ** 2 + (y - 32) ** 2 < 1000 else 0 for y in range(64) for x in range(64))
GIFS = {
    "disc.gif": gif(64, 64, DISC, [(255, 0, 255), (250, 200, 60), (190, 90, 20)], transparent=0),
    "lines.gif": gif(160, 99, bytes(y for y in range(99) for _ in range(160)), [(2 * y, 255 - 2 * y, y) for y in range(100)], interlaced=True),
    "red.gif": gradient(280, 64, [(255, 255 * x // 140, 128 * x // 140) for x in range(140)]),
    "blue.gif": gradient(280, 64, [(128 * x // 140, 255 * x // 140, 255) for x in range(140)]),
}  # fmt: skip
TWO = f'{SMALL}DrawGif "red.gif" 10 10\nDrawGif "blue.gif" 10 90'

SCRIPTS = {
    "print": 'Print "Hello\\r\\n"\nPrint (6*7)\nPrint "\\r\\n\\tTab, back\\bK"\nAt 3,70 Print "wraps around the edge"',
    "textattr": "".join(f'TextAttr {n}\nAt {n // 16 + 4},{n % 16 * 4 + 8} Print " {n:02x} "\n' for n in range(256)),
    "at": 'At 0,0 Print "corner"\nAt 24,70 Print "edge"\nAt 99,999 Print "."\nAt 10,20 Print "Gnats"',
    "codes-437": f'LoadCodePage "cp437"\n{CODES}',
    "codes-850": CODES,
    "clear": 'TextAttr White Blue\nClear Cyan\nClear Yellow "." 2,4,10,30\nClear LightRed 177 12,4,20,30\nClear Green 176 2 40 20 70\nPrint "cursor"',
    "scroll": "".join(f'Print "line {n}\\r\\n"\n' for n in range(40)),
    "menu-of-old": '.CLS 31\n.POS 10 5\n.WLN 1  DOS\n.POS 10 6\n.WLN 2  Linux\n.ATT 30\n.POS 10 8\n.WRT Your choice: "one"',
    "loadfont": 'Print "A loaded font\\r\\n\\202\\260\\261\\262\\333"\nLoadFont "f.fnt"\nPrint " and after"',
    "graphics-text": f'{SMALL}TextAttr Yellow Blue\nPrint "Text in graphics\\r\\n"\nAt 28,60 Print "lower right corner"\nAt 10,10 Print "Gnats"\nClear LightCyan 178 14,30,20,50',
    "graphics-scroll": 'InitGraph "800x600"\nDrawBar 0 0 800 600 Blue\nDrawBar 300 200 200 200 Red\nAt 35,0 Print "one\\r\\ntwo\\r\\nthree\\r\\nfour"',
    "drawbar": SMALL + "".join(f"DrawBar {n % 16 * 40} {n // 16 * 30} 38 28 {n}\n" for n in range(256)) + "DrawBar -20 -20 60 60 Red\nDrawBar 600 440 999 999 White",
    "drawwindow": f'{SMALL}Clear Blue\nDrawWindow 20 20 280 120\nDrawWindow 340 20 280 120 "Identity check"\nDrawWindow 20 170 280 120 Cyan\nDrawWindow 340 170 280 120 White Red "Careful" Yellow\nDrawWindow 20 320 200 100 LightGray 24 "A title that is too long for its window"\nDrawWindow 560 400 200 200 "cut off"\nDrawWindow 300 330 12 12\nDrawWindow 330 330 60 30 "small"',
    "drawtext": f'{SMALL}DrawBar 0 0 640 240 LightGray\nTextAttr Red White\nDrawText 10 10 "the colour of text"\nDrawText 13 33 "transparent" Blue\nDrawText 20 232 "over the edge of two" 201\nDrawText -20 100 "cut off left" Black\nDrawText 600 100 "cut off right" Black\nDrawText 300 470 "cut off below" White\nDrawText 300 -8 "cut off above" Black\nDrawText 40 140 "\\202\\203 \\311\\315\\273" DarkGray',
    "drawgif": f'{SMALL}DrawBar 0 0 640 480 31\nDrawGif "lines.gif"\nDrawGif "disc.gif" 200 20\nDrawGif "disc.gif" 130 60\nDrawGif "lines.gif" -80 200\nDrawGif "disc.gif" 610 450',
    "strategy-best": f"{TWO} Best-Colors",
    "strategy-spare": f"{TWO} Spare-Colors",
    "strategy-share": f"{TWO} Share-Colors",
    "strategy-reuse": f"{TWO} Reuse-Colors",
    "closegraph": f'{SMALL}DrawBar 0 0 640 480 Red\nTextAttr Yellow\nCloseGraph\nPrint "text again"',
    "showlog": 'Echo "one"\nLog "two, "\nEcho "and more"\nPrint "not seen"\nShowLog\nEcho "three"',
    "graphics-showlog": f'{SMALL}Echo "one"\nDrawBar 0 0 640 480 Red\nShowLog\nEcho "two"',
    "hidelog": f'{SMALL}Echo "one"\nDrawBar 20 20 100 100 Red\nShowLog\nEcho "two"\nHideLog',
}  # fmt: skip


@pytest.mark.parametrize("name", SCRIPTS)
def test_commands_draw(name: str, golden: Golden) -> None:
    font = b"".join(built_in_font().rows(character)[::-1] for character in bytes(range(256)).decode("cp850"))     # upside down
    ran = run_script(SCRIPTS[name], files={**GIFS, "f.fnt": font}, graphics=True)
    assert ran.error is None, ran.error
    golden.png(f"{name}.png", png_bytes(ran.screen.visible))
    if str(ran.screen):
        golden.text(f"{name}.txt", str(ran.screen))


@pytest.mark.parametrize("mode", MODES, ids=str)
def test_every_mode_shows_all(mode: Mode, golden: Golden) -> None:
    script = f'InitGraph "{mode}"\nClear Blue 177\nDrawBar 8 8 200 100 Red\nDrawWindow 40 150 300 200 "{mode}"\nDrawGif "disc.gif" 300 20\nAt 2,3 Print "{mode}"\n'
    lines, columns = mode.height // 16, mode.width // 8
    script += f'At {lines - 1},{columns - 6} Print "corner"\nDrawText {mode.width - 70} {mode.height - 40} "corner" Yellow'
    ran = run_script(script, files=GIFS, graphics=True)
    assert ran.error is None
    assert ran.screen.size == (lines, columns)
    golden.png(f"mode-{mode}.png", png_bytes(ran.screen.visible))


@pytest.mark.parametrize("mode", [None, Mode(640, 480)], ids=["text", "graphics"])
def test_long_work_is_shown_over_the_screen(mode: Mode | None, golden: Golden) -> None:
    display = Display()
    display.set_mode(mode)
    display.write("behind the window " * 130)
    before = png_bytes(display.canvas)
    window = ProgressWindow(display, lambda: (200, 200))
    name = "text" if mode is None else "graphics"
    for time_s, done in ((0.0, 0), (0.5, 20 << 20), (2.0, 90 << 20)):
        window(Event(Kind.PROGRESS, {"task": "receive linux.imz", "done": done, "total": 120 << 20}, time_s))
    golden.png(f"progress-{name}.png", png_bytes(display.canvas))
    window(Event(Kind.COMMAND_FINISHED, {"name": "FullUnzip"}))
    assert png_bytes(display.canvas) == before
