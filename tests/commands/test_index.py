"""The declarations say what the reference says: its command index (section 10) against ours."""

import re
from dataclasses import dataclass

import pytest

from bpscript.base.resources import grammar_text
from bpscript.commands import COMMANDS
from bpscript.language.declare import Declaration
from tests.scripts import run_script

ROW = re.compile(r"^\| `(?P<name>[^`]+)` \|(?P<arguments>.*?)\| (?P<group>[^|]+) \| (?P<programs>[^|]+) \| (?P<since>[^|]+) \|$", re.M)


@dataclass(frozen=True)
class Row:
    name: str
    arguments: str
    group: str
    programs: str
    since: str


def reference() -> dict[str, Row]:
    text = grammar_text("language.md")
    index = text[text.index("## 10. Command index") :]
    return {match["name"]: Row(**{key: value.strip() for key, value in match.groupdict().items()}) for match in ROW.finditer(index)}


ROWS = reference()


def shape(arguments: str) -> str:
    """The arguments without their names: `"" x [x]`."""
    arguments = re.sub(r'"[^"]*"', '""', arguments.replace("`", ""))
    return re.sub(r"[A-Za-z][A-Za-z-]*", "x", arguments)


def own_row(name: str, declaration: Declaration) -> Row:
    arguments = {
        "If": "see 8.2",
        "TextAttr": " or ".join(f"`{form}`" for form in declaration.usages),
        "Set": " or ".join(f"`{form}`" for form in declaration.usages),
    }.get(name) or ", ".join(f"`{form}`" if form else "nothing" for form in declaration.usages if form or len(declaration.usages) > 1)
    return Row(name, arguments, declaration.group, declaration.programs, declaration.since)


def test_the_same_commands() -> None:
    assert sorted(COMMANDS.names(), key=str.lower) == sorted(ROWS, key=str.lower)


@pytest.mark.parametrize("name", sorted(ROWS))
def test_a_command_is_declared_as_the_reference_has_it(name: str) -> None:
    declaration = COMMANDS.get(name)
    assert declaration is not None
    own, row = own_row(name, declaration), ROWS[name]
    assert (own.group, own.programs, own.since) == (row.group, row.programs, row.since)
    assert shape(own.arguments) == shape(row.arguments)


@pytest.mark.parametrize("declaration", COMMANDS.declarations, ids=lambda declaration: declaration.name)
def test_every_command_explains_itself(declaration: Declaration) -> None:
    text = declaration.help_text()
    assert text.startswith(declaration.name)
    assert declaration.summary in text
    assert declaration.examples
    assert all(parameter.about for parameter in declaration.parameters)


EXAMPLES = [(each, example) for each in COMMANDS for example in each.examples]


@pytest.mark.parametrize(("declaration", "example"), EXAMPLES, ids=[example for _, example in EXAMPLES])
def test_the_examples_are_proper_lines(declaration: Declaration, example: str) -> None:
    """The examples of commands that need a disk or files run in the cases; here each must at least be read."""
    prompt = declaration.interactive_only
    program = "MrZip" if declaration.mrzip_only else "MrBatch"
    word = example.split('"', maxsplit=1)[0].split(maxsplit=1)[0]
    assert COMMANDS.get(word) is declaration or any(COMMANDS.get(part) is declaration for part in example.split())
    if prompt:
        assert run_script("", keys=f"{example}\r", prompt=True).error is None
        return
    ran = run_script(f"onexit {example}\nonexit", program=program)
    assert ran.error is None, ran.error


def test_unknown_commands_get_a_hint() -> None:
    ran = run_script("FullUnzp 1")
    assert ran.error is not None
    assert (ran.error.message, ran.error.hint) == ('unknown command "FullUnzp"', "did you mean FullUnzip?")


RUNNING = [(each, example) for each, example in EXAMPLES if each.untested is None and not each.mrzip_only and "{" not in example and
           each.group != "disks and files" and not each.interactive_only]  # fmt: skip


@pytest.mark.parametrize(("declaration", "example"), RUNNING, ids=[example for _, example in RUNNING])
def test_the_examples_run(declaration: Declaration, example: str) -> None:
    """Except those that say why not, and those of disks and files, which the cases run."""
    files = {"site.bpb": b"echo 1"}
    ran = run_script(example, files=files, variables={"VESA": "ON"})
    assert ran.error is None, ran.error.explain()
