"""A run goes out as one file and comes back into somebody else's runs, unless anything of it was changed."""

from __future__ import annotations

import csv
import hashlib
import json
import os
import shutil
import signal
import subprocess
import zipfile

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import toys

from aims.core.records import INSTANCE_SCHEMA
from aims.engine.masks import encode_mask
from aims.engine.run import run
from aims.engine.submission import verify_submission


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A dataset, and a run on it."""
    folder = tmp_path_factory.mktemp("made")
    dataset = toys.made_up_set(folder / "data" / "made-up")
    record, _ = run(toys.job(dataset, folder / "runs", epochs=2))
    return folder, record.path


@pytest.fixture
def submission(aims, made, tmp_path):
    """The run's file, which may be changed."""
    code, out, err = aims("submit", made[1], "--to", tmp_path / "out", "--json")
    assert code == 0, err
    (said,) = json.loads(out)["submissions"]
    path = tmp_path / "out" / f"{made[1].name}.aims.zip"
    assert said["file"] == str(path)
    assert said["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
    return path


def change(path, name, edit, *, manifest):
    """Edits a member as a path, and the manifest to match where asked."""
    with zipfile.ZipFile(path) as archive:
        members = {info.filename: archive.read(info) for info in archive.infolist()}
    (key,) = (key for key in members if key.endswith(f"/{name}"))
    file = path.with_name(name)
    file.write_bytes(members[key])
    edit(file)
    members[key] = file.read_bytes()
    if manifest:
        listed = key.replace(name, "submission.json")
        content = json.loads(members[listed])
        digest = hashlib.sha256(members[key]).hexdigest()
        content["files"][name] = {"bytes": len(members[key]), "sha256": digest}
        members[listed] = json.dumps(content).encode()
    with zipfile.ZipFile(path, "w") as archive:
        for key, content in members.items():
            archive.writestr(key, content)


def record(*keys, value):
    """Changes one value of run.json."""

    def edit(file):
        content = whole = json.loads(file.read_text())
        for key in keys[:-1]:
            content = content[key]
        content[keys[-1]] = value
        file.write_text(json.dumps(whole))

    return edit


def rows(edit_rows):
    def edit(file):
        found = pq.read_table(file).to_pylist()
        edit_rows(found)
        pq.write_table(pa.Table.from_pylist(found, INSTANCE_SCHEMA), file)

    return edit


def better(found):
    found[0]["iou"] = found[0]["iou_native"] = 1.0


def painted(found):
    found[0]["rle_native"] = encode_mask(np.ones(found[0]["rle_native"]["size"], bool))


def moved(found):
    found[0]["click"] = [0, 0]


def test_there_and_back(aims, made, submission, tmp_path):
    folder, path = made
    theirs = tmp_path / "theirs"
    code, out, err = aims("verify", submission, "--data", folder / "data", "--into", theirs)
    assert code == 0, err
    assert "images verified, no problem found\ncheck: dataset (every score follows from" in out
    assert f"\nadded to {theirs}\n" in out
    assert {entry.name for entry in theirs.iterdir()} == {path.name, f".{path.name}.check.json"}
    assert not (theirs / path.name / "weights.safetensors").exists()
    # It stands in their tables, is verified as a run, and is packed to the same bytes.
    code, out, err = aims("report", "--runs", theirs, "--out", tmp_path / "report", "--data", tmp_path)
    assert (code, err) == (0, "")
    assert "simcmf, full" in (tmp_path / "report" / "comparison.md").read_text()
    assert aims("verify", theirs / path.name, "--data", folder / "data")[0] == 0
    code, _, _ = aims("submit", theirs / path.name, "--to", tmp_path / "again")
    assert code == 0
    assert (tmp_path / "again" / submission.name).read_bytes() == submission.read_bytes()
    code, _, err = aims("verify", submission, "--data", folder / "data", "--into", theirs)
    assert code == 2
    assert "is there already" in err


def test_with_weights_the_model_comes_back(aims, made, tmp_path):
    folder, path = made
    code, out, err = aims("submit", path, "--to", tmp_path, "--weights")
    assert code == 0, err
    assert "bytes, SHA-256 " in out
    assert (
        aims(
            "verify", tmp_path / f"{path.name}.aims.zip", "--into", tmp_path / "in", "--data", folder / "data"
        )[0]
        == 0
    )
    code, _, err = aims("evaluate", tmp_path / "in" / path.name, "--data", folder / "data", "--clicks", "1")
    assert code == 0, err


@pytest.mark.parametrize(
    ("name", "edit", "reason"),
    [
        ("run.json", record("scores", "miou", value=0.999), "run.json: miou is 0.999, recomputed 0."),
        ("run.json", record("scores", value=[]), "not a run record: scores: expected 'object | null'"),
        ("run.json", record("scores", "epoch", value=1), "run.json: epoch is 1, the best of metrics.jsonl"),
        ("run.json", record("images", "test", value=3), "run.json: 3 images of test, the dataset has 4"),
        ("run.json", record("parameters", "total", value=1), "run.json: parameters are "),
        (
            "run.json",
            record("config", "lr", value=0.5),
            "run.json: its configuration is that of made-up-signal",
        ),
        ("run.json", record("config", "lr", value=-1), "lr must be a positive number"),
        ("run.json", record("status", value="running"), "the run is running, not finished"),
        ("run.json", lambda file: file.write_bytes(b"[" * 9000), "not readable as JSON"),
        (
            "metrics.jsonl",
            lambda file: file.write_bytes(b"[" * 2500),
            "metrics.jsonl, line 1: not readable as JSON",
        ),
        ("instances.parquet", lambda file: file.write_bytes(b"PAR1"), "not readable as the instances"),
        ("instances.parquet", rows(better), "iou is 1.0, recomputed 0."),
        ("instances.parquet", rows(painted), "iou is 0."),
        ("instances.parquet", rows(moved), "click is [0, 0], recomputed ["),
        ("instances.parquet", rows(lambda found: found.pop()), "is missing"),
        ("instances.parquet", rows(lambda found: found.append(found.pop(0) | found[0])), "is there twice"),
        ("instances.parquet", rows(lambda found: found.extend(found * 9)), "more than the"),
    ],
)
def test_what_was_changed_is_refused(aims, made, submission, tmp_path, name, edit, reason):
    into = tmp_path / "theirs"
    arguments = ("verify", submission, "--data", made[0] / "data", "--into", into)
    honest = submission.read_bytes()
    change(submission, name, edit, manifest=True)
    code, out, err = aims(*arguments)
    assert code == 1, err
    assert reason in out
    assert err.startswith(f"error: {submission}: ")
    assert ".unpacked-" not in out + err
    assert list(into.iterdir()) == []
    # Without a manifest to match, the checksum tells; of another length it is not even opened.
    submission.write_bytes(honest)
    change(submission, name, edit, manifest=False)
    code, out, err = aims(*arguments)
    assert (code, f"{name}: SHA-256 is" in out) in {(1, True), (2, False)}
    assert err.count("\n") == 1


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_nothing_is_left_of_what_was_interrupted(made, submission, tmp_path, number):
    into, before = tmp_path / "theirs", signal.getsignal(number)
    with pytest.raises(KeyboardInterrupt):
        verify_submission(
            submission,
            made[0] / "data",
            into=into,
            on_progress=lambda images: os.kill(os.getpid(), number),
        )
    assert list(into.iterdir()) == []
    assert signal.getsignal(number) == before


def test_a_changed_dataset_is_named(aims, made, submission, tmp_path):
    data = shutil.copytree(made[0] / "data", tmp_path / "data")
    (shard,) = data.glob("made-up/data/test-*.parquet")
    content = bytearray(shard.read_bytes())
    content[len(content) // 2] ^= 1
    shard.write_bytes(bytes(content))
    code, out, _ = aims("verify", submission, "--data", data)
    assert code == 1
    assert out.startswith(f"dataset {data / 'made-up'}: ")


def test_the_wrong_file(aims, made, submission, tmp_path):
    (tmp_path / "note.txt").write_text("a note")
    for arguments, message in (
        ((tmp_path / "note.txt",), "no submission of a run"),
        ((made[1] / "instances.parquet",), "no submission of a run"),
        ((submission, "--data", toys.made_up_set(tmp_path / "other", images=4).folder), "which is not in"),
        ((made[1], "--into", tmp_path), "leave --into out"),
    ):
        code, out, err = aims("verify", *arguments)
        assert (code, out) == (2, "")
        assert message in err
        assert ".unpacked-" not in err
        assert err.count("\n") == 1
    for run_folder in (tmp_path, submission):
        code, _, err = aims("submit", run_folder, "--to", tmp_path / "none")
        assert code == 2
        assert "run.json" in err
    assert not (tmp_path / "none").exists()


def test_levels_of_check(aims, made, tmp_path):
    """Own files, the dataset, the model: each verification says and keeps how far it got."""
    folder, path = made
    data = ("--data", folder / "data")

    def level(runs):
        report = tmp_path / "report"
        assert aims("report", "--runs", runs, "--out", report)[0] == 0
        with (report / "results.csv").open() as file:
            (line,) = csv.DictReader(file)
        return line["check"]

    assert level(path.parent) == "own run"
    code, _, err = aims("submit", path, "--to", tmp_path, "--weights")
    assert code == 0, err
    file = tmp_path / f"{path.name}.aims.zip"
    code, out, err = aims("verify", file, *data, "--rerun", "--into", tmp_path / "in", "--device", "cpu")
    assert code == 0, err
    assert "check: rerun (its weights give its masks here)\nnot checked: seconds, device" in out
    theirs = tmp_path / "in"
    assert level(theirs) == "rerun"
    # Verified less, it keeps its level, and changed, it has none.
    code, out, err = aims("verify", theirs / path.name, *data, "--json")
    assert (code, json.loads(out)["check"]) == (0, "rerun")
    with (theirs / path.name / "run.json").open("a") as record_file:
        record_file.write(" ")
    assert level(theirs) == "files"
    assert aims("verify", theirs / path.name, *data)[0] == 0
    assert level(theirs) == "dataset"
    # Unpacked by hand it is what it says, whatever it brings along.
    by_hand = shutil.copytree(path, tmp_path / "hand" / path.name)
    shutil.copy(path.parent / f".{path.name}.check.json", by_hand)
    assert level(by_hand.parent) == "files"


def test_a_rerun_needs_the_weights(aims, made, submission, tmp_path):
    folder, _ = made
    into = tmp_path / "in"
    code, out, err = aims("verify", submission, "--data", folder / "data", "--rerun", "--into", into)
    assert (code, out) == (2, "")
    assert f"error: {submission}: holds no weights, so that its masks cannot be predicted again" in err
    assert list(into.iterdir()) == []
    code, _, err = aims("verify", folder / "data" / "made-up", "--rerun")
    assert (code, "no run and no submission; leave --rerun out" in err) == (2, True)


@pytest.fixture
def signed(aims, made, tmp_path):
    """A signed submission, and the file of those who may sign."""
    key = tmp_path / "key"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "", "-f", key], check=True)
    code, _, err = aims("submit", made[1], "--to", tmp_path / "signed", "--sign", key)
    assert code == 0, err
    (tmp_path / "allowed").write_text(f"alice@example.org {key.with_suffix('.pub').read_text()}")
    return tmp_path / "signed" / f"{made[1].name}.aims.zip", tmp_path / "allowed"


def test_a_signed_submission(aims, made, signed, tmp_path, monkeypatch):
    (file, allowed), data = signed, ("--data", made[0] / "data")
    into = tmp_path / "in"
    code, out, err = aims("verify", file, *data, "--allowed-signers", allowed, "--into", into)
    assert code == 0, out + err
    assert "\nsigned by alice@example.org\n" in out
    assert aims("report", "--runs", into, "--out", tmp_path / "report")[0] == 0
    assert "alice@example.org" in (tmp_path / "report" / "index.html").read_text("utf-8")
    # Its name stays when the run is verified later.
    code, out, _ = aims("verify", into / made[1].name, *data, "--json")
    assert json.loads(out)["signer"] == "alice@example.org"
    # Who does not ask is told that there is something to ask, with and without ssh-keygen.
    for path in (os.environ["PATH"], str(tmp_path)):
        monkeypatch.setenv("PATH", path)
        code, out, err = aims("verify", file, *data)
        assert code == 0, out + err
        assert "signed, it is not checked by whom: give --allowed-signers" in out
    code, out, err = aims("verify", file, *data, "--allowed-signers", allowed)
    assert (code, out, err.startswith("error: ssh-keygen: not installed"), err.count("\n")) == (
        2,
        "",
        True,
        1,
    )


def test_what_was_changed_after_it_was_signed_is_refused(aims, made, signed, submission, tmp_path):
    (file, allowed), into = signed, tmp_path / "in"
    change(file, "run.json", record("seconds", value=1.0), manifest=True)
    for options in ((), ("--allowed-signers", allowed)):
        code, out, _ = aims("verify", file, "--data", made[0] / "data", "--into", into, *options)
        assert (code, out) == (1, "submission.json.sig: no signature of submission.json\n")
    # Nor does one without a signature pass.
    code, out, _ = aims("verify", submission, "--data", made[0] / "data", "--allowed-signers", allowed)
    assert (code, out) == (1, f"{submission}: nobody signed it\n")
    code, _, err = aims("verify", made[1], "--allowed-signers", allowed)
    assert (code, "leave --allowed-signers out" in err) == (2, True)


def test_a_signer_who_is_not_allowed(aims, made, signed, tmp_path):
    (file, _), nobody = signed, tmp_path / "nobody"
    nobody.write_text("")
    code, out, _ = aims("verify", file, "--data", made[0] / "data", "--allowed-signers", nobody)
    assert (code, out) == (1, f"submission.json.sig: of no signer whom {nobody} allows\n")
