"""Lines with history, completion and help: prompt_toolkit, where it is installed (the extra `shell`)."""

import os
from collections.abc import Callable, Iterable
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from ..screen.line_editor import Assistant
from ..screen.terminal_keyboard import TerminalKeyboard

if TYPE_CHECKING:
    from prompt_toolkit import PromptSession
    from prompt_toolkit.completion import CompleteEvent, Completer
    from prompt_toolkit.document import Document
    from prompt_toolkit.history import History
    from prompt_toolkit.key_binding import KeyBindings, KeyPressEvent

PROMPT = "> "


def is_available() -> bool:
    """Whether prompt_toolkit is installed; it is not loaded."""
    return find_spec("prompt_toolkit") is not None


def history_file() -> Path:
    """Where lines are kept between sessions (XDG Base Directory Specification)."""
    state = os.environ.get("XDG_STATE_HOME", "")
    return Path(state if state.startswith("/") else Path.home() / ".local" / "state") / "bpscript" / "history"


class PromptEditor:
    """A LineEditor on the terminal of standard input and output.

    `before` is called before each line. What is typed ahead goes from one to the other: from the keyboard of the script to the next
    line, and what was read behind a line to the command that it is.
    """

    def __init__(self, before: Callable[[], None], keyboard: TerminalKeyboard) -> None:
        self._before = before
        self._keyboard = keyboard
        self._session: PromptSession[str] | None = None
        self._assistant: Assistant | None = None

    def read(self, assistant: Assistant) -> str | None:
        """The next line; None for Ctrl-D. Ctrl-C gives an empty one."""
        self._before()
        line, end, rest = self._keyboard.typed_ahead().partition("\r")
        if end:
            self._keyboard.give_back(rest)
            print(f"{PROMPT}{line}")
            return line
        if self._session is None:
            self._session = self._new_session()
        self._assistant = assistant
        try:
            return self._session.prompt(PROMPT, default="".join(each for each in line if each.isprintable()))
        except KeyboardInterrupt:
            return ""
        except EOFError:
            return None
        finally:
            self._keyboard.give_back(_unused(self._session))

    def _new_session(self) -> "PromptSession[str]":
        from prompt_toolkit import PromptSession  # noqa: PLC0415 - takes a third of a second

        return PromptSession(
            history=_history(), completer=_completer(self._offers), complete_while_typing=False, bottom_toolbar=self._toolbar,
            key_bindings=self._bindings(), include_default_pygments_style=False,
        )  # fmt: skip

    def _offers(self, line: str) -> Iterable[tuple[str, int, str]]:
        return () if self._assistant is None else self._assistant.offers(line)

    def _toolbar(self) -> str:
        """The usage of the command under the cursor."""
        assert self._session is not None
        line = self._session.default_buffer.document.current_line_before_cursor
        usage = "" if self._assistant is None else self._assistant.usage(line)
        return usage or "Tab completes, F1 explains the command under the cursor, Ctrl-D leaves"

    def _bindings(self) -> "KeyBindings":
        from prompt_toolkit.application import run_in_terminal  # noqa: PLC0415
        from prompt_toolkit.key_binding import KeyBindings  # noqa: PLC0415

        bindings = KeyBindings()

        @bindings.add("f1")
        def explain(event: "KeyPressEvent") -> None:
            line = event.current_buffer.document.current_line_before_cursor
            text = "" if self._assistant is None else self._assistant.help(line)
            run_in_terminal(lambda: print(text or "no command here; Help lists them all"))

        return bindings


def _unused(session: "PromptSession[str]") -> str:
    """What was typed behind the end of the line."""
    from prompt_toolkit.input.typeahead import get_typeahead  # noqa: PLC0415

    return "".join(each.data for each in get_typeahead(session.app.input))


def _completer(offers: Callable[[str], Iterable[tuple[str, int, str]]]) -> "Completer":
    from prompt_toolkit.completion import Completer, Completion  # noqa: PLC0415

    class OurCompleter(Completer):
        """Asks for what may stand at the end of the line up to the cursor."""

        def get_completions(self, document: "Document", complete_event: "CompleteEvent") -> Iterable[Completion]:
            """The offers, as prompt_toolkit wants them."""
            line = document.current_line_before_cursor
            for text, start, about in offers(line):
                yield Completion(text, start_position=start - len(line), display_meta=about)

    return OurCompleter()


def _history() -> "History":
    """Lines of earlier sessions; those that begin with a blank are not kept, and only the user may read the file."""
    from prompt_toolkit.history import FileHistory, InMemoryHistory  # noqa: PLC0415

    class OurHistory(FileHistory):
        """A file that leaves out what begins with a blank."""

        def store_string(self, string: str) -> None:
            """Keep a line."""
            if not string.startswith(" "):
                with suppress(OSError):     # a full disk must not end the session
                    super().store_string(string)

    path = history_file()
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600))
    except OSError:
        return InMemoryHistory()
    return OurHistory(str(path))
