"""`aims push`, and `hf://` wherever something is read, against a server that speaks the Hub's protocol."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import hub_server
import huggingface_hub
import numpy as np
import pytest
import torch
import toys
from tiny_set import Tiny

from aims.core.errors import AimsError, InputError
from aims.core.records import RunRecord
from aims.core.schema import DatasetSpec
from aims.data.hub import local_folder, local_path, parse_reference
from aims.data.manifest import MANIFEST, read_manifest
from aims.data.push import may_be_passed_on
from aims.data.write import convert
from aims.engine.export import export_model
from aims.engine.restore import load_model
from aims.engine.run import run
from exported import describe_streams, made_run
from helpers import file_digests

# huggingface_hub 2.4 with httpx2, when it sends a large file.
pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")


@pytest.fixture
def hub(tmp_path, monkeypatch):
    monkeypatch.setenv("AIMS_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("HF_TOKEN", "hf_made_up")
    # What the variables of the same names set when the package is imported: this server has no Xet.
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_DISABLE_XET", True)
    with hub_server.running() as server:
        monkeypatch.setenv("HF_ENDPOINT", server.url)
        yield server
    huggingface_hub.close_session()


class Free(Tiny):
    """The tiny set under a licence that lets it be passed on."""

    def spec(self) -> DatasetSpec:
        return replace(super().spec(), license="CC0-1.0")


@pytest.fixture(scope="module")
def restricted(tmp_path_factory):
    """A set whose licence does not say that it may be passed on."""
    folder = tmp_path_factory.mktemp("push") / "tiny"
    convert(Tiny(raw=folder.parent), folder)
    return folder


@pytest.fixture(scope="module")
def free(tmp_path_factory):
    folder = tmp_path_factory.mktemp("push") / "free"
    convert(Free(raw=folder.parent), folder)
    return folder


def test_a_dataset_there_and_back(aims, hub, free):
    code, out, err = aims("push", free, "me/tiny")
    assert (code, err) == (0, "")
    assert "hf://datasets/me/tiny" in out
    assert hub.repos["datasets", "me/tiny"].private
    # Contents first: the one commit that names them is the last that is sent.
    verbs = [
        path
        for verb, path in hub.asked
        if verb in ("PUT", "POST") and ("/lfs/" in path or "/commit/" in path)
    ]
    assert ["commit" in path for path in verbs] == [False] * (len(verbs) - 1) + [True]
    folder = local_folder("hf://datasets/me/tiny")
    assert file_digests(folder) == file_digests(free)
    assert aims("inspect", "hf://me/tiny", "--json")[0] == 0
    # What was checked once is neither fetched nor read again.
    before = len(hub.sent("GET", "/resolve/"))
    assert local_folder("hf://datasets/me/tiny") == folder
    assert len(hub.sent("GET", "/resolve/")) == before
    hub.shutdown()
    hub.server_close()
    assert local_folder("hf://datasets/me/tiny") == folder


def test_what_the_hub_holds_is_not_sent_again(aims, hub, free, tmp_path):
    hub.refuse_after = 1
    code, _, err = aims("push", free, "me/tiny")
    assert code == 1
    assert "Error while uploading" in err
    assert "Bad request: gone" in err
    # Nobody sees a part of the set.
    assert hub.repos["datasets", "me/tiny"].commits[hub.repos["datasets", "me/tiny"].branches["main"]] == {}
    hub.refuse_after = None
    shards = len(read_manifest(free / MANIFEST).files)
    assert aims("push", free, "me/tiny")[0] == 0
    assert len(hub.sent("PUT", "/lfs/")) == shards + 1
    hub.asked.clear()
    assert aims("push", free, "me/tiny")[0] == 0
    assert not hub.sent("PUT", "/lfs/")
    assert not hub.sent("POST", "/commit/")


def test_shards_of_an_older_state_go(aims, hub, free, tmp_path):
    repo = "datasets", "me/tiny"
    assert aims("push", free, "me/tiny")[0] == 0
    first = hub.repos[repo].branches["main"]
    tree = {**hub.repos[repo].commits[first], "data/old-00000-of-00001.parquet": ("lfs", "0" * 64)}
    hub.contents["0" * 64] = b"old"
    hub.repos[repo].commit("main", tree)
    assert aims("push", free, "me/tiny")[0] == 0
    assert (
        hub.repos[repo].commits[hub.repos[repo].branches["main"]].keys()
        == hub.repos[repo].commits[first].keys()
    )
    # The earlier state is still there under its commit.
    assert file_digests(local_folder(f"hf://datasets/me/tiny@{first}")) == file_digests(free)


def test_revisions(aims, hub, free):
    assert aims("push", free, "me/tiny", "--revision", "draft")[0] == 0
    repo = hub.repos["datasets", "me/tiny"]
    assert repo.commits[repo.branches["main"]] == {}
    assert file_digests(local_folder("hf://me/tiny@draft", "dataset")) == file_digests(free)
    with pytest.raises(InputError, match="hf://datasets/me/tiny@none: no such revision"):
        local_folder("hf://datasets/me/tiny@none")
    with pytest.raises(InputError, match="hf://me/none: no such model, or a private one"):
        local_folder("hf://me/none")


def test_licences(aims, hub, restricted):
    code, _, err = aims("push", restricted, "me/tiny")
    assert code == 2
    assert "the licence, 'none & <free>', is not known to let others pass the recordings on" in err
    assert not hub.asked
    code, _, err = aims("push", restricted, "me/tiny", "--public", "--despite-licence")
    assert code == 2
    assert not hub.asked
    assert aims("push", restricted, "me/tiny", "--despite-licence")[0] == 0
    repo = hub.repos["datasets", "me/tiny"]
    assert repo.private
    # A repository that was made public since then gets nothing more.
    repo.private, before = False, dict(repo.branches)
    assert aims("push", restricted, "me/tiny", "--despite-licence")[0] == 2
    assert repo.branches == before


@pytest.mark.parametrize(
    "words",
    [
        "CC0-1.0",
        "CC-BY-4.0",
        "cc by-nc-sa 4.0",
        "Apache-2.0",
        "MIT; ODbL",
        "BSD-3-Clause",
        "GPLv3",
        "Attribution-NonCommercial-ShareAlike License",
    ],
)
def test_free_licences(words):
    assert may_be_passed_on(words)


@pytest.mark.parametrize(
    "words",
    [
        "non-commercial research",
        "not stated; research use",
        "CC-BY-NC-ND-4.0",
        "MIT; not stated",
        "",
        "emit",
        "Mitsubishi",
        "CC BY 4.0, no redistribution",
        "Apache; forbidden",
        "Attribution-NoDerivs License",
    ],
)
def test_other_licences(words):
    assert not may_be_passed_on(words)


def test_public(aims, hub, free):
    assert aims("push", free, "me/tiny", "--public")[0] == 0
    assert not hub.repos["datasets", "me/tiny"].private


def test_a_damaged_download_is_refused_and_fetched_again(aims, hub, free):
    assert aims("push", free, "me/tiny")[0] == 0
    hub.spoilt = next(iter(read_manifest(free / MANIFEST).files))
    code, _, err = aims("inspect", "hf://me/tiny")
    assert code == 1
    assert f"hf://datasets/me/tiny: {hub.spoilt} has the checksum" in err
    hub.spoilt = None
    assert aims("inspect", "hf://me/tiny")[0] == 0


def test_the_manifest_is_checked_too(hub, aims, free):
    """Whoever changes a shard on the Hub changes what the Hub says of it, and not the manifest."""
    assert aims("push", free, "me/tiny")[0] == 0
    repo = hub.repos["datasets", "me/tiny"]
    tree = dict(repo.commits[repo.branches["main"]])
    shard = next(iter(read_manifest(free / MANIFEST).files))
    other = b"something else"
    oid = hashlib.sha256(other).hexdigest()
    hub.contents[oid] = other
    repo.commit("main", tree | {shard: ("lfs", oid)})
    with pytest.raises(AimsError, match=rf"{shard}, which aims.json names, is not what was pushed with it"):
        local_folder("hf://datasets/me/tiny")
    del tree[shard]
    repo.commit("main", tree)
    with pytest.raises(AimsError, match=rf"{shard}, which aims.json names, is missing"):
        local_folder("hf://datasets/me/tiny")


def test_hostile_repositories(hub, tmp_path):
    content = b"{}"
    oid = hub_server.blob_id(content)
    hub.contents[oid] = content
    hub.repos["models", "evil/one"] = hub_server.Repo(private=False)
    hub.repos["models", "evil/one"].commit("main", {"../../../../out.json": ("regular", oid)})
    with pytest.raises(AimsError):
        local_folder("hf://evil/one")
    assert not [path for path in tmp_path.rglob("out.json") if "evil" not in str(path)]
    hub.repos["models", "evil/two"] = hub_server.Repo(private=False)
    hub.repos["models", "evil/two"].commit(
        "main", {"run.json": ("regular", oid), "weights.pkl": ("regular", oid)}
    )
    # A pickle is not even fetched.
    assert file_digests(local_folder("hf://evil/two")).keys() == {"run.json"}


@pytest.mark.parametrize(
    "text",
    [
        "hf://",
        "hf://name",
        "hf://a/b/c",
        "hf://../b",
        "hf://a/b@",
        "hf://a/b@../c",
        "hf://a/..",
        "hf://datasets/a",
        "hf://spaces/a",
    ],
)
def test_no_references(text):
    with pytest.raises(InputError, match="not a repository of the Hub"):
        parse_reference(text)


def test_no_folder_to_push(aims, hub, tmp_path, free):
    code, _, err = aims("push", tmp_path, "me/tiny")
    assert code == 2
    assert "no dataset (aims.json), no run (run.json) and no exported model" in err
    code, _, err = aims("push", free, "hf://models/me/tiny")
    assert code == 2
    assert "this is a dataset" in err
    broken = tmp_path / "broken"
    shutil.copytree(free, broken)
    shard = broken / next(iter(read_manifest(free / MANIFEST).files))
    shard.unlink()
    code, _, err = aims("push", broken, "me/tiny")
    assert (code, str(shard) in err) == (2, True)
    assert not hub.asked


@pytest.fixture
def a_run(tmp_path):
    """A run, with what a tracker leaves beside it."""
    dataset = toys.made_up_set(tmp_path / "made-up")
    record, _ = run(toys.job(dataset, tmp_path / "runs", epochs=1))
    (record.path / "tensorboard").mkdir()
    (record.path / "tensorboard" / "events.json").write_text("{}")
    return record


def test_a_run_there_and_back(aims, hub, a_run, tmp_path):
    code, _, err = aims("push", a_run.path, "hf://me/model", "--json")
    assert code == 0, err
    repo = hub.repos["models", "me/model"]
    tree = repo.commits[repo.branches["main"]]
    # The licence of the made-up set is not free: its pictures stay here.
    assert set(tree) == {
        *("README.md", "run.json", "metrics.jsonl", "instances.parquet", "weights.safetensors"),
    }
    folder = local_folder("hf://me/model")
    assert RunRecord.load(folder).scores == a_run.scores
    card = (folder / "README.md").read_text()
    assert card.startswith("---\n")
    assert a_run.config.run_name in card
    assert str(tmp_path) not in (folder / "run.json").read_text()
    # Everything that reads a run reads it from there.
    built = load_model(folder).state_dict()
    assert all(torch.equal(value, built[name]) for name, value in load_model(a_run.path).state_dict().items())
    assert local_path("hf://me/model") == folder
    assert local_path("runs/x") == Path("runs/x")
    code, out, err = aims("watch", folder, "--json")
    assert json.loads(out)["runs"][0]["state"] == "finished"


def test_an_exported_model(aims, hub, tmp_path):
    for name in (
        "README.md",
        "model.json",
        "model.safetensors",
        "onnx/encoder.onnx",
        "onnx/encoder.onnx.data",
        "notes.txt",
        "model.pkl",
    ):
        path = tmp_path / "exported" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(name.encode())
    code, _, err = aims("push", tmp_path / "exported", "me/model")
    assert code == 0
    assert [line.split(":")[1].strip() for line in err.splitlines()] == ["model.pkl", "notes.txt"]
    found = file_digests(local_folder("hf://me/model"))
    onnx = {"onnx/encoder.onnx", "onnx/encoder.onnx.data"}
    assert found.keys() == {"README.md", "model.json", "model.safetensors", *onnx}
    # A dataset and a model of one name are two repositories.
    with pytest.raises(InputError, match="no such dataset"):
        local_folder("hf://datasets/me/model")


def test_programs_are_not_sent(aims, hub, tmp_path):
    for name in ("README.md", "model.json", "encoder.pt2", "decoder.pt2"):
        (tmp_path / name).write_bytes(b"{}")
    code, _, err = aims("push", tmp_path, "me/model")
    assert code == 2
    assert "holds no weights of a kind that is sent (.safetensors, .onnx)" in err
    assert not hub.asked


def test_a_pushed_export_answers_prompts(aims, hub, tmp_path):
    folder, _ = made_run(tmp_path / "runs", channels=1)
    describe_streams(folder, 1)
    exported = export_model(folder, tmp_path / "exported").folder
    assert aims("push", exported, "me/model")[0] == 0
    np.save(tmp_path / "a.npy", np.random.default_rng(0).uniform(-2, 3, (20, 30)).astype(np.float32))
    (tmp_path / "clicks.csv").write_text("image,x,y\na.npy,10,10\n")
    written = []
    for model in (folder, exported, "hf://me/model"):
        out = tmp_path / f"out-{len(written)}"
        words = ("--prompts", tmp_path / "clicks.csv", "--out", out, "--device", "cpu")
        assert aims("predict", model, tmp_path / "a.npy", *words)[0] == 0
        written.append((out / "masks" / "a.png").read_bytes())
    assert len(set(written)) == 1
    code, _, err = aims("predict", exported, tmp_path / "a.npy", *words, "--weights", "x.pth")
    assert (code, "leave --weights out" in err) == (2, True)


@pytest.mark.thorough
def test_the_variables_are_enough(hub, free, tmp_path):
    """In a process of its own, set up as a user does, by variables alone."""
    environment = {**os.environ, "HF_HUB_OFFLINE": "0", "HF_HUB_DISABLE_XET": "1", "HF_ENDPOINT": hub.url}
    call = [sys.executable, "-m", "aims"]
    options = {"env": environment, "capture_output": True, "text": True}
    sent = subprocess.run([*call, "push", str(free), "me/tiny"], **options)
    assert sent.returncode == 0, sent.stderr
    read = subprocess.run([*call, "inspect", "hf://me/tiny", "--json"], **options)
    assert read.returncode == 0, read.stderr
    assert "CC0-1.0" in read.stdout
