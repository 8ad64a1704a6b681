"""Masks of all kinds of prompts are the CPU's, but for a stated share of their pixels."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import toys
from gpu_models import tuned
from pycocotools import mask as coco_mask

from aims.core.vocabulary import PROTOCOLS
from aims.engine.evaluate import evaluate, predict
from aims.engine.masks import threshold
from aims.engine.prompts import PromptPlan, evaluate_prompts

pytestmark = pytest.mark.gpu

CPU = torch.device("cpu")
#: Pixels whose logit is zero but for rounding fall on either side: at most so many of all.
SHARE = {"float32": 1e-4, "bf16": 2e-2}
NATIVE = (240, 320)


def prompts(kind, side):
    """Coordinates, labels and boxes of 20 prompts of a kind."""
    generator = torch.Generator().manual_seed(3)
    points = {"click": 1, "clicks": 5, "box": 0, "box and click": 1}[kind]
    coords = side * torch.rand(20, points, 2, generator=generator)
    labels = torch.tensor([[1, 0, 1, 0, -1]])[:, :points].expand(20, -1)
    corners = side * torch.rand(20, 2, 2, generator=generator)
    boxes = torch.cat([corners.amin(1), corners.amax(1)], dim=1)
    return coords, labels, boxes if "box" in kind else None


@pytest.mark.parametrize("precision", ["float32", "bf16"])
@pytest.mark.parametrize("kind", ["click", "clicks", "box", "box and click"])
def test_masks_of_every_kind_of_prompt(device, kind, precision):
    model = tuned("simcmf", "lora", channels=4)
    pictures = torch.randn(1, 4, 64, 64, generator=torch.Generator().manual_seed(0))
    found, middle = [], None
    for place, exactly in ((CPU, "float32"), (device, precision)):
        model.to(place)
        with torch.inference_mode():
            with torch.autocast(place.type, torch.bfloat16, enabled=exactly == "bf16"):
                embeddings = model.embed(pictures.to(place))
            logits, _ = predict(model, embeddings, *prompts(kind, 64), precision=exactly)
            # Random weights make masks of everything or nothing; around the median both are there.
            middle = logits.median() if middle is None else middle
            found.append(threshold(logits - middle.to(place), NATIVE).cpu())
    there, here = found
    assert 0.2 < there.float().mean() < 0.8
    assert (here != there).float().mean() < SHARE[precision]


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sets") / "made-up"
    return toys.made_up_set(folder, images=12, size=(120, 160))


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_the_stored_masks_of_an_evaluation(device, dataset, protocol):
    model = tuned("simcmf", "lora", channels=2)
    made = toys.source(dataset, PROTOCOLS[protocol])
    tables = [
        evaluate(model.to(place), made, dataset.index["test"], precision="float32", masks=True)
        for place in (device, CPU)
    ]
    differing = pixels = 0
    for here, there in zip(*tables, strict=True):
        assert (here["image_id"], here["instance_id"]) == (there["image_id"], there["instance_id"])
        for name in ("rle_grid", "rle_native"):
            if there[name] is not None:
                one, other = (
                    coco_mask.decode({**row[name], "counts": row[name]["counts"].encode()})
                    for row in (here, there)
                )
                differing, pixels = differing + np.count_nonzero(one != other), pixels + one.size
        assert here["iou"] == pytest.approx(there["iou"], abs=1e-2)
    assert differing <= SHARE["float32"] * pixels


def test_all_prompts_of_a_set(device, dataset):
    model = tuned("simcmf", "lora", channels=2)
    made = toys.source(dataset, PROTOCOLS["strict"])
    plan = PromptPlan(clicks=3, jitter=2)
    tables = [
        evaluate_prompts(model.to(place), made, dataset.index["test"][:3], plan) for place in (device, CPU)
    ]
    for here, there in zip(*tables, strict=True):
        # Later clicks lie where earlier masks are wrong: a pixel may move them.
        assert here["iou_clicks"][0] == pytest.approx(there["iou_clicks"][0], abs=1e-2)
        assert here["iou_box"] == pytest.approx(there["iou_box"], abs=1e-2)
        assert here["iou_jitter"] == pytest.approx(there["iou_jitter"], abs=1e-2)
        assert here["boundary_iou"] == pytest.approx(there["boundary_iou"], abs=5e-2)
