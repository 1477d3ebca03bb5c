"""A case is run as a user would: the program in a process of its own, on images and files in a folder that is removed afterwards."""

import json
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

from .comparing import Left, problems
from .layout import Case


class Outcome(NamedTuple):
    """How a case went. `problems` is empty when it passed; `skipped` says why it did not run."""

    case: Case
    problems: tuple[str, ...]
    seconds: float
    transcript: str = ""
    skipped: str | None = None
    kept: Path | None = None


def run_case(case: Case, *, keep: bool = False) -> Outcome:
    """Run one case. With `keep` the folder of one that failed stays, and is named in the outcome."""
    missing = [name for name in case.needs if shutil.which(name) is None]
    if missing:
        return Outcome(case, (), 0.0, skipped=f"{', '.join(missing)} not found")
    with ExitStack() as stack:
        folder = Path(tempfile.mkdtemp(prefix="bpscript-test-"))
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        command, images = _prepare(case, folder)
        environment = dict(os.environ)
        if case.clock_s is not None:
            environment["SOURCE_DATE_EPOCH"] = str(case.clock_s)
        start = time.monotonic()
        try:
            done = subprocess.run(
                command, cwd=folder / "root", env=environment, stdin=subprocess.DEVNULL, capture_output=True, check=False, timeout=case.timeout_s
            )
        except subprocess.TimeoutExpired:
            found = [f"it did not end within {case.timeout_s:g} s"]
            transcript = f"$ {shlex.join(command)}"
        else:
            seconds = time.monotonic() - start
            out, err = done.stdout.decode("utf-8", "replace"), done.stderr.decode("utf-8", "replace")
            transcript = f"$ {shlex.join(command)}\n{out}{err}"
            left = Left(done.returncode, out, err, _variables(folder / "vars.json"), folder / "root", images, seconds)
            found = list(problems(case, left))
        kept = None
        if found and keep:
            stack.pop_all()
            kept = folder
        return Outcome(case, tuple(found), time.monotonic() - start, transcript, kept=kept)


def _prepare(case: Case, folder: Path) -> tuple[list[str], list[Path]]:
    """Files, images and the command line of a case."""
    root = folder / "root"
    if case.root is None:
        root.mkdir()
    else:
        shutil.copytree(case.root, root, symlinks=True)
    for name, data in {**case.files, case.script_name: case.script}.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(data)
    command = [sys.executable, "-m", "bpscript", "run", str(root / case.script_name), "--root", str(root), "--dump-vars", str(folder / "vars.json")]
    images = []
    for number, disk in enumerate(case.disks):
        image = folder / f"disk{number}.img"
        if isinstance(disk, int):
            with open(image, "wb") as file:
                file.truncate(disk)
        else:
            _copy_sparse(disk, image)
        images.append(image)
        command += ["--disk", str(image)]
    for name, value in case.variables.items():
        command += ["--set", f"{name}={value}"]
    if case.bootp is not None:
        command += ["--bootp", str(_reply(case, folder))]
    for option, text in (("--keys", case.keys), ("--mac", case.mac), ("--seed", case.seed)):
        if text is not None:
            command.append(f"{option}={text}")
    return [*command, *case.arguments], images


def _reply(case: Case, folder: Path) -> Path:
    if isinstance(case.bootp, Path):
        return case.bootp
    path = folder / "bootp.json"
    path.write_text(json.dumps(case.bootp), encoding="utf-8")
    return path


def _copy_sparse(source: Path, target: Path) -> None:
    """A copy of an image with its holes."""
    with open(source, "rb") as old, open(target, "wb") as new:
        size = os.fstat(old.fileno()).st_size
        new.truncate(size)
        position = 0
        while position < size:      # each turn takes the next stretch of data
            try:
                position = os.lseek(old.fileno(), position, os.SEEK_DATA)
            except OSError:
                return              # ENXIO: a hole up to the end
            end = os.lseek(old.fileno(), position, os.SEEK_HOLE)
            while position < end:
                os.lseek(old.fileno(), position, os.SEEK_SET)
                copied = os.copy_file_range(old.fileno(), new.fileno(), end - position, position, position)
                if copied == 0:
                    return          # the source became shorter meanwhile
                position += copied


def _variables(path: Path) -> dict[str, str] | None:
    """The variables at the end by their names in lower case; None when the run did not get that far."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return {name.lower(): value for name, value in found.items()}
