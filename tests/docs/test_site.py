"""The manual as a web site: every page is in it, and every link leads somewhere (a warning of Sphinx is an error)."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from bpscript.cli.main import main
from bpscript.commands import COMMANDS

DOCS = Path(__file__).parents[2] / "docs"


def test_the_site_is_built_without_a_warning(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "sphinx", "-q", "-W", "--keep-going", "-b", "html", "-d", str(tmp_path / "trees"), str(DOCS), str(tmp_path / "site")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert all((tmp_path / "site" / f"{path.relative_to(DOCS).with_suffix('')}.html").exists() for path in DOCS.rglob("*.md"))
    commands = (tmp_path / "site" / "generated" / "commands.html").read_text()
    assert [command.name for command in COMMANDS if command.name not in commands] == []


def test_the_workflow_for_github_is_one(tmp_path: Path) -> None:
    """By the schema of GitHub's workflow files; and a step that is none is told."""
    (workflow,) = re.findall(r"```yaml\n(.*?)```", (DOCS / "testing.md").read_text(), re.DOTALL)
    for text, status in ((workflow, 0), (workflow.replace("run: pip", "runs: pip"), 1)):
        path = tmp_path / "workflow.yml"
        path.write_text(text)
        done = subprocess.run(
            [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.github-workflows", str(path)], capture_output=True, text=True, check=False
        )
        assert done.returncode == status, done.stdout + done.stderr


def test_the_script_of_the_workstation_page_finds_a_disk(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (block,) = re.findall(r"```\n(Set n = 0\n.*?)```", (DOCS / "workstation.md").read_text(), re.DOTALL)
    script = tmp_path / "s.bpb"
    script.write_text(block + 'Echo "none"\nPowerOff\n:found\nEcho "disk $n"\n')
    disks = [each for number in range(2) for each in ("--disk", f"{tmp_path}/disk{number}.img:8M")]
    for model, found in (("Fast SSD 1", "disk 1"), ("Spinning", "none")):
        assert main(["run", str(script), *disks, "--set", "Disk-0-Model=Old", "--set", f"Disk-1-Model={model}"]) == 0
        assert found in capsys.readouterr().out.splitlines()
