"""A run believes no dataset that `aims verify` refuses, nor a link or a pipe in what others wrote."""

from __future__ import annotations

import json
import os
import shutil

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import toys
from earlier_runs import EARLIER

from aims.core.errors import InputError
from aims.core.files import own_file, sha256_file
from aims.data.format import decode_instances
from helpers import time_limit

TRAIN, TEST = (f"data/{split}-00000-of-00001.parquet" for split in ("train", "test"))
_LIMIT_S = 20


def rows_of(folder, file):
    return pq.read_table(folder / file).to_pylist()


def write(folder, file, rows):
    pq.write_table(pa.Table.from_pylist(rows, pq.read_schema(folder / file)), folder / file)


def manifest(change):
    def damage(folder):
        content = json.loads((folder / "aims.json").read_text())
        change(content)
        (folder / "aims.json").write_text(json.dumps(content))

    return damage


def each_row(change, file=TRAIN):
    def damage(folder):
        rows = rows_of(folder, file)
        for row in rows:
            change(row)
        write(folder, file, rows)

    return damage


def swap_shards(folder):
    (folder / TRAIN).rename(folder / "other")
    (folder / TEST).rename(folder / TRAIN)
    (folder / "other").rename(folder / TEST)


def copy_test_into_train(folder):
    train = [{**row, "image_id": f"copy-{row['image_id']}"} for row in rows_of(folder, TEST)]
    write(folder, TRAIN, train)


def click_on_background(row):
    (y, x), *_ = np.argwhere(decode_instances(row["instances"]["bytes"]) == 0).tolist()
    row["objects"][0]["click_strict"] = [x, y]


#: Damages that a run does not see by itself: name -> how they are made. Checksums and numbers of rows follow.
BELIEVED = {
    "shards of two splits exchanged": swap_shards,
    "shards listed under the other split": manifest(
        lambda m: [m["files"][file].update(split=split) for file, split in ((TRAIN, "test"), (TEST, "train"))]
    ),
    "test pictures in train": copy_test_into_train,
    "wrong fingerprint": manifest(lambda m: m.update(fingerprint="0" * 64)),
    "another range": manifest(lambda m: m["dataset"]["streams"]["signal"].update(valid_range=[-9, 9])),
    "another missing value": manifest(lambda m: m["dataset"]["streams"]["signal"].update(missing=1)),
    "classes exchanged": manifest(lambda m: m["dataset"]["classes"].reverse()),
    "other counts of a split": manifest(lambda m: m["splits"]["train"].update(images=9)),
    "other counts of a file": manifest(lambda m: m["files"][TRAIN].update(instances=1)),
    "a file too many": lambda folder: shutil.copy(folder / TRAIN, folder / "data" / "more.parquet"),
    "clicks beside their instance": each_row(click_on_background),
    "wrong areas": each_row(lambda row: row["objects"][0].update(area=1), TEST),
    "wrong boxes": each_row(lambda row: row["objects"][0].update(bbox=[0, 0, 1, 1]), TEST),
    "other classes": each_row(
        lambda row: [item.update(class_id=3 - item["class_id"]) for item in row["objects"]]
    ),
    "no group": each_row(lambda row: row.update(group="")),
    "one name for all": each_row(lambda row: row.update(image_id="a")),
    "a row twice": lambda folder: write(folder, TEST, rows_of(folder, TEST) + rows_of(folder, TEST)[:1]),
    "other order": lambda folder: write(folder, TRAIN, rows_of(folder, TRAIN)[::-1]),
    "other values": each_row(lambda row: row["signal"].update(data=bytes(len(row["signal"]["data"]))), TEST),
}


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    return toys.made_up_set(tmp_path_factory.mktemp("believed") / "set", images=6, size=(24, 32)).folder


@pytest.fixture
def folder(whole, tmp_path):
    return shutil.copytree(whole, tmp_path / "set")


def follow(folder):
    """Writes the checksums and the numbers of rows that the damaged files have."""

    def change(content):
        for file, entry in content["files"].items():
            entry.update(sha256=sha256_file(folder / file), images=len(rows_of(folder, file)))

    manifest(change)(folder)


@pytest.mark.parametrize("name", BELIEVED)
def test_a_run_refuses_what_verify_refuses_before_it_writes_anything(aims, folder, tmp_path, name):
    BELIEVED[name](folder)
    follow(folder)
    assert aims("verify", folder)[0] == 1
    runs = tmp_path / "runs"
    options = ("--data", folder, "--runs", runs, "--method", "disc", "--modality", "signal")
    code, out, err = aims("run", *options)
    assert (code, out) == (2, "")
    line = err.splitlines()[-1]
    assert line.startswith(f"error: {folder}: ")
    assert f"`aims verify {folder}` lists all, and --trust takes the set as it is" in line
    assert not runs.exists()


def test_a_run_that_trusts_says_so_in_its_record(aims, folder, tmp_path):
    BELIEVED["wrong fingerprint"](folder)
    options = ("--data", folder, "--runs", tmp_path / "runs", "--method", "disc", "--modality", "signal")
    code, out, _ = aims("run", *options, "--trust", "--json")
    assert code == 0
    assert json.loads(out)["trusted"] is True
    # What is finished is answered from its record.
    assert aims("run", *options)[0] == 0
    assert aims("run", *options, "--fresh")[0] == 2


def test_a_run_of_a_sound_set_needs_no_word(aims, folder, tmp_path):
    options = ("--data", folder, "--runs", tmp_path / "runs", "--method", "disc", "--modality", "signal")
    code, out, _ = aims("run", *options, "--json")
    assert code == 0
    assert "trusted" not in json.loads(out)


def test_a_sweep_refuses_before_its_first_run(aims, folder, tmp_path):
    BELIEVED["wrong fingerprint"](folder)
    suite = tmp_path / "suite.toml"
    head = "".join(f'{key} = "x"\n' for key in ("title", "question", "found", "cost", "command"))
    suite.write_text(head + '[[grid]]\nmethod = "disc"\nmodality = "signal"\n')
    sweep = ("sweep", suite, "--data", folder, "--runs", tmp_path / "runs")
    code, out, err = aims(*sweep)
    assert (code, out) == (2, "")
    assert err.splitlines()[-1].startswith(f"error: {folder}: ")
    assert not (tmp_path / "runs").exists()
    code, out, _ = aims(*sweep, "--trust", "--json")
    assert code == 0, out
    assert [run["status"] for run in json.loads(out)["runs"]] == ["finished"]


@pytest.fixture
def in_time(aims):
    """Runs a command line as `aims` does, and fails where it waits."""

    def call(*arguments):
        with time_limit(_LIMIT_S):
            return aims(*arguments)

    return call


def pipe(path):
    path.unlink()
    os.mkfifo(path)


def link_away(path):
    outside = path.parents[2] / f"outside-{path.name}"
    path.rename(outside)
    path.symlink_to(outside)


def link_to_device(path):
    path.unlink()
    path.symlink_to("/dev/zero")


UNSAFE = pytest.mark.parametrize("replace", [pipe, link_away, link_to_device])


@UNSAFE
@pytest.mark.parametrize("name", ["aims.json", TRAIN, TEST, "README.md", "dropped.jsonl"])
def test_no_command_follows_what_leads_out_of_a_dataset(in_time, folder, tmp_path, name, replace):
    inner = shutil.move(folder, tmp_path / "outer" / "set")
    replace(inner / name)
    run = ("run", "--data", inner, "--runs", tmp_path / "runs", "--method", "disc", "--modality", "signal")
    commands = {
        "verify": ("verify", inner),
        "inspect": ("inspect", inner, "--all"),
        "view": ("view", inner, "--out", tmp_path / "page.html"),
        "audit": ("audit", inner),
        "export": ("export", inner, "--format", "coco", "--out", tmp_path / "coco"),
        "push": ("push", inner, "me/set"),
        "run": run,
        "trusting run": (*run, "--trust"),
    }
    refused = set()
    for command, words in commands.items():
        code, _, err = in_time(*words)
        if code:
            line = err.splitlines()[-1]
            assert line.startswith("error: "), (command, err)
            if name in (TRAIN, TEST):
                assert f"{name}: a link to " in line or f"{name}: not a regular file" in line
            refused.add(command)
    expected = {
        "README.md": {"push", "verify", "run"},
        "dropped.jsonl": {"push", "verify", "run", "inspect"},
    }
    assert refused == expected.get(name, {*commands})


@UNSAFE
@pytest.mark.parametrize("name", ["run.json", "instances.parquet", "metrics.jsonl", "weights.safetensors"])
def test_no_command_follows_what_leads_out_of_a_run(in_time, earlier, tmp_path, name, replace):
    run = shutil.copytree(earlier, tmp_path / "outer" / "runs" / earlier.name)
    replace(run / name)
    data = ("--data", EARLIER / "dataset")
    commands = {
        "verify": ("verify", run, *data),
        "evaluate": ("evaluate", run, *data, "--clicks", "1", "--jitter", "0"),
        "export-model": ("export-model", run, "--to", tmp_path / "model.pth"),
        "submit": ("submit", run, "--to", tmp_path, "--weights"),
        "push": ("push", run, "me/run"),
        "compare": ("compare", run, earlier, "--out", tmp_path / "pair.png"),
    }
    expected = {
        "run.json": {*commands},
        "instances.parquet": {"verify", "submit", "push", "compare"},
        "metrics.jsonl": {"verify", "submit", "push"},
        "weights.safetensors": {"evaluate", "export-model", "submit", "push"},
    }
    refused = set()
    for command, words in commands.items():
        code, _, err = in_time(*words)
        if code:
            assert err.splitlines()[-1].startswith("error: "), (command, err)
            refused.add(command)
    assert refused >= expected[name], refused
    # Looking at many runs waits for none and leaves this one out.
    assert in_time("watch", run.parent, "--json")[0] == 0
    in_time("report", "--runs", run.parent, "--out", tmp_path / "report", *data)


def test_the_lock_of_a_run_may_be_a_pipe(in_time, earlier, tmp_path):
    run = shutil.copytree(earlier, tmp_path / "runs" / earlier.name)
    os.mkfifo(run.with_name(f".{run.name}.lock"))
    assert in_time("watch", run.parent, "--json")[0] == 0


def test_a_submission_may_not_be_a_pipe(in_time, tmp_path):
    os.mkfifo(tmp_path / "run.aims.zip")
    for words in (("verify", tmp_path / "run.aims.zip"), ("predict", tmp_path / "run.aims.zip", tmp_path)):
        code, _, err = in_time(*words)
        assert code == 2, err
        assert err.startswith("error: "), err


def test_the_snapshots_of_the_hub_are_links_and_are_read(tmp_path):
    blobs, snapshot = tmp_path / "hub/blobs", tmp_path / "hub/snapshots/c0ffee"
    (snapshot / "data").mkdir(parents=True)
    blobs.mkdir()
    (blobs / "1").touch()
    for name, target in (("a.json", "../../blobs/1"), ("data/a.parquet", "../../../blobs/1")):
        (snapshot / name).symlink_to(target)
        assert own_file(snapshot / name, snapshot) == snapshot / name
    (snapshot / "b.json").symlink_to(tmp_path / "b.json")
    (tmp_path / "b.json").touch()
    with pytest.raises(InputError, match=r"b\.json: a link to .*, outside of"):
        own_file(snapshot / "b.json")
    # A folder of that name that leads elsewhere is none of the Hub's.
    blobs.rename(tmp_path / "elsewhere")
    blobs.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(InputError, match="a link to"):
        own_file(snapshot / "a.json")


def test_a_folder_that_is_a_link_is_read_as_one(aims, folder, tmp_path):
    (tmp_path / "linked").symlink_to(folder)
    assert aims("verify", tmp_path / "linked")[0] == 0
    (folder / "data" / "again.parquet").symlink_to("train-00000-of-00001.parquet")
    assert own_file(tmp_path / "linked/data/again.parquet", tmp_path / "linked").is_file()
