"""Models leave the process whole: for other processes, and for torch.save of a module."""

from __future__ import annotations

import pickle

import pytest
import torch
import toys  # noqa: F401  (registers sam-toy)

from aims.methods import build_model


@pytest.mark.parametrize(
    ("method", "tuning"), [("simcmf", "lora"), ("simcmf", "adapter"), ("linear", "prefix"), ("cmx", "full")]
)
def test_a_model_can_be_pickled(method: str, tuning: str) -> None:
    channels = 4 if method == "cmx" else 2
    built = {"method": method, "tuning": tuning, "backbone": "sam-toy", "channels": channels}
    model = build_model(**built, weights=None, seed=0).eval()  # type: ignore[arg-type]
    copied = pickle.loads(pickle.dumps(model))
    images = torch.randn(1, channels, model.image_size, model.image_size)
    with torch.no_grad():
        assert torch.equal(copied.embed(images), model.embed(images))
        prompts = torch.full((1, 1, 2), 9.0), torch.ones(1, 1, dtype=torch.int64)
        expected, found = (each.decode(each.embed(images), *prompts)[0] for each in (model, copied))
    assert torch.equal(found, expected)
