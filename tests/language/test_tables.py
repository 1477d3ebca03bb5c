"""The tables that were made of the grammar, and the machine that runs them, against Lark itself."""

from functools import cache
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from lark import Lark, Transformer, UnexpectedInput
from lark import Token as LarkToken

from bpscript.base.resources import grammar_text
from bpscript.language import tables
from bpscript.language.automaton import Automaton
from bpscript.language.build import RULES
from bpscript.language.compile_grammar import SHAPES, compile_grammar
from bpscript.language.tokens import Token, WrongTokenError

PIECES = st.sampled_from(
    ['"a b"', '"a"', '""', "{", "}", "{0}", "[1-2]", "/a=b/", "/", "=", "(", ")", "(1 + 2)", "-", "+", "*", "5", "-5", "007", "0.5", "1.", "x",
     "x.y", "0x1", "not", "ci", "exist", "valid", "in", "in-file", "match-expr", "==", "<", "<>", "@", "#", ",", ":", ":1", "0:1", "\0\ue000",
     " ", "  ", "\t", "\\\"", "%", "!"]
)  # fmt: skip
LINES = st.lists(PIECES, max_size=10).map("".join)


def test_the_tables_are_those_of_the_grammar() -> None:
    """`python -m bpscript.language.compile_grammar` makes them anew."""
    with open(tables.__file__, encoding="utf-8") as file:
        assert file.read() == compile_grammar()


def test_the_grammar_names_no_command() -> None:
    words = {"copy", "echo", "clean", "goto", "fullunzip"}
    lines = [line for line in grammar_text("bpbatch.lark").lower().splitlines() if not line.lstrip().startswith("//")]
    assert not any(word in line for line in lines for word in words)


@settings(max_examples=500, deadline=None)
@given(line=LINES, shape=st.sampled_from(SHAPES))
def test_the_machine_reads_what_lark_reads(line: str, shape: str) -> None:
    """A whole line that Lark accepts gives the same tree; one that it refuses is not read to its end."""
    wanted: str | None
    try:
        nodes: Any = lark_parser().parse(line, start=shape)
        wanted = repr(tuple(nodes))
    except UnexpectedInput:
        wanted = None
    except WrongTokenError as error:
        wanted = error.message if lark_accepts(line, shape) else None
    assert read(line, shape) == wanted


def read(line: str, shape: str) -> str | None:
    automaton = Automaton(line, 0, shape)
    try:
        while (token := automaton.next_token()) is not None and automaton.feed(token):
            pass
        found = automaton.finish()
    except WrongTokenError as error:
        return error.message if lark_accepts(line, shape) else None
    return repr(found) if found is not None and automaton.position == len(line) else None


@cache
def lark_parser() -> Lark:
    return _lark(RULES)


@cache
def _only_shapes() -> Lark:
    return _lark(dict.fromkeys(RULES, list))


def lark_accepts(line: str, shape: str) -> bool:
    try:
        _only_shapes().parse(line, start=shape)
    except UnexpectedInput:
        return False
    return True


def _lark(rules: dict[str, Any]) -> Lark:
    """Lark's own parser that builds our nodes."""
    methods = {name: lambda self, children, build=build: build(children) for name, build in rules.items()}
    terminals = {name: lambda self, token: _token(token) for name, _ in tables.TERMINALS}
    transformer = type("Builder", (Transformer,), {**methods, **terminals})()
    return Lark(
        grammar_text("bpbatch.lark"), parser="lalr", lexer="contextual", start=list(SHAPES), maybe_placeholders=True, transformer=transformer
    )


def _token(token: LarkToken) -> Token:
    assert token.start_pos is not None
    assert token.end_pos is not None
    return Token(token.type, str(token), token.start_pos, token.end_pos)
