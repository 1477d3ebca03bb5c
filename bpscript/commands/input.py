"""The keyboard (language.md 8.3), and passwords from it (8.6)."""

from contextlib import nullcontext

from ..base.secrets import is_secret_name
from ..interpreter.nested import NestedCommand
from ..interpreter.run import Run
from ..language.declare import command
from .arguments import Duration, Key, Positive, VariableName

_GROUP = "keyboard"
_NO_MORE_KEYS = "end of keyboard input: no key is left"


@command("GetKey", group=_GROUP, untested="waits for a key")
def get_key(run: Run, name: VariableName | None = None) -> None:
    r"""Wait for a key and store it; Return is `\r`.

    Args:
        name: the variable

    Examples:
        > GetKey choice
    """
    with run.machine.secrets.typing() if name is not None and is_secret_name(name) else nullcontext():
        key = run.keys.take()
    if key is None:
        raise run.refuse(None, _NO_MORE_KEYS)
    if name is not None:
        run.variables.set(name, key)


@command("WaitForKey", group=_GROUP)
def wait_for_key(run: Run, dur: Duration, command: NestedCommand | None = None) -> NestedCommand | None:
    """Wait for a key, and leave it in the buffer; if none comes in time, run a command.

    Args:
        dur: seconds, with up to a tenth
        command: the command to run when no key came

    Examples:
        > WaitForKey 0 Echo "no key"
    """
    return command if run.wait_for_key(dur) is None else run.key_handler()


@command("Input", group=_GROUP, untested="waits for keys")
def input_(run: Run, name: VariableName | None = None, max_length: Positive | None = None) -> None:
    """Read a line from the keyboard, with echo.

    Args:
        name: the variable; without one the text is dropped
        max_length: how many characters are accepted

    Examples:
        > Input user 8
    """
    _read_line(run, name, max_length, None)


@command("GetPasswd", group="security", untested="waits for keys")
def get_passwd(run: Run, name: VariableName | None = None, max_length: Positive | None = None) -> None:
    """Read a line from the keyboard, showing stars.

    Args:
        name: the variable; without one the text is dropped
        max_length: how many characters are accepted

    Examples:
        > GetPasswd password
    """
    _read_line(run, name, max_length, "*")


@command("OnKey", group=_GROUP)
def on_key(run: Run, key: Key, command: NestedCommand | None = None) -> None:
    """Set the command that runs when a key is pressed and nobody asks for keys; without a command, remove it.

    Args:
        key: one character, or "default" for every other key
        command: the command; its variables are replaced now

    Examples:
        > OnKey "1" Echo "one"
        > OnKey "1"
    """
    if command is not None:
        command.check(run)
    if key.lower() == "default":
        run.frame.default_key_handler = command
    elif command is None:
        run.frame.key_handlers.pop(key, None)
    else:
        run.frame.key_handlers[key] = command


def _read_line(run: Run, name: str | None, most: int | None, echo: str | None) -> None:
    secrets = run.machine.secrets
    is_secret = echo is not None or (name is not None and is_secret_name(name))
    with secrets.typing() if is_secret else nullcontext():
        text = run.read_line(most, echo)
    if is_secret and text:
        secrets.add(text)
    if text is None:
        raise run.refuse(None, _NO_MORE_KEYS)
    if name is not None:
        run.variables.set(name, text)
