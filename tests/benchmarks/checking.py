"""`python -m tests.benchmarks.checking`: how long the checker and the formatter take for a script of 1,000 lines, all of them different.

CPU time of this process, after everything is loaded: the median of several rounds. "again" is the same script a second time with one line changed,
as an editor asks with every key.
"""

import argparse
import gc
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

from bpscript.api import check
from bpscript.commands import COMMANDS
from bpscript.language.check import checker
from bpscript.language.format import format_bytes

LINES = 1000
# Twenty lines of a kind that scripts are made of; {n} makes each of them another one.
PATTERN = """
:step-{n}
# step {n} of the installation
set name-{n} = "pc{n}"
set size = ($size + {n})
if $size > {n}000 goto step-{next}
echo "step {n} of $name-{n}: $size MB"
DrawText {n} 20 "Step {n}" Yellow
if not valid :1 clean 1 "DATA{n}"
if exist "hw/$name-{n}.imi" incrunzip "hw/$name-{n}.imi" "{{:1}}/"
capturelog
log "HOSTNAME=${{BOOTP-Host-Name}}-{n}\\n"
endcapture "{{:1}}/etc/host-{n}"
if "$BOOTP-Option-130"{{0}} == "class-{n}" set class = "{n}"
set first = "$BOOTP-Routers"{{0}}/.= /
mkdir "{{:1}}/home/user{n}"
if ci "$class" match-expr "*{n}*" at {row},10 print "class $class"
WaitForKey 0.{digit} set left-{n} = ($size-{n})
if #"$Disks" < 2 goto step-{next}
delete "{{:1}}/tmp/file{n}"
"""


def script() -> bytes:
    """The script."""
    lines = ["set size = 0", 'set class = "generic"', 'SetPartitions "FAT32:2000 LINUX-EXT2:500"']
    number = 0
    while len(lines) < LINES:
        number += 1
        lines += PATTERN.format(n=number, next=number + 1, row=number % 25, digit=number % 10).strip().split("\n")
    text = "\n".join(lines[:LINES])
    last = f":step-{number + 1}"
    return (text.rpartition("\n")[0] + f"\n{last}\n").encode()


def measure(work: Callable[[], object], rounds: int, before: Callable[[], object] = lambda: None) -> float:
    """Milliseconds of CPU, the median."""
    found = []
    for _ in range(rounds):
        before()
        started = time.process_time()
        work()
        found.append((time.process_time() - started) * 1000)
    return median(found)


def main() -> int:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=15)
    rounds = parser.parse_args().rounds
    gc.set_threshold(50_000, 20, 20)        # as cli/main.py has it
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "long.bpb"
        data = script()
        path.write_bytes(data)
        report = check(path)        # loads everything
        count = 0

        def change() -> None:
            nonlocal count
            count += 1
            path.write_bytes(data.replace(b"step 7 of the", b"step 7, %d" % count).replace(b'echo "step 9 ', b'echo "%d step 9 ' % count))

        rows = {
            "check, read for the first time": measure(lambda: check(path), rounds, checker.forget),
            "check again, one line changed": measure(lambda: check(path), rounds, change),
            "fmt": measure(lambda: format_bytes(data, COMMANDS), rounds),
        }
    print(f"{LINES} lines, {len(set(data.splitlines()))} different, {len(report.findings)} findings; CPU milliseconds, median of {rounds}\n")
    print("| what | ms |\n| --- | --- |")
    for name, value in rows.items():
        print(f"| {name} | {value:.1f} |")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
