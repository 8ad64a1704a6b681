"""Two runs against each other, and one against its own masks, on the command line."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import cv2
import pytest
import toys  # noqa: F401  (registers sam-toy)

from aims.cli import main
from aims.synth.shapes import write_shapes


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Converted shapes, and runs of both floors under `strict` and of one under `paper`."""
    folder = tmp_path_factory.mktemp("compared")
    toml = write_shapes(folder / "raw", scenes=9, size=(48, 64), seed=0, rgb=True)
    run = ("run", "--data", folder / "data", "--runs", folder / "runs", "--modality", "thermal", "--method")
    for command in (
        ("convert", "folder", toml, "--out", folder / "data" / "shapes"),
        (*run, "disc"),
        (*run, "oracle-disc"),
        (*run, "disc", "--protocol", "paper"),
    ):
        with pytest.raises(SystemExit) as stopped:
            main([str(part) for part in command])
        assert stopped.value.code == 0
    return folder


def found(folder, pattern):
    (path,) = (folder / "runs").glob(pattern)
    return path


@pytest.fixture
def disc(folder):
    return found(folder, "shapes-thermal-disc-*strict*")


@pytest.fixture
def oracle(folder):
    return found(folder, "shapes-thermal-oracle-disc-*")


def test_the_test_and_the_picture(aims, folder, disc, oracle, tmp_path):
    picture = tmp_path / "differ.png"
    arguments = ("compare", oracle, disc, "--data", folder / "data", "--out", picture)
    code, out, err = aims(*arguments)
    assert (code, err) == (0, "")
    first, second, difference, verdict, where = (
        line for line in out.splitlines() if any(map(str.isalpha, line))
    )
    assert "oracle-disc" in first
    assert "better on 0 of" in second
    assert "difference" in difference
    assert "too few images to test, it takes 6" in verdict
    assert "+" in difference
    assert where == f"where they differ most: {picture}"
    content = json.loads(aims(*arguments, "--json")[1])
    assert content["picture"] == str(picture)
    assert content["difference"]["verdict"] == "too few images to test"
    assert content["difference"]["value"] == pytest.approx(content["miou"][0] - content["miou"][1])
    assert content["better"][1] == 0
    assert 1 <= len(content["most"][0]) <= 4
    assert content["most"][1] == []
    height, width, _ = cv2.imread(str(picture)).shape
    assert width == 1062
    assert height > 150 * len(content["most"][0])


def test_without_the_dataset_there_is_no_picture(aims, disc, oracle, tmp_path):
    code, out, err = aims("compare", oracle, disc, "--data", tmp_path, "--out", tmp_path / "no.png")
    assert code == 0
    assert "difference" in out
    assert err.startswith("no picture: ")
    assert not (tmp_path / "no.png").exists()


def test_a_run_and_itself(aims, folder, disc, tmp_path):
    code, out, err = aims("compare", disc, disc, "--data", folder / "data", "--out", tmp_path / "no.png")
    assert code == 0
    assert "+0.00 [+0.00, +0.00], n 3, p 1 " in out
    assert "too few images to test, it takes 6 " in out
    assert "the runs do not differ on any instance" in err


def test_runs_that_cannot_be_compared(aims, folder, disc, tmp_path):
    paper = found(folder, "shapes-thermal-disc-*paper*")
    code, _, err = aims("compare", disc, paper)
    assert code == 2
    assert err == (
        "error: the runs are of different protocols, strict-2 and paper: they cannot be compared\n"
    )
    code, _, err = aims("compare", disc, tmp_path)
    assert code == 2
    assert err.count("\n") == 1
    assert "run.json: no such file" in err


def test_verify_a_run(aims, folder, disc, tmp_path):
    code, out, _ = aims("verify", disc, "--data", folder / "data")
    assert code == 0
    assert "instances and 3 images verified, no problem found" in out
    changed = shutil.copytree(disc, tmp_path / disc.name)
    record = json.loads((changed / "run.json").read_text())
    record["scores"]["miou"] = 0.999
    (changed / "run.json").write_text(json.dumps(record))
    code, out, err = aims("verify", changed, "--data", folder / "data")
    assert code == 1
    assert "run.json: miou is 0.999, recomputed 0." in out
    assert err == f"error: {changed}: 1 problem found\n"
    code, out, _ = aims("verify", changed, "--data", folder / "data", "--json")
    assert code == 1
    assert len(json.loads(out)["problems"]) == 1
    code, _, err = aims("verify", changed, "--data", tmp_path / "nothing")
    assert code == 2
    assert err.startswith(f"error: {tmp_path / 'nothing'}: no such folder")


def test_verify_a_folder_of_runs(aims, folder, disc, tmp_path):
    for run in (disc, found(folder, "shapes-thermal-disc-*paper*")):
        shutil.copytree(run, tmp_path / run.name)
    running = shutil.copytree(disc, tmp_path / "running")
    record = json.loads((running / "run.json").read_text())
    (running / "run.json").write_text(json.dumps({**record, "status": "running"}))
    code, out, _ = aims("verify", tmp_path, "--data", folder / "data")
    assert code == 0
    assert out.count("verified, no problem found") == 2
    assert out.splitlines()[-1] == f"{tmp_path}: 1 run not finished, left out"
    changed = tmp_path / disc.name / "run.json"
    changed.write_text(json.dumps({**record, "scores": {**record["scores"], "miou": 0.999}}))
    code, out, err = aims("verify", tmp_path, "--data", folder / "data", "--json")
    assert (code, err) == (1, f"error: {tmp_path}: problems found in 1 of 2 runs\n")
    document = json.loads(out)
    problems = {Path(run["path"]).name: len(run["problems"]) for run in document["runs"]}
    assert sorted(problems.values()) == [0, 1]
    assert problems[disc.name] == 1
    assert document["unfinished"] == [str(running)]
    assert aims("verify", tmp_path, "--data", folder / "raw")[0] == 1
