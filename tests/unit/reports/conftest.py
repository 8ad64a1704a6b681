"""Fixtures of the tests of reports."""

from functools import partial
from pathlib import Path

import pytest
from made_runs import AddRun, write_run
from page_in_browser import browser, open_page, page_path  # noqa: F401 (fixtures)

from aims.reports import contents
from aims.reports.figures.cost_figure import CostFigure


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    folder = tmp_path / "runs"
    folder.mkdir()
    return folder


@pytest.fixture
def add_run(runs: Path) -> AddRun:
    """Writes a finished run below `runs`."""
    return partial(write_run, runs)


@pytest.fixture(scope="module")
def no_cost_figures():
    """Reports without their plots, two thirds of their time (test_report_cost.py has these)."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(contents, "draw_cost", lambda _: CostFigure(svg="<svg></svg>", png=b"not drawn"))
        yield
