"""The tutorials run, and print what they show."""

from __future__ import annotations

import notebooks
import pytest
from documentation import require_same


@pytest.mark.thorough
@pytest.mark.parametrize("path", notebooks.TUTORIALS, ids=lambda path: path.stem)
def test_a_tutorial_prints_what_it_shows(path, tmp_path):
    notebook = notebooks.read(path)
    cells = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    for cell, outputs in zip(cells, notebooks.run(notebook, tmp_path), strict=True):
        require_same(notebooks.printed(outputs), notebooks.printed(cell["outputs"]))


def test_there_are_five_and_each_was_run():
    assert len(notebooks.TUTORIALS) == 5
    for path in notebooks.TUTORIALS:
        cells = notebooks.read(path)["cells"]
        assert cells[0]["source"][0].startswith("# ")
        assert all(cell["execution_count"] for cell in cells if cell["cell_type"] == "code")
        assert any(
            "image/png" in output.get("data", {}) for cell in cells for output in cell.get("outputs", [])
        )
