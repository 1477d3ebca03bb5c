"""The sample cases that came with the reference, through the real command line, as their own driver runs them."""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

HERE = Path(__file__).parent / "cases"


def load_driver() -> ModuleType:
    """The driver beside the cases, as a module."""
    spec = importlib.util.spec_from_file_location("run_cases", HERE / "run_cases.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


DRIVER = load_driver()


@pytest.mark.parametrize("case", DRIVER.load(), ids=lambda case: str(case["id"]))
def test_a_sample_case_of_the_reference(case: dict[str, Any]) -> None:
    _, problems, detail = DRIVER.run_case(case, f"{sys.executable} -m bpscript")
    assert not problems, "\n".join([case.get("note", ""), *problems, detail])
