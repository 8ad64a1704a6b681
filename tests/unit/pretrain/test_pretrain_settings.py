"""What experiments on pretraining change: sensors' looks, rounds of clicks, skipped blocks, optimizers."""

from __future__ import annotations

import json

import pytest
import torch
import toys  # noqa: F401  (registers sam-toy)
from test_pretrain import Stopping, job, state

from aims.core.errors import InputError
from aims.engine.stopping import Stopped
from aims.engine.training_prompts import StepDraws
from aims.methods import BACKBONES
from aims.pretrain.augment import augment, recolour, sensor_like
from aims.pretrain.config import plan_pretraining
from aims.pretrain.optimizers import make_optimizers
from aims.pretrain.pictures import PretrainingSet
from aims.pretrain.run import pretrain
from aims.pretrain.settings import OPTIMIZERS, PretrainConfig
from aims.pretrain.step import ClickTargets, DropPath, prompts_of

# PyTorch before 2.9 has no Muon.
AVAILABLE = [name for name in OPTIMIZERS if name != "muon" or hasattr(torch.optim, "Muon")]


def model_of(name="sam-toy"):
    torch.manual_seed(0)
    model = BACKBONES[name].build()
    BACKBONES[name].initialize(model)
    return model


def targets_of(masks, size):
    batch = len(masks)
    return ClickTargets(
        torch.zeros(batch, 3, size, size),
        torch.ones(batch, size, size, dtype=torch.int32),
        torch.zeros(batch, masks.shape[1], 2),
        masks,
        torch.arange(batch),
    )


def test_sensors_looks_are_reproducible_and_standardised():
    seeds = torch.arange(64)
    images = torch.randn(64, 3, 16, 16) * torch.tensor([1.0, 2, 3]).view(3, 1, 1)
    made = sensor_like(images, seeds)
    assert made.mean((2, 3)).abs().max() < 1e-4
    torch.testing.assert_close(made.square().mean((2, 3)), torch.ones(64, 3), atol=1e-3, rtol=0)
    one = (made[:, 0] == made[:, 1]).flatten(1).all(1) & (made[:, 0] == made[:, 2]).flatten(1).all(1)
    assert 20 < int(one.sum()) < 44
    # An image is changed alike in every batch.
    torch.testing.assert_close(sensor_like(images[5:7], seeds[5:7]), made[5:7], atol=1e-5, rtol=1e-5)
    # Coarse steps, without noise and blur after them, leave few values.
    counts = [len(image[0].unique()) for image in made]
    assert min(counts) <= 128 < max(counts)


def test_scenes_hold_more_and_larger_objects():
    def objects(**changes):
        pictures = PretrainingSet(3, 32, 6, **changes)[0].unpack(torch.device("cpu"))
        return pictures.scenes[0].solids.shape

    assert objects(objects=22, object_size=0.75) == objects()
    assert objects(objects=60, object_size=0.2) > objects()


def test_seven_in_ten_images_look_as_from_a_sensor():
    seeds = torch.arange(200)
    images = torch.randn(200, 3, 8, 8)
    plain, made = recolour(images, seeds), augment(images, seeds, "sensor")
    kept = (plain == made).flatten(1).all(1)
    assert 40 <= int(kept.sum()) <= 80
    assert torch.equal(augment(images, seeds, "none"), plain)


def test_a_flat_image_stays_finite():
    assert sensor_like(torch.ones(8, 3, 8, 8), torch.arange(8)).isfinite().all()


def draws_of(first, rounds, *, boxes=False):
    """The draws of the first step in which boxes come first, or clicks."""
    kind = PretrainConfig(images=1, first=first, rounds=rounds).prompts
    return next(each for step in range(99) if (each := StepDraws(kind, 0, 0, step)).boxes_first == boxes)


def test_a_region_has_a_lot_for_every_further_click():
    masks = torch.rand(2, 3, 16, 16)
    targets = targets_of(masks, 64)._replace(point_coords=torch.rand(2, 3, 2) * 60)
    draws = draws_of("click", 3)
    prompts = prompts_of(targets, draws)
    assert torch.equal(prompts.point_coords.view(2, 3, 2), targets.point_coords)
    assert torch.equal(prompts.masks.view(2, 3, 16, 16), masks)
    assert (prompts.boxes, prompts.with_mask, prompts.lots.shape) == (None, draws.with_mask, (6, 2))
    assert len(prompts.with_mask) == 2
    assert len(prompts.lots.unique()) == 12
    # Lots come from the seeds of the images, whatever else is in the batch.
    alone = targets_of(masks[1:], 64)._replace(seeds=targets.seeds[1:])
    assert torch.equal(prompts_of(alone, draws).lots, prompts.lots[3:])
    assert prompts_of(targets, draws_of("click", 1)).lots.shape == (6, 0)


def test_boxes_lie_around_the_clicked_regions():
    regions = torch.ones(400, 64, 64, dtype=torch.int32)
    regions[:, 20:30, 8:48] = 2
    regions[:, 63, 63] = 3
    targets = targets_of(torch.rand(400, 3, 16, 16), 64)._replace(
        regions=regions,
        point_coords=torch.tensor([[9.0, 25], [63, 63], [0, 0]]).expand(400, 3, 2),
        seeds=torch.arange(400),
    )
    prompts = prompts_of(targets, draws_of("mixed", 2, boxes=True))
    assert prompts.point_coords.shape == (1200, 0, 2)
    boxes = prompts.boxes.view(400, 3, 4)
    # At most 20 pixels of 1024, which are 1.25 of 64: uniform within that, the standard deviation is 0.72.
    for side, middle in enumerate([8, 20, 47, 29]):
        assert abs(float(boxes[:, 0, side].mean()) - middle) < 0.15
        assert 0.6 < float(boxes[:, 0, side].std()) < 0.8
    assert (boxes[:, 0] - torch.tensor([8, 20, 47, 29])).abs().max() <= 1.25
    assert (boxes[..., :2] <= boxes[..., 2:]).all()
    assert boxes.min() >= 0
    assert boxes.max() <= 63
    assert (boxes[:, 2] - torch.tensor([0, 0, 63, 63])).abs().max() <= 1.25


def test_half_of_the_steps_of_mixed_prompts_begin_with_boxes():
    kind = PretrainConfig(images=1, first="mixed").prompts
    assert 900 < sum(StepDraws(kind, 0, 0, step).boxes_first for step in range(2000)) < 1100


def test_skipped_blocks_keep_the_mean():
    block = torch.nn.Linear(4, 4)
    drop = DropPath([torch.nn.Identity(), block], 0.25)
    tokens = torch.randn(4000, 1, 1, 4)
    drop.draw(torch.arange(4000))
    found = block(tokens)
    kept = drop.factors[:, 1] > 0
    assert 0.70 < kept.float().mean() < 0.80
    assert torch.equal(found[~kept], tokens[~kept])
    plain = torch.nn.functional.linear(tokens, block.weight, block.bias)
    torch.testing.assert_close(found[kept] - tokens[kept], (plain - tokens)[kept] / 0.75)
    block.eval()
    assert torch.equal(block(tokens), plain)


def test_features_are_learned_before_masks(tmp_path):
    """What answers a click rests for the first half, but for the decay of some weights; all learn after."""
    with pytest.raises(Stopped):
        pretrain(job(tmp_path, images=8, feature_share=0.5), observer=Stopping(2))
    resting = state(tmp_path)
    pretrain(job(tmp_path, images=8, feature_share=0.5))
    learned, begun = state(tmp_path), model_of().state_dict()
    token, weight = "mask_decoder.iou_token.weight", "image_encoder.pos_embed"
    assert torch.equal(resting[f"model.{token}"], begun[token])
    assert not torch.equal(resting[f"model.{weight}"], begun[weight])
    assert not torch.equal(learned[f"model.{token}"], begun[token])


def test_every_parameter_has_one_optimizer():
    model = model_of()
    for name in AVAILABLE:
        made = make_optimizers(model, name, 1e-3, fused=False)
        owned = [id(each) for one in made for group in one.param_groups for each in group["params"]]
        assert sorted(owned) == sorted(map(id, model.parameters()))


def test_muon_needs_a_newer_torch(tmp_path, monkeypatch):
    monkeypatch.delattr(torch.optim, "Muon", raising=False)
    with pytest.raises(InputError, match=r"--optimizer muon needs torch 2\.9"):
        plan_pretraining(folder=tmp_path / "out", images=2, optimizer="muon", device="cpu")
    assert not (tmp_path / "out").exists()


def test_all_settings_together_resume_to_the_same_bits(tmp_path):
    settings = {
        "images": 6,
        "first": "mixed",
        "rounds": 2,
        "optimizer": AVAILABLE[-1],
        "drop_path": 0.5,
        "feature_share": 0.4,
        "average_decay": 0.9,
        "augment": "sensor",
        "backbone": "sam-toy:window=2,mask_scale=8",
    }
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    card = pretrain(job(whole, **settings))
    with pytest.raises(Stopped):
        pretrain(job(broken, **settings), observer=Stopping(2))
    assert pretrain(job(broken, **settings)).weights.sha256 == card.weights.sha256
    tensors, again = state(whole), state(broken)
    assert tensors.keys() == again.keys()
    assert all(torch.equal(tensors[name], again[name]) for name in tensors)
    assert card.protocol == "strict-2"
    assert "(protocol `strict-2`)" in (whole / "README.md").read_text()
    assert card.settings.augment == "sensor"


def test_a_pretraining_of_an_earlier_version_goes_on(tmp_path):
    """Its files know none of the later settings, and its scores are those of the protocol `strict`."""
    folder = tmp_path / "out"
    with pytest.raises(Stopped):
        pretrain(job(folder, images=4), observer=Stopping(1))
    settings = json.loads((folder / "pretraining.json").read_text())
    later = ("weights", "first", "rounds", "optimizer", "drop_path", "feature_share", "average_decay")
    for name in (*later, "augment"):
        del settings[name]
    settings["recipe"]["average_decay"] = 0.999
    (folder / "pretraining.json").write_text(json.dumps(settings))
    index = folder / "checkpoint.safetensors.index.json"
    content = json.loads(index.read_text())
    assert content["metadata"]["progress"].pop("protocol") == "strict-2"
    index.write_text(json.dumps(content))
    card = pretrain(job(folder, images=4))
    assert (card.images_seen, card.protocol) == (4, "strict")


def test_weights_to_start_from(tmp_path):
    first = pretrain(job(tmp_path / "first", images=2))
    file = tmp_path / "first" / "weights.safetensors"
    planned = plan_pretraining(
        folder=tmp_path / "next",
        images=2,
        held_out=2,
        backbone="sam-toy",
        weights=str(file),
        device="cpu",
    )
    assert planned.config.weights == first.weights.sha256
    second = pretrain(planned)
    # What the earlier weights learned from, and whether they may be shipped, is known by their card.
    assert second.earlier == first
    assert first.shippable
    assert second.shippable
    readme = (tmp_path / "next" / "README.md").read_text()
    assert f"weights of an earlier training ({first.weights.sha256[:8]}): 2 images in" in " ".join(
        readme.split()
    )
    assert torch.equal(
        planned.weights.state["image_encoder.pos_embed"],
        state(tmp_path / "first")["average.image_encoder.pos_embed"].half().float(),
    )


def test_none_starts_from_random_weights_as_the_message_of_a_missing_file_says(tmp_path):
    options = {"folder": tmp_path, "images": 2, "backbone": "sam-toy", "device": "cpu"}
    with pytest.raises(InputError, match="or --weights none for random weights"):
        plan_pretraining(**options, weights="missing.safetensors")
    assert plan_pretraining(**options, weights="none") == plan_pretraining(**options)


@pytest.mark.parametrize("card", [None, "{}", "not JSON", "of others", "not to be shipped"])
def test_weights_without_a_card_that_allows_it_are_not_to_be_shipped(tmp_path, card):
    pretrain(job(tmp_path / "first", images=2))
    path = tmp_path / "first" / "card.json"
    content = json.loads(path.read_text())
    path.unlink()
    if card == "of others":
        content["weights"]["sha256"] = 64 * "0"
        card = json.dumps(content)
    elif card == "not to be shipped":
        card = json.dumps(content | {"shippable": False})
    if card is not None:
        path.write_text(card)
    weights = str(tmp_path / "first" / "weights.safetensors")
    planned = plan_pretraining(
        folder=tmp_path / "next", images=2, held_out=2, backbone="sam-toy", weights=weights, device="cpu"
    )
    made = pretrain(planned)
    assert not made.shippable
    assert made.license.startswith("NOT TO BE SHIPPED before it is checked")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"rounds": 0}, "--rounds must be at least 1, not 0"),
        ({"optimizer": "muun"}, "did you mean 'muon'"),
        ({"augment": "sensors"}, "did you mean 'sensor'"),
        ({"drop_path": 1.0}, "--drop-path must be at least 0 and below 1"),
        ({"feature_share": 1.0}, "--feature-share must be at least 0 and below 1"),
        ({"average_decay": -0.1}, "--average-decay must be at least 0"),
        ({"backbone": "sam-tiny:window=4,image_size=256"}, "write it 'sam-tiny:image_size=256,window=4'"),
        ({"backbone": "sam-tiny:image=256"}, "did you mean 'image_size'"),
        ({"backbone": "sam-tiny:mask_scale=6"}, "mask_scale must be 4, 8, 16"),
    ],
)
def test_wrong_settings(changes, message):
    with pytest.raises(InputError, match=message):
        PretrainConfig(images=2, **changes)
