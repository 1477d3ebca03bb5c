"""Settings of every test run: how hypothesis tries, and no silent skips in continuous integration."""

import gc
import os
from collections.abc import Generator
from time import monotonic
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

from tests.golden import Golden

settings.register_profile("default", deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
settings.load_profile("default")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--update-golden", action="store_true", help="write the golden files anew, from what the tests get")
    parser.addoption("--soak", metavar="SECONDS", type=float, default=0.0, help="do each property test again and again, with other examples, for so long")


@pytest.fixture
def golden(request: pytest.FixtureRequest) -> Golden:
    """Compare with `golden/NAME` beside the test."""
    return Golden(request.path.parent / "golden", update=request.config.getoption("--update-golden"))


_IS_REPEATED = pytest.StashKey[bool]()


@pytest.hookimpl(wrapper=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> Generator[None, object, object]:
    """With --soak, a property test gets as many examples as its time allows, whatever one of them costs."""
    end = monotonic() + pyfuncitem.config.getoption("--soak")
    done = yield
    if pyfuncitem.get_closest_marker("hypothesis") is not None and not pyfuncitem.stash.get(_IS_REPEATED, False):
        pyfuncitem.stash[_IS_REPEATED] = True
        while monotonic() < end:
            pyfuncitem.ihook.pytest_pyfunc_call(pyfuncitem=pyfuncitem)
    return done


_THRESHOLD = gc.get_threshold()


@pytest.hookimpl(trylast=True)
def pytest_runtest_teardown(item: pytest.Item) -> None:
    """The command line, run inside a test, lets go of what is garbage only rarely; over thousands of tests that is gigabytes."""
    if gc.get_freeze_count():
        gc.unfreeze()
        gc.set_threshold(*_THRESHOLD)


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Generator[None, Any, None]:
    """With CI set, a skipped test is a failed one, unless it needs the administrator and we are not, or what this kernel was built without."""
    outcome = yield
    report = outcome.get_result()
    if report.skipped and os.environ.get("CI") and not hasattr(report, "wasxfail"):
        reason = str(report.longrepr)
        needs_another_kernel = "the kernel has no " in reason        # no package brings it
        if not needs_another_kernel and (os.geteuid() == 0 or "root" not in reason):
            report.outcome = "failed"
            report.longrepr = f"skipped, which is not allowed here: {reason}"


def pytest_make_parametrize_id(val: object, argname: str) -> str | None:
    """Bytes are named by their argument: some hold the time of day, and workers must find the same names."""
    return argname if isinstance(val, bytes) else None


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """What the tests of damage and hostile input tried, by their own count; shown with -v and in soak runs."""
    lines = [str(value) for report in terminalreporter.getreports("passed") for name, value in report.user_properties if name == "tried"]
    if lines and (terminalreporter.config.option.verbose > 0 or terminalreporter.config.option.markexpr.startswith("slow")):
        terminalreporter.write_line("tried:")
        for line in sorted(lines):
            terminalreporter.write_line(f"  {line}")
