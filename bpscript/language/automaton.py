"""The parser's machine: runs the LALR tables that Lark made of grammar/bpbatch.lark (see compile_grammar.py).

Why not Lark itself: loading it and compiling the grammar takes longer than a whole short script, on every start, and the boot
environment has no use for a grammar compiler. A test compiles the grammar anew and compares, and lets Lark read the same lines.

Lexing is contextual: in each state only those terminals are tried that the state has an action for, in Lark's order of priority.
"""

import re
from functools import cache
from typing import Any

from .build import RULES
from .tables import ACTIONS, END_STATES, REDUCTIONS, START_STATES, TERMINALS
from .tokens import Token

END = "$END"

_BLANKS = " \t\r\n"


class Automaton:
    """One reading of a text: tokens go in, a tree comes out."""

    def __init__(self, text: str, position: int, shape: str) -> None:
        self._text = text
        self.position = position            # where the next token is looked for
        self._states = [START_STATES[shape]]
        self._end = END_STATES[shape]
        self._values: list[Any] = []

    def next_token(self) -> Token | None:
        """The next token that could matter here, None when there is none; blanks before it are skipped."""
        self.position = skip_blanks(self._text, self.position)
        match = _scanner(self._states[-1]).match(self._text, self.position)
        if match is None or match.lastgroup is None:
            return None
        return Token(match.lastgroup, match[0], match.start(), match.end())

    def feed(self, token: Token) -> bool:
        """Take a token; False when it does not fit."""
        states = self._states
        while (action := ACTIONS[states[-1]].get(token.type)) is not None:
            if action >= 0:
                states.append(action)
                self._values.append(token)
                self.position = token.end
                return True
            self._reduce(~action)
        return False

    def finish(self) -> tuple[Any, ...] | None:
        """The nodes, if the text may end here."""
        while (action := ACTIONS[self._states[-1]].get(END)) is not None:
            self._reduce(~action)
            if self._states[-1] == self._end:
                return tuple(self._values[-1])
        return None

    def run(self) -> int:
        """Take all tokens that fit; where the last one ends. The same as `next_token` and `feed` by turns, in less time."""
        text, states = self._text, self._states
        position = end = self.position
        while True:
            state = states[-1]
            position = skip_blanks(text, position)
            match = _scanner(state).match(text, position)
            kind = None if match is None else match.lastgroup
            if match is None or kind is None:
                break
            while (action := ACTIONS[state].get(kind)) is not None and action < 0:
                self._reduce(~action)
                state = states[-1]
            if action is None:
                break
            start, position = match.span()
            end = position
            states.append(action)
            self._values.append(Token(kind, match[0], start, end))
        self.position = position
        return end

    def accepted(self) -> set[str]:
        """The terminals that fit here, for messages."""
        return {name for name in ACTIONS[self._states[-1]] if name.isupper() and self._would_take(name)}

    def _would_take(self, name: str) -> bool:
        """Whether a terminal could be shifted, perhaps after reductions."""
        depth, top = len(self._states), list(self._states[-1:])
        while (action := ACTIONS[top[-1]].get(name)) is not None:
            if action >= 0:
                return True
            origin, size, _, _ = REDUCTIONS[~action]
            while size >= len(top) and depth > len(top):
                top.insert(0, self._states[depth - len(top) - 1])
            del top[len(top) - size :]
            top.append(ACTIONS[top[-1]][origin])
            if name == END and top[-1] == self._end:
                return True
        return False

    def _reduce(self, index: int) -> None:
        origin, size, build, gaps = REDUCTIONS[index]
        values = self._values
        first = len(values) - size
        children = values[first:]
        del values[first:]
        del self._states[len(self._states) - size :]
        if gaps:
            children = _with_gaps(children, gaps)
        values.append(RULES[build](children))
        self._states.append(ACTIONS[self._states[-1]][origin])


def skip_blanks(text: str, position: int) -> int:
    """The next place that holds no blank."""
    length = len(text)
    while position < length and text[position] in _BLANKS:      # mostly none or one: an expression would take three times as long
        position += 1
    return position


def _with_gaps(children: list[Any], gaps: tuple[int, ...]) -> list[Any]:
    found: list[Any] = [None] * gaps[0]
    for child, gap in zip(children, gaps[1:], strict=True):
        found.append(child)
        found += [None] * gap
    return found


@cache
def _scanner(state: int) -> re.Pattern[str]:
    """The terminals of a state as one pattern."""
    actions = ACTIONS[state]
    return re.compile("|".join(f"(?P<{name}>{pattern})" for name, pattern in TERMINALS if name in actions) or r"(?!)")
