"""Fuzzing guided by coverage (atheris, on libFuzzer); prints what was tried, and keeps what crashed.

Everything is imported once, under instrumentation, which takes longer than all of a short run; each target is a fork of that process.

    python -m tests.fuzz                        every target for a minute
    python -m tests.fuzz --seconds 600 fat12 tar
    python -m tests.fuzz --list

What crashed is put into tests/fuzz/found/TARGET, where every test run tries it again.
"""

import argparse
import ctypes
import hashlib
import io
import os
import re
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from contextlib import redirect_stderr
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from tests.fuzz.target import Target

HERE = Path(__file__).parent
FOUND = HERE / "found"
_MEMORY_MB = 3000
_INPUT_S = 20
_ARTIFACT = re.compile(r"Test unit written to (\S+)")


class Tried(NamedTuple):
    """How a target went."""

    name: str
    executions: int
    seconds: float
    covered: int
    slowest_s: int
    memory_mb: int
    crash: Path | None
    why: str

    def row(self) -> str:
        """A line of the table."""
        crashes = f"{self.crash.name}: {self.why}" if self.crash else "0"
        rate = self.executions / max(self.seconds, 0.1)
        return f"| {self.name} | {self.executions:,} | {self.seconds:.0f} | {rate:,.0f} | {self.covered:,} | {self.slowest_s} | {self.memory_mb:,} | {crashes} |"


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description="Fuzz the parsers of bytes from outside.")
    parser.add_argument("targets", metavar="TARGET", nargs="*", help="all by default")
    parser.add_argument("--seconds", metavar="N", type=int, default=60, help="for each target (default 60)")
    parser.add_argument("--list", action="store_true", help="name the targets")
    options = parser.parse_args()
    targets = {target.name: target for target in import_targets(instrumented=not options.list)}
    if options.list:
        print("\n".join(targets))
        return 0
    if unknown := set(options.targets) - set(targets):
        parser.error(f"no target {', '.join(sorted(unknown))}; there are {', '.join(targets)}")
    print("| target | inputs tried | seconds | a second | places covered | slowest input, s | memory, MB | crashes |\n|" + " --- |" * 8)
    crashes = executions = 0
    for name in options.targets or targets:
        tried = fuzz(targets[name], options.seconds)
        crashes += tried.crash is not None
        executions += tried.executions
        print(tried.row(), flush=True)
    print(f"\n{len(options.targets or targets)} targets, {executions:,} inputs, {crashes} crashes")
    return 1 if crashes else 0


def import_targets(*, instrumented: bool) -> tuple["Target", ...]:
    """The targets; instrumented, everything of ours that is imported tells where it goes."""
    if not instrumented:
        from tests.fuzz.targets import TARGETS  # noqa: PLC0415 - else it is imported below

        return TARGETS
    import atheris  # noqa: PLC0415 - only in soak runs

    # It would name every module on stderr.
    with redirect_stderr(io.StringIO()), atheris.instrument_imports(include=["bpscript"]):
        from tests.fuzz.targets import TARGETS  # noqa: PLC0415 - see above
    return TARGETS


def fuzz(target: "Target", seconds: int) -> Tried:
    """One target in a process of its own; its inputs lie in a folder that is thrown away."""
    name = target.name
    with tempfile.TemporaryDirectory(prefix="bpscript-fuzz-") as folder:
        corpus, log = Path(folder) / "corpus", Path(folder) / "log"
        corpus.mkdir()
        for seed in [*target.seeds(), *(path.read_bytes() for path in FOUND.glob(f"{name}/*"))]:
            (corpus / hashlib.sha1(seed).hexdigest()).write_bytes(seed)
        largest = max(target.largest, *(path.stat().st_size for path in corpus.iterdir()))
        arguments = [
            str(corpus), f"-max_total_time={seconds}", f"-timeout={_INPUT_S}", f"-rss_limit_mb={_MEMORY_MB}", f"-max_len={largest}",
            f"-artifact_prefix={folder}/", "-print_final_stats=1", "-seed=1", "-verbosity=1",
        ]
        start = time.monotonic()
        status = _in_a_fork(lambda: _run(target, arguments), log)
        took = time.monotonic() - start
        output = log.read_text(errors="replace")
        if "corpus is not provided" in output:
            raise SystemExit(f"{name}: the fuzzer did not see the good inputs")
        covered = re.findall(r"\bcov: (\d+)", output)
        artifact = _ARTIFACT.search(output)
        crash, why = None, ""
        if artifact is not None:
            data = Path(artifact[1]).read_bytes()
            crash = FOUND / name / hashlib.sha1(data).hexdigest()[:12]
            crash.parent.mkdir(parents=True, exist_ok=True)
            crash.write_bytes(data)
            why = _reason(output)
        elif status:
            print(output[-6000:], file=sys.stderr)
            raise SystemExit(f"{name}: the fuzzer ended with status {status}")
    return Tried(
        name, _statistic(output, "number_of_executed_units"), took, int(covered[-1]) if covered else 0,
        _statistic(output, "slowest_unit_time_sec"), _statistic(output, "peak_rss_mb"), crash, why,
    )


def _statistic(output: str, name: str) -> int:
    """A number libFuzzer prints at the end; 0 when it did not come so far."""
    found = re.search(rf"stat::{name}:\s+(\d+)", output)
    return int(found[1]) if found else 0


def _reason(output: str) -> str:
    """The exception, or what libFuzzer says."""
    lines = [line for line in output.splitlines() if re.match(r"[A-Za-z_.]*(?:Error|Exception|Exit|Warning): |[A-Za-z]*(?:Error|Exception)$|ALARM|==\d+== ERROR", line)]
    return lines[0][:160].replace("|", "/") if lines else "see the input"


def _in_a_fork(work: Callable[[], None], log: Path) -> int:
    """Do something in a copy of this process, its words in a file; its exit status."""
    sys.stdout.flush()
    child = os.fork()
    if child == 0:
        with log.open("wb") as file:
            os.dup2(file.fileno(), 1)
            os.dup2(file.fileno(), 2)
        try:
            work()
        except SystemExit:
            ctypes.CDLL(None).exit(1)       # libFuzzer writes the input down when the process ends; Python's own handlers are for our parent
        except BaseException:
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def _run(target: "Target", arguments: list[str]) -> None:
    """In the child."""
    import atheris  # noqa: PLC0415 - only in soak runs

    with atheris.instrument_imports(include=["bpscript"]):
        for seed in target.seeds():     # late imports, too
            target.check(seed)
    atheris.Setup([sys.argv[0], *arguments], target.check)
    atheris.Fuzz()


if __name__ == "__main__":
    os.environ.setdefault("PYTHONWARNINGS", "ignore")
    sys.exit(main())
