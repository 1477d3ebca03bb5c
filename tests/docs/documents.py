"""The documents are run as a reader would: files are written as they stand there, commands are typed, and what is printed is compared.

A fenced block is

    ```console          commands after `$ `, and what they print; `...` stands for anything; a line `error:` means that the command fails
    ```bpbatch NAME     a file of that name (any language)

all others are only shown. A comment `<!-- run: COMMAND -->` is run as well, a comment `<!-- not run: REASON -->` keeps the next block
from being run. A document is run from top to bottom in a folder of its own, which has the network to itself where root runs the tests.
"""

import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

_FENCE = re.compile(r"^```(?P<language>[\w-]*)(?: (?P<name>[\w./-]+))?$")
_RUN = re.compile(r"^<!-- run: (?P<command>.*) -->$")
_NOT_RUN = re.compile(r"^<!-- not run: .+ -->$")
_LIMIT_S = 120


class Step(NamedTuple):
    """One thing to do, and where it stands: a file to write (`name`), or a command and what it prints (None: anything)."""

    line: int
    text: str
    name: str | None = None
    prints: str | None = None


def steps(document: Path) -> Iterator[Step]:
    """What there is to do, from top to bottom."""
    lines = document.read_text(encoding="utf-8").split("\n")
    number = 0
    skip = False
    while number < len(lines):
        line = lines[number]
        number += 1
        if match := _RUN.match(line):
            yield Step(number, match["command"])
        elif _NOT_RUN.match(line):
            skip = True
        elif match := _FENCE.match(line):
            first = number
            while lines[number] != "```":
                number += 1
            block, number = lines[first:number], number + 1
            if not skip and match["name"]:
                yield Step(first, "\n".join(block) + "\n", match["name"])
            elif not skip and match["language"] == "console":
                yield from _commands(block, first + 1)
            skip = False


def _commands(block: list[str], line: int) -> Iterator[Step]:
    starts = [index for index, text in enumerate(block) if text.startswith("$ ")] + [len(block)]
    for index, after in pairwise(starts):
        end = index + 1
        command = block[index][2:]
        while command.endswith("\\"):
            command += "\n" + block[end]
            end += 1
        printed = "\n".join(block[end:after]).strip("\n")
        yield Step(line + index, command, prints=printed or None)


def run_document(document: Path, folder: Path) -> list[str]:
    """Everything that is not as the document says, as sentences."""
    problems: list[str] = []
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}:/usr/sbin:/sbin", "HOME": str(folder), "NO_COLOR": "1", "TMPDIR": str(folder)}
    alone = ["unshare", "--net", "--", "sh", "-c", 'ip link set lo up && exec "$@"', "sh"] if os.geteuid() == 0 and shutil.which("unshare") else []
    shell = subprocess.Popen(
        [*alone, "bash"], cwd=folder, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True,
    )
    try:
        for step in steps(document):
            if step.name is not None:
                path = folder / step.name
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(step.text, encoding="utf-8")
                continue
            printed, status = _type(shell, step.text)
            fails = step.prints is not None and re.search(r"\berror:", step.prints) is not None
            if (status != 0) != fails:
                problems.append(f"{document.name}:{step.line}: `{step.text}` ended with status {status}:\n{printed}")
                break
            if step.prints is not None and not _matches(step.prints, printed):
                problems.append(f"{document.name}:{step.line}: `{step.text}` printed\n{printed}\nand the document says\n{step.prints}")
    finally:
        os.killpg(shell.pid, signal.SIGKILL)
        shell.communicate()
    return problems


def _type(shell: "subprocess.Popen[str]", command: str) -> tuple[str, int]:
    """Type a command; what it printed and its exit status."""
    assert shell.stdin is not None
    assert shell.stdout is not None
    mark = "end-of-the-command-of-a-document"
    shell.stdin.write(f"{{ {command}\n}} < /dev/null 2>&1; status=$?; echo; echo {mark} $status\n")
    shell.stdin.flush()
    printed: list[str] = []
    old = signal.signal(signal.SIGALRM, lambda number, frame: os.killpg(shell.pid, signal.SIGKILL))
    signal.alarm(_LIMIT_S)
    try:
        for line in shell.stdout:
            if line.startswith(mark):
                return "".join(printed).strip("\n"), int(line.split()[1])
            printed.append(line)
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, old)
    return "".join(printed) + f"(it did not end within {_LIMIT_S} s)", -1


def _matches(expected: str, printed: str) -> bool:
    """`...` stands for anything, on a line of its own for any lines. Blanks at line ends do not count."""
    pattern = re.escape("\n".join(line.rstrip() for line in expected.split("\n"))).replace(r"\.\.\.", "(?s:.*?)")
    return re.fullmatch(pattern, "\n".join(line.rstrip() for line in printed.split("\n"))) is not None
