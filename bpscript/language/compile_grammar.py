"""Make tables.py from grammar/bpbatch.lark, with Lark: `python -m bpscript.language.compile_grammar`.

Lark reads the grammar, finds conflicts and computes the LALR tables; what the running program needs of them is written as literals.
"""

from pathlib import Path
from typing import Any

from lark import Lark
from lark.parsers.lalr_analysis import Shift

from ..base.resources import grammar_text

SHAPES = ("values", "single", "position", "assignment", "place", "filter", "test")

_HEAD = '''"""The LALR tables of grammar/bpbatch.lark, made by compile_grammar.py: do not edit.

ACTIONS has for each state and symbol the next state, or the complement of the index of a reduction.
"""

# fmt: off
# ruff: noqa

'''


def load_grammar() -> Lark:
    """The grammar as a parser of Lark's own."""
    text = grammar_text("bpbatch.lark")
    return Lark(text, parser="lalr", lexer="contextual", start=list(SHAPES), maybe_placeholders=True)


def compile_grammar() -> str:
    """The text of tables.py."""
    lark = load_grammar()
    table = lark.parser.parser._parse_table
    terminals = sorted(
        (terminal for terminal in lark.terminals if terminal.name not in lark.ignore_tokens),
        key=lambda each: (-each.priority, -each.pattern.max_width, -len(each.pattern.value), each.name),    # as Lark's lexer does
    )
    # States are numbered as they are reached, so that the same grammar gives the same file.
    order = [table.start_states[shape] for shape in SHAPES]
    numbers = {state: number for number, state in enumerate(order)}
    reductions: dict[Any, int] = {}
    actions: list[dict[str, int]] = []
    for state in order:     # grows while it is walked
        row: dict[str, int] = {}
        for symbol, (action, target) in sorted(table.states[state].items()):
            if action is not Shift:
                row[str(symbol)] = ~reductions.setdefault(target, len(reductions))
                continue
            if target not in numbers:
                numbers[target] = len(order)
                order.append(target)
            row[str(symbol)] = numbers[target]
        actions.append(row)
    lines = [_HEAD, "TERMINALS = ("]
    lines += [f"    ({each.name!r}, {each.pattern.to_regexp()!r})," for each in terminals]
    lines += [")", "", "REDUCTIONS = ("]
    lines += [f"    {_reduction(rule)!r}," for rule in reductions]
    starts = {shape: numbers[table.start_states[shape]] for shape in SHAPES}
    ends = {shape: numbers[table.end_states[shape]] for shape in SHAPES}
    lines += [")", "", f"START_STATES = {starts!r}", f"END_STATES = {ends!r}", "", "ACTIONS: tuple[dict[str, int], ...] = ("]
    lines += [f"    {row!r}," for row in actions]
    return "\n".join([*lines, ")", ""])


def _reduction(rule: Any) -> tuple[str, int, str, tuple[int, ...]]:  # noqa: ANN401 - a rule of Lark's
    """What a reduction needs: origin, number of symbols, the function that builds, and where optional symbols are absent."""
    absent = "".join(str(int(each)) for each in rule.options.empty_indices)
    gaps = tuple(len(ones) for ones in absent.split("0")) if "1" in absent else ()
    return str(rule.origin.name), len(rule.expansion), str(rule.alias or rule.origin.name), gaps


def main() -> None:
    """Write the file."""
    Path(__file__).with_name("tables.py").write_text(compile_grammar(), encoding="utf-8")


if __name__ == "__main__":
    main()
