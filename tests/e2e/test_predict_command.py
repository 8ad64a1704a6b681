"""`aims predict`: files of every kind, prompts or everything, stops, and what it refuses."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
from PIL import Image
from pycocotools.coco import COCO

import aims
from aims.cli import main


def predict(*words):
    with pytest.raises(SystemExit) as ended:
        main(["predict", *map(str, words)])
    return ended.value.code


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A set of made-up thermal pictures, and an untrained model of it whose backbone every process knows."""
    folder = tmp_path_factory.mktemp("made")
    with pytest.raises(SystemExit):
        main(["synth", "folder", "--out", f"{folder}/raw", "--scenes", "12", "--size", "48x64"])
    aims.convert("folder", config=folder / "raw" / "shapes.toml", out=folder / "set")
    record = aims.run(
        "zero-shot", "thermal", data=folder / "set", runs=folder / "runs", backbone="sam-tiny", device="cpu"
    )
    files = sorted((folder / "raw").glob("thermal/*"))
    return folder, record.path, files


GRID = ("--everything", "--points-per-side", 4, "--min-stability", 0.3)


def test_files_become_masks_outlines_and_coco(made, tmp_path, capsys):
    _, run, files = made
    out = tmp_path / "out"
    assert predict(run, *files[:3], *GRID, "--out", out) == 0
    assert f"in 3 pictures  ->  {out}" in capsys.readouterr().out
    coco = COCO(out / "predictions.json")
    assert [image["file_name"] for image in coco.dataset["images"]] == list(map(str, files[:3]))
    assert coco.anns
    for image in coco.dataset["images"]:
        labels = np.array(Image.open(out / image["mask"]))
        assert labels.dtype == np.uint16 or labels.dtype == np.int32
        assert labels.shape == (image["height"], image["width"]) == (48, 64)
        for entry in coco.imgToAnns[image["id"]]:
            mask = coco.annToMask(entry).astype(bool)
            assert mask.sum() == entry["area"]
            # Smaller objects may lie on top of it, larger ones cannot.
            assert mask[labels == entry["label"]].all()
        drawn = np.array(Image.open(out / image["mask"].replace("masks/", "pictures/")))
        assert drawn.shape == (48, 64, 3)


def test_prompts_answer_the_objects_that_they_name(made, tmp_path, capsys):
    _, run, files = made
    clicks = tmp_path / "clicks.csv"
    clicks.write_text(f"image,x,y\n{files[0].name},10,10\n{files[0].stem},30,20\n{files[1].stem},5,5\n")
    assert predict(run, files[0].parent, "--prompts", clicks, "--out", tmp_path / "out") == 0
    captured = capsys.readouterr()
    assert "without prompts, left out" in captured.err
    coco = COCO(tmp_path / "out" / "predictions.json")
    assert [len(coco.imgToAnns[image["id"]]) for image in coco.dataset["images"]] == [2, 1]
    model = aims.load(run, device="cpu")
    expected = model.predict(files[0], points=[[10, 10]]).masks[0]
    assert np.array_equal(coco.annToMask(coco.imgToAnns[1][0]), expected)


def test_a_stopped_prediction_goes_on_and_other_options_are_refused(made, tmp_path, capsys):
    _, run, files = made
    out = tmp_path / "out"
    assert predict(run, *files[:2], *GRID, "--out", out) == 0
    before = (out / "objects.jsonl").read_bytes()
    # A kill cut the second line short.
    (out / "objects.jsonl").write_bytes(before[:-30])
    first = (out / "masks" / f"{files[0].stem}.png").stat().st_mtime_ns
    assert predict(run, *files[:3], *GRID, "--out", out, "--no-pictures") == 2
    assert "other options; give another --out, or --overwrite" in capsys.readouterr().err
    assert predict(run, *files[:3], *GRID, "--out", out) == 0
    assert (out / "objects.jsonl").read_bytes().startswith(before)
    assert (out / "masks" / f"{files[0].stem}.png").stat().st_mtime_ns == first
    assert len(json.loads((out / "predictions.json").read_text())["images"]) == 3
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("")
    assert predict(run, files[0], *GRID, "--out", tmp_path / "mine") == 2
    assert "holds something else" in capsys.readouterr().err


def test_what_cannot_be_read_is_named_and_the_others_are_finished(made, tmp_path, capsys):
    _, run, files = made
    raw = tmp_path / "raw"
    raw.mkdir()
    shutil.copy(files[0], raw / f"a{files[0].suffix}")
    (raw / "b.tif").write_bytes(b"II*\0")
    np.save(raw / "c.npy", np.zeros((9, 9, 5), np.float32))
    assert predict(run, raw, *GRID, "--out", tmp_path / "out") == 1
    err = capsys.readouterr().err
    assert "b.tif" in err
    assert "c.npy: has 5 channels, thermal has 1" in err
    assert "error: 2 of 3 pictures failed; the others are finished" in err
    assert (tmp_path / "out" / "masks" / "a.png").is_file()


@pytest.mark.thorough
def test_two_processes_and_a_dataset_give_what_one_process_gives_for_the_files(made, tmp_path):
    folder, run, _ = made
    assert predict(run, folder / "set", "--split", "test", *GRID, "--out", tmp_path / "one") == 0
    assert predict(run, folder / "set", "--split", "test", *GRID, "--out", tmp_path / "two", "--jobs", 2) == 0
    one, two = (sorted((tmp_path / name / "masks").rglob("*.png")) for name in ("one", "two"))
    assert [path.name for path in one] == [path.name for path in two]
    assert len(one) == 4
    for left, right in zip(one, two, strict=True):
        assert left.read_bytes() == right.read_bytes()


def test_tiles_join(made, tmp_path):
    _, run, files = made
    assert predict(run, files[0], *GRID, "--tile", 32, "--out", tmp_path / "out", "--json") == 0
    assert (tmp_path / "out" / "masks" / f"{files[0].stem}.png").is_file()


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (("{run}", "{file}"), "give either --everything or --prompts FILE"),
        (("{run}", "{file}", "--everything", "--prompts", "x.csv"), "give either"),
        (("{run}", "{folder}/nothing", "--everything"), "no such file or folder"),
        (("{run}", "{folder}/*.gif", "--everything"), "no file fits"),
        (("{folder}", "{file}", "--everything"), "no model (no run.json, no model.json)"),
        (("{run}", "{file}", "--prompts", "{folder}/nothing.csv"), "no such file of prompts"),
        (("{run}", "{file}", "--everything", "--channels", "a"), "give numbers such as 0"),
        (("{run}", "{file}", "--everything", "--split", "test"), "--split is for converted datasets"),
        (("{run}", "{folder}/set", "--everything", "--split", "tst"), "has no split 'tst'; it has"),
        (("{run}", "{folder}", "--stream", "depth", "--everything"), "give NAME=PATTERN"),
        (("{run}", "{folder}", "--stream", "thermal=x.png", "--everything"), "needs {id} once"),
        (("{run}", "{file}", "--prompts", "x.csv", "--tile", "64"), "--tile is for --everything"),
    ],
)
def test_bad_input_is_one_line(made, tmp_path, capsys, words, reason):
    folder, run, files = made
    out = ("--out", tmp_path / "out")
    told = [word.replace("{run}", str(run)).replace("{file}", str(files[0])) for word in words]
    assert predict(*[word.replace("{folder}", str(folder)) for word in told], *out) == 2
    err = capsys.readouterr().err
    assert reason in err
    assert len(err.strip().splitlines()) == 1
    assert not (tmp_path / "out").exists()
