"""`make bench`: us against the peers, in turn, medians of several rounds; prints Markdown tables and writes bench/results.json.

Everything happens on one medium, warm. A row of ours that comes from the event stream (time inside the command) stands beside
the row of the whole process. All contests need about an hour on two cores, `--short` under 3; `--rounds N` and `--only NAME` narrow it down.
`--picture FILE` draws the imaging contests of the run, or of an older one (`--from FILE`), as SVG.
"""

import argparse
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.benchmarks import carousel, contests, imaging, report
from tests.benchmarks.imaging import Bench
from tests.benchmarks.report import Json, Outcome

ROOT = Path(__file__).parent.parent.parent
FULL_MIB, SHORT_MIB = 1536, 100             # files on the partitions of the imaging contests
SHORT = ("start", "clean-fat", "clean-ext", "restore-ext4", "restore-fat32", "capture-ext4", "reimage-ext4", "one-file")
SHORT_LIMIT_S = 15                          # of an imaging contest in the short form
LEAST_ROUNDS = 3                            # of an imaging contest, unless --limit ends it
ROOM = 10 << 30                             # bytes that the largest contest needs
OUTCOMES = {**imaging.CONTESTS, **(carousel.CONTESTS if os.geteuid() == 0 else {})}       # network namespaces need root
NAMES = (*contests.CONTESTS, *OUTCOMES)
PANELS = (
    ("restore-ext4", "Restore an ext4 partition with 1.5 GB used", ("image restore", "zstd -d > /dev/null of one frame", "pzstd -p2", "qemu-img (qcow2, zstd)", "bmaptool, zstd", "partclone, zstd")),
    ("reimage-ext4", "Restore it again, 1 % damaged", ("image restore --rewrite auto", "partclone, zstd")),
    ("capture-ext4", "Capture it, zstd level 1", ("image capture --no-verify", "image capture", "pzstd -p2", "e2image -ra, zstd", "partclone, zstd", "qemu-img (qcow2, zstd)")),
)


def main() -> int:
    """Run the contests and print their tables."""
    options = _options()
    if options.source is not None:
        results = {}
        for path in options.source:
            results.update(json.loads(path.read_text(encoding="utf-8"))["contests"])
    else:
        results = _measure(options)
        parameters: Json = {"rounds": options.rounds, "mebibytes": options.mebibytes, "short": options.short}
        report.write_json(options.json, results, parameters)
        print(f"written: {options.json}")
    if options.picture is not None:
        options.picture.write_text(report.picture(results, PANELS), encoding="utf-8")
    return 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("--rounds", type=int, help=f"counted rounds of each contestant (default 5; with --short 1), of imaging contests at least {LEAST_ROUNDS}")
    parser.add_argument("--only", metavar="NAME", action="append", choices=NAMES, help=f"one of: {', '.join(NAMES)}; may be given several times")
    parser.add_argument("--short", action="store_true", help=f"some contests, small volumes, under 3 minutes: {', '.join(SHORT)}")
    parser.add_argument("--limit", type=float, metavar="SECONDS", help=f"an imaging contest begins no round after that (one counts always); with --short {SHORT_LIMIT_S}")
    parser.add_argument("--mebibytes", type=int, metavar="N", help=f"of files on the partitions that are imaged (default {FULL_MIB}; with --short {SHORT_MIB})")
    parser.add_argument("--work", type=Path, metavar="DIR", help="keep the partitions there and use them again")
    parser.add_argument("--medium", type=Path, metavar="DIR", help="where everything happens (default: in memory if there is room)")
    parser.add_argument("--keep", action="store_true", help="keep the working folder")
    parser.add_argument("--json", type=Path, metavar="FILE", default=ROOT / "bench" / "results.json", help="where the results go (default bench/results.json)")
    parser.add_argument("--picture", type=Path, metavar="FILE", help="draw the imaging contests as SVG")
    parser.add_argument("--from", dest="source", type=Path, nargs="+", metavar="FILE", help="measure nothing, take the results of older runs")
    options = parser.parse_args()
    options.rounds = options.rounds or (1 if options.short else 5)
    if options.short and options.limit is None:
        options.limit = SHORT_LIMIT_S
    options.mebibytes = options.mebibytes or (SHORT_MIB if options.short else FULL_MIB)
    return options


def _measure(options: argparse.Namespace) -> dict[str, Json]:
    chosen = options.only or (SHORT if options.short else NAMES)
    print(f"Python {platform.python_version()}, {len(os.sched_getaffinity(0))} cores, {platform.system()} {platform.release()}\n")
    results: dict[str, Json] = {}
    medium = Path(tempfile.mkdtemp(prefix="bpscript-bench-", dir=options.medium or _medium()))
    folder, work = medium / "contest", options.work or medium
    try:
        work.mkdir(parents=True, exist_ok=True)
        for name in NAMES:
            if name not in chosen:
                continue
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
            title, outcome = _run(name, Bench(work, folder, max(LEAST_ROUNDS, options.rounds), options.mebibytes, options.limit))
            results[name] = outcome.to_json()
            print(report.table(name, title, outcome), flush=True)
    finally:
        if not options.keep:
            shutil.rmtree(medium, ignore_errors=True)
    return results


def _run(name: str, bench: Bench) -> tuple[str, Outcome]:
    if name in OUTCOMES:
        title, contest = OUTCOMES[name]
        return title, contest(bench)
    plain = contests.CONTESTS[name]
    return (plain.__doc__ or "").strip().splitlines()[0], Outcome(plain(bench.folder, bench.rounds))


def _medium() -> str | None:
    """Memory when it has room, so that no disk is measured; else where temporary files go."""
    shared = Path("/dev/shm")
    if "TMPDIR" not in os.environ and shared.is_dir() and shutil.disk_usage(shared).free > ROOM:
        return str(shared)
    return None


if __name__ == "__main__":
    if shutil.which("mcopy") is None:
        subprocess.run([ROOT / "tests" / "install_system_packages.sh"], check=True)
    sys.exit(main())
