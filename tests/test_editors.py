"""The TextMate grammar and the extension for Visual Studio Code."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from bpscript.commands import COMMANDS
from editors import make_grammar

ROOT = Path(__file__).parent.parent
VSCODE = ROOT / "editors" / "vscode"
GRAMMAR: dict[str, Any] = json.loads((VSCODE / "syntaxes" / "bpscript.tmLanguage.json").read_text())
EXAMPLES = ROOT / "tests" / "spec" / "examples"
SCRIPTS = sorted([*EXAMPLES.rglob("*.bpb"), *EXAMPLES.rglob("*.mrz")])


def rules(patterns: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Patterns with what they include."""
    found: list[dict[str, Any]] = []
    for each in patterns:
        if "include" in each:
            inner = GRAMMAR["repository"][each["include"].removeprefix("#")]
            found += rules(inner["patterns"]) if "begin" not in inner and "match" not in inner else [inner]
        else:
            found.append(each)
    return found


def scopes(line: str) -> list[tuple[str, str]]:
    """Pieces of a line with the innermost scope of each, as an editor would colour them: the first match counts, of several the first rule."""
    return list(_tokens(line, 0, len(line), rules(GRAMMAR["patterns"]), ""))


def _tokens(line: str, position: int, end: int, active: list[dict[str, Any]], scope: str) -> Any:  # noqa: ANN401
    while position < end:
        best = None
        for rule in active:
            match = re.compile(str(rule.get("match", rule.get("begin")))).search(line, position, end)
            if match is not None and (best is None or match.start() < best[0].start()):
                best = match, rule
        if best is None:
            yield line[position:end], scope
            return
        match, rule = best
        if match.start() > position:
            yield line[position : match.start()], scope
        if "begin" in rule:
            inner = rules(rule["patterns"])
            yield match[0], rule["name"]
            position = match.end()
            while position < end:
                stop = re.compile(rule["end"]).search(line, position, end)
                nested = min(
                    (found for each in inner if (found := re.compile(each["match"]).search(line, position, end))), key=lambda found: found.start(), default=None
                )
                if stop is not None and (nested is None or stop.start() <= nested.start()):
                    if stop.end() > position:
                        yield line[position : stop.end()], rule["name"]
                    position = stop.end()
                    break
                assert nested is not None
                if nested.start() > position:
                    yield line[position : nested.start()], rule["name"]
                name = next(each["name"] for each in inner if (found := re.compile(each["match"]).match(line, nested.start())) and found[0] == nested[0])
                yield nested[0], name
                position = nested.end()
            continue
        position = max(match.end(), match.start())
        if "captures" in rule:
            at = match.start()
            for number, capture in sorted(rule["captures"].items(), key=lambda item: int(item[0])):
                if match[int(number)] is None:
                    continue
                if match.start(int(number)) > at:
                    yield line[at : match.start(int(number))], scope
                yield from _tokens(line, match.start(int(number)), match.end(int(number)), rules(capture.get("patterns", [])), capture["name"])
                at = match.end(int(number))
            if at < match.end():
                yield line[at : match.end()], scope
        else:
            yield match[0], rule["name"]
        if match.end() == match.start():
            return


def test_the_grammar_is_made_of_the_declarations() -> None:
    assert (VSCODE / "syntaxes" / "bpscript.tmLanguage.json").read_text() == make_grammar.text(), "run python -m editors.make_grammar"


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("  # a comment", {"# a comment": "comment"}),
        (":my label ", {":": "punctuation", "my label": "entity.name.label"}),
        ('Echo "hello $who\\n"', {"Echo": "support.function", '"': "string", "$who": "variable", "\\n": "constant.character.escape"}),
        ('If not ci "$a" == "b" Goto out', {"If": "keyword.control", "not": "keyword.operator.word", "==": "keyword.operator", "Goto": "keyword.control", "out": "entity.name.label"}),
        ("set n = ($n + 1)", {"set": "support.function", "$n": "variable", "1": "constant.numeric", "+": "keyword.operator"}),
        ("TextAttr Yellow 1", {"TextAttr": "support.function", "Yellow": "constant.language.color", "1": "constant.numeric"}),
        (".WRT free $x text", {".WRT": "support.function", "free ": "string.unquoted", "$x": "variable"}),
        ('DelTree "{:1}/tmp"', {"DelTree": "support.function"}),
        ("goto os-$n", {"goto": "keyword.control", "os-": "entity.name.label", "$n": "variable"}),
        (r'Echo "\$x ${y}"', {r"\$": "constant.character.escape", "${y}": "variable"}),
        ('Echo "open', {"Echo": "support.function", "open": "string"}),
    ],
)
def test_what_has_which_colour(line: str, expected: dict[str, str]) -> None:
    found = scopes(line)
    assert "".join(text for text, _ in found) == line
    for text, scope in expected.items():
        assert any(piece == text and name.startswith(scope) for piece, name in found), (text, scope, found)


@pytest.mark.parametrize("name", COMMANDS.names())
def test_every_command_is_coloured(name: str) -> None:
    for spelled in (name, name.lower(), name.upper()):
        (text, scope), *_ = scopes(f"{spelled} 1")
        assert text == spelled
        assert scope.startswith(("support.function", "keyword.control"))


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.name)
def test_examples_are_coloured_whole(path: Path) -> None:
    for line in path.read_text().splitlines():
        found = scopes(line)
        assert "".join(text for text, _ in found) == line
        if line.strip() and not line.strip().startswith((":", "#")):
            assert found[0][1].startswith(("support.function", "keyword.control")), line


def test_the_extension_names_files_that_are_there() -> None:
    package = json.loads((VSCODE / "package.json").read_text())
    contributes = package["contributes"]
    names = [package["main"], contributes["languages"][0]["configuration"], contributes["grammars"][0]["path"], "README.md"]
    assert [name for name in names if not (VSCODE / name).is_file()] == []
    assert contributes["grammars"][0]["scopeName"] == GRAMMAR["scopeName"]
    json.loads((VSCODE / "language-configuration.json").read_text())
    settings = set(re.findall(r'settings\.get\("(\w+)"', (VSCODE / "extension.js").read_text()))
    assert {f"bpscript.{name}" for name in settings} == set(contributes["configuration"]["properties"])


def test_the_extension_uses_what_it_asks_for() -> None:
    text = (VSCODE / "extension.js").read_text()
    package = json.loads((VSCODE / "package.json").read_text())
    required = {name.split("/")[0] for name in re.findall(r'require\("([^"]+)"\)', text)}
    assert required == {"vscode", *package["dependencies"]}
    assert text.count("(") == text.count(")")
    assert text.count("{") == text.count("}")
    assert re.search(r"module\.exports = \{ activate, deactivate \};\n\Z", text)
