"""`make bench`: us against the peers, in turn, medians of several rounds; prints Markdown tables and writes bench/results.json.

Everything happens on one medium, warm. A row of ours that comes from the event stream (time inside the command) stands beside
the row of the whole process. `--rounds N` and `--only NAME` narrow it down.
"""

import argparse
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from tests.benchmarks import contests
from tests.benchmarks.measure import Sample

ROOT = Path(__file__).parent.parent.parent


def main() -> int:
    """Run the contests and print their tables."""
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5, help="counted rounds of each contestant (default 5)")
    parser.add_argument("--only", metavar="NAME", action="append", help=f"one of: {', '.join(contests.CONTESTS)}")
    parser.add_argument("--keep", action="store_true", help="keep the working folder")
    options = parser.parse_args()
    print(f"Python {platform.python_version()}, {os.cpu_count()} cores, {platform.system()} {platform.release()}\n")
    results = {}
    work = Path(tempfile.mkdtemp(prefix="bpscript-bench-", dir=os.environ.get("TMPDIR")))
    try:
        for name, contest in contests.CONTESTS.items():
            if options.only and name not in options.only:
                continue
            folder = work / name
            folder.mkdir()
            rows = contest(folder, options.rounds)
            results[name] = {row: {"seconds": sample.seconds, "median": sample.median, "peak_mib": sample.peak} for row, sample in rows.items()}
            print_table(name, contest, rows)
            shutil.rmtree(folder)
    finally:
        if not options.keep:
            shutil.rmtree(work, ignore_errors=True)
    out = ROOT / "bench"
    out.mkdir(exist_ok=True)
    (out / "results.json").write_text(json.dumps(results, indent=1) + "\n")
    print(f"written: {(out / 'results.json').relative_to(ROOT)}")
    return 0


def print_table(name: str, contest: Callable[[Path, int], dict[str, Sample]], rows: dict[str, Sample]) -> None:
    """A Markdown table: medians, the range, and the ratio to the first row, which is the peer."""
    print(f"### {name}: {(contest.__doc__ or '').strip().splitlines()[0]}\n")
    print("| | median | min - max | ratio | peak memory |\n| --- | --- | --- | --- | --- |")
    peer = next(iter(rows.values()))
    for row, sample in rows.items():
        ratio = "" if sample is peer else f"{sample.median / peer.median:.3f}"
        memory = "" if sample.peak is None else f"{sample.peak:.0f} MiB"
        print(f"| {row} | {sample.median:.4f} s | {min(sample.seconds):.4f} - {max(sample.seconds):.4f} | {ratio} | {memory} |")
    print(flush=True)


if __name__ == "__main__":
    if shutil.which("mcopy") is None:
        subprocess.run([ROOT / "tests" / "install_system_packages.sh"], check=True)
    sys.exit(main())
