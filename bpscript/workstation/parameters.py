"""What the kernel's command line says to us: parameters `nbp.NAME=VALUE`, and BOOTIF of boot loaders.

Blanks and other bytes in a value are written `%20`, as iPXE's `:uristring` does, or the whole value stands between double quotes.
Source of the quoting: lib/cmdline.c of Linux, next_arg.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import AddressValueError, IPv4Address, IPv4Interface, NetmaskValueError
from types import MappingProxyType
from urllib.parse import unquote

from ..base.errors import UsageError

PREFIX = "nbp."
AFTERWARDS = ("prompt", "shell", "reboot", "poweroff")


@dataclass(frozen=True, slots=True)
class Passed:
    """What the boot loader knew of the network."""

    address: IPv4Interface | None = None
    router: IPv4Address | None = None
    server: IPv4Address | None = None
    host_name: str = ""


@dataclass(frozen=True, slots=True)
class Parameters:
    """Everything that can be said; `mistakes` are sentences about what could not be understood, which never stops a boot.

    `script` is a command line as of option 155 (None: that of the server), `root` a URL, `interface` a name or hardware address.
    `after_error` and `after_end` are of AFTERWARDS, `delay_s` how long an error stays on the screen before them.
    """

    script: str | None = None
    passed_script: str | None = None
    root: str | None = None
    interface: str | None = None
    uses_dhcp: bool = True
    dhcp_timeout_s: float = 60.0
    passed: Passed = Passed()
    after_error: str = "prompt"
    after_end: str = "prompt"
    delay_s: float = 30.0
    variables: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    graphics: bool = True
    debug: bool = False
    mistakes: tuple[str, ...] = ()


def parse_parameters(line: str) -> Parameters:
    """The parameters in a command line of the kernel (/proc/cmdline). Of two of one name the last one counts."""
    reader = _Reader(line)
    after_error = reader.choice("onerror", AFTERWARDS, "prompt")
    return Parameters(
        script=reader.text("commandline"),
        passed_script=reader.text("script"),
        root=reader.text("root"),
        interface=reader.text("interface") or _of_boot_loader(reader.plain.get("BOOTIF")),
        uses_dhcp=reader.choice("dhcp", ("on", "off"), "on") == "on",
        dhcp_timeout_s=reader.seconds("timeout", 60.0),
        passed=reader.passed(),
        after_error=after_error,
        after_end=reader.choice("onend", AFTERWARDS, "prompt"),
        delay_s=reader.seconds("delay", 30.0),
        variables=reader.variables,
        graphics=reader.choice("screen", ("auto", "text"), "auto") == "auto",
        debug=reader.choice("debug", ("on", "off"), "off") == "on",
        mistakes=tuple(reader.mistakes),
    )


class _Reader:
    """The words of a command line by name, and what was wrong with them."""

    def __init__(self, line: str) -> None:
        self.plain: dict[str, str] = {}
        self.variables: dict[str, str] = {}
        self.mistakes: list[str] = []
        self._ours: dict[str, str] = {}
        for word in split_words(line):
            name, _, value = word.partition("=")
            if not name.startswith(PREFIX):
                self.plain[name] = value
            elif name == f"{PREFIX}set":
                variable, sign, text = unquote(value).partition("=")
                if sign and variable:
                    self.variables[variable] = text
                else:
                    self.mistakes.append(f"{word}: expected {PREFIX}set=NAME=VALUE")
            else:
                self._ours[name.removeprefix(PREFIX)] = unquote(value)
        for name in self._ours:
            if name not in _NAMES:
                self.mistakes.append(f"{PREFIX}{name} is no parameter of the boot environment; there are {', '.join(PREFIX + each for each in _NAMES)}")

    def text(self, name: str) -> str | None:
        """A value; None when it is missing or empty."""
        return self._ours.get(name) or None

    def choice(self, name: str, words: tuple[str, ...], default: str) -> str:
        """One of some words."""
        value = (self.text(name) or default).lower()
        if value in words:
            return value
        self.mistakes.append(f"{PREFIX}{name}={value}: expected {', '.join(words)}; {default} is taken")
        return default

    def seconds(self, name: str, default: float) -> float:
        """A duration."""
        value = self.text(name)
        if value is None:
            return default
        if value.isascii() and value.isdecimal() and len(value) <= 6:
            return float(value)
        self.mistakes.append(f"{PREFIX}{name}={value}: expected seconds; {default:g} is taken")
        return default

    def passed(self) -> Passed:
        """Addresses of the boot loader; an empty one or 0.0.0.0 is none."""
        address, mask = self._address("ip"), self.text("netmask")
        interface = None
        if address is not None:
            try:
                interface = IPv4Interface(f"{address}/{mask}" if mask else f"{address}/24")
            except (AddressValueError, NetmaskValueError):
                self.mistakes.append(f"{PREFIX}netmask={mask}: no mask of a network")
        return Passed(interface, self._address("router"), self._address("server"), self.text("hostname") or "")

    def _address(self, name: str) -> IPv4Address | None:
        value = self.text(name)
        try:
            found = None if value is None else IPv4Address(value)
        except AddressValueError:
            self.mistakes.append(f"{PREFIX}{name}={value}: no IPv4 address")
            return None
        return None if found is None or found.is_unspecified else found


# Every parameter; docs/boot.md explains them.
_NAMES = (
    "commandline", "script", "root", "interface", "dhcp", "timeout", "ip", "netmask", "router", "server", "hostname", "onerror", "onend", "delay",
    "screen", "debug", "set",
)


def split_words(line: str) -> list[str]:
    """The words of a command line; blanks between double quotes do not end a word, and the quotes are taken away."""
    words, word, quoted = [], "", False
    for character in line.strip():
        if character == '"':
            quoted = not quoted
        elif character in " \t\n" and not quoted:
            words.append(word)
            word = ""
        else:
            word += character
    words.append(word)
    return [each for each in words if each]


def _of_boot_loader(text: str | None) -> str | None:
    """BOOTIF=01-52-54-00-12-34-56 of pxelinux and our iPXE script: the kind of hardware, then its address."""
    pieces = (text or "").lower().split("-")
    return ":".join(pieces[1:]) if len(pieces) == 7 else None


@dataclass(frozen=True, slots=True)
class CommandLine:
    """The command line of language.md 1.3: switches (letters in lower case) and the name of a script ("" for none)."""

    switches: str = ""
    script: str = ""


def parse_command_line(text: str) -> CommandLine:
    """Option 155. Raises UsageError."""
    switches, script = "", ""
    for word in text.split():
        if word.startswith("-"):
            for letter in word[1:].lower():
                if letter not in "xlbvwi":
                    raise UsageError(f'"{text}": there is no switch -{letter}', hint="there are -x -l -b -v -w -i")
                switches += letter
        elif script:
            raise UsageError(f'"{text}": a second script, "{word}"', hint="expected [-x] [-l] [-b] [-v] [-w] [-i] [SCRIPT]")
        else:
            script = word
    return CommandLine("".join(dict.fromkeys(switches)), script)
