"""An exported model that is loaded again answers as the run's, and hostile files of one do nothing."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

import aims
from aims.core.errors import InputError
from aims.engine.export import FORMATS, export_model
from aims.engine.export.formats import TOLERANCE
from aims.models.merging import layer_of
from exported import describe_streams, made_run


def edited(folder, **changes):
    path = folder / "model.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


@pytest.fixture
def exported(tmp_path):
    folder, _ = made_run(tmp_path / "runs")
    describe_streams(folder)
    return export_model(folder, tmp_path / "out", format="sam").folder


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"protocol": "paper"},
        {"method": "simcmf", "options": {"depth": 3, "kernel": 5}, "tuning": "full"},
        {"method": "random-embed", "tuning": "full"},
        {"method": "channel-batch", "tuning": "lora"},
        {"method": "zero-shot", "tuning": "none", "epochs": 0, "lr": 0.0, "batch_size": 1},
        {"method": "linear", "channels": 1},
    ],
    ids=lambda changes: "-".join(map(str, changes.values())) or "simcmf-lora",
)
def test_the_answers_are_the_runs(tmp_path, changes):
    folder, _ = made_run(tmp_path / "runs", **changes)
    channels = changes.get("channels", 4)
    describe_streams(folder, channels)
    out = export_model(folder, tmp_path / "out", format="sam").folder
    ours, theirs = (aims.load(each, device="cpu") for each in (folder, out))
    assert theirs.name == ours.name
    array = np.random.default_rng(0).uniform(-2, 3, (40, 52, channels)).astype(np.float32)
    array[3:9, 10:20] = np.nan
    array[20:30, :9] = -1  # missing, unless the protocol ignores it
    prompts = (
        {"points": [[20, 20], [3, 4]]},
        {"points": [[[20, 20], [40, 10]]], "labels": [[1, 0]]},
        {"boxes": [[10, 10, 30, 30]]},
        {"points": [[20, 20]], "mask": np.eye(40, 52, dtype=bool)},
    )
    for prompt in prompts:
        one, other = (model.predict(array, **prompt) for model in (ours, theirs))
        most = TOLERANCE * max(1, np.abs(one.mask_logits).max())
        assert np.abs(one.mask_logits - other.mask_logits).max() <= most
        assert np.allclose(one.scores, other.scores, atol=TOLERANCE)
    # The rules of the input are the run's, and so is what they refuse.
    with pytest.raises(InputError, match="model was trained on -2 to 3 K"):
        theirs.predict(array + 100, points=[[20, 20]])


@pytest.mark.parametrize("format", sorted(set(FORMATS) - {"sam"}))
def test_other_formats_are_named_with_what_loads_them(tmp_path, exported, format):
    edited(exported, format=format)
    with pytest.raises(InputError, match=f"exported as {format}, which is loaded by ") as caught:
        aims.load(exported)
    assert FORMATS[format].reader in str(caught.value)
    assert "\n" not in str(caught.value)


def test_an_export_of_an_early_version_is_read(exported):
    content = json.loads((exported / "model.json").read_text())
    del content["format"], content["requires"]
    (exported / "model.json").write_text(json.dumps(content))
    assert aims.load(exported).predict(np.zeros((9, 9, 4)), points=[[3, 3]]).masks.shape == (1, 9, 9)


CONV, LAST = "nn.Conv2d(4, 64, 3, padding=1)", "nn.Conv2d(64, 3, 1)"


@pytest.mark.parametrize(
    ("alignment", "reason"),
    [
        (["__import__('os').mkdir('made')"], "is none of nn.Conv2d"),
        (["nn.Conv2d(*[4, 64, 3])", LAST], "alignment: "),
        (["nn.Conv2d(**{'in_channels': 4})", LAST], "alignment: "),
        (["nn.Linear(4, 3)"], "is none of nn.Conv2d"),
        ([CONV, "nn.ReLU(inplace=__import__('os').mkdir('made'))", LAST], "alignment: "),
        (["nn.Conv2d(3, 64, 3, padding=1)", "nn.ReLU()", LAST], "alignment: "),
        ([CONV, "nn.ReLU()"], r"makes \(1, 64, 64, 64\) of an image"),
        ([CONV, "nn.ReLU()", "nn.Conv2d(64, 3, 5)"], r"makes \(1, 3, 60, 60\) of an image"),
        ([CONV, "nn.ReLU()", "nn.Conv2d(64, 3, 3, padding=1)"], "mis-shaped"),
        (["nn.Conv2d(", LAST], "alignment: "),
    ],
)
def test_alignments_are_data(exported, alignment, reason, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    edited(exported, alignment=alignment)
    with pytest.raises(InputError, match=reason) as caught:
        aims.load(exported)
    assert str(exported) in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "made").exists()


@pytest.mark.parametrize(
    "source",
    [
        *("nn.Conv2d(4, 64, 3, padding=1)", "nn.Conv2d(1, 3, (1, 3), stride=2, bias=False)", "nn.ReLU()"),
        *("nn.GELU(approximate='none')", "nn.Identity()"),
    ],
)
def test_a_layer_and_its_expression_are_each_others_inverse(source):
    from aims.models.merging import layer_source

    assert layer_source(layer_of(source)) == source


def test_what_does_not_fit_is_one_line(exported):
    with pytest.raises(InputError, match="holds all of its weights; leave --weights out"):
        aims.load(exported, weights="x.pth")
    edited(exported, backbone="sam-tiny")
    with pytest.raises(InputError, match=r"model\.safetensors: tensors do not fit the model"):
        aims.load(exported)
    edited(exported, backbone="sam-toy", views=0)
    with pytest.raises(InputError, match=r"model\.json: not the description"):
        aims.load(exported)
    edited(exported, views=1, version=99)
    with pytest.raises(InputError, match="version 99; update AIMS"):
        aims.load(exported)
    edited(exported, version=1)
    state = load_file(exported / "model.safetensors")
    save_file(
        state | {"image_encoder.patch_embed.proj.weight": torch.zeros(3)}, exported / "model.safetensors"
    )
    with pytest.raises(InputError, match="mis-shaped"):
        aims.load(exported)
    (exported / "model.safetensors").write_bytes(b"PK")
    with pytest.raises(InputError, match=r"model\.safetensors: damaged"):
        aims.load(exported)
    (exported / "model.safetensors").unlink()
    with pytest.raises(InputError, match=r"model\.safetensors: missing"):
        aims.load(exported)
