"""Tables, JSON and the picture of what was measured."""

import json
import os
import platform
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

from tests.benchmarks.measure import Sample

Json = dict[str, object]


@dataclass(frozen=True)
class Goal:
    """The row `own` takes at most 1/`factor` of the time of the row `peer`, plus `extra` seconds."""

    own: str
    peer: str
    factor: float
    extra: float = 0.0

    def reached(self, rows: dict[str, Sample], choose: Callable[[Sample], float]) -> float | None:
        """How many times faster it is; None when a row is missing."""
        if self.own not in rows or self.peer not in rows:
            return None
        return choose(rows[self.peer]) / max(1e-9, choose(rows[self.own]) - self.extra)


@dataclass
class Outcome:
    """The rows of a contest; in `notes` sentences: rows that are missing and why, what was counted."""

    rows: dict[str, Sample]
    goals: tuple[Goal, ...] = ()
    notes: list[str] = field(default_factory=list)
    sizes: dict[str, int] = field(default_factory=dict)     # bytes of the archive that a row wrote

    def to_json(self) -> Json:
        """Everything, in seconds, MiB and bytes."""
        return {
            "rows": {
                name: {
                    "seconds": sample.seconds, "median": sample.median, "minimum": min(sample.seconds), "peak_mib": sample.peak,
                    **({"bytes": self.sizes[name]} if name in self.sizes else {}),
                }
                for name, sample in self.rows.items()
            },
            "goals": [
                {
                    "own": goal.own, "peer": goal.peer, "wanted": goal.factor, "extra_seconds": goal.extra,
                    "median": goal.reached(self.rows, _median), "minimum": goal.reached(self.rows, _minimum),
                }
                for goal in self.goals
            ],
            "notes": self.notes,
        }


def table(name: str, title: str, outcome: Outcome) -> str:
    """A Markdown table: medians, the range, and the ratio to the first row that is no reference; then goals and notes."""
    rows = outcome.rows
    first = next((row for row in rows if not row.startswith("reference")), next(iter(rows)))
    head = ["", "median", "min - max", f"of {first}", "peak memory"] + (["archive"] if outcome.sizes else [])
    lines = [f"### {name}: {title}", "", f"| {' | '.join(head)} |", "|" + " --- |" * len(head)]
    for row, sample in rows.items():
        cells = [
            row, f"{sample.median:.4g} s", f"{min(sample.seconds):.4g} - {max(sample.seconds):.4g}",
            "" if row == first else f"{sample.median / rows[first].median:.3f}", "" if sample.peak is None else f"{sample.peak:.0f} MiB",
        ]
        if outcome.sizes:
            cells.append(f"{outcome.sizes[row] / 1e6:.1f} MB" if row in outcome.sizes else "")
        lines.append(f"| {' | '.join(cells)} |")
    lines.append("")
    if outcome.goals:
        lines += [f"| {name}: goals | times faster (medians) | (minima) | wanted | |", "| --- | --- | --- | --- | --- |"]
        lines += filter(None, (_goal_line(goal, rows) for goal in outcome.goals))
        lines.append("")
    lines += [f"* {note}" for note in outcome.notes] + ([""] if outcome.notes else [])
    return "\n".join(lines)


def _goal_line(goal: Goal, rows: dict[str, Sample]) -> str:
    median, minimum = goal.reached(rows, _median), goal.reached(rows, _minimum)
    if median is None or minimum is None:
        return ""
    extra = f" (less {goal.extra:g} s)" if goal.extra else ""
    verdict = "reached" if median >= goal.factor else "reached by the minima" if minimum >= goal.factor else "MISSED"
    return f"| {goal.own}{extra} : {goal.peer} | {median:.2f} | {minimum:.2f} | {goal.factor:g} | {verdict} |"


def _median(sample: Sample) -> float:
    return sample.median


def _minimum(sample: Sample) -> float:
    return min(sample.seconds)


def machine() -> Json:
    """Where it was measured."""
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    model = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())
    return {
        "python": platform.python_version(), "cores": len(os.sched_getaffinity(0)), "processor": model,
        "system": f"{platform.system()} {platform.release()}",
    }


def write_json(path: Path, results: dict[str, Json], parameters: Json) -> None:
    """The results, with the machine and the parameters of the run."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"machine": machine(), "parameters": parameters, "contests": results}, indent=1) + "\n", encoding="utf-8")


# --- the picture -----------------------------------------------------------------------------------------------------

_WIDTH, _LABEL, _BAR, _GAP = 860, 300, 18, 26       # pixels; the label column is left of the bars
_OURS, _PEER, _TEXT = "#2a7f62", "#b9c2cc", "#24292f"


def picture(results: dict[str, Json], panels: Iterable[tuple[str, str, tuple[str, ...]]]) -> str:
    """Bars of seconds as SVG. A panel is a contest, its title, and the rows to show: ours, which begin with "image ", then the others from fast to slow."""
    parts: list[str] = []
    y = 8
    for contest, title, names in panels:
        rows = _rows(results, contest)
        shown = sorted(((name, rows[name]) for name in names if name in rows), key=lambda row: (not _is_ours(row[0]), row[1]))
        if not shown:
            continue
        longest = max(seconds for _, seconds in shown)
        parts.append(_text(8, y + 16, title, weight="bold"))
        y += _GAP + 2
        for name, seconds in shown:
            width = max(2, round(seconds / longest * (_WIDTH - _LABEL - 90)))
            colour, label, weight = (_OURS, f"bpscript {name}", "bold") if _is_ours(name) else (_PEER, name, "normal")
            parts.append(_text(_LABEL - 8, y + 14, label, anchor="end", weight=weight))
            parts.append(f'<rect x="{_LABEL}" y="{y}" width="{width}" height="{_BAR}" rx="2" fill="{colour}"/>')
            parts.append(_text(_LABEL + width + 6, y + 14, f"{seconds:.2f} s"))
            y += _GAP
        y += 12
    parts.append(_text(8, y + 10, "Seconds of whole processes, medians of rounds in turn on the same medium; shorter is better."))
    y += 22
    frame = f'<svg xmlns="http://www.w3.org/2000/svg" width="{_WIDTH}" height="{y}" viewBox="0 0 {_WIDTH} {y}" font-family="sans-serif" font-size="13">'
    background = f'<rect width="{_WIDTH}" height="{y}" fill="#ffffff"/>'
    return "\n".join([frame, background, *parts, "</svg>"]) + "\n"


def _is_ours(name: str) -> bool:
    return name.startswith("image ")


def _rows(results: dict[str, Json], contest: str) -> dict[str, float]:
    rows = results.get(contest, {}).get("rows", {})
    assert isinstance(rows, dict)
    return {name: float(row["median"]) for name, row in rows.items()}


def _text(x: int, y: int, text: str, *, anchor: str = "start", weight: str = "normal") -> str:
    escaped = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return f'<text x="{x}" y="{y}" text-anchor="{anchor}" font-weight="{weight}" fill="{_TEXT}">{escaped}</text>'
