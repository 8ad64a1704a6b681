"""Backbones of transformers: every method and tuning on each, what is refused, and reading of their files."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from hf_models import MODELS, make_model, save_model
from safetensors.torch import load_file, save_file

from aims.core.errors import InputError
from aims.core.normalisation import IMAGENET
from aims.methods import (
    BACKBONES,
)
from aims.models.weights import load_weights, resolve_weights

CHANNELS = 4


@pytest.fixture(scope="session")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Names of the backbones by kind."""
    return {kind: save_model(tmp_path_factory.mktemp(kind), make_model(kind)) for kind in MODELS}


@pytest.mark.parametrize("kind", MODELS)
def test_weights_are_read_under_transformers_names(kind: str, folders: dict[str, str]) -> None:
    path = resolve_weights(folders[kind], None)
    state = load_weights(folders[kind], path).state
    assert state.keys() == BACKBONES[folders[kind]].build().state_dict().keys()
    stored = load_file(path)
    (name,) = (name for name in stored if name.endswith("mask_decoder.iou_token.weight"))
    assert torch.equal(state["mask_decoder.iou_token.weight"], stored[name])


def test_the_video_model_of_sam2_holds_sam2(folders: dict[str, str], tmp_path: Path) -> None:
    """Files of the authors are of the video model: with its type, and with tensors of its memory."""
    source = Path(folders["sam2"].removeprefix("hf:"))
    config = json.loads((source / "config.json").read_text()) | {"model_type": "sam2_video"}
    (tmp_path / "config.json").write_text(json.dumps(config))
    state = load_file(source / "model.safetensors")
    more = {"memory_attention.layers.0.weight": torch.zeros(2), "no_object_pointer": torch.zeros(1)}
    save_file(state | more, tmp_path / "model.safetensors")
    backbone = f"hf:{tmp_path}"
    read = load_weights(backbone, resolve_weights(backbone, None)).state
    assert read.keys() == BACKBONES[folders["sam2"]].build().state_dict().keys()


def test_the_video_model_of_sam3_holds_its_promptable_part(folders: dict[str, str], tmp_path: Path) -> None:
    source = Path(folders["sam3_tracker"].removeprefix("hf:"))
    config = {"model_type": "sam3_video", "tracker_config": json.loads((source / "config.json").read_text())}
    (tmp_path / "config.json").write_text(json.dumps(config))
    state = {
        # The whole model has the vision encoder in its detector, whose own neck is not needed.
        name.removeprefix("tracker_model.") if "detector" in name or "tracker_neck" in name else name: tensor
        for name, tensor in load_file(source / "model.safetensors").items()
    }
    more = {
        "detector_model.vision_encoder.neck.fpn_layers.0.proj1.bias": torch.zeros(1),
        "detector_model.text_encoder.weight": torch.zeros(1),
        "tracker_model.memory_encoder.weight": torch.zeros(1),
    }
    save_file(state | more, tmp_path / "model.safetensors")
    backbone = f"hf:{tmp_path}"
    ours = load_weights(backbone, resolve_weights(backbone, None)).state
    theirs = load_weights(folders["sam3_tracker"], source / "model.safetensors").state
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)
    # SAM 3 expects pictures from -1 to 1.
    assert BACKBONES[backbone].rgb == ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
    said = {"image_processor": {"image_mean": [0.1, 0.2, 0.3], "image_std": [1, 1, 1]}}
    (tmp_path / "processor_config.json").write_text(json.dumps(said))
    assert BACKBONES[backbone].rgb == ((0.1, 0.2, 0.3), (1, 1, 1))


def test_nothing_of_a_configuration_is_run(folders: dict[str, str], tmp_path: Path) -> None:
    config = json.loads((Path(folders["sam"].removeprefix("hf:")) / "config.json").read_text())
    config["auto_map"] = {"AutoModel": "code.Model"}
    config["vision_config"] |= {"_attn_implementation": "somebody/kernels", "attn_implementation": "x/y"}
    (tmp_path / "config.json").write_text(json.dumps(config))
    model = BACKBONES[f"hf:{tmp_path}"].build()
    assert model.image_encoder.state_dict().keys() == (
        BACKBONES[folders["sam"]].build().image_encoder.state_dict().keys()
    )


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "missing; give a model that"),
        ("{", "not readable as JSON"),
        ("[1]", "expected 'object'"),
        ('{"model_type": "vit"}', "a model of type 'vit'; AIMS takes sam, sam_hq, sam2"),
        ('{"model_type": ["sam"]}', "a model of type"),
        ('{"model_type": "sam2", "vision_config": {"model_type": "sam_vision_model"}}', "vision encoder"),
        ('{"model_type": "sam", "vision_config": {"hidden_size": "wide"}}', "none of SamModel"),
    ],
)
def test_what_is_no_model_is_refused(content: str | None, message: str, tmp_path: Path) -> None:
    if content is not None:
        (tmp_path / "config.json").write_text(content)
    with pytest.raises(InputError, match=message):
        BACKBONES[f"hf:{tmp_path}"]


def test_a_name_is_known_without_being_opened() -> None:
    assert "hf:no/such/folder" in BACKBONES
    assert BACKBONES.is_opened("hf:no/such/folder")
    assert not BACKBONES.is_opened("sam-tiny:depth=4")
    assert "hf" not in BACKBONES


def test_no_folder_and_no_repository_is_refused() -> None:
    with pytest.raises(InputError, match="no such folder, nor a repository"):
        BACKBONES["hf:no/such/folder"]


def test_the_hub_out_of_reach_is_one_line(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(InputError, match="the Hub was not reached for config") as raised:
        BACKBONES["hf:facebook/sam2.1-hiera-tiny"]
    assert "\n" not in str(raised.value)


def test_pictures_are_normalised_as_the_model_expects(folders: dict[str, str], tmp_path: Path) -> None:
    assert BACKBONES[folders["sam2"]].rgb == IMAGENET
    config = Path(folders["sam2"].removeprefix("hf:")) / "config.json"
    (tmp_path / "config.json").write_bytes(config.read_bytes())
    said = {"image_mean": [0.5, 0.4, 0.3], "image_std": [0.1, 0.2, 0.3], "size": 1024}
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(said))
    assert BACKBONES[f"hf:{tmp_path}"].rgb == ((0.5, 0.4, 0.3), (0.1, 0.2, 0.3))
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(said | {"do_normalize": False}))
    assert BACKBONES[f"hf:{tmp_path}"].rgb == IMAGENET
    (tmp_path / "preprocessor_config.json").write_text('{"image_mean": [1]}')
    with pytest.raises(InputError, match="preprocessor_config"):
        BACKBONES[f"hf:{tmp_path}"]


def test_weights_that_are_missing_are_named(folders: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "config.json").write_bytes(
        (Path(folders["sam"].removeprefix("hf:")) / "config.json").read_bytes()
    )
    with pytest.raises(InputError, match=r"model\.safetensors: missing"):
        resolve_weights(f"hf:{tmp_path}", None)
