"""Makes editors/vscode/syntaxes/bpscript.tmLanguage.json of the declarations of the commands: python -m editors.make_grammar

The patterns keep to what Oniguruma (editors) and Python's `re` (our test) understand in the same way.
"""

import json
import re
from pathlib import Path
from typing import Any

from bpscript.commands import COMMANDS
from bpscript.commands.arguments import COLORS

TARGET = Path(__file__).parent / "vscode" / "syntaxes" / "bpscript.tmLanguage.json"

_GROUPS = {"control": "keyword.control", "interactive only": "keyword.control"}
_FLOW = ("If", "Goto", "Include", "OnExit", "OnKey", "Eval", "WaitForKey", "At")


def grammar() -> dict[str, Any]:
    """The TextMate grammar."""
    names = COMMANDS.names()
    flow = [name for name in names if name in _FLOW]
    dotted = [name for name in names if name.startswith(".")]
    plain = [name for name in names if name not in flow and name not in dotted]
    variable = r"\$(?:\{[^}]*\}|[A-Za-z_][A-Za-z0-9_+-]*)"
    escape = r"\\(?:[0-3][0-7][0-7]|.)"
    return {
        "$schema": "https://raw.githubusercontent.com/martinring/tmlanguage/master/tmlanguage.json",
        "name": "bpscript",
        "scopeName": "source.bpscript",
        "fileTypes": ["bpb", "mrz"],
        "patterns": [
            {"match": r"^[ \t]*(#.*)$", "captures": {"1": {"name": "comment.line.number-sign.bpscript"}}},
            {"match": r"^[ \t]*(:)(.*?)[ \t]*$", "captures": {
                "1": {"name": "punctuation.definition.label.bpscript"}, "2": {"name": "entity.name.label.bpscript"},
            }},
            {"match": r"(?i)^[ \t]*(" + _either(dotted) + r")(?=[ \t]|$)(?:[ \t]+(.*))?$", "captures": {
                "1": {"name": "support.function.bpscript"}, "2": {"name": "string.unquoted.bpscript", "patterns": [{"include": "#macros"}]},
            }},
            {"match": r'(?i)(?<![A-Za-z0-9_.$+{-])(goto)(?=[ \t"])[ \t]*(.*)$', "captures": {
                "1": {"name": "keyword.control.flow.bpscript"}, "2": {"name": "entity.name.label.bpscript", "patterns": [{"include": "#macros"}]},
            }},
            {"include": "#code"},
        ],
        "repository": {
            "code": {"patterns": [
                {"include": "#strings"},
                {"include": "#macros"},
                {"match": r"(?i)(?<![A-Za-z0-9_.$+{-])(?:" + _either(flow) + r")(?![A-Za-z0-9_-])", "name": "keyword.control.flow.bpscript"},
                {"match": r"(?i)(?<![A-Za-z0-9_.$+{-])(?:not|ci|exist|valid|match-expr|match-passwd|in-file|in)(?![A-Za-z0-9_-])",
                 "name": "keyword.operator.word.bpscript"},
                {"match": r"(?i)(?:(?<=^)|(?<=[ \t]))(?:" + _either(plain) + r')(?![A-Za-z0-9_-])(?=[ \t"(]|$)', "name": "support.function.bpscript"},
                {"match": r"(?i)(?<![A-Za-z0-9_-])(?:" + _either(COLORS) + r")(?![A-Za-z0-9_-])", "name": "constant.language.color.bpscript"},
                {"match": r"(?<![A-Za-z_-])[0-9]+(?:\.[0-9]+)?", "name": "constant.numeric.bpscript"},
                {"match": r"[=!<>]=?|=[<>]|<>|[*/%+@#-]", "name": "keyword.operator.bpscript"},
                {"match": escape, "name": "constant.character.escape.bpscript"},
            ]},
            "strings": {
                "begin": '"', "end": r'"|$', "name": "string.quoted.double.bpscript",
                "patterns": [{"match": escape, "name": "constant.character.escape.bpscript"}, {"include": "#macros"}],
            },
            "macros": {"patterns": [
                {"match": r"\\\$", "name": "constant.character.escape.bpscript"},
                {"match": variable, "name": "variable.other.bpscript"},
            ]},
        },
    }  # fmt: skip


def _either(words: tuple[str, ...] | list[str]) -> str:
    """The longest first: `DelTree` is not `Del` and a rest."""
    return "|".join(re.escape(word) for word in sorted(words, key=lambda word: (-len(word), word)))


def text() -> str:
    """The file."""
    return json.dumps(grammar(), indent=2) + "\n"


if __name__ == "__main__":
    TARGET.write_text(text(), encoding="utf-8")
