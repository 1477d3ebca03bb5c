'''How a command is declared: one typed function, whose signature and docstring are the declaration.

    from ..interpreter.run import Run
    from ..language.declare import command
    from .arguments import FileName, VariableName

    @command("FullUnzip", group="disks and files", writes_disk=True, since="3.0, without cache 3.19")
    def full_unzip(run: Run, archive: FileName, partition: int, disk: int = 0) -> None:
        """Replace everything on a partition by the contents of an archive.

        Args:
            archive: the archive to read, from the image server
            partition: number of the partition to fill
            disk: number of the disk

        Examples:
            > FullUnzip "win98.imz" 1
        """

Usage, help, argument checks and completion are derived. What a parameter takes is said by its annotation (see
`arguments.py`); one with a default is optional, and can be left out only from the right, unless it is `Skippable[int]`.
`NestedCommand | None` and `RestText` take the rest of the line. An underscore in a name shows as a hyphen.

Mistakes of the declaration (a parameter without an Args line, no summary) raise TypeError when the module is imported. The
annotations themselves are looked at when the command is first used, so that start-up stays short.

A function returns None, or where to go on: a value of `interpreter/results.py`, or the NestedCommand to run next. What goes
wrong is raised as an error of `base/errors.py`; the interpreter puts the caret under the argument that the message quotes
(`"name"`) or names with its number (`partition 3`); `RefusedArgument` in a conversion points at its argument.

A family is a module; `bpscript/commands/__init__.py` names them in a tuple.
'''

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from enum import EnumType
from functools import cached_property
from importlib import import_module
from threading import RLock
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from .arguments import (
    SKIPPABLE,
    ArgumentType,
    CommandArgument,
    KeywordArgument,
    NumberArgument,
    RestArgument,
    StringArgument,
    TextArgument,
)
from .names import fold

F = TypeVar("F", bound=Callable[..., Any])

_LONG_GROUPS = {"archive building", "boot", "disks and files", "security"}
_SECTION = re.compile(r"^(Args|Examples):\s*$", re.MULTILINE)
_ARGUMENT = re.compile(r"^ {4}(\w+): (.*(?:\n {8,}.*)*)", re.MULTILINE)
_EXAMPLE = re.compile(r"^ *> (.*)$", re.MULTILINE)


@dataclass(frozen=True, slots=True, eq=False)
class Parameter:
    """One argument of a command."""

    name: str
    type: ArgumentType
    optional: bool
    skippable: bool
    default: object
    about: str

    @property
    def display(self) -> str:
        """How a usage text shows it."""
        return self.type.usage(self.name.replace("_", "-"))


@dataclass(frozen=True)
class Declaration:
    """A command: its names, its function, and what its docstring says."""

    name: str
    function: Callable[..., Any]
    aliases: tuple[str, ...]
    group: str
    since: str
    writes_disk: bool
    mrzip_only: bool
    no_effect_in_mrzip: bool
    interactive_only: bool
    ends_script: bool
    programs_note: str
    untested: str | None
    written_usage: tuple[str, ...]
    summary: str
    description: str
    arguments: dict[str, str]
    examples: tuple[str, ...]
    _signature: tuple[str, ...] = field(repr=False)

    @cached_property
    def parameters(self) -> tuple[Parameter, ...]:
        """The arguments, in order."""
        hints = get_type_hints(self.function, include_extras=True)
        defaults = self.function.__defaults__ or ()
        names = self._signature
        first_optional = len(names) - len(defaults)
        found = []
        for index, name in enumerate(names):
            kind, skippable = _argument_type(hints[name], f"{self.name}: {name}")
            optional = index >= first_optional
            default = defaults[index - first_optional] if optional else None
            found.append(Parameter(name, kind, optional, skippable, default, self.arguments[name]))
        return tuple(found)

    @cached_property
    def takes_rest(self) -> bool:
        """Whether the last argument is the rest of the line."""
        return bool(self.parameters) and isinstance(self.parameters[-1].type, CommandArgument | RestArgument)

    @cached_property
    def shape(self) -> str | None:
        """The rule of grammar/bpbatch.lark that the arguments before the rest follow; None when there are none."""
        before = self.parameters[:-1] if self.takes_rest else self.parameters
        for parameter in before:
            if parameter.type.shape is not None:
                return parameter.type.shape
        if self.takes_rest:
            return "single" if before else None
        return "values"

    @cached_property
    def most(self) -> int:
        """How many values it can take."""
        return sum(parameter.type.count for parameter in self.parameters)

    @cached_property
    def usages(self) -> tuple[str, ...]:
        """The forms of the arguments, without the name: `('"archive" partition [disk]',)`."""
        return self.written_usage or (_usage(self.parameters),)

    @cached_property
    def usage(self) -> str:
        """The whole usage line."""
        return " or ".join(f"{self.name} {form}".strip() for form in self.usages)

    @cached_property
    def may_take_long(self) -> bool:
        """Whether it works on disks or asks the network: what was drawn is to be seen before."""
        return self.group in _LONG_GROUPS

    @property
    def programs(self) -> str:
        """Where it can be used, in the words of the reference's index."""
        if self.mrzip_only:
            return "MrZip"
        note = "no effect in MrZip" if self.no_effect_in_mrzip else self.programs_note
        return f"all ({note})" if note else "all"

    def help_text(self) -> str:
        """Usage, what it does, arguments and examples, for people."""
        lines = [f"{self.name} {form}".strip() for form in self.usages]
        lines += ["", self.summary]
        if self.description:
            lines += ["", self.description]
        if self.arguments:
            width = max(len(name) for name in self.arguments)
            lines.append("")
            lines += [f"  {name.replace('_', '-'):{width}}  {about}" for name, about in self.arguments.items()]
        if self.examples:
            lines += ["", *(f"  > {example}" for example in self.examples)]
        lines += ["", f"Programs: {self.programs}. Since {self.since}."]
        return "\n".join(lines)


def command(
    name: str,
    *aliases: str,
    group: str,
    since: str = "3.0",
    writes_disk: bool = False,
    mrzip_only: bool = False,
    no_effect_in_mrzip: bool = False,
    interactive_only: bool = False,
    ends_script: bool = False,
    programs_note: str = "",
    untested: str | None = None,
    usage: str | tuple[str, ...] = (),
) -> Callable[[F], F]:
    """Declare a function as a command; see the note above.

    `ends_script` says that the script is over behind it; `since` is the version of the original that has it; `untested` says why its examples cannot run; `usage` gives the forms of
    the arguments where the signature cannot show them.
    """

    def declare(function: F) -> F:
        code = function.__code__
        signature = code.co_varnames[1 : code.co_argcount]
        documentation = function.__doc__ or ""
        summary, description, arguments, examples = _parse_docstring(documentation)
        if not summary:
            raise TypeError(f"the command {name} needs a docstring that says what it does")
        missing = [each for each in signature if each not in arguments]
        unknown = [each for each in arguments if each not in signature]
        if missing or unknown:
            raise TypeError(f"the command {name}: Args lines missing for {missing}, for no parameter: {unknown}")
        declaration = Declaration(
            name, function, aliases, group, since, writes_disk, mrzip_only, no_effect_in_mrzip, interactive_only, ends_script, programs_note,
            untested, (usage,) if isinstance(usage, str) else usage, summary, description, arguments, examples, signature,
        )
        function.declaration = declaration  # type: ignore[attr-defined]  # found again by CommandSet
        return function

    return declare


class CommandSet:
    """The commands of a program, by name.

    Families are modules, named in the order in which they are looked through: a name that the first ones have does not load
    the others, so that a short script starts fast.
    """

    def __init__(self, package: str, families: Iterable[str]) -> None:
        self._waiting = [f"{package}.{family}" for family in families]
        self._found: list[Declaration] = []
        self._by_name: dict[str, Declaration] = {}
        self._loading = RLock()     # an editor's scripts are checked in a thread, while it asks for other things

    def get(self, name: str) -> Declaration | None:
        """The command of a name, in any case; None when no family has it."""
        key = fold(name)
        while key not in self._by_name and self._waiting:
            self._load()
        return self._by_name.get(key)

    @property
    def declarations(self) -> tuple[Declaration, ...]:
        """All commands, family by family."""
        while self._waiting:
            self._load()
        return tuple(self._found)

    def names(self) -> list[str]:
        """All names, aliases too, as they are written in the reference."""
        return [name for each in self.declarations for name in (each.name, *each.aliases)]

    def __iter__(self) -> Iterator[Declaration]:
        return iter(self.declarations)

    def _load(self) -> None:
        """Import the next family, if one is left."""
        with self._loading:
            if not self._waiting:
                return
            module = import_module(self._waiting[0])
            for each in vars(module).values():
                declaration = getattr(each, "declaration", None)
                if isinstance(declaration, Declaration) and each.__module__ == module.__name__:
                    self._found.append(declaration)
                    self._by_name |= {fold(name): declaration for name in (declaration.name, *declaration.aliases)}
            del self._waiting[0]


def _parse_docstring(text: str) -> tuple[str, str, dict[str, str], tuple[str, ...]]:
    """Summary, description, what Args says of each parameter, and the examples."""
    lines = text.expandtabs().splitlines()
    margin = min((len(line) - len(line.lstrip()) for line in lines[1:] if line.strip()), default=0)
    text = "\n".join([*lines[:1], *(line[margin:] for line in lines[1:])])
    head, *sections = _SECTION.split(text)
    summary, _, description = head.strip().partition("\n\n")
    arguments: dict[str, str] = {}
    examples: tuple[str, ...] = ()
    for title, body in zip(sections[::2], sections[1::2], strict=True):
        if title == "Args":
            arguments = {name: " ".join(about.split()) for name, about in _ARGUMENT.findall(body)}
        else:
            examples = tuple(_EXAMPLE.findall(body))
    return " ".join(summary.split()), description.strip(), arguments, examples


def _argument_type(hint: Any, where: str) -> tuple[ArgumentType, bool]:  # noqa: ANN401 - annotations are anything
    """The argument type of an annotation, and whether the argument may be skipped. Raises TypeError."""
    if get_origin(hint) is Annotated:
        inner, *extras = get_args(hint)
        for extra in extras:
            if isinstance(extra, ArgumentType):
                return extra, SKIPPABLE in extras
        return _argument_type(inner, where)[0], SKIPPABLE in extras
    if get_origin(hint) in {Union, UnionType}:
        members = [each for each in get_args(hint) if each is not NoneType]
        if len(members) == 1:
            return _argument_type(members[0], where)
        if set(members) == {str, int}:
            return TextArgument(), False
    if get_origin(hint) is Literal:
        return KeywordArgument({word: word for word in get_args(hint)}), False
    if isinstance(hint, EnumType):
        return KeywordArgument({str(member.value): member for member in list[Any](hint)}), False
    if hint is str:
        return StringArgument(), False
    if hint is int:
        return NumberArgument(), False
    own = getattr(hint, "ARGUMENT", None)
    if isinstance(own, ArgumentType):
        return own, False
    raise TypeError(f"{where}: no argument type for the annotation {hint}")


def _usage(parameters: tuple[Parameter, ...]) -> str:
    """The arguments as the reference writes them: `a [b [c]]`; arguments that can be skipped are a group of their own."""
    text = " ".join(parameter.display for parameter in parameters if not parameter.optional)
    groups: list[list[str]] = []
    previous: bool | None = None
    for parameter in parameters:
        if parameter.optional:
            if parameter.skippable is not previous:
                groups.append([])
            groups[-1].append(parameter.display)
            previous = parameter.skippable
    for group in groups:
        text += " " + " ".join(f"[{each}" for each in group) + "]" * len(group)
    return text.strip()
