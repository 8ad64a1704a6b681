"""`aims predict`: files of every kind, prompts or everything, stops, and what it refuses."""

from __future__ import annotations

import io
import json
import os
import shutil
import signal
import subprocess
import sys
import time

import h5py
import numpy as np
import psutil
import pytest
from filelock import FileLock
from PIL import Image
from pycocotools.coco import COCO
from rich.console import Console

import aims
from aims.cli import _terminal, main
from aims.prediction.instances import Instances
from aims.prediction.outlines import outlined
from aims.reading.pictures import load_picture


def predict(*words):
    with pytest.raises(SystemExit) as ended:
        main(["predict", *map(str, words)])
    return ended.value.code


GRID = ("--everything", "--points-per-side", 4, "--min-stability", 0.3)


def test_files_become_masks_outlines_and_coco(thermal_run, tmp_path, capsys):
    _, run, files = thermal_run
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


def test_prompts_answer_the_objects_that_they_name(thermal_run, tmp_path, capsys):
    _, run, files = thermal_run
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


def test_a_stopped_prediction_goes_on_and_other_options_are_refused(thermal_run, tmp_path, capsys):
    _, run, files = thermal_run
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
    with FileLock(out / ".lock"):
        assert predict(run, *files[:3], *GRID, "--out", out) == 2
    assert "another process is predicting into it; wait for it" in capsys.readouterr().err
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("")
    assert predict(run, files[0], *GRID, "--out", tmp_path / "mine") == 2
    assert "holds something else" in capsys.readouterr().err


def test_an_array_of_files_that_hold_several(thermal_run, tmp_path, capsys):
    _, run, files = thermal_run
    raw, out = tmp_path / "raw", tmp_path / "out"
    raw.mkdir()
    pixels = load_picture(files[0]).array[..., 0]
    with h5py.File(raw / "1.h5", "w") as file:
        file["camera/thermal"] = pixels
    np.savez(raw / "2.npz", **{"camera/thermal": pixels, "time": 0.0})
    assert predict(run, files[0], *GRID, "--out", tmp_path / "expected") == 0
    assert predict(run, raw, *GRID, "--variable", "camera/thermal", "--out", out) == 0
    (expected,) = (tmp_path / "expected" / "masks").iterdir()
    for name in ("1.png", "2.png"):
        assert (out / "masks" / name).read_bytes() == expected.read_bytes()
    capsys.readouterr()
    assert predict(run, raw, *GRID, "--variable", "thermal=time", "--out", out) == 2
    assert "holds predictions of another model or other options" in capsys.readouterr().err
    assert predict(run, raw / "1.h5", *GRID, "--out", tmp_path / "none") == 1
    assert "1.h5: holds arrays by name; say which one with --variable, or give" in capsys.readouterr().err
    assert predict(run, raw / "1.h5", *GRID, "--variable", "camera/therm", "--out", tmp_path / "none") == 1
    assert "1.h5: unknown variable 'camera/therm'" in capsys.readouterr().err


def test_what_cannot_be_read_is_named_and_the_others_are_finished(thermal_run, tmp_path, capsys):
    _, run, files = thermal_run
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


def test_wrong_prompts_leave_nothing_that_stands_in_the_way_of_right_ones(thermal_run, tmp_path, capsys):
    _, run, files = thermal_run
    out, clicks = tmp_path / "out", tmp_path / "clicks.csv"
    clicks.write_text("image,x,y\nanother,3,3\n")
    assert predict(run, files[0], "--prompts", clicks, "--out", out) == 2
    assert not out.exists()
    clicks.write_text(f"image,x,y\n{files[0].name},3000,3\n")
    assert predict(run, files[0], "--prompts", clicks, "--out", out) == 1
    err = capsys.readouterr().err
    assert f"not predicted: {files[0]}: point (3000, 3) lies outside the picture" in err
    assert "error: 1 of 1 pictures failed\n" in err
    clicks.write_text(f"image,x,y\n{files[0].name},30,3\n")
    assert predict(run, files[0], "--prompts", clicks, "--out", out) == 0


def test_overwriting_leaves_no_file_of_other_settings(thermal_run, tmp_path):
    _, run, files = thermal_run
    out = tmp_path / "out"
    assert predict(run, *files[:2], *GRID, "--out", out) == 0
    assert (
        predict(run, files[1], *GRID, "--max-share", 0.4, "--out", out, "--overwrite", "--no-pictures") == 0
    )
    assert [path.name for path in out.rglob("*.png")] == [f"{files[1].stem}.png"]


def test_of_many_failures_some_are_named(thermal_run, tmp_path, capsys):
    _, run, files = thermal_run
    for number in range(7):
        (tmp_path / f"{number}.npy").write_bytes(b"no array")
    shutil.copy(files[0], tmp_path / files[0].name)
    assert predict(run, tmp_path, *GRID, "--out", tmp_path / "out") == 1
    err = capsys.readouterr().err
    assert err.count("not predicted: ") == 5
    assert "and 2 more, which --json lists" in err
    assert "error: 7 of 8 pictures failed; the others are finished" in err


@pytest.mark.thorough
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_an_interruption_ends_all_processes_and_the_command_goes_on(thermal_run, tmp_path, number):
    """Ctrl-C reaches all processes of a terminal; the system kills one that takes too much memory."""
    folder, run, _ = thermal_run
    out = tmp_path / "out"
    words = [*("predict", run, folder / "set", "--everything", "--points-per-side", 12), "--out", out]
    command = [sys.executable, "-m", "aims", *map(str, words), "--jobs", "2"]
    options = {"stderr": subprocess.PIPE, "text": True, "start_new_session": True}
    with subprocess.Popen(command, **options) as stopped:
        while not (out / "objects.jsonl").is_file() or not (out / "objects.jsonl").read_bytes():
            assert stopped.poll() is None
            time.sleep(0.02)
        children = [child.pid for child in psutil.Process(stopped.pid).children()]
        if number == signal.SIGINT:
            os.killpg(stopped.pid, number)
        else:
            workers = [pid for pid in children if "spawn_main" in " ".join(psutil.Process(pid).cmdline())]
            os.kill(workers[0], number)
        _, err = stopped.communicate(timeout=60)
    assert stopped.returncode == (130 if number == signal.SIGINT else 1)
    assert len(err.strip().splitlines()) == 1
    assert "what was finished is kept" in err or "finished pictures are kept: the same command goes on" in err
    psutil.wait_procs([psutil.Process(pid) for pid in children if psutil.pid_exists(pid)], timeout=30)
    assert not [pid for pid in children if psutil.pid_exists(pid)]
    lines = (out / "objects.jsonl").read_text().count("\n")
    assert 0 < lines < 12
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    assert "in 12 pictures" in done.stdout
    assert not list(out.rglob(".*"))


@pytest.mark.thorough
def test_two_processes_and_a_dataset_give_what_one_process_gives_for_the_files(thermal_run, tmp_path):
    folder, run, _ = thermal_run
    assert predict(run, folder / "set", "--split", "test", *GRID, "--out", tmp_path / "one") == 0
    assert predict(run, folder / "set", "--split", "test", *GRID, "--out", tmp_path / "two", "--jobs", 2) == 0
    one, two = (sorted((tmp_path / name / "masks").rglob("*.png")) for name in ("one", "two"))
    assert [path.name for path in one] == [path.name for path in two]
    assert len(one) == 4
    for left, right in zip(one, two, strict=True):
        assert left.read_bytes() == right.read_bytes()


def test_tiles_join(thermal_run, tmp_path):
    _, run, files = thermal_run
    assert predict(run, files[0], *GRID, "--tile", 32, "--out", tmp_path / "out", "--json") == 0
    assert (tmp_path / "out" / "masks" / f"{files[0].stem}.png").is_file()


def test_huge_pictures_are_drawn_smaller(thermal_run, tmp_path, monkeypatch):
    _, run, files = thermal_run
    model = aims.load(run, device="cpu")
    arrays = model.rules.read(files[0])
    mask = np.zeros((1, 48, 64), bool)
    mask[0, 8:20, 20:40] = True
    found = Instances.of(mask, np.ones(1, np.float32))
    whole = outlined(arrays, model.rules.streams, found)
    monkeypatch.setattr("aims.prediction.outlines.DRAWN", 48 * 64 // 4)
    half = outlined(arrays, model.rules.streams, found)
    assert (whole.shape, half.shape) == ((48, 64, 3), (24, 32, 3))
    for drawn, (top, bottom, left, right) in ((whole, (8, 19, 20, 39)), (half, (4, 9, 10, 19))):
        rows, columns = np.nonzero((drawn == drawn[top, left]).all(2))
        assert (rows.min(), rows.max(), columns.min(), columns.max()) == (top, bottom, left, right)


def test_progress_takes_one_line_at_60_columns(monkeypatch):
    monkeypatch.setattr("rich.progress.Task.speed", 4.1)
    console = Console(width=60, file=io.StringIO())
    with _terminal.progress_bar() as progress:
        _terminal.Counter(progress, "predict", 1000, "pictures").advance(999)
        console.print(progress.get_renderable())
    text = console.file.getvalue()
    assert "4.1 pictures/s" in text
    assert len(text.strip().splitlines()) == 1


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
        (("{run}", "{file}", "--everything", "--variable", "depth=x"), "unknown stream 'depth'"),
        (("{run}", "{file}", "--everything", "--variable", "thermal="), "give STREAM=NAME, e.g. thermal="),
        (("{run}", "{file}", "--everything", "--variable", "a", "--variable", "b"), "has 'a' already"),
        (("{run}", "{file}", "--everything", "--split", "test"), "--split is for converted datasets"),
        (("{run}", "{folder}/set", "--everything", "--split", "tst"), "has no split 'tst'; it has"),
        (("{run}", "{folder}", "--stream", "depth", "--everything"), "give NAME=PATTERN"),
        (("{run}", "{folder}", "--stream", "thermal=x.png", "--everything"), "needs {id} once"),
        (("{run}", "{file}", "--prompts", "x.csv", "--tile", "64"), "--tile is for --everything"),
    ],
)
def test_bad_input_is_one_line(thermal_run, tmp_path, capsys, words, reason):
    folder, run, files = thermal_run
    out = ("--out", tmp_path / "out")
    told = [word.replace("{run}", str(run)).replace("{file}", str(files[0])) for word in words]
    assert predict(*[word.replace("{folder}", str(folder)) for word in told], *out) == 2
    err = capsys.readouterr().err
    assert reason in err
    assert len(err.strip().splitlines()) == 1
    assert not (tmp_path / "out").exists()
