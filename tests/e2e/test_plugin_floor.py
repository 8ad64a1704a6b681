"""A floor of another package: on the help page, in a run and in every file of the report."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys

import pytest
import toys  # noqa: F401  (registers sam-toy)

from aims.synth.shapes import write_shapes

PACKAGE = {
    "pyproject.toml": """
[build-system]
requires = ["setuptools"]
build-backend = "setuptools.build_meta"

[project]
name = "everything-floor"
version = "1.0"

[project.entry-points."aims.methods"]
everything = "everything_floor"

[tool.setuptools]
py-modules = ["everything_floor"]
""",
    "everything_floor.py": '''
from dataclasses import dataclass

import numpy as np

from aims.methods.base import METHODS, Floor


@METHODS.register("everything")
@dataclass(frozen=True, kw_only=True)
class Everything(Floor):
    """The whole picture for every click, but for a margin."""

    margin: int = 0

    def predict(self, image, sizes, chosen):
        for _ in image.ids:
            masks = tuple(np.zeros(size, bool) for size in sizes)
            for mask in masks:
                mask[self.margin : len(mask) - self.margin] = True
            yield masks
''',
}

#: Commands in one process, whose import of torch takes seconds; stdout of each is kept.
SCRIPT = """
import contextlib, io, json, sys
from aims.cli import main

outputs = []
for words in json.loads(sys.argv[1]):
    with contextlib.redirect_stdout(io.StringIO()) as out:
        try:
            main(words)
        except SystemExit as stop:
            assert stop.code == 0, (words, stop.code)
    outputs.append(out.getvalue())
json.dump(outputs, sys.stdout)
"""


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The package, installed by pip into a folder of its own."""
    folder = tmp_path_factory.mktemp("package")
    for name, text in PACKAGE.items():
        (folder / name).write_text(text, encoding="utf-8")
    pip = (sys.executable, "-m", "pip", "install", "--quiet", "--no-index", "--no-deps")
    subprocess.run([*pip, "--no-build-isolation", "--target", folder / "site", folder], check=True)
    return folder / "site"


@pytest.mark.thorough
def test_a_floor_of_another_package_is_in_the_help_and_in_the_report(aims, site, tmp_path):
    description = write_shapes(tmp_path / "raw", scenes=9, size=(48, 64), seed=0, rgb=True)
    assert aims("convert", "folder", description, "--out", tmp_path / "data" / "shapes")[0] == 0
    where = ["--data", f"{tmp_path / 'data'}", "--runs", f"{tmp_path / 'runs'}"]
    run = ["run", "--modality", "thermal", *where]
    commands = [
        ["run", "--help"],
        ["info", "--method", "everything", "--channels", "1"],
        [*run, "--method", "zero-shot", "--backbone", "sam-tiny"],
        [*run, "--method", "disc"],
        [*run, "--method", "everything", "--margin", "3"],
        ["report", *where, "--out", f"{tmp_path / 'report'}", "--jobs", "1"],
    ]
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, json.dumps(commands)],
        env={**os.environ, "PYTHONPATH": str(site)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    helped, informed, *_, floor, reported = json.loads(done.stdout)

    floors = helped.partition("Floors, without sensor and model")[2].partition("Tunings:")[0]
    line = "everything The whole picture for every click, but for a margin. [--margin 0]"
    assert line in " ".join(floors.split())
    assert "a floor: it has no model, and sees no sensor" in informed
    assert "parameters" not in floor

    report = tmp_path / "report"
    with (report / "results.csv").open(encoding="utf-8") as file:
        rows = {row["method"]: row for row in csv.DictReader(file)}
    assert rows.keys() == {"zero-shot", "disc", "everything"}
    miou = rows["everything"]["miou"]
    assert rows["everything"]["disc"] == rows["disc"]["miou"]
    # Only what learns or could have learned is held against the disc.
    assert float(miou) < float(rows["disc"]["miou"])
    assert rows["everything"]["below_disc"] == ""
    text = (report / "results.md").read_text("utf-8")
    of_floors = text.partition("floors: no sensor, no model")[2].partition("\n## ")[0]
    assert "| everything" in of_floors
    assert "margin 3" in of_floors
    assert "zero-shot" not in of_floors
    # Floors are the first rows of the comparison, in the terminal too, and have no paired test.
    comparison = (report / "comparison.md").read_text("utf-8")
    rows = [line.split("|")[1].split() for line in comparison.splitlines() if line.startswith("| ")]
    assert [words[0] for words in rows[2:5]] == ["disc", "everything", "zero-shot"]
    assert miou in comparison
    assert miou in reported
    page = (report / "index.html").read_text("utf-8")
    assert "everything" in page
