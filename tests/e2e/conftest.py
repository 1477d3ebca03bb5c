"""The program as users start it: a process of its own."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

Cli = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def cli(tmp_path: Path) -> Cli:
    """Run `bpscript ARGUMENTS` in the test's folder."""

    def run(*arguments: str, stdin: str = "", timeout: float = 120) -> "subprocess.CompletedProcess[str]":
        command = [sys.executable, "-m", "bpscript", *arguments]
        return subprocess.run(command, cwd=tmp_path, input=stdin, capture_output=True, text=True, timeout=timeout, check=False)

    return run
