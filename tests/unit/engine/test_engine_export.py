"""Exported models: what is written is the run's model, and is used without AIMS."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import toys
from safetensors.torch import load_file

from aims.core.errors import AimsError, InputError
from aims.core.records import Preprocessing, RunRecord
from aims.core.schema import StreamSpec
from aims.core.vocabulary import PROTOCOLS
from aims.engine.export import export_model
from aims.engine.export.card import model_card
from aims.engine.export.description import describe_input
from aims.engine.export.formats import Origin
from aims.engine.inputs import Channels, to_input
from aims.methods import BACKBONES
from exported import CHANNELS, changed, code_blocks, describe_streams, made_run, outputs, run_cards


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    return toys.made_up_set(tmp_path_factory.mktemp("sets") / "made-up", channels=CHANNELS)


def assert_card_computes(seen, model):
    """The card's outputs are the model's on the card's images and clicks."""
    seen = {name: torch.tensor(values) for name, values in seen.items()}
    assert seen["images"].shape == (1, model.in_channels, model.image_size, model.image_size)
    embeddings, logits = outputs(model, seen["images"], seen["point_coords"])
    assert torch.allclose(seen["embeddings"], embeddings, rtol=1e-5, atol=1e-5)
    assert torch.allclose(seen["mask_logits"], logits, rtol=1e-5, atol=1e-5)
    assert logits.std() > 1e-3  # not all the same, or nothing would be compared


SEEN = ("images", "point_coords", "embeddings", "mask_logits")


@pytest.mark.thorough
def test_the_card_works_where_only_what_it_names_is_installed(tmp_path):
    runs = [
        made_run(tmp_path / "runs", method="simcmf", options={"depth": 3, "kernel": 5}),
        made_run(tmp_path / "runs", method="random-embed", backbone="sam-tiny"),
        made_run(tmp_path / "runs", method="channel-batch", tuning="full"),
    ]
    folders = [export_model(folder, tmp_path / "out" / folder.name).folder for folder, _ in runs]
    for (_, model), seen in zip(runs, run_cards(folders, SEEN, tmp_path), strict=True):
        assert_card_computes(seen, model)


@pytest.mark.slow
@pytest.mark.parametrize("method", ["simcmf", "random-embed"])
def test_the_card_of_a_backbone_of_real_size_works(tmp_path, method):
    folder, model = made_run(tmp_path / "runs", method=method, backbone="sam-vit-b")
    out = export_model(folder, tmp_path / "out").folder
    assert 'sam_model_registry["vit_b"]()' in code_blocks(out)
    (seen,) = run_cards([out], SEEN, tmp_path)
    assert_card_computes(seen, model)


def test_loading_takes_twelve_lines_with_the_authors_registry(tmp_path):
    folder, _ = made_run(tmp_path / "runs", channels=1)
    description = export_model(folder, tmp_path / "out").description
    for backbone, name in (("sam-vit-b", "vit_b"), ("sam-vit-l", "vit_l"), ("sam-vit-h", "vit_h")):
        loading = model_card({**description, "backbone": backbone}).split("```python\n")[1].split("```")[0]
        assert f'sam = sam_model_registry["{name}"]()\n' in loading
        assert len([line for line in loading.splitlines() if line]) <= 12
        compile(loading, backbone, "exec")
        if backbone == "sam-vit-b":
            # The page shows what a card says.
            assert loading in (Path(__file__).parents[3] / "docs" / "export.md").read_text()


def test_what_is_written(tmp_path, dataset):
    folder, model = made_run(tmp_path / "runs", fingerprint=dataset.fingerprint, limit=5)
    spec = dataclasses.asdict(dataset.spec)
    changed(folder, dataset={name: spec[name] for name in ("license", "citation", "url", "streams")})
    result = export_model(folder, tmp_path / "out")
    assert sorted(path.name for path in result.folder.iterdir()) == [
        *("README.md", "alignment.safetensors", "model.json", "model.safetensors")
    ]
    state, plain = load_file(result.folder / "model.safetensors"), BACKBONES["sam-toy"].build().state_dict()
    assert {name: t.shape for name, t in state.items()} == {name: t.shape for name, t in plain.items()}
    attention = model.image_encoder.blocks[0].attn
    assert torch.equal(state["image_encoder.blocks.0.attn.qkv.weight"], attention.qkv.folded_weight())
    assert not torch.equal(state["image_encoder.blocks.0.attn.qkv.weight"], attention.qkv.weight)
    alignment = load_file(result.folder / "alignment.safetensors")
    assert {name: tuple(t.shape) for name, t in alignment.items()} == {
        "0.weight": (64, 4, 3, 3),
        "0.bias": (64,),
        "2.weight": (3, 64, 1, 1),
        "2.bias": (3,),
    }
    said = json.loads((result.folder / "model.json").read_text())
    assert said == json.loads(json.dumps(result.description))
    assert said["input"] == {
        "size": 64,
        "channels": 4,
        "streams": [
            {
                "name": "signal",
                "channels": 4,
                "unit": "V",
                "valid_range": None,
                "missing": 0.0,
                "scaling": "type",
            }
        ],
        "rules": {
            "type": "whole numbers divided by the maximum of their type (uint8: 255), floats as they are"
        },
        "mean": [0.5, 1.5, 2.5, 3.5],
        "std": [1.5, 2.5, 3.5, 4.5],
        "constants": "training part",
        "channel_order": [3, 2, 1, 0],
    }
    assert said["dataset"]["license"] == "none"
    assert said["weights"] == {"start": "random", "seed": 2, "origin": None, "license": None}
    assert said["scores"]["miou"] == 0.4321
    assert max(said["largest_differences"].values()) < 1e-5
    card = (result.folder / "README.md").read_text()
    for part in (
        "Mean IoU 43.21 %: 19 instances of 4 test images",
        f"made-up (fingerprint `{dataset.fingerprint}`), protocol `strict`",
        "**Only the first 5 images of each split were used.**",
        "| `signal` | 4 | V | none | 0.0 | `type` |",
        "mean [0.5, 1.5, 2.5, 3.5]",
        "the order [3, 2, 1, 0]",
        "**It started from random weights**",
    ):
        assert part in card


def test_a_record_that_does_not_describe_its_dataset(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folder, _ = made_run(tmp_path / "runs")
    result = export_model(folder)
    assert result.folder == Path("exported") / folder.name
    assert "| `signal` | not known | not known |" in (result.folder / "README.md").read_text()


def test_the_run_record_describes_the_dataset(tmp_path):
    folder, _ = made_run(tmp_path / "runs", protocol="strict")
    spec = StreamSpec(channels=4, unit="K", valid_range=(250.0, 350.0), missing=-1.0)
    facts = {"license": "CC-BY-4.0", "citation": "A. Body", "url": None}
    changed(folder, dataset={**facts, "streams": {"signal": dataclasses.asdict(spec)}})
    result = export_model(folder, tmp_path / "out")
    card = (result.folder / "README.md").read_text()
    assert "| `signal` | 4 | K | 250.0 to 350.0 | -1.0 | `valid-range` |" in card
    assert "Licence of the dataset that it was trained on: CC-BY-4.0." in card
    assert "Citation: A. Body" in card


def followed(given: dict[str, Any], arrays: dict[str, np.ndarray]) -> torch.Tensor:
    """Raw numbers to inputs by the card's five sentences, and by nothing else."""
    scaled, measured = [], []
    for stream in given["streams"]:
        raw = arrays[stream["name"]]
        valid = np.isfinite(raw)
        if stream["missing"] is not None:
            valid &= raw != stream["missing"]
        x = np.where(valid, raw, 0).astype(np.float64)
        if stream["scaling"] == "valid-range":
            low, high = stream["valid_range"]
            x = np.clip((x - low) / (high - low), 0, 1)
        elif stream["scaling"] == "min-max":
            a, b = x[valid].min(), x[valid].max()
            x = np.clip(np.floor((x - a) / ((b - a) or 1) * 255), 0, 255) / 255
        elif raw.dtype.kind in "iu":
            x = x / np.iinfo(raw.dtype).max
        scaled.append(x)
        measured.append(valid)
    x, valid = np.concatenate(scaled, 2), np.concatenate(measured, 2)
    x = np.where(valid, (x - np.array(given["mean"])) / np.array(given["std"]), 0)[
        :, :, given["channel_order"]
    ]
    tensor = torch.from_numpy(x.transpose(2, 0, 1).astype(np.float32))[None]
    return torch.nn.functional.interpolate(
        tensor, (given["size"], given["size"]), mode="bilinear", align_corners=False
    )


@pytest.mark.parametrize(
    ("protocol", "rules"), [("strict", ["type", "valid-range"]), ("paper", ["min-max", "type"])]
)
def test_the_described_steps_are_those_of_the_run(tmp_path, protocol, rules):
    rng = np.random.default_rng(0)
    arrays = {
        "thermal": rng.normal(300, 40, (30, 40, 1)).astype(np.float32),
        "counts": rng.integers(0, 65535, (30, 40, 2)).astype(np.uint16),
    }
    arrays["thermal"][3:9, 4:20] = np.nan
    arrays["counts"][10:20, 5:9] = 7
    specs = {
        "thermal": StreamSpec(channels=1, unit="K", valid_range=(250, 350)),
        "counts": StreamSpec(channels=2, unit="digital number", missing=7),
    }
    preprocessing = Preprocessing(
        streams=("thermal", "counts"),
        mean=(0.4, 0.5, 0.6),
        std=(0.1, 0.2, 0.3),
        source="training part",
        channel_order=(2, 0, 1),
    )
    folder, _ = made_run(tmp_path / "runs", protocol=protocol, channels=3)
    facts = {"license": "", "citation": None, "url": None}
    facts["streams"] = {name: dataclasses.asdict(spec) for name, spec in specs.items()}
    changed(folder, preprocessing=dataclasses.asdict(preprocessing), dataset=facts)
    backbone = BACKBONES["sam-toy"]
    given = describe_input(Origin(record=RunRecord.load(folder), backbone=backbone))
    assert list(given["rules"]) == rules
    channels = Channels.of(arrays, preprocessing.streams, specs, PROTOCOLS[protocol])
    expected = to_input(channels, preprocessing, 64)[None]
    assert torch.allclose(followed(json.loads(json.dumps(given)), arrays), expected, atol=1e-5)


@pytest.mark.parametrize("format", ["sam", "transformers"])
@pytest.mark.parametrize(
    ("method", "tuning", "reason"),
    [
        ("simcmf", "adapter", "its folded weights are not plain"),
        ("simcmf", "prompt", r"its folded weights are not plain: .* unexpected \(image_encoder\."),
        ("transformer", "lora", "its alignment module, TransformerAlignment, is no sequence of convolutions"),
    ],
)
def test_what_is_not_plain_is_refused_before_anything_is_read(tmp_path, format, method, tuning, reason):
    folder, _ = made_run(tmp_path / "runs", method=method, tuning=tuning)
    describe_streams(folder)
    (folder / "weights.safetensors").unlink()
    with pytest.raises(
        InputError, match=rf"{method} x {tuning} cannot leave AIMS as --format {format}: {reason}"
    ) as caught:
        export_model(folder, tmp_path / "out", format=format)
    assert str(caught.value).endswith("; --format torch can")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("format", [None, "torch", "onnx"])
def test_a_record_that_does_not_describe_its_streams_makes_no_program(tmp_path, format):
    folder, _ = made_run(tmp_path / "runs", tuning="adapter")
    (folder / "weights.safetensors").unlink()
    with pytest.raises(InputError, match="its record does not say how signal was scaled") as caught:
        export_model(folder, tmp_path / "out", format=format)
    assert str(caught.value).endswith("; keep the run and load it with aims.engine.restore.load_model")


@pytest.mark.parametrize("difference", [float("nan"), 1e-3])
@pytest.mark.parametrize("name", ["image_embeddings", "mask_logits"])
def test_what_computes_something_else_is_refused(tmp_path, monkeypatch, name, difference):
    folder, _ = made_run(tmp_path / "runs")
    differences = {"image_embeddings": 0.0, "mask_logits": 0.0, name: difference}
    monkeypatch.setattr("aims.engine.export.sam.largest_differences", lambda *_: differences)
    with pytest.raises(InputError, match="its outputs there are not the run's"):
        export_model(folder, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_nothing_is_overwritten_and_nothing_half_done_stays(tmp_path, monkeypatch):
    folder, _ = made_run(tmp_path / "runs")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "precious.txt").write_text("mine")
    with pytest.raises(InputError, match=r"out: exists already; give another --out, or remove it"):
        export_model(folder, tmp_path / "out")

    def fail(description):
        raise AimsError("no card")

    monkeypatch.setattr("aims.engine.export.writing.model_card", fail)
    with pytest.raises(AimsError, match="no card"):
        export_model(folder, tmp_path / "elsewhere" / "out")
    assert list((tmp_path / "elsewhere").iterdir()) == []
