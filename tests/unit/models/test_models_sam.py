from __future__ import annotations

import dataclasses
import importlib.util
import sys

import pytest
import torch

from aims.core.errors import AimsError, InputError
from aims.methods import BACKBONES
from aims.models.segment_anything import sam_modeling


def test_segment_anything_itself_is_not_imported() -> None:
    assert sam_modeling().__name__ == "aims.models._segment_anything"
    assert "segment_anything" not in sys.modules
    assert "torchvision" not in sys.modules


def test_the_modules_are_the_installed_ones() -> None:
    spec = importlib.util.find_spec("segment_anything")
    assert spec is not None
    assert str(sam_modeling().__file__).startswith(str(spec.submodule_search_locations[0]))  # type: ignore[index]


def test_a_missing_segment_anything_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(AimsError, match="pip install segment-anything"):
        sam_modeling.__wrapped__()


def test_all_backbones() -> None:
    # Other tests register a toy of their own.
    assert set(BACKBONES) - {"sam-toy"} == {
        *("efficient-sam-s", "efficient-sam-ti", "mobile-sam"),
        *("sam-tiny", "sam-vit-b", "sam-vit-h", "sam-vit-l"),
    }
    with pytest.raises(InputError, match="did you mean 'sam-vit-b'"):
        BACKBONES["sam-vitb"]


def test_backbones_are_frozen() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        BACKBONES["sam-tiny"].depth = 3  # type: ignore[misc]


def test_sam_tiny_is_small_and_has_no_checkpoint() -> None:
    with torch.device("meta"):
        model = BACKBONES["sam-tiny"].build()
    assert 3_000_000 < sum(parameter.numel() for parameter in model.parameters()) < 4_000_000
    assert BACKBONES["sam-tiny"].checkpoint is None


@pytest.mark.parametrize("name", ["sam-vit-b", "sam-vit-l", "sam-vit-h"])
def test_checkpoint_sizes_agree_with_the_number_of_weights(name: str) -> None:
    with torch.device("meta"):
        state = BACKBONES[name].build().state_dict()
    checkpoint = BACKBONES[name].checkpoint
    assert checkpoint is not None
    # Float32 plus PyTorch's zip entries, which take 315 to 317 bytes a tensor in all three files.
    overhead = checkpoint.size_bytes - 4 * sum(tensor.numel() for tensor in state.values())
    assert 315 < overhead / len(state) < 317


def test_a_wrong_part_cannot_be_declared() -> None:
    with torch.device("meta"):
        model = BACKBONES["sam-tiny"].build()
    with pytest.raises(AttributeError):
        model.learn("image_encoder.patch_embedding")
