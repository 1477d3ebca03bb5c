"""Fuzzing guided by coverage (atheris, on libFuzzer), a process for each target; prints what was tried, and keeps what crashed.

    python -m tests.fuzz                        every target for a minute
    python -m tests.fuzz --seconds 600 fat12 tar
    python -m tests.fuzz --list

What crashed is put into tests/fuzz/found/TARGET, where every test run tries it again.
"""

import argparse
import hashlib
import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

HERE = Path(__file__).parent
FOUND = HERE / "found"
_MEMORY_MB = 3000
_INPUT_S = 20
_LARGEST = 4096     # bytes of an input
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
    parser.add_argument("--one", metavar="TARGET", help=argparse.SUPPRESS)
    options, rest = parser.parse_known_args()
    if options.one is not None:
        return run_one(options.one, [*options.targets, *rest])     # the folder of inputs looks like a target to argparse
    from tests.fuzz.targets import TARGETS  # noqa: PLC0415 - a child must import it under instrumentation

    names = [target.name for target in TARGETS]
    if options.list:
        print("\n".join(names))
        return 0
    unknown = set(options.targets) - set(names)
    if unknown or rest:
        parser.error(f"no target {', '.join(sorted(unknown) or rest)}; there are {', '.join(names)}")
    print("| target | inputs tried | seconds | a second | places covered | slowest input, s | memory, MB | crashes |\n|" + " --- |" * 8)
    crashes = executions = 0
    for name in options.targets or names:
        tried = fuzz(name, options.seconds)
        crashes += tried.crash is not None
        executions += tried.executions
        print(tried.row(), flush=True)
    print(f"\n{len(options.targets or names)} targets, {executions:,} inputs, {crashes} crashes")
    return 1 if crashes else 0


def fuzz(name: str, seconds: int) -> Tried:
    """One target in a process of its own; its inputs lie in a folder that is thrown away."""
    from tests.fuzz.targets import TARGETS  # noqa: PLC0415 - as above

    (target,) = [each for each in TARGETS if each.name == name]
    with tempfile.TemporaryDirectory(prefix="bpscript-fuzz-") as folder:
        corpus = Path(folder) / "corpus"
        corpus.mkdir()
        for seed in [*target.seeds(), *(path.read_bytes() for path in FOUND.glob(f"{name}/*"))]:
            (corpus / hashlib.sha1(seed).hexdigest()).write_bytes(seed)
        command = [
            sys.executable, "-m", "tests.fuzz", "--one", name, str(corpus), f"-max_total_time={seconds}", f"-timeout={_INPUT_S}", f"-rss_limit_mb={_MEMORY_MB}",
            f"-max_len={max(_LARGEST, *(path.stat().st_size for path in corpus.iterdir()))}", f"-artifact_prefix={folder}/", "-print_final_stats=1", "-seed=1", "-verbosity=1",
        ]
        start = time.monotonic()
        done = subprocess.run(command, cwd=HERE.parents[1], capture_output=True, text=True, errors="replace", check=False)
        took = time.monotonic() - start
        if "corpus is not provided" in done.stderr:
            raise SystemExit(f"{name}: the fuzzer did not see the good inputs")
        covered = re.findall(r"\bcov: (\d+)", done.stderr)
        artifact = _ARTIFACT.search(done.stderr)
        crash, why = None, ""
        if artifact is not None:
            data = Path(artifact[1]).read_bytes()
            crash = FOUND / name / hashlib.sha1(data).hexdigest()[:12]
            crash.parent.mkdir(parents=True, exist_ok=True)
            crash.write_bytes(data)
            why = _reason(done.stdout + done.stderr)
        elif done.returncode:
            print(done.stdout[-2000:] + done.stderr[-4000:], file=sys.stderr)
            raise SystemExit(f"{name}: the fuzzer ended with status {done.returncode}")
    return Tried(
        name, _statistic(done.stderr, "number_of_executed_units"), took, int(covered[-1]) if covered else 0,
        _statistic(done.stderr, "slowest_unit_time_sec"), _statistic(done.stderr, "peak_rss_mb"), crash, why,
    )


def _statistic(output: str, name: str) -> int:
    """A number libFuzzer prints at the end; 0 when it did not come so far."""
    found = re.search(rf"stat::{name}:\s+(\d+)", output)
    return int(found[1]) if found else 0


def _reason(output: str) -> str:
    """The exception, or what libFuzzer says."""
    lines = [line for line in output.splitlines() if re.match(r"[A-Za-z_.]*(?:Error|Exception|Exit|Warning): |[A-Za-z]*(?:Error|Exception)$|ALARM|==\d+== ERROR", line)]
    return lines[0][:160].replace("|", "/") if lines else "see the input"


def run_one(name: str, arguments: list[str]) -> int:
    """In the child: everything of ours that is imported from here on tells where it goes."""
    import atheris  # noqa: PLC0415 - only in soak runs

    with atheris.instrument_imports(include=["bpscript"]):
        from tests.fuzz.targets import TARGETS  # noqa: PLC0415 - see above

        (target,) = [each for each in TARGETS if each.name == name]
        for seed in target.seeds():     # late imports, too
            target.check(seed)
    atheris.Setup([sys.argv[0], *arguments], target.check)
    atheris.Fuzz()
    return 0


if __name__ == "__main__":
    os.environ.setdefault("PYTHONWARNINGS", "ignore")
    sys.exit(main())
