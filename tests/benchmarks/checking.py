"""`python -m tests.benchmarks.checking`: how long the checker and the formatter take for a script of 1,000 lines: the lines of the example scripts, and
such with a command on nearly every line, no two alike.

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

EXAMPLES = Path(__file__).parents[1] / "spec" / "examples"
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
mkdir "{{:1}}/users/u{n}"
if ci "$class" match-expr "*{n}*" at {row},10 print "class $class"
WaitForKey 0.{digit} set left-{n} = ($size-{n})
if #"$Disks" < 2 goto step-{next}
delete "{{:1}}/tmp/file{n}"
"""


def usual() -> bytes:
    """The example scripts one after the other, each time with labels and numbers of their own: a third of it is comments and empty lines."""
    lines: list[str] = []
    number = 0
    while len(lines) < LINES:
        for path in sorted(EXAMPLES.glob("*.bpb")):
            number += 1
            for line in path.read_text(encoding="utf-8").splitlines():
                words = line.lower().split()
                is_end = words[:1] in (["poweroff"], ["hdboot"], ["linuxboot"], [".key"], [".def"])
                lines.append(f"echo \"{number}\"" if is_end else f"{line}-{number}" if line.startswith(":") or "goto" in words else line)
    return "\n".join(lines[:LINES]).encode()


def dense() -> bytes:
    """Commands on nine lines of ten, no two alike."""
    lines = ["set size = 0", 'set class = "generic"', 'SetPartitions "FAT32:2000 LINUX-EXT2:500"']
    number = 0
    while len(lines) < LINES:
        number += 1
        lines += PATTERN.format(n=number, next=number + 1, row=number % 25, digit=number % 10).strip().split("\n")
    text = "\n".join(lines[:LINES])
    last = f":step-{number + 1}"
    return (text.rpartition("\n")[0] + f"\n{last}\n").encode()


def measure(work: Callable[[], object], rounds: int, before: Callable[[], object] = lambda: None) -> float:
    """Milliseconds of CPU, the median. What earlier rounds left behind is cleared away first: a check has a process of its own."""
    found = []
    for _ in range(rounds):
        before()
        gc.collect()
        started = time.process_time()
        work()
        found.append((time.process_time() - started) * 1000)
    return median(found)


def _row(name: str, data: bytes, rounds: int) -> str:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "long.bpb"
        path.write_bytes(data)
        report = check(path)        # loads everything
        middle = data.splitlines()[LINES // 2]
        count = 0

        def change() -> None:
            nonlocal count
            count += 1
            path.write_bytes(data.replace(middle, b"echo \"%d\"" % count, 1))

        first = measure(lambda: check(path), rounds, checker.forget)
        again = measure(lambda: check(path), rounds, change)
        formatted = measure(lambda: format_bytes(data, COMMANDS), rounds)
    lines = data.splitlines()
    return f"| {name} | {len(lines)} | {len(set(lines))} | {len(report.findings)} | {first:.0f} | {again:.0f} | {formatted:.0f} |"


def main() -> int:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=15)
    rounds = parser.parse_args().rounds
    gc.set_threshold(50_000, 20, 20)        # as cli/main.py has it
    gc.freeze()
    print(f"CPU milliseconds, median of {rounds}\n")
    print("| script | lines | different | findings | check | check again, one line changed | fmt |\n| --- | --- | --- | --- | --- | --- | --- |")
    for name, data in (("lines of the examples", usual()), ("a command on nearly every line, no two alike", dense())):
        print(_row(name, data, rounds))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
