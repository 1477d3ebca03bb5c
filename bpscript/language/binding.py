"""From the text of a command to its declaration, and each argument to its parameter. No values are computed here.

    Copy "a$n" {1}      name -> declaration -> shape of the arguments -> nodes -> matches

The interpreter makes statements of the matches, the checker looks at them as they are, and the formatter writes them anew.
"""

import re
from collections.abc import Iterator
from typing import NamedTuple

from .arguments import CommandArgument
from .automaton import skip_blanks
from .declare import CommandSet, Declaration, Parameter
from .expand import unescape
from .names import did_you_mean
from .parser import found_at, one_line, parse, unclosed_error, unclosed_quote, unexpected
from .places import Expanded, Place, PlacedError
from .syntax import Absent, Comma, Node, Rest

NAME = re.compile(r'(?:\\.|[^ \t\r\n"(\\])+', re.DOTALL)


class UnknownCommandError(PlacedError):
    """No command has this name."""


class UnavailableCommandError(PlacedError):
    """The command exists, but not in this program."""


class Head(NamedTuple):
    """The name of a command: what it declares, where it stands, and where its arguments begin."""

    declaration: Declaration
    place: Place
    arguments: int


class Match(NamedTuple):
    """A parameter and what was given for it: one node, several for an argument of several numbers, none when it was left out."""

    parameter: Parameter
    nodes: tuple[Node, ...]


def find_command(text: Expanded, start: int, commands: CommandSet, program: str, *, at_prompt: bool = False) -> Head:
    """The command that begins at `start`. Raises PlacedError when there is none, or not in this program."""
    match = NAME.match(text.text, start)
    if match is None:
        place = Place(text, start, start + 1)
        raise PlacedError.at(place, f"expected a command, found {found_at(text.text, start)}")
    name, place = unescape(match[0]), Place(text, start, match.end())
    declaration = commands.get(name)
    if declaration is None:
        raise UnknownCommandError.at(place, f'unknown command "{one_line(name)}"', hint=did_you_mean(name, commands.names()))
    if declaration.interactive_only and not at_prompt:
        hint = "to leave a script, Goto a label on its last line"
        raise UnavailableCommandError.at(place, f"{declaration.name} is available only in interactive mode", hint=hint)
    if declaration.mrzip_only and program != "MrZip":
        hint = "scripts that end in .mrz run as MrZip"
        raise UnavailableCommandError.at(place, f"{declaration.name} is only available in MrZip", hint=hint)
    return Head(declaration, place, skip_blanks(text.text, match.end()))


def read_nodes(text: Expanded, start: int, declaration: Declaration) -> tuple[Node, ...]:
    """The nodes of the arguments, the rest of the line last. Raises PlacedError."""
    nodes: tuple[Node, ...] = ()
    end = start
    if declaration.shape is not None and start < len(text.text):
        shape = parse(text, start, declaration.shape, declaration)
        nodes, end = shape.nodes, shape.end
    rest = skip_blanks(text.text, end)
    if not declaration.takes_rest:
        if rest < len(text.text):
            if not nodes and declaration.parameters and unclosed_error(text, rest) is None:
                expected = declaration.parameters[0].type.expected
                found = found_at(text.text, rest)
                raise PlacedError.at(Place(text, rest, rest + 1), f"expected {expected}, found {found}", hint=f"usage: {declaration.usage}")
            raise unexpected(text, rest)
        return nodes
    is_command = isinstance(declaration.parameters[-1].type, CommandArgument)
    if is_command and text.unclosed is not None and text.unclosed >= rest:
        raise unclosed_quote(text)
    if rest < len(text.text):
        if rest == end and nodes and not isinstance(nodes[-1], Absent):
            raise PlacedError.at(Place(text, rest, rest + 1), f"a blank is missing before {found_at(text.text, rest)}")
        return (*nodes, Rest(rest, len(text.text)))
    if not is_command and any(segment.width and segment.offset >= start for segment in text.segments):
        return (*nodes, Rest(rest, rest))       # an empty value is a text too
    return nodes


def match_arguments(declaration: Declaration, nodes: tuple[Node, ...], text: Expanded, place: Place) -> Iterator[Match]:
    """Each parameter with its argument, one by one, so that what is wrong with the first is told first.

    `place` is the command's name. Raises PlacedError.
    """
    rest = list(nodes)
    for parameter in declaration.parameters:
        kind = parameter.type
        while kind.count > 1 and rest and isinstance(rest[0], Comma):
            rest.pop(0)
        node = rest[0] if rest else None
        if node is not None and kind.accepts(node):
            given = _several(declaration, parameter, rest, text, place) if kind.count > 1 else (rest.pop(0),)
            yield Match(parameter, given)
        elif isinstance(node, Absent):
            rest.pop(0)
            yield Match(parameter, ())
        elif node is None or (parameter.optional and (parameter.skippable or isinstance(node, Rest))):
            if not parameter.optional:
                hint = f"usage: {declaration.usage}"
                raise PlacedError.at(place, f"{declaration.name} needs more: {parameter.display} is missing", hint=hint)
            yield Match(parameter, ())
        elif isinstance(node, Comma):
            raise unexpected(text, node.start)
        else:
            message = f"expected {kind.expected} ({parameter.display}), found {found_at(text.text, node.start)}"
            raise PlacedError.at(Place(text, node.start, node.end), message, hint=f"usage: {declaration.usage}")
    if rest:
        raise unexpected(text, rest[0].start)


def plain_matches(declaration: Declaration, nodes: tuple[Node, ...]) -> tuple[Match, ...] | None:
    """The same where each parameter has an argument of its own that it takes, all at once; None for everything else."""
    parameters = declaration.parameters
    if len(parameters) != len(nodes):
        return None
    found: list[Match] = []
    for parameter, node in zip(parameters, nodes, strict=True):
        kind = parameter.type
        if kind.count > 1 or not kind.accepts(node):
            return None
        found.append(Match(parameter, (node,)))
    return tuple(found)


def _several(declaration: Declaration, parameter: Parameter, rest: list[Node], text: Expanded, place: Place) -> tuple[Node, ...]:
    """An argument of several numbers, with or without commas between them."""
    nodes: list[Node] = []
    while len(nodes) < parameter.type.count:
        if nodes and rest and isinstance(rest[0], Comma):
            rest.pop(0)
        if not rest:
            hint = f"usage: {declaration.usage}"
            raise PlacedError.at(place, f"{declaration.name} needs more: {parameter.display} is {parameter.type.count} numbers", hint=hint)
        if not parameter.type.accepts(rest[0]):
            found = found_at(text.text, rest[0].start)
            raise PlacedError.at(Place(text, rest[0].start, rest[0].end), f"expected a number, found {found}")
        nodes.append(rest.pop(0))
    return tuple(nodes)
