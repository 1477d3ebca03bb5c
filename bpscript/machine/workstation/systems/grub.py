"""A subset of GRUB's script language that is enough for what `grub-mkconfig` and installers write.

    set name=value, "$name", "${name}"          variables; those of grubenv are there from the start
    if [ TEST ]; then ... else ... fi           TEST: a text that is not empty, `=`, `==`, `!=`, `-n`, `-z`; everything else fails
    menuentry TITLE { ... }, submenu TITLE { ... }
    linux FILE ARGUMENTS, initrd FILE...        also linux16, linuxefi, initrd16, initrdefi; a device in front, `($root)/`, is dropped

Functions are passed over, `insmod`, `search`, `load_env` and everything else do nothing. What starts is the entry of `$default`: its
number from 0, its title or its id, `>` between a submenu and an entry in it; else the first. Source: the GRUB manual 2.06, "Shell-like
scripting" and "default".
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise

from .entry import Entry, Texts, clean
from .loader import grub_variables

PLACES = ("boot/grub/grub.cfg", "grub/grub.cfg", "boot/grub2/grub.cfg", "grub2/grub.cfg")
_DEVICE = re.compile(r"\([^)]*\)")
_VARIABLE = re.compile(r"\$(?:\{(\w+|\?)\}|(\w+|\?))")
_MOST_COMMANDS = 20_000


@dataclass
class _Item:
    """A menu entry, or a submenu with `items`."""

    title: str
    ident: str
    kernel: str = ""
    ramdisks: tuple[str, ...] = ()
    command_line: str = ""
    items: "list[_Item]" = field(default_factory=list)


class _Stopped(Exception):  # noqa: N818 - never leaves this module
    """The text does not end what it begins."""


class _Interpreter:
    """Runs the commands of a configuration in order; only what makes menu entries has an effect."""

    def __init__(self, variables: dict[str, str]) -> None:
        self.variables = variables
        self.menu: list[_Item] = []

    def run(self, commands: list[list[str]], items: list[_Item], entry: _Item | None = None) -> None:
        position = 0
        while position < len(commands):
            words = commands[position]
            position += 1
            match words[0]:
                case "if":
                    branches, position = _branches(commands, position - 1)
                    chosen = next((body for test, body in branches if self._holds(test)), [])
                    self.run(chosen, items, entry)
                case "menuentry" | "submenu":
                    body, position = _block(commands, position)
                    self._menu_item(words, body, items)
                case "function":
                    _, position = _block(commands, position)
                case "for" | "while" | "until":
                    position = _after_done(commands, position)
                case "set" if len(words) > 1:
                    name, _, value = words[1].partition("=")
                    self.variables[name] = self._expanded(value)
                case "linux" | "linux16" | "linuxefi" if entry is not None and len(words) > 1:
                    entry.kernel = self._path(words[1])
                    entry.command_line = " ".join(filter(None, map(self._expanded, words[2:])))
                case "initrd" | "initrd16" | "initrdefi" if entry is not None:
                    entry.ramdisks += tuple(map(self._path, words[1:]))

    def _menu_item(self, words: list[str], body: list[list[str]], items: list[_Item]) -> None:
        idents = [after for word, after in pairwise(words) if word in {"--id", "$menuentry_id_option"}]
        item = _Item(self._expanded(words[1]) if len(words) > 1 else "", self._expanded(idents[0]) if idents else "")
        items.append(item)
        if words[0] == "submenu":
            self.run(body, item.items)
        else:
            before = dict(self.variables)       # an entry runs only when it is chosen
            self.run(body, [], item)
            self.variables = before

    def _expanded(self, word: str) -> str:
        return _VARIABLE.sub(lambda found: self.variables.get(found[1] or found[2], ""), word).replace("\0", "$")

    def _path(self, word: str) -> str:
        return clean(_DEVICE.sub("", self._expanded(word)))

    def _holds(self, test: list[str]) -> bool:
        """Whether `[ ... ]` is true; `else` has no test and is."""
        if not test:
            return True
        words = [self._expanded(word) for word in test]
        if words[0] not in {"[", "test"}:
            return False
        words = words[1:-1] if words[-1] == "]" else words[1:]
        match words:
            case [text]:
                return bool(text)
            case ["-n", text]:
                return bool(text)
            case ["-z", text]:
                return not text
            case [left, "=" | "==", right]:
                return left == right
            case [left, "!=", right]:
                return left != right
        return False


def find(texts: Texts) -> Entry | None:
    """What the first configuration file found starts."""
    for path in PLACES:
        text = texts.read(path)
        if text is None:
            continue
        variables = grub_variables(texts)
        interpreter = _Interpreter(variables)
        try:
            interpreter.run(_commands(text), interpreter.menu)
        except (_Stopped, RecursionError):
            continue
        item = _default(interpreter.menu, interpreter.variables.get("default", ""))
        if item is not None and item.kernel:
            return Entry(item.title, item.kernel, item.ramdisks, item.command_line, path)
    return None


def _default(menu: list[_Item], default: str) -> _Item | None:
    """The entry that `$default` means; the first when it means none."""
    items = menu
    found: _Item | None = None
    for step in default.split(">"):
        found = next((each for each in items if step and step in {each.ident, each.title}), None)
        if found is None and step.isdecimal() and int(step) < len(items):
            found = items[int(step)]
        if found is None:
            break
        items = found.items
    found = found or (menu[0] if menu else None)
    for _ in range(len(menu) + 100):        # a submenu starts its first entry
        if found is None or not found.items:
            break
        found = found.items[0]
    return found


def _words(text: str) -> Iterator[str]:
    """Words, with `;`, line ends, `{` and `}` as words of their own; quotes and backslashes taken away.

    A variable stays as it is written, so that a quoted one is one word; what stands between apostrophes is hidden from expansion.
    """
    word, quoted = "", False
    position = 0
    while position < len(text):
        letter = text[position]
        position += 1
        if letter == "\\" and position < len(text):
            if text[position] != "\n":
                word += text[position]
            position += 1
        elif letter in "'\"":
            end = text.find(letter, position)
            if end < 0:
                raise _Stopped
            inside = text[position:end]
            word += inside.replace("$", "\0") if letter == "'" else inside
            quoted, position = True, end + 1
        elif letter == "#" and not word and not quoted:
            end = text.find("\n", position)
            position = len(text) if end < 0 else end
        elif letter in " \t\r\n;" or (letter in "{}" and not word and not quoted):
            if word or quoted:
                yield word
            word, quoted = "", False
            if letter in "\n;{}":
                yield letter
        else:
            word += letter
            if letter == "$" and text[position : position + 1] == "{":
                end = text.find("}", position)
                if end < 0:
                    raise _Stopped
                word += text[position : end + 1]
                position = end + 1
    if word or quoted:
        yield word


def _commands(text: str) -> list[list[str]]:
    """Commands as lists of words; `{`, `}`, `then`, `else`, `do` ... stand alone."""
    commands: list[list[str]] = []
    current: list[str] = []
    alone = {"{", "}", "then", "else", "do", "fi", "done"}
    for word in _words(text):
        if word in {"\n", ";"} or word in alone:
            if current:
                commands.append(current)
            current = []
            if word in alone:
                commands.append([word])
        else:
            current.append(word)
        if len(commands) > _MOST_COMMANDS:
            raise _Stopped
    return [*commands, current] if current else commands


def _block(commands: list[list[str]], position: int) -> tuple[list[list[str]], int]:
    """What stands between `{` and its `}`, and the position behind it."""
    depth = 0
    for index in range(position, len(commands)):
        if commands[index] == ["{"]:
            depth += 1
        elif commands[index] == ["}"]:
            depth -= 1
            if not depth:
                return commands[position + 1 : index], index + 1
    raise _Stopped


def _branches(commands: list[list[str]], position: int) -> tuple[list[tuple[list[str], list[list[str]]]], int]:
    """Tests and bodies of an `if`, and the position behind its `fi`."""
    branches: list[tuple[list[str], list[list[str]]]] = []
    depth, start = 0, 0
    test: list[str] = []
    for index in range(position, len(commands)):
        words = commands[index]
        if words[0] == "if":
            depth += 1
            if depth == 1:
                test = words[1:]
        elif depth == 1 and words == ["then"]:
            start = index + 1
        elif depth == 1 and words[0] in {"elif", "else", "fi"}:
            branches.append((test, commands[start:index]))
            test, start = words[1:], index + 1
        if words == ["fi"]:
            depth -= 1
            if not depth:
                return branches, index + 1
    raise _Stopped


def _after_done(commands: list[list[str]], position: int) -> int:
    """The position behind a loop."""
    depth = 1
    for index in range(position, len(commands)):
        if commands[index][0] in {"for", "while", "until"}:
            depth += 1
        elif commands[index] == ["done"]:
            depth -= 1
            if not depth:
                return index + 1
    raise _Stopped
