"""Results as JUnit XML, the form that CI servers read. Source: the schema of the Jenkins xUnit plug-in (junit-10.xsd)."""

import re
from collections.abc import Iterable, Sequence
from itertools import groupby
from pathlib import Path
from xml.etree import ElementTree

from .running import Outcome

_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")     # XML 1.0, 2.2: characters that no document may hold


def write_junit(outcomes: Sequence[Outcome], path: Path) -> None:
    """Write all outcomes, a suite for each file of cases."""
    suites = ElementTree.Element("testsuites", _counts(outcomes))
    for file, group in groupby(outcomes, key=lambda outcome: outcome.case.source):
        members = list(group)
        suite = ElementTree.SubElement(suites, "testsuite", {"name": str(file), **_counts(members)})
        for outcome in members:
            _add(suite, outcome)
    ElementTree.indent(suites)
    ElementTree.ElementTree(suites).write(path, encoding="utf-8", xml_declaration=True)


def _counts(outcomes: Iterable[Outcome]) -> dict[str, str]:
    members = list(outcomes)
    return {
        "tests": str(len(members)), "failures": str(sum(bool(each.problems) for each in members)), "errors": "0",
        "skipped": str(sum(each.skipped is not None for each in members)), "time": f"{sum(each.seconds for each in members):.3f}",
    }


def _add(suite: ElementTree.Element, outcome: Outcome) -> None:
    case = outcome.case
    element = ElementTree.SubElement(
        suite, "testcase",
        {"classname": case.source.stem, "name": case.id, "file": str(case.source), "line": str(case.line), "time": f"{outcome.seconds:.3f}"},
    )
    if outcome.skipped is not None:
        ElementTree.SubElement(element, "skipped", {"message": _legal(outcome.skipped)})
    if outcome.problems:
        failure = ElementTree.SubElement(element, "failure", {"message": _legal(outcome.problems[0].partition("\n")[0])})
        failure.text = _legal("\n".join(outcome.problems))
        ElementTree.SubElement(element, "system-out").text = _legal(outcome.transcript)


def _legal(text: str) -> str:
    return _NOT_XML.sub("\ufffd", text)
