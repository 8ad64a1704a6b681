"""Prompts of many pictures from a CSV or a JSON file."""

from __future__ import annotations

import json

import numpy as np
import pytest

import aims
from aims.core.errors import InputError
from aims.prediction.prompt_files import Prompt, PromptFile, answer

CSV = """image,x,y,label,object
a.png,3,4,1,one
a.png,5,6,0,one
a.png,30,20,,
b,7,8,1,
"""
BOXES = "file,left,top,right,bottom\na,1,2,3,4\n"


def written(folder, name, text, encoding="utf-8"):
    path = folder / name
    path.write_bytes(text.encode(encoding))
    return path


def test_rows_of_one_object_are_one_prompt(tmp_path):
    # Excel begins with a byte order mark and ends lines as Windows does.
    read = PromptFile.read(written(tmp_path, "clicks.csv", CSV.replace("\n", "\r\n"), "utf-8-sig"))
    assert read.of("x/a", "raw/x/a.png") == [
        Prompt(points=[(3, 4), (5, 6)], labels=[1, 0]),
        Prompt(points=[(30, 20)], labels=[1]),
    ]
    assert len(read.of("b", "b.tif")) == 1
    assert read.of("c", "c.tif") == []
    boxes = PromptFile.read(written(tmp_path, "boxes.csv", BOXES))
    assert boxes.of("a", "a.npy") == [Prompt(box=(1, 2, 3, 4))]


def test_names_in_both_forms_of_unicode(tmp_path):
    read = PromptFile.read(written(tmp_path, "boxes.csv", BOXES.replace("\na,", "\n\u00e4.png,")))
    assert len(read.of("a\u0308", "raw/a\u0308.png")) == 1


def test_names_as_windows_writes_them(tmp_path):
    read = PromptFile.read(written(tmp_path, "clicks.csv", "image,x,y\nx\\a.png,3,4\n"))
    assert len(read.of("x/a", "x/a.png")) == 1


def test_labels_as_pandas_writes_them_beside_empty_ones(tmp_path):
    read = PromptFile.read(
        written(tmp_path, "clicks.csv", "image,x,y,label,object\na,3,4,1.0,o\na,5,6,0.0,o\na,7,8,,o\n")
    )
    assert read.of("a", "a.png") == [Prompt(points=[(3, 4), (5, 6), (7, 8)], labels=[1, 0, 1])]


def test_json_says_the_same(tmp_path):
    objects = [{"points": [[3, 4], [5, 6]], "labels": [1, 0]}, {"box": [1, 2, 3, 4]}]
    read = PromptFile.read(written(tmp_path, "clicks.json", json.dumps({"a.png": objects})))
    assert read.of("a", "a.png") == [
        Prompt(points=[(3, 4), (5, 6)], labels=[1, 0]),
        Prompt(box=(1, 2, 3, 4)),
    ]


@pytest.mark.parametrize(
    ("name", "text", "reason"),
    [
        ("a.csv", "picture,x,y\n", "has the columns picture, x, y; needs image, and x, y"),
        ("a.csv", "image,x\n", "needs image"),
        ("a.csv", "image,x,y\na,1,b\n", "line 2: could not convert"),
        ("a.csv", "image,x,y\na,,\n", "line 2: an object without points"),
        ("a.csv", "image,x,y,label\na,1,2,3\n", "line 2: labels are 1 or 0"),
        # Of one object, so that it has a prompt without what is wrong.
        ("a.csv", "image,x,y,object\na,1,2,k\na,3,,k\n", "line 3: y missing"),
        ("a.csv", "image,x,y,object\na,1,2,k\na,,,k\n", "line 3: an object without points"),
        ("a.csv", "image,left,top,right,bottom,object\na,1,2,3,4,k\na,5,6,7,8,k\n", "line 3: .*box already"),
        ("a.csv", "image,x,y,left,top,right,bottom\na,1,2,,6,7,8\n", "line 2: left missing"),
        ("a.csv", "image,x,y\na,60,5,40,5\n", "line 2: has more values than there are columns"),
        ("a.csv", "image,x,y\n", "holds no prompt"),
        ("a.csv", "", "has the columns none"),
        ("a.json", "[", "a.json"),
        ("a.json", '{"a": [{"point": [1, 2]}]}', "point"),
        ("a.json", '{"a": [{"points": [[1, 2]], "labels": [1, 1]}]}', "2 labels for 1 points"),
        ("a.csv", "image,x,y\n,1,2\n", "line 2: names no picture"),
        ("a.csv", "image,x,y\nü,1,2\n", "not readable as CSV in UTF-8"),
        ("a.csv", "image,x,y\na,1,2" + "0" * 200_000 + "\n", "not readable as CSV in UTF-8"),
        ("a.txt", "", "read from .csv and .json"),
    ],
)
def test_files_that_say_something_else_are_refused(tmp_path, name, text, reason):
    with pytest.raises(InputError, match=reason):
        PromptFile.read(written(tmp_path, name, text, "latin-1"))


def test_no_file_is_refused(tmp_path):
    with pytest.raises(InputError, match="no such file of prompts"):
        PromptFile.read(tmp_path / "nothing.csv")


def test_an_answer_does_not_depend_on_the_clicks_of_others(run_folder):
    model = aims.load(run_folder, device="cpu")
    embedding = model.embed(np.random.default_rng(0).random((40, 52, 2)))
    prompts = [
        Prompt(points=[(3, 4)]),
        Prompt(box=(10, 10, 30, 30)),
        Prompt(points=[(30, 20), (5, 6)], labels=[1, 0]),
        Prompt(points=[(20, 20)], box=(10, 10, 30, 30)),
    ]
    together = answer(model, embedding, prompts)
    for k, prompt in enumerate(prompts):
        alone = answer(model, embedding, [prompt])
        assert together.scores[k] == pytest.approx(alone.scores[0], abs=1e-6)
        assert (together.masks[k] != alone.masks[0]).mean() < 0.01  # rounding at the threshold
