"""Traced programs, ONNX models and folders for transformers: they compute what the run's model does."""

from __future__ import annotations

import dataclasses
import json
from functools import partial

import numpy as np
import pytest
import torch
from hf_models import MODELS, make_model, save_model
from small_backbones import SMALL

from aims.core.errors import InputError
from aims.core.records import Preprocessing, RunRecord
from aims.core.schema import StreamSpec
from aims.engine.export import FORMATS, export_model, probes
from aims.engine.export.description import describe_input
from aims.engine.export.formats import Origin
from aims.engine.export.graph import PromptDecoder, RawEncoder, encoder_inputs
from aims.methods import BACKBONES, METHODS
from aims.models.hf.backbone import KINDS
from aims.models.merging import fold_alignment, fold_layers
from exported import changed, describe_streams, made_run, outputs, run_cards

#: Every method and every tuning that is not plain SAM behind convolutions.
TRACED = [
    ("simcmf", "adapter"),
    ("simcmf", "prefix"),
    ("simcmf", "prompt"),
    ("simcmf-released", "lora"),
    ("transformer", "lora"),
    ("vipt", METHODS["vipt"].own_tuning or "lora"),
    ("cmx", METHODS["cmx"].own_tuning or "lora"),
]


def origin_of(folder, **changes):
    record = RunRecord.load(folder)
    return Origin(record=record, backbone=BACKBONES[record.config.backbone], **changes)


STREAMS = {
    "thermal": StreamSpec(channels=1, unit="K", valid_range=(250.0, 350.0), missing=-1.0),
    "rgb": StreamSpec(channels=3, unit="digital number"),
    "depth": StreamSpec(channels=1, unit="m", missing=0.0),
}


@pytest.mark.parametrize("protocol", ["strict", "paper"])
def test_raw_recordings_are_scaled_as_in_training(tmp_path, protocol):
    folder, _ = made_run(tmp_path / "runs", protocol=protocol, channels=5)
    preprocessing = Preprocessing(
        streams=tuple(STREAMS),
        mean=(0.4, 0.5, 0.6, 0.3, 0.2),
        std=(0.1, 0.2, 0.3, 0.4, 0.5),
        source="training part",
        channel_order=(2, 0, 4, 1, 3),
    )
    facts = {"license": "", "citation": None, "url": None}
    facts["streams"] = {name: dataclasses.asdict(spec) for name, spec in STREAMS.items()}
    changed(folder, preprocessing=dataclasses.asdict(preprocessing), dataset=facts)
    origin = origin_of(folder)
    given = describe_input(origin)
    depth = ["depth_full_scale"] if protocol == "strict" else []
    assert encoder_inputs(given) == ["thermal", "rgb", "depth", "rgb_full_scale", *depth]

    class Shown(torch.nn.Module):
        def embed(self, images):
            return images

    recording = probes.random_recording(given)
    if protocol == "paper":
        recording["depth"][:] = np.nan  # no measurement at all: neither NaN nor infinity may come of it
    seen = RawEncoder(Shown(), given, half=False)(*probes.encoder_tensors(given, recording).values())
    expected = probes.model_input(origin, recording, 64)
    assert expected.std() > 0.1
    torch.testing.assert_close(seen, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(("method", "tuning"), [("simcmf", "lora"), *TRACED])
def test_prompts_are_decoded_as_the_model_decodes_them(tmp_path, method, tuning):
    _, model = made_run(tmp_path / "runs", method=method, tuning=tuning)
    prompts = probes.random_prompts(model)
    images = torch.randn(1, 4, 64, 64, generator=torch.Generator().manual_seed(1))
    expected = probes.answers(model, images, prompts)
    fold_layers(model)
    model.path = "stock"
    with torch.no_grad():
        embeddings = model.embed(images)
        decoder = PromptDecoder(model, half=False).eval()
        side = model.prompt_encoder.mask_input_size[0]
        decoded = [decoder(*probes.decoder_tensors(embeddings, each, side).values()) for each in prompts]
    assert max(expected.differences(probes.collect(embeddings, decoded)).values()) < 1e-5
    # Each kind of prompt gives another mask of the same image, or a kind might be ignored.
    first = [logits[0] for logits in expected.mask_logits]
    assert all((one - first[0]).abs().max() > 1e-3 for one in first[1:])


def test_an_alignment_of_one_pixel_folds_into_the_patch_embedding():
    alignment = torch.nn.Sequential(torch.nn.Conv2d(5, 3, 1))
    patches = torch.nn.Conv2d(3, 8, 4, stride=4)
    folded = fold_alignment(alignment, patches)
    images = torch.randn(2, 5, 16, 16)
    torch.testing.assert_close(folded(images), patches(alignment(images)), rtol=1e-5, atol=1e-5)
    assert fold_alignment(torch.nn.Sequential(), patches) is patches
    for other in (torch.nn.Conv2d(5, 3, 3, padding=1), torch.nn.Conv2d(2, 6, 1)):
        assert fold_alignment(torch.nn.Sequential(other), patches) is None
    assert fold_alignment(torch.nn.Sequential(*alignment, torch.nn.ReLU()), patches) is None


@pytest.mark.parametrize(
    ("format", "half", "message"),
    [
        ("onxn", False, r"unknown format 'onxn'; did you mean 'onnx'\?"),
        (None, True, "--half goes with --format onnx; leave it out, or name that format"),
        ("torch", True, "--half goes with --format onnx; leave it out, or name that format"),
    ],
)
def test_mistakes_in_the_choice_get_a_line(tmp_path, format, half, message):
    folder, _ = made_run(tmp_path / "runs")
    with pytest.raises(InputError, match=message):
        export_model(folder, tmp_path / "out", format=format, half=half)


@pytest.mark.parametrize("format", ["onnx", "transformers"])
def test_a_missing_extra_is_named(tmp_path, monkeypatch, format):
    folder, _ = made_run(tmp_path / "runs")
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    needed = ", ".join(FORMATS[format].packages)
    with pytest.raises(
        InputError, match=rf"--format {format} needs {needed}: pip install 'aims-bench\[{format}\]'$"
    ):
        export_model(folder, tmp_path / "out", format=format)


def assert_card_computes(seen, model, origin, size=(480, 640)):
    """A traced card's outputs are the model's on the card's recording and click."""
    recording = seen["recording"]
    array = np.array(recording["signal"] if isinstance(recording, dict) else recording[0], np.float32)
    assert array.shape == (*size, 4)
    images = probes.model_input(origin, {"signal": array}, model.image_size)
    embeddings, logits = outputs(model, images, torch.tensor(seen["point_coords"])[:, :1])
    torch.testing.assert_close(torch.tensor(seen["embeddings"]), embeddings, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(torch.tensor(seen["mask_logits"]), logits, rtol=1e-4, atol=1e-4)
    assert logits.std() > 1e-3


SEEN = ("recording", "point_coords", "embeddings", "mask_logits")


@pytest.mark.thorough
@pytest.mark.parametrize(("method", "tuning"), TRACED)
def test_what_is_not_plain_leaves_as_a_program(tmp_path, method, tuning):
    folder, model = made_run(tmp_path / "runs", method=method, tuning=tuning)
    describe_streams(folder)
    result = export_model(folder, tmp_path / "out")
    assert result.description["format"] == "torch"
    assert sorted(path.name for path in result.folder.iterdir()) == [
        *("README.md", "decoder.pt2", "encoder.pt2", "model.json")
    ]
    assert json.loads((result.folder / "model.json").read_text())["scores"]["miou"] == 0.4321
    assert max(result.description["largest_differences"].values()) < 1e-5
    (seen,) = run_cards([result.folder], SEEN, tmp_path)
    assert_card_computes(seen, model, origin_of(folder))


@pytest.mark.thorough
@pytest.mark.parametrize("tuning", ["lora", "prompt"])
def test_mobile_sam_leaves_as_a_program(tmp_path, tuning):
    folder, model = made_run(tmp_path / "runs", tuning=tuning, backbone=SMALL["mobile-sam"])
    describe_streams(folder)
    result = export_model(folder, tmp_path / "out")
    assert result.description["format"] == "torch"
    assert max(result.description["largest_differences"].values()) < 1e-5
    (seen,) = run_cards([result.folder], SEEN, tmp_path)
    assert_card_computes(seen, model, origin_of(folder))


@pytest.mark.parametrize(
    ("kind", "format", "reason"),
    [
        ("mobile-sam", "sam", r"is none of segment-anything's; --format torch can"),
        ("mobile-sam", "transformers", r"is none of segment-anything's; --format torch can"),
        (
            "efficient-sam",
            "torch",
            "its prompt encoder, PromptEncoder, is not segment-anything's; keep the run",
        ),
        (
            "efficient-sam",
            "onnx",
            "its prompt encoder, PromptEncoder, is not segment-anything's; keep the run",
        ),
        ("efficient-sam", "sam", "is none of segment-anything's; keep the run"),
        ("efficient-sam", None, "its prompt encoder, PromptEncoder, is not segment-anything's; keep the run"),
    ],
)
def test_what_other_backbones_cannot_leave_as_is_refused(tmp_path, kind, format, reason):
    folder, _ = made_run(tmp_path / "runs", backbone=SMALL[kind])
    describe_streams(folder)
    with pytest.raises(InputError, match=reason):
        export_model(folder, tmp_path / "out", format=format)


@pytest.mark.thorough
@pytest.mark.parametrize(("tuning", "backbone"), [("adapter", "sam-toy"), ("lora", "sam-toy:mask_scale=8")])
def test_onnx_models_compute_the_same(tmp_path, tuning, backbone):
    folder, model = made_run(tmp_path / "runs", tuning=tuning, backbone=backbone)
    describe_streams(folder)
    result = export_model(folder, tmp_path / "out", format="onnx")
    assert sorted(path.name for path in result.folder.iterdir()) == [
        *("README.md", "decoder.onnx", "encoder.onnx", "model.json")
    ]
    assert max(result.description["largest_differences"].values()) < 1e-5
    (seen,) = run_cards([result.folder], SEEN, tmp_path)
    assert_card_computes(seen, model, origin_of(folder))


@pytest.mark.thorough
def test_onnx_models_in_half_precision_are_half_as_large(tmp_path):
    folder, _ = made_run(tmp_path / "runs", backbone="sam-tiny")
    describe_streams(folder)
    whole, half = (
        export_model(folder, tmp_path / str(half), format="onnx", half=half) for half in (False, True)
    )
    sizes = [sum(path.stat().st_size for path in each.folder.glob("*.onnx")) for each in (whole, half)]
    assert sizes[1] < 0.6 * sizes[0]
    assert 1e-5 < max(half.description["largest_differences"].values()) < 5e-2


@pytest.mark.thorough
def test_transformers_computes_the_same(tmp_path):
    runs = [
        made_run(tmp_path / "runs", method="simcmf", tuning="lora"),
        made_run(tmp_path / "runs", method="linear", tuning="full", backbone="sam-tiny"),
        made_run(tmp_path / "runs", method="channel-batch", tuning="full"),
    ]
    results = [
        export_model(folder, tmp_path / "out" / folder.name, format="transformers") for folder, _ in runs
    ]
    beside = [(result.folder / "alignment.safetensors").exists() for result in results]
    assert beside == [True, False, True]
    names = ("images", "point_coords", "embeddings", "mask_logits")
    for (_, model), result in zip(runs, results, strict=True):
        assert max(result.description["largest_differences"].values()) < 1e-5
        (seen,) = run_cards([result.folder], names, tmp_path)
        images, coords, *answers = (torch.tensor(seen[name]) for name in names)
        embeddings, logits = outputs(model, images, coords[0])
        torch.testing.assert_close(answers[0], embeddings, rtol=1e-4, atol=1e-4)
        torch.testing.assert_close(answers[1], logits, rtol=1e-4, atol=1e-4)


@pytest.mark.thorough
def test_the_processor_of_transformers_leaves_inputs_as_they_are(tmp_path):
    from transformers import AutoProcessor

    folder, _ = made_run(tmp_path / "runs", method="linear", channels=3)
    out = export_model(folder, tmp_path / "out", format="transformers").folder
    processor = AutoProcessor.from_pretrained(out, local_files_only=True)
    image = np.random.default_rng(0).normal(size=(3, 64, 64)).astype(np.float32)
    inputs = processor(
        image, input_points=[[[10.5, 20.0]]], input_data_format="channels_first", return_tensors="pt"
    )
    assert torch.equal(inputs["pixel_values"], torch.from_numpy(image)[None])
    assert inputs["input_points"].flatten().tolist() == [10.5, 20.0]


@pytest.mark.parametrize("kind", MODELS)
def test_a_backbone_of_transformers_leaves_as_its_own_class(tmp_path, kind):
    backbone = save_model(tmp_path / "model", make_model(kind))
    made = partial(made_run, tmp_path / "runs", backbone=backbone)
    for options in ({"method": "simcmf", "tuning": "lora"}, {"method": "random-embed", "tuning": "full"}):
        folder, _ = made(**options)
        result = export_model(folder, tmp_path / "out" / folder.name)
        said = result.description
        assert said["format"] == "transformers"
        assert said["class"] == KINDS[kind].model
        # Rounding: LoRA is folded, and all else is the same class.
        assert max(said["largest_differences"].values()) < 1e-5
        assert (result.folder / "alignment.safetensors").exists() == (options["method"] == "simcmf")
    for options, reason in (
        ({"method": "channel-batch"}, f"several pictures of an image, which {KINDS[kind].model} cannot"),
        ({"tuning": "adapter"}, "its folded weights are not plain"),
    ):
        folder, _ = made(**options)
        with pytest.raises(InputError, match=reason):
            export_model(folder, tmp_path / "refused")


@pytest.mark.thorough
def test_the_cards_of_transformers_classes_are_true(tmp_path):
    for kind in MODELS:
        backbone = save_model(tmp_path / kind, make_model(kind))
        folder, model = made_run(tmp_path / "runs", backbone=backbone)
        result = export_model(folder, tmp_path / "out" / kind)
        names = ("images", "point_coords", "mask_logits")
        (seen,) = run_cards([result.folder], names, tmp_path)
        images, coords, logits = (torch.tensor(seen[name]) for name in names)
        _, expected = outputs(model, images, coords[0])
        torch.testing.assert_close(logits, expected, rtol=1e-4, atol=1e-4)
