"""A run as one file: what goes in, and every file that is refused before anything is written."""

from __future__ import annotations

import hashlib
import json
import os
import re
import zipfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from aims.core.config import RunConfig
from aims.core.errors import InputError
from aims.core.submissions import SUFFIX, open_submission, pack, portable

CONFIG = RunConfig(
    method="simcmf",
    tuning="lora",
    modality="nir",
    dataset="ivrg-nir",
    fingerprint="f1" * 32,
    backbone="sam-vit-b",
    weights="random",
    epochs=50,
    lr=3e-4,
    batch_size=4,
    seed=0,
    protocol="strict",
    precision="float32",
    loss="dice-ce",
)
NAME = CONFIG.run_name


@pytest.fixture
def run(tmp_path):
    """The files of a run; what they hold is nothing to a submission."""
    folder = tmp_path / "runs" / NAME
    folder.mkdir(parents=True)
    record = {
        "version": 1,
        "status": "finished",
        "config": dict(vars(CONFIG)),
        "scores": {"miou": 0.5, "instances": 2, "images": 1, "epoch": 1},
        "command": ["/home/me/aims/__main__.py", "run", "--data", "/home/me/aims", "--runs=../me/runs/"],
    }
    (folder / "run.json").write_text(json.dumps(record))
    (folder / "instances.parquet").write_bytes(b"PAR1" + bytes(5000))
    (folder / "metrics.jsonl").write_text('{"epoch": 1}\n')
    (folder / "weights.safetensors").write_bytes(bytes(range(256)))
    (folder / "resume.safetensors").write_bytes(b"secret")
    return folder


def rewrite(path: Path, change=lambda members: None, compression=zipfile.ZIP_STORED) -> Path:
    """Writes a submission again with other members, by name; the manifest stays unless changed."""
    with zipfile.ZipFile(path) as archive:
        members = {info.filename: archive.read(info) for info in archive.infolist()}
    members = change(members) or members
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path


def test_what_is_packed(run, tmp_path):
    path = pack(run, tmp_path / "out")
    assert path == tmp_path / "out" / f"{NAME}{SUFFIX}"
    names = [
        f"{NAME}/{name}" for name in ("submission.json", "run.json", "instances.parquet", "metrics.jsonl")
    ]
    assert zipfile.ZipFile(path).namelist() == names
    assert "weights.safetensors" in open_submission(pack(run, tmp_path / "out", weights=True)).members


def test_the_same_run_gives_the_same_bytes(run, tmp_path):
    first = pack(run, tmp_path / "a", weights=True)
    for file in run.iterdir():
        os.utime(file, (1, 1))
        file.chmod(0o600)
    again = pack(run, tmp_path / "b", weights=True)
    assert first.read_bytes() == again.read_bytes()
    # Nor does it matter how often it went from hand to hand.
    unpacked = tmp_path / NAME
    assert open_submission(again).unpack(unpacked) == []
    assert pack(unpacked, tmp_path / "c", weights=True).read_bytes() == first.read_bytes()


def test_unpacked_it_is_what_was_packed(run, tmp_path):
    submission = open_submission(pack(run, tmp_path))
    assert submission.run == NAME
    folder = tmp_path / "there" / NAME
    assert submission.unpack(folder) == []
    for name in ("instances.parquet", "metrics.jsonl"):
        assert (folder / name).read_bytes() == (run / name).read_bytes()
    assert sorted(path.name for path in folder.iterdir()) == sorted(submission.members)


def test_the_command_names_no_folder(run, tmp_path):
    folder = tmp_path / "there"
    open_submission(pack(run, tmp_path)).unpack(folder)
    text = (folder / "run.json").read_text()
    assert "/home" not in text
    assert json.loads(text)["command"] == ["aims", "run", "--data", "aims", "--runs=runs"]


@pytest.mark.parametrize(
    ("word", "left"),
    [
        ("C:\\Users\\me\\x.pth", "x.pth"),
        ("~/data", "data"),
        ("--weights=/a/b.pth", "--weights=b.pth"),
        ("--lr=0.001", "--lr=0.001"),
        ("/", ""),
        ("key=value/x", "x"),
    ],
)
def test_of_a_path_its_last_part_is_left(word, left):
    assert portable({"command": ["aims", word]})["command"] == ["aims", left]


def test_records_without_a_command():
    assert portable({"scores": {}}) == {"scores": {}}
    assert portable({"command": []}) == {"command": []}


@pytest.mark.parametrize("missing", ["run.json", "instances.parquet", "metrics.jsonl", "weights.safetensors"])
def test_what_is_needed(run, tmp_path, missing):
    (run / missing).unlink()
    with pytest.raises(InputError, match=rf"{missing}: no such file"):
        pack(run, tmp_path / "out", weights=True)
    assert not (tmp_path / "out").exists()


def test_an_unfinished_run_is_not_packed(run, tmp_path):
    record = json.loads((run / "run.json").read_text())
    (run / "run.json").write_text(json.dumps({**record, "status": "running"}))
    with pytest.raises(InputError, match="the run is running, not finished"):
        pack(run, tmp_path)


def renamed(old, new):
    return lambda members: {name.replace(old, new): content for name, content in members.items()}


def with_manifest(**changes):
    def change(members):
        name = f"{NAME}/submission.json"
        members[name] = json.dumps({**json.loads(members[name]), **changes}).encode()

    return change


def without(name):
    return lambda members: {key: content for key, content in members.items() if not key.endswith(name)}


def nested(members):
    members[f"{NAME}/submission.json"] = b"[" * 60_000


def large_record(members):
    members[f"{NAME}/run.json"] = bytes((1 << 24) + 1)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (renamed("metrics.jsonl", "../metrics.jsonl"), "it holds '.*/../metrics.jsonl'"),
        (renamed("metrics.jsonl", "/etc/passwd"), "it holds"),
        (renamed(f"{NAME}/", "../"), "it has no submission.json"),
        (renamed(f"{NAME}/", "/"), "it has no submission.json"),
        (renamed(f"{NAME}/", ""), "it holds 'submission.json'"),
        (renamed(f"{NAME}/metrics", "other/metrics"), "it holds 'other/metrics.jsonl'"),
        (renamed("metrics.jsonl", "weights.pkl"), "it holds '.*weights.pkl'"),
        (without("submission.json"), "it has no submission.json"),
        (without("run.json"), "submission.json describes other members"),
        (with_manifest(run="another"), "submission.json describes other members"),
        (with_manifest(files={}), "submission.json describes other members"),
        (with_manifest(files=[1]), "submission.json: not a list of members: files: expected 'object'"),
        (with_manifest(version="1"), "submission.json: not a list of members: version: expected 'int'"),
        (with_manifest(version=None), "submission.json: not a list of members: version: expected 'int'"),
        (with_manifest(version=2), "version 2; update AIMS"),
        (large_record, "run.json is too large"),
        (nested, "submission.json: not readable as JSON"),
        (lambda members: {"readme": b""}, "it holds 'readme'"),
    ],
)
def test_other_members_are_refused(run, tmp_path, change, reason):
    path = rewrite(pack(run, tmp_path), change)
    with pytest.raises(InputError, match=reason):
        open_submission(path)


def test_what_is_compressed_is_refused(run, tmp_path):
    path = rewrite(pack(run, tmp_path), compression=zipfile.ZIP_DEFLATED)
    with pytest.raises(InputError, match=r"submission\.json is compressed or encrypted"):
        open_submission(path)


def test_members_that_lie_over_each_other_are_refused(run, tmp_path):
    """The directory says of a member that it is almost as long as the file."""
    path = pack(run, tmp_path)
    content = path.read_bytes()
    size = (run / "instances.parquet").stat().st_size
    old, new = size.to_bytes(4, "little"), (len(content) - 1).to_bytes(4, "little")
    assert content.count(old * 2) == 2
    path.write_bytes(content.replace(old * 2, new * 2))
    with pytest.raises(InputError, match="its members lie over each other"):
        open_submission(path)


def test_a_member_twice_is_refused(run, tmp_path):
    path = pack(run, tmp_path)
    with zipfile.ZipFile(path, "a") as archive, pytest.warns(UserWarning, match="Duplicate name"):
        archive.writestr(f"{NAME}/run.json", "{}")
    with pytest.raises(InputError, match=r"it holds '.*/run.json'"):
        open_submission(path)


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 cut short", b"not a zip file", bytes(100)])
def test_other_files_are_refused(tmp_path, content):
    (tmp_path / "file").write_bytes(content)
    with pytest.raises(InputError, match="no submission of a run"):
        open_submission(tmp_path / "file")


def test_a_file_cut_short_is_refused(run, tmp_path):
    path = pack(run, tmp_path)
    content = path.read_bytes()
    for length in (1, len(content) // 2, len(content) - 1):
        path.write_bytes(content[:length])
        with pytest.raises(InputError, match="no submission of a run"):
            open_submission(path)


def test_any_changed_byte_is_found(run, tmp_path):
    """Of the members' content at least: zip has bytes of its own that say nothing."""
    path = pack(run, tmp_path)
    whole = path.read_bytes()
    digest = hashlib.sha256((run / "instances.parquet").read_bytes()).hexdigest()
    for place in (whole.index(b'"miou": 0.5') + 10, whole.index(b"PAR1") + 9, whole.index(digest.encode())):
        content = bytearray(whole)
        content[place] ^= 1
        path.write_bytes(bytes(content))
        try:
            problems = open_submission(path).unpack(tmp_path / str(place) / NAME)
        except InputError:
            # The manifest: zip's own checksum of it.
            assert place == whole.index(digest.encode())
        else:
            assert problems


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_damage_of_any_kind_is_refused_or_named(run, tmp_path_factory, data):
    """Nothing but a folder of known names is ever written, and nothing else is ever raised."""
    folder = tmp_path_factory.mktemp("damaged")
    path = pack(run, folder / "out")
    content = bytearray(path.read_bytes())
    # The directory at the end is where a reader of zip files can be led astray.
    start = data.draw(st.sampled_from([0, content.index(b"PK\x01\x02")]))
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.integers(start, len(content) - 1))
        content[place] = data.draw(st.integers(0, 255))
    path.write_bytes(bytes(content[: data.draw(st.sampled_from([len(content), place + 1]))]))
    before = set(folder.rglob("*"))
    try:
        submission = open_submission(path)
    except InputError:
        assert set(folder.rglob("*")) == before
        return
    into = folder / "into"
    problems = submission.unpack(into)
    written = set(folder.rglob("*")) - before - {into}
    assert written == {into / name for name in submission.members} or problems
    assert all(file.parent == into for file in written)
    for name in submission.members:
        if not problems and name != "run.json":
            assert (into / name).read_bytes() == (run / name).read_bytes()


def test_a_directory_of_millions_of_entries_is_not_read(run, tmp_path):
    """zipfile makes an object of each of them."""
    path = pack(run, tmp_path)
    with zipfile.ZipFile(path, "a") as archive:
        for number in range(3000):
            archive.writestr(f"{NAME}/{number}", b"")
    with pytest.raises(InputError, match="its directory is too large"):
        open_submission(path)


@pytest.mark.parametrize(("name", "size"), [("samples.png", 1 << 26), ("metrics.jsonl", 1 << 24)])
def test_members_larger_than_any_run_has(run, tmp_path, name, size):
    with (run / name).open("wb") as file:
        file.truncate(size + 1)
    with pytest.raises(InputError, match=rf"{re.escape(name)} is too large"):
        open_submission(pack(run, tmp_path))
