"""Computing seconds of every notebook under nbval, beside those it states in its head.

Machines differ in speed, so shares are compared: a notebook that takes more than half again, or less than half, of its
share of all the seconds stated is named, to be built anew (`python -m minimoshi.lab.build NN`). `make seconds` runs the
notebooks one after the other on a quiet machine and fails then (`--fail-drifted`). Beside other work it is only told:
what a busy machine takes says nothing about the code.
"""

import os
from collections.abc import Iterator
from pathlib import Path

import nbformat
import pytest

from minimoshi.lab.build import SECONDS

LOW, HIGH = 0.5, 1.5
MARGIN = 4.0  # seconds that a kernel may take to start, and that a short notebook must not be named for
FEWEST = 10  # notebooks: of fewer, shares say nothing
PROPERTY = "notebook seconds"

_found: dict[str, float] = {}


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--fail-drifted", action="store_true", help="fail when a notebook's seconds have drifted")


def _children() -> float:
    times = os.times()
    return times.children_user + times.children_system


@pytest.hookimpl(wrapper=True)
def pytest_runtest_setup(item: pytest.Item) -> Iterator[None]:
    if item.path.suffix == ".ipynb" and not hasattr(item.parent, "began"):
        item.parent.began = _children()
    return (yield)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown(item: pytest.Item, nextitem: pytest.Item | None) -> Iterator[None]:
    result = yield  # with a notebook's last cell its kernel ends; only now are its seconds counted
    if item.path.suffix == ".ipynb" and (nextitem is None or nextitem.path != item.path):
        item.user_properties.append((PROPERTY, [str(item.path), _children() - item.parent.began]))
    return result


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    if report.when == "teardown":
        _found.update(value for name, value in report.user_properties if name == PROPERTY)


def stated(path: Path) -> int:
    """The seconds that a notebook states in its head."""
    return next(int(m[0]) for cell in nbformat.read(path, as_version=4).cells if (m := SECONDS.search(cell.source)))


def drifted(measured: dict[str, float], claimed: dict[str, int]) -> dict[str, float]:
    """Notebooks whose share of the seconds has drifted: what each would state at the others' pace."""
    pace = sum(claimed.values()) / max(1e-9, sum(measured.values()))
    now = {name: seconds * pace for name, seconds in measured.items()}
    return {
        name: seconds
        for name, seconds in now.items()
        if not LOW * claimed[name] - MARGIN <= seconds <= HIGH * claimed[name] + MARGIN
    }


def _late() -> dict[str, float]:
    return drifted(_found, _claimed()) if len(_found) >= FEWEST else {}


def _claimed() -> dict[str, int]:
    return {name: stated(Path(name)) for name in _found}


def pytest_sessionfinish(session: pytest.Session) -> None:
    if session.config.option.fail_drifted and session.exitstatus == pytest.ExitCode.OK and _late():
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if len(_found) < FEWEST:
        return
    claimed, late = _claimed(), _late()
    terminalreporter.section("seconds of computing per notebook, measured and stated")
    for name, seconds in sorted(_found.items()):
        path = Path(name)
        note = f"   DRIFTED, about {late[name]:.0f} at the others' pace: build it anew" if name in late else ""
        terminalreporter.write_line(f"{path.parent.name + '/' + path.stem:<45} {seconds:6.1f} {claimed[name]:4d}{note}")
