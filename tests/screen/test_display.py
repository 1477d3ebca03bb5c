"""A display asks its output to paint what changed, and what is visible: the screen or the log."""

import tracemalloc

from bpscript.screen.canvas import Canvas, Span
from bpscript.screen.display import Display
from bpscript.screen.screen import Mode


class Recorder:
    """An output that remembers."""

    def __init__(self) -> None:
        self.painted: list[tuple[str, list[Span]]] = []
        self.waits = 0
        self.closed = False

    def paint(self, canvas: Canvas, changes: list[Span]) -> None:
        self.painted.append((str(canvas), changes))

    def wait(self) -> None:
        self.waits += 1

    def beep(self) -> None:
        pass

    def close(self) -> None:
        self.closed = True


def test_only_what_changed_is_painted() -> None:
    output = Recorder()
    display = Display(output)
    display.refresh()
    output.painted.clear()
    display.move(3, 4)
    display.write("abc")
    display.wait()
    assert output.painted == [("\n\n\n    abc", [Span(3, 4, 7)])]
    display.wait()
    assert len(output.painted) == 1
    assert output.waits == 2


def test_many_lines_are_few_paintings() -> None:
    output = Recorder()
    display = Display(output)
    for number in range(2_000):
        display.write(f"line {number}\r\n")
    display.close()
    assert len(output.painted) < 100
    assert output.painted[-1][0].endswith("line 1999")
    assert output.closed


def test_the_log_is_shown_instead_of_the_screen() -> None:
    output = Recorder()
    display = Display(output)
    display.write("screen")
    display.log("one\ntwo\r\n")
    display.show_log(True)
    assert output.painted[-1][0] == "one\ntwo"
    display.log("three")
    display.write(" hidden")
    display.refresh()
    assert output.painted[-1][0] == "one\ntwo\nthree"
    display.show_log(False)
    assert output.painted[-1][0] == "screen hidden"


def test_a_mode_has_its_size_and_an_empty_screen() -> None:
    output = Recorder()
    display = Display(output)
    display.write("text")
    display.set_mode(Mode(800, 600))
    assert (display.size, display.mode) == ((37, 100), (800, 600))
    assert output.painted[-1][0] == "text"
    display.refresh()
    assert output.painted[-1] == ("", [Span(line, 0, 100) for line in range(38)])
    display.set_mode(None)
    assert display.size == (25, 80)


def test_a_huge_log_is_kept_only_as_far_as_it_is_seen() -> None:
    display = Display()
    tracemalloc.start()
    display.log("line\n" * 1_000_000)
    display.log("the end\n")
    display.show_log(True)
    assert tracemalloc.get_traced_memory()[0] < 2_000_000
    tracemalloc.stop()
    assert str(display.visible).endswith("line\nthe end")
