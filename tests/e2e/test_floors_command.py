"""The floors on the command line: run, read against, counted."""

from __future__ import annotations

import csv
import json
import shutil

import pytest
import toys  # noqa: F401  (registers sam-toy)

from aims.cli import main
from aims.synth.shapes import write_shapes


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Converted shapes, both floors and a model that has hardly learned."""
    folder = tmp_path_factory.mktemp("floors")
    toml = write_shapes(folder / "raw", scenes=9, size=(48, 64), seed=0, rgb=True)
    scratch = ("scratch", "--backbone", "sam-toy", "--epochs", "1")
    commands = [
        ("convert", "folder", toml, "--out", folder / "data" / "shapes"),
        *(
            (
                "run",
                "--data",
                folder / "data",
                "--runs",
                folder / "runs",
                "--modality",
                "thermal",
                "--method",
                *m,
            )
            for m in (scratch, ("disc",), ("oracle-disc",))
        ),
        ("report", "--runs", folder / "runs", "--out", folder / "report"),
    ]
    for command in commands:
        with pytest.raises(SystemExit) as stopped:
            main([str(part) for part in command])
        assert stopped.value.code == 0
    return folder


def test_a_score_of_0_on_large_instances_is_said(aims, folder, tmp_path):
    shutil.copytree(folder / "runs", tmp_path / "runs")
    (record,) = (tmp_path / "runs").glob("shapes-thermal-disc-*/run.json")
    content = json.loads(record.read_text())
    content["scores"]["miou_large"] = 0.0
    record.write_text(json.dumps(content))
    options = ("--data", folder / "data", "--runs", tmp_path / "runs", "--modality", "thermal")
    code, out, _ = aims("run", *options, "--method", "disc")
    assert code == 0
    assert "mIoU, large" in out
    assert "0.00 %" in out


def test_run_says_what_a_floor_is_and_what_it_chose(aims, folder):
    options = ("run", "--data", folder / "data", "--runs", folder / "runs", "--modality", "thermal")
    code, out, err = aims(*options, "--method", "disc")
    assert code == 0
    assert "disc x none, a floor (no sensor is seen, there is no model), thermal of shapes" in err
    assert "nothing is trained" in err
    assert "this run was finished before" in err
    record = json.loads(aims(*options, "--method", "disc", "--json")[1])
    assert f"{record['chosen']['radius']:g}, the best on the training part" in out
    assert "parameters" not in out
    code, out, _ = aims(*options, "--method", "oracle-disc")
    assert code == 0
    assert "radius" not in out


def test_the_report_marks_what_lies_below(folder):
    with (folder / "report" / "results.csv").open() as file:
        lines = {line["method"]: line for line in csv.DictReader(file)}
    disc, scratch = (float(lines[name]["miou"]) for name in ("disc", "scratch"))
    assert lines["scratch"]["disc"] == lines["disc"]["miou"]
    assert scratch < disc  # one epoch of a toy
    assert [lines[name]["below_disc"] for name in ("scratch", "disc", "oracle-disc")] == ["yes", "", ""]
    table = (folder / "report" / "table1.md").read_text()
    row = next(line for line in table.splitlines() if line.startswith("| shapes / thermal |"))
    assert [cell.split("<br>")[0].strip() for cell in row.split("|")[-3:-1]] == [
        lines["disc"]["miou"],
        lines["oracle-disc"]["miou"],
    ]
    assert f"BELOW disc ({disc:.2f})" in row
    assert "Note: Floors: without seeing anything" in table


def test_info_counts_nothing(aims):
    code, out, _ = aims("info", "--method", "disc", "--channels", "9")
    assert code == 0
    assert out.splitlines()[0] == "disc x none, 9 channels"
    assert "it has no model, and sees no sensor" in out
    assert "sam-vit-b" not in out
    found = json.loads(aims("info", "--method", "oracle-disc", "--modality", "rgb-hha", "--json")[1])
    assert (found["backbone"], found["parameters"]["total"], found["flops"]["forward"]) == ("none", 0, 0)
    code, _, err = aims("info", "--method", "disc", "--channels", "9", "--tuning", "lora")
    assert (code, err.count("\n")) == (2, 1)
    assert "it trains nothing" in err


def test_no_model_leaves_a_floor(aims, folder):
    run = next((folder / "runs").glob("shapes-thermal-disc-*"))
    code, _, err = aims("export-model", run)
    assert (code, err.count("\n")) == (2, 1)
    assert "method 'disc' has no model" in err
