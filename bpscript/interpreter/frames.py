"""What is running: a file, or the prompt. A stack of frames is the state of a run."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

from ..language.names import did_you_mean
from ..language.parser import one_line
from ..language.source import Line, Source, label_key, make_line
from .nested import NestedCommand

if TYPE_CHECKING:
    from .run import Run

S = TypeVar("S")
AtEnd = Callable[["Run"], Any]


class Frame(ABC):
    """One file, or the prompt. Handlers and captures belong to it and end with it."""

    is_prompt = False

    def __init__(self, name: str) -> None:
        self.name = name
        self.exit_handler: NestedCommand | None = None
        self.key_handlers: dict[str, NestedCommand] = {}
        self.default_key_handler: NestedCommand | None = None
        self.capture: list[str] | None = None
        self.at_end: list[tuple[Line, AtEnd]] = []      # what commands still want to do at the end of the file
        self._states: dict[type, object] = {}

    @abstractmethod
    def next_line(self, run: "Run") -> Line | None:
        """The next line to run; None at the end."""

    @abstractmethod
    def jump(self, label: str) -> str | None:
        """Go on at a label. Returns a hint when there is none of that name, "" when there is no hint."""

    def handler_for(self, key: str) -> NestedCommand | None:
        """What `OnKey` wants to run for a key."""
        return self.key_handlers.get(key, self.default_key_handler)

    def state(self, kind: type[S]) -> S:
        """What commands of one kind keep for this file; made when first asked for."""
        found = self._states.get(kind)
        if not isinstance(found, kind):
            found = self._states[kind] = kind()
        return found


class FileFrame(Frame):
    """A script or an included file. `server_part` and `folder` say where names in it are looked up (language.md 8.2)."""

    def __init__(self, source: Source, *, server_part: str = "", folder: str = "") -> None:
        super().__init__(source.name)
        self.source = source
        self.server_part = server_part
        self.folder = folder
        self.position = 0

    def next_line(self, run: "Run") -> Line | None:
        """The line at the position, which moves on."""
        if self.position >= len(self.source.lines):
            return None
        self.position += 1
        return self.source.lines[self.position - 1]

    def jump(self, label: str) -> str | None:
        """Go on at the first label of that name."""
        index = self.source.labels.get(label_key(label))
        if index is not None:
            self.position = index + 1
            return None
        known = [self.source.lines[each].text[1:].strip() for each in self.source.labels.values()]
        return did_you_mean(label, known) or ""


class PromptFrame(Frame):
    """Commands from the keyboard, until `Quit` or the end of the keys (language.md 8.1, `Interact`)."""

    is_prompt = True

    def __init__(self) -> None:
        super().__init__("keyboard")
        self._number = 0

    def next_line(self, run: "Run") -> Line | None:
        """What is typed, up to Return; None when no more keys come."""
        screen, editor = run.machine.screen, run.machine.editor
        screen.show_log(True)
        if editor is not None:
            from .assistant import RunAssistant  # noqa: PLC0415 - only for people

            text = editor.read(RunAssistant(run))
        else:
            if run.keys.live:
                screen.prompt("> ")
            text = run.read_line(show=screen.prompt)
        if text is None:
            return None
        self._number += 1
        return make_line(self._number, one_line(text) if "\0" in text else text)

    def jump(self, label: str) -> str | None:
        """There is nowhere to go."""
        return "there are no labels at the prompt"
