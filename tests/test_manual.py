"""The manual, the README and the help say the same as the program."""

import argparse
import json
import re
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

from bpscript.base.events import Kind
from bpscript.cli.main import main
from bpscript.cli.verbs import VERBS
from bpscript.commands import COMMANDS

ROOT = Path(__file__).parent.parent
MANUAL = (ROOT / "docs" / "manual.md").read_text(encoding="utf-8")


def parsers() -> dict[str, argparse.ArgumentParser]:
    """Every verb, and every action of a verb."""
    group = argparse.ArgumentParser().add_subparsers()
    for verb in VERBS:
        import_module(f"bpscript.cli.{verb.module}").add_to(group, verb.summary)
    found = {}
    for name, parser in group.choices.items():
        found[name] = parser
        for action in parser._actions:
            if isinstance(action, argparse._SubParsersAction):
                found.update({f"{name} {inner}": each for inner, each in action.choices.items()})
    return found


@pytest.mark.parametrize("name", parsers())
def test_every_verb_and_option_is_in_the_manual(name: str) -> None:
    assert re.search(rf"`?{name.rsplit(maxsplit=1)[-1]}\b", MANUAL), name
    options = {option for action in parsers()[name]._actions for option in action.option_strings if option.startswith("--")}
    assert [option for option in options - {"--help", "--debug", "--write-real-disk", "--recursive"} if option not in MANUAL] == []


@pytest.mark.parametrize("name", parsers())
def test_every_help_shows_an_example(name: str) -> None:
    text = parsers()[name].format_help()
    assert re.search(r"examples?:", text), name
    assert "bpscript" in text


@pytest.mark.parametrize("kind", list(Kind))
def test_every_event_is_in_the_manual(kind: Kind) -> None:
    assert f"`{kind}`" in MANUAL


def test_the_links_of_the_documents_lead_somewhere() -> None:
    for document in (ROOT / "README.md", ROOT / "docs" / "manual.md", ROOT / "grammar" / "README.md"):
        for target in re.findall(r"\]\(([^)#]+)\)", document.read_text(encoding="utf-8")):
            assert (document.parent / target).exists() or target.startswith("http"), f"{document.name}: {target}"


@pytest.mark.parametrize("name", sorted(COMMANDS.names()))
def test_every_command_has_a_page(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["help", name]) == 0
    page = capsys.readouterr().out
    assert "Programs: " in page
    assert "Since " in page


def test_the_list_of_commands_has_all(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["help"]) == 0
    listed = capsys.readouterr().out
    assert [name for name in COMMANDS.names() if not re.search(rf"^  {re.escape(name)} ", listed, re.MULTILINE)] == []


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_knows_verbs_options_and_commands(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["completion", shell]) == 0
    script = capsys.readouterr().out
    for word in ("run", "disk", "create", "bootp", "FullUnzip"):
        assert word in script


def test_the_bash_completion_completes(tmp_path: Path) -> None:
    script = subprocess.run([sys.executable, "-m", "bpscript", "completion", "bash"], capture_output=True, text=True, check=True).stdout

    def completed(*words: str) -> list[str]:
        line = " ".join(f"'{word}'" for word in ("bpscript", *words))
        probe = f"{script}\nCOMP_WORDS=({line}); COMP_CWORD={len(words)}; _bpscript; printf '%s\\n' \"${{COMPREPLY[@]}}\""
        return subprocess.run(["bash", "-c", probe], cwd=tmp_path, capture_output=True, text=True, check=True).stdout.split()

    assert completed("di") == ["disk"]
    assert completed("run", "--lo") == ["--log-file"]
    assert completed("she") == ["shell"]
    assert completed("shell", "--sc") == ["--screen"]
    assert "create" in completed("disk", "")
    assert completed("help", "FullU") == ["FullUnzip"]
    (tmp_path / "script.bpb").touch()
    assert completed("run", "scr") == ["script.bpb"]


def test_the_json_of_events_and_variables(tmp_path: Path) -> None:
    (tmp_path / "s.bpb").write_text('set x = "1"\necho "hello"\nnonsense\n')
    events, variables = tmp_path / "e.jsonl", tmp_path / "v.json"
    assert main(["run", str(tmp_path / "s.bpb"), "--events", str(events), "--dump-vars", str(variables)]) == 1
    rows = [json.loads(line) for line in events.read_text().splitlines()]
    assert all({"kind", "time"} <= set(row) for row in rows)
    by_kind = {row["kind"]: row for row in rows}
    assert by_kind["command-finished"]["name"] == "Echo"
    assert by_kind["command-finished"]["line"] == 2
    assert {"text", "file", "line", "column"} <= set(by_kind["error"])
    assert by_kind["log"]["text"] == "hello\r\n"
    assert json.loads(variables.read_text())["x"] == "1"
