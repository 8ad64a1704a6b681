"""Pretraining: what is drawn, the losses by hand, resuming bit for bit, the files that it leaves."""

from __future__ import annotations

import json
import math
import shutil
import signal
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace

import cv2
import msgspec
import numpy as np
import pytest
import scipy.io
import torch
import toys  # noqa: F401  (registers sam-toy)
from filelock import FileLock
from flat_scene import plane
from safetensors.torch import load_file, save_file

from aims.core.errors import AimsError, Busy, InputError
from aims.core.vocabulary import STRICT, STRICT_2
from aims.data.instances import split_instances, stretch_nearest, strict_clicks
from aims.engine import checkpoint
from aims.engine.loading import loader
from aims.engine.stopping import Stopped
from aims.engine.train import RunObserver
from aims.methods import BACKBONES
from aims.models.weights import load_weights
from aims.pretrain import checkpoint as state_module
from aims.pretrain import run as module
from aims.pretrain import scores
from aims.pretrain.checkpoint import Average
from aims.pretrain.packing import Packed
from aims.pretrain.photographs import Photographs, PhotographStore, Shapes
from aims.pretrain.pictures import (
    FAMILY,
    Draws,
    Pictures,
    PretrainingSet,
    make_pictures,
    normalize_rgb,
    picture_scenes,
    surface_regions,
)
from aims.pretrain.run import PretrainConfig, PretrainJob, plan_pretraining, pretrain
from aims.pretrain.step import (
    SMALLEST,
    draw_clicks,
    draw_targets,
    mask_losses,
    pair_loss,
)

SIZE = 64


@pytest.fixture(scope="module")
def wilds():
    return picture_scenes(FAMILY, 3, range(2), SIZE)


def config(**changes):
    settings = {"images": 12, "batch_size": 2, "clicks": 3, "lr": 1e-3, "precision": "float32", "held_out": 2}
    return PretrainConfig(**{"backbone": "sam-toy", **settings, **changes})


def job(folder, *, photos=None, bsds=None, seconds=None, **changes):
    device = torch.device("cpu")
    return PretrainJob(
        config=config(**changes), folder=folder, device=device, photos=photos, bsds=bsds, seconds=seconds
    )


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """Photographs in BSDS500's layout: every region has its own colour, the maps of two people differ."""
    folder = tmp_path_factory.mktemp("photographs")
    for split, names in (("train", ("12", "34", "56")), ("val", ("78", "90"))):
        (folder / "images" / split).mkdir(parents=True)
        (folder / "groundTruth" / split).mkdir(parents=True)
        for k, name in enumerate(names):
            first = np.ones((80, 120), np.uint16)
            first[:, 60:], first[10:30, 10:40] = 2, 3
            second = np.where(np.arange(120) < 30 + k, 1, 5).astype(np.uint16) * np.ones((80, 1), np.uint16)
            colours = np.array([(0, 0, 0), (250, 20, 40), (30, 240, 60), (50, 70, 230)], np.uint8)
            cv2.imwrite(str(folder / "images" / split / f"{name}.jpg"), colours[first][..., ::-1])
            people = np.empty((1, 2), object)
            for person, regions in enumerate((first, second)):
                people[0, person] = {"Segmentation": regions, "Boundaries": regions > 1}
            scipy.io.savemat(folder / "groundTruth" / split / f"{name}.mat", {"groundTruth": people})
    return folder


def test_background_surfaces_are_regions_of_their_own():
    size = (8, 8)
    instances = torch.zeros(size, dtype=torch.int32)
    instances[:2], instances[2:3] = 1, 2
    materials = torch.full(size, 4)
    materials[5:], materials[7] = 0, 2  # the sky, and matter with a lower number
    regions = surface_regions(plane(size, instances=instances, materials=materials))
    assert regions[0, :, 0].tolist() == [1, 1, 2, 3, 3, 4, 4, 5]
    assert torch.equal(regions[0], regions[0, :, :1].expand(size))


def test_what_is_in_front_cuts_a_region_in_two():
    size = (8, 8)
    instances = torch.zeros(size, dtype=torch.int32)
    instances[:, 3:5] = 1
    regions = surface_regions(plane(size, instances=instances, materials=torch.full(size, 4)))
    assert regions[0, 0].tolist() == [1, 1, 1, 2, 2, 3, 3, 3]


def test_regions_cover_scenes_and_cross_no_boundary(wilds):
    pictures, geometry = wilds
    for regions, instances, materials in zip(
        pictures.regions, geometry.instances, geometry.materials, strict=True
    ):
        count = int(regions.max())
        assert torch.unique(regions).tolist() == list(range(1, count + 1))
        assert int(instances.max()) > 0
        surfaces = torch.where(instances > 0, -instances, materials)
        for number in range(1, count + 1):
            inside = regions == number
            assert len(torch.unique(surfaces[inside])) == 1
            assert cv2.connectedComponents(inside.numpy().astype(np.uint8))[0] == 2


def test_clicks_lie_in_their_masks_and_regions_repeat_last(wilds):
    pictures, _ = wilds
    clicks = 40
    coords, chosen = draw_clicks(pictures.regions, pictures.seeds, clicks)
    x, y = coords.long().unbind(-1)
    for k, regions in enumerate(pictures.regions):
        assert torch.equal(regions[y[k], x[k]].long(), chosen[k])
        area = torch.bincount(regions.flatten())
        usable = (area >= SMALLEST * regions.numel()).nonzero()[:, 0]
        count = len(usable)
        assert 1 < count < clicks
        assert sorted(chosen[k, :count].tolist()) == usable.tolist()
        assert torch.equal(chosen[k, count:], chosen[k, : clicks - count])
    assert len(torch.unique(coords[0], dim=0)) > len(torch.unique(chosen[0]))


def test_clicks_prefer_the_middle_by_depth():
    # One column of a region three wide, in the interior: depths 1, 2, 1 across.
    regions = torch.ones(1, 40, 40, dtype=torch.int32)
    regions[:, 5:35, 10:13] = 2
    seeds = torch.arange(2000)
    coords, chosen = draw_clicks(regions.expand(2000, -1, -1), seeds, 2)
    inside = coords[chosen == 2]
    assert len(inside) == 2000
    across = torch.bincount(inside[:, 0].long(), minlength=13)[10:]
    # 30 + 28 * 2 + 2 + 30 = 118 in all: the ends of the middle column are boundary as well.
    expected = np.array([30, 58, 30]) / 118
    assert np.abs(across.numpy() / 2000 - expected).max() < 4 * math.sqrt(0.25 / 2000)


def test_the_largest_region_is_clicked_where_all_are_small():
    rows = torch.arange(32 * 32, dtype=torch.int32).view(1, 32, 32) + 1
    rows[0, 3, 7] = rows[0, 3, 6]
    coords, chosen = draw_clicks(rows, torch.tensor([1]), 2)
    assert chosen.tolist() == [[int(rows[0, 3, 6])] * 2]
    assert set(map(tuple, coords[0].tolist())) <= {(6.0, 3.0), (7.0, 3.0)}


def test_targets_flip_everything_together(wilds):
    pictures, _ = wilds
    many = Pictures(*(tensor[:1].repeat(16, *[1] * (tensor.ndim - 1)) for tensor in pictures))
    many = many._replace(seeds=torch.arange(16))
    targets = draw_targets(many, 3, SIZE // 2)
    flipped = [not torch.equal(regions, pictures.regions[0]) for regions in targets.regions]
    assert 0 < sum(flipped) < 16
    for k, flip in enumerate(flipped):
        expected = pictures.regions[0].flip(1) if flip else pictures.regions[0]
        assert torch.equal(targets.regions[k], expected)
        # Recolouring is monotonic in every channel, so its place in the picture can be found again.
        plain = normalize_rgb(pictures.images[:1])[0].mean(0)
        drawn = targets.images[k].mean(0)
        both = torch.stack([(plain.flip(1) if flip else plain).flatten(), drawn.flatten()])
        assert torch.corrcoef(both)[0, 1] > 0.9
        x, y = (targets.point_coords[k] // 2).long().unbind(-1)
        assert (targets.masks[k, torch.arange(3), y, x] > 0).all()
    colour = (targets.images.amax(1) - targets.images.amin(1)).amax((1, 2))
    assert 0 < int((colour == 0).sum()) < 16


def test_masks_are_shares_of_the_logits_pixels():
    regions = torch.ones(1, 8, 8, dtype=torch.int32)
    regions[0, 0, 0], regions[0, :, 4:] = 2, 2
    pictures = Pictures(torch.zeros(1, 8, 8, 3, dtype=torch.uint8), regions, torch.tensor([8]))
    targets = draw_targets(pictures, 2, 4)
    both = targets.masks[0].sum(0)
    assert torch.equal(both, torch.ones(4, 4))
    assert sorted(torch.unique(targets.masks).tolist()) == [0, 0.25, 0.75, 1]


def test_mask_losses_by_hand():
    # Logits log 3 and -log 3: probabilities 3/4 and 1/4.
    high = math.log(3)
    logits = torch.tensor([high, high, -high, -high]).view(1, 1, 2, 2)
    masks = torch.tensor([1.0, 0, 0, 0]).view(1, 1, 2, 2)
    right, wrong = math.log(4 / 3), math.log(4)
    entropy, dice, error = mask_losses(logits, torch.tensor([[0.2]]), masks, 0.0)
    assert entropy.item() == pytest.approx((3 * right + wrong) / 4)
    assert dice.item() == pytest.approx(1 - (2 * 0.75 + 1) / (2 + 1 + 1))
    assert error.item() == pytest.approx((0.5 - 0.2) ** 2)
    balanced, _, _ = mask_losses(logits, torch.tensor([[0.2]]), masks, 1.0)
    assert balanced.item() == pytest.approx(0.5 * right + 0.5 * (wrong + 2 * right) / 3)
    mixed, _, _ = mask_losses(logits, torch.tensor([[0.2]]), masks, 0.25)
    assert mixed.item() == pytest.approx(0.75 * entropy.item() + 0.25 * balanced.item())


def test_pair_loss_by_hand():
    regions = torch.tensor([[1, 1, 1, 1], [1, 1, 2, 2]]).repeat_interleave(2, 0).int()[None]
    # Patches of 2 x 2, told by their last pixel: [[1, 1], [1, 2]] of a 4 x 4 map.
    assert regions.shape == (1, 4, 4)
    embeddings = torch.zeros(1, 2, 2, 2)
    embeddings[0, 0], embeddings[0, :, 1, 1] = 3.0, torch.tensor([0.0, 7.0])
    same, apart = math.log(1 + math.exp(-5)), math.log(1 + math.exp(-5))
    assert pair_loss(embeddings, regions).item() == pytest.approx(0.5 * same + 0.5 * apart, abs=1e-6)
    # All alike: every pair of different regions is taken for the same.
    alike = pair_loss(torch.ones(1, 2, 2, 2), regions).item()
    assert alike == pytest.approx(0.5 * same + 0.5 * math.log(1 + math.exp(5)))


def pictures_of(stream, step, store=None):
    return make_pictures(stream[step].unpack(torch.device("cpu")), store)


def test_a_step_sees_what_its_number_says():
    stream = PretrainingSet(5, SIZE, 2)
    first, again = pictures_of(stream, 1), pictures_of(stream, 1)
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    alone = picture_scenes(FAMILY, 5, [2, 3], SIZE)[0]
    assert all(torch.equal(a, b) for a, b in zip(first, alone, strict=True))
    assert not torch.equal(pictures_of(stream, 0).images, first.images)


def test_scenes_rendered_in_parts_are_the_same():
    parts, whole = (
        pictures_of(PretrainingSet(5, SIZE, 5, at_once=2), 1),
        pictures_of(PretrainingSet(5, SIZE, 5), 1),
    )
    assert all(torch.equal(a, b) for a, b in zip(parts, whole, strict=True))


@pytest.mark.thorough
def test_workers_change_nothing():
    stream = PretrainingSet(5, SIZE, 2, photographs=Shapes(((80, 120), (90, 70)), (2, 3)), share=0.5)
    here = [stream[step].unpack(torch.device("cpu")) for step in range(3, 9)]
    with closing(loader(stream, range(3, 9), 2, False)) as there:
        for expected, packed in zip(here, there, strict=True):
            found = packed.unpack(torch.device("cpu"))
            assert torch.equal(found.crops, expected.crops)
            assert torch.equal(found.seeds, expected.seeds)
            for one, other in zip(found.scenes, expected.scenes, strict=True):
                assert torch.equal(one.solids, other.solids)
                assert torch.equal(one.camera.boxes.view(torch.int32), other.camera.boxes.view(torch.int32))
                assert one.light.groups == other.light.groups
                assert one.texture_pixels == other.texture_pixels


def test_packed_tensors_come_back_as_they_were():
    content = [
        (torch.arange(3, dtype=torch.int16), torch.zeros(0, 5, dtype=torch.int64)),
        Shapes(((1, 2),), (3,)),
        [torch.rand(2, 3).t(), torch.tensor(True), torch.tensor([1.5], dtype=torch.float64)],
    ]
    (first, empty), shapes, rest = Packed.of(content).unpack(torch.device("cpu"))
    assert torch.equal(first, content[0][0])
    assert (empty.shape, empty.dtype) == ((0, 5), torch.int64)
    assert shapes == content[1]
    for found, expected in zip(rest, content[2], strict=True):
        assert found.dtype == expected.dtype
        assert torch.equal(found, expected)


def test_photographs_are_mixed_in(photos):
    found = Photographs.find(photos, "train")
    assert found.names == ("12", "34", "56")
    picture, people = found.read(1)
    assert picture.shape == (80, 120, 3)
    seen = np.stack([picture[5, 5], picture[50, 100], picture[20, 20]]).astype(int)
    # JPEG is a little off.
    assert np.abs(seen - [(250, 20, 40), (30, 240, 60), (50, 70, 230)]).max() < 12
    assert [(regions.shape, int(regions.max())) for regions in people] == [((80, 120), 3), ((80, 120), 2)]
    store = PhotographStore.load(found, torch.device("cpu"))
    stream = PretrainingSet(1, 32, 8, photographs=store.shapes, share=0.5)
    kept = 0
    for step in range(4):
        batch, scenes = pictures_of(stream, step, store), pictures_of(PretrainingSet(1, 32, 8), step)
        same = [any(torch.equal(image, scene) for scene in scenes.images) for image in batch.images]
        kept += sum(same)
        assert len(torch.unique(batch.seeds)) == 8
        for image in batch.images[[not one for one in same]].flatten(1, 2).float():
            # Every pixel has about one of the three colours: no scene looks like that.
            colours = torch.tensor([(250.0, 20, 40), (30, 240, 60), (50, 70, 230)])
            assert torch.cdist(image, colours).amin(1).median() < 20
    assert 8 < kept < 24


def test_crops_are_those_of_opencv_and_of_the_formats_stretching(photos):
    """Both persons, pictures upright and across; a crop is as if cut out and scaled on its own."""
    found = Photographs.find(photos, "train")
    store = PhotographStore.load(found, torch.device("cpu"))
    rng = np.random.default_rng(0)
    crops = [store.shapes.draw(rng) for _ in range(20)]
    assert {crop[:2] for crop in crops} == {(k, person) for k in range(3) for person in range(2)}
    images, regions = store.crop(torch.tensor(crops), 32)
    for k, (index, person, side, top, left) in enumerate(crops):
        picture, people = found.read(index)
        window = slice(top, top + side), slice(left, left + side)
        expected = cv2.resize(picture[window], (32, 32), interpolation=cv2.INTER_AREA)
        # OpenCV adds the same shares in another order: halves may be rounded the other way.
        assert np.abs(images[k].numpy().astype(int) - expected).max() <= 1
        assert np.array_equal(regions[k].numpy(), stretch_nearest(people[person][window], (32, 32)))
    # A region that a crop cuts in two is two.
    pieces = make_pictures(Draws(32, [], torch.tensor(crops), torch.arange(20)), store).regions
    for found_pieces, cut in zip(pieces, regions, strict=True):
        assert np.array_equal(found_pieces.numpy(), split_instances(cut.numpy()))


def test_held_out_scenes_are_never_learned_from(monkeypatch):
    asked = []
    real = scores.picture_scenes
    monkeypatch.setattr(
        scores,
        "picture_scenes",
        lambda family, seed, *more: (asked.append(seed), real(family, seed, *more))[1],
    )
    held_out = scores.held_out_scenes(FAMILY, 2, SIZE, 0, STRICT_2)
    assert set(asked) == {scores.HELD_OUT_SEED}
    with pytest.raises(InputError, match="held-out"):
        config(seed=scores.HELD_OUT_SEED)
    learned = pictures_of(PretrainingSet(0, SIZE, 2), 0)
    assert not any(torch.equal(item.image, image) for item in held_out.items for image in learned.images)


def test_held_out_clicks_are_the_strict_ones():
    item = scores.held_out_scenes("rooms", 1, SIZE, 0, STRICT, SIZE).items[0]
    clicked = item.clicked
    everything = strict_clicks(clicked.instances.astype(np.int32))
    assert len(clicked.ids) > 1
    for k, instance in enumerate(clicked.ids.tolist()):
        x, y = clicked.clicks[k].astype(int)
        assert clicked.instances[y, x] == instance
        assert [x, y] in everything.tolist()
        area = (clicked.instances == instance).sum()
        assert item.large[k] == (area >= 0.005 * SIZE * SIZE)


def test_scores_count_pixels_at_the_pictures_own_size(monkeypatch):
    """A model that draws the left half scores what the left half has of every instance."""
    held_out = scores.held_out_scenes("rooms", 2, SIZE, 0, STRICT, SIZE)

    class Half(torch.nn.Module):
        image_size = SIZE

        def __init__(self):
            super().__init__()
            self.weight = torch.nn.Parameter(torch.zeros(1))

        def embed(self, images):
            assert images.shape == (1, 3, SIZE, SIZE)
            return images

        def decode(self, embeddings, coords, labels):
            half = torch.where(torch.arange(16) < 8, 1.0, -1.0).expand(len(coords), 1, 16, 16)
            return half, torch.zeros(len(coords), 1)

    left = np.zeros((SIZE, SIZE), bool)
    left[:, : SIZE // 2] = True
    expected = []
    for item in held_out.items:
        for instance in item.clicked.ids.tolist():
            truth = item.clicked.instances == instance
            expected.append((left & truth).sum() / (left | truth).sum())
    large = np.concatenate([item.large for item in held_out.items])
    found = scores.score(Half(), held_out, precision="float32")
    assert found.miou == pytest.approx(np.mean(expected))
    assert found.miou_large == pytest.approx(np.array(expected)[large].mean())
    discs = scores.disc_scores(held_out)
    assert discs.instances == len(expected)
    assert 0 < discs.disc <= discs.best_disc < 1


def test_the_average_forgets_the_start():
    layer = torch.nn.Linear(1, 1, bias=False)
    torch.nn.init.constant_(layer.weight, 1.0)
    average = Average(layer, 0.5)
    torch.nn.init.constant_(layer.weight, 3.0)
    average.update(layer, 1)  # share 1 - 2 / 11
    assert average.state(layer)["weight"].item() == pytest.approx(1 + 2 * 9 / 11)
    average.update(layer, 100)  # share 1 - 0.5
    assert average.state(layer)["weight"].item() == pytest.approx(3 - 2 * 2 / 11 / 2)
    assert layer.weight.item() == 3


class Stopping(RunObserver):
    """Asks for a stop after some steps, as Ctrl-C does."""

    def __init__(self, after):
        self.after, self.trainer = after, None

    def advance(self, count=1, *, loss=None):
        self.after -= 1
        if self.after == 0:
            signal.raise_signal(signal.SIGTERM)


def state(folder):
    """The tensors of a checkpoint."""
    files = sorted(folder.glob("checkpoint-*.safetensors"))
    index = json.loads((folder / "checkpoint.safetensors.index.json").read_text())["weight_map"]
    assert sorted(set(index.values())) == [path.name for path in files]
    tensors = {name: tensor for path in files for name, tensor in load_file(path).items()}
    assert tensors.keys() == index.keys()
    return tensors


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory):
    folder = tmp_path_factory.mktemp("unbroken") / "out"
    card = pretrain(job(folder))
    return folder, card


def test_resuming_gives_the_same_bits(tmp_path, unbroken):
    folder = tmp_path / "out"
    for after in (2, 3):
        with pytest.raises(Stopped, match="the same command goes on"):
            pretrain(job(folder), observer=Stopping(after))
    assert not (folder / "weights.safetensors").exists()
    card = pretrain(job(folder))
    whole, broken = state(unbroken[0]), state(folder)
    assert whole.keys() == broken.keys()
    assert all(torch.equal(whole[name], broken[name]) for name in whole)
    assert card.weights.sha256 == unbroken[1].weights.sha256
    assert card.scores == unbroken[1].scores

    def lines(path):
        rows = [json.loads(line) for line in (path / "metrics.jsonl").read_text().splitlines()]
        return [{k: v for k, v in row.items() if "second" not in k} for row in rows]

    assert lines(folder) == lines(unbroken[0])


def test_training_changes_all_that_answers_a_click(unbroken):
    tensors = state(unbroken[0])
    torch.default_generator.manual_seed(0)
    backbone = BACKBONES["sam-toy"]
    model = backbone.build()
    backbone.initialize(model)
    parts = {
        name.split(".")[0]
        for name, parameter in model.named_parameters()
        if not torch.equal(parameter, tensors[f"model.{name}"])
    }
    assert parts == {"image_encoder", "prompt_encoder", "mask_decoder"}


def test_another_seed_gives_other_weights(tmp_path, unbroken):
    card = pretrain(job(tmp_path / "out", seed=1, images=2))
    assert card.weights.sha256 != unbroken[1].weights.sha256
    assert card.images_seen == 2


def test_the_weights_load_and_the_card_is_whole(unbroken):
    folder, card = unbroken
    half = load_file(folder / "weights.safetensors")
    assert {tensor.dtype for tensor in half.values()} == {torch.float16}
    loaded = load_weights("sam-toy", folder / "weights.safetensors")
    assert {tensor.dtype for tensor in loaded.state.values()} == {torch.float32}
    averages = state(folder)
    name = "image_encoder.pos_embed"
    assert torch.equal(loaded.state[name], averages[f"average.{name}"].half().float())
    assert card.as_json() == json.loads((folder / "card.json").read_text())
    assert loaded.sha256 == card.weights.sha256
    assert card.weights.bytes == (folder / "weights.safetensors").stat().st_size
    assert (card.images_seen, card.steps, card.share_done) == (12, 6, 1)
    assert card.shippable
    assert card.settings.recipe == module.RECIPE
    assert list(card.scores) == ["wilds", "rooms"]
    keys = ["miou", "miou_large", "instances", "large_instances", "disc", "best_disc", "radius"]
    keys += ["disc_large", "best_disc_large", "radius_large"]
    for numbers in card.as_json()["scores"].values():
        assert list(numbers) == keys
    text = (folder / "README.md").read_text()
    for name, numbers in card.scores.items():
        assert f"| {name} | {numbers.instances:,} | {100 * numbers.miou:.1f} |" in text
    assert cv2.imread(str(folder / "curves.png")).shape[1] > 500


def test_the_rate_by_hand(tmp_path):
    trainer = module._Pretraining(job(tmp_path, lr=0.5), {}, RunObserver())
    assert trainer._rate(0.0) == pytest.approx(0.5 / 300)
    trainer.progress.step = 149
    assert trainer._rate(0.0) == pytest.approx(0.25)
    trainer.progress.step = 10_000
    assert [trainer._rate(share) for share in (0, 0.5, 1)] == pytest.approx([0.5, 0.5 * 0.505, 0.005])
    assert trainer.share_done() == 1
    by_clock = module._Pretraining(job(tmp_path, images=None, hours=2.0), {}, RunObserver())
    by_clock.progress.seconds = 1800.0
    assert by_clock.share_done() == 0.25


def test_a_finished_pretraining_answers(unbroken, monkeypatch):
    monkeypatch.setattr(module._Pretraining, "run", lambda self: pytest.fail("trained again"))
    assert pretrain(job(unbroken[0])) == unbroken[1]


def test_scores_on_the_way_and_photographs(tmp_path, photos):
    told = []

    class Listening(module.PretrainObserver):
        def scored(self, images, seconds, scores, floors):
            told.append((images, scores))

    asked = job(tmp_path / "out", photos=photos, bsds=photos, share_of_photos=0.4, images=8, score_every=4)
    card = pretrain(asked, observer=Listening())
    assert [images for images, _ in told] == [4]
    assert set(told[0][1]) == {"wilds", "rooms", "photographs"}
    lines = [json.loads(line) for line in (tmp_path / "out" / "metrics.jsonl").read_text().splitlines()]
    assert lines[0]["photographs_miou"] == told[0][1]["photographs"].miou
    # The last line has the scores of what is shipped.
    assert lines[-1]["photographs_miou"] == card.scores["photographs"].miou
    assert [line["images"] for line in lines] == [4, 8, 8]
    assert not card.shippable
    assert card.license.startswith("NOT TO BE SHIPPED")
    assert card.learned_from.photographs == 3
    assert card.scores["photographs"].instances == 6


def test_a_stop_while_scoring_loses_nothing(tmp_path, monkeypatch):
    folder, whole = tmp_path / "out", tmp_path / "whole"
    real, calls = module.score, []

    def scoring(model, held_out, **options):
        calls.append(held_out.name)
        if len(calls) == 2:
            signal.raise_signal(signal.SIGINT)
        return real(model, held_out, **options)

    monkeypatch.setattr(module, "score", scoring)
    with pytest.raises(Stopped, match="the same command goes on"):
        pretrain(job(folder, images=8, score_every=4))
    assert (
        json.loads((folder / "checkpoint.safetensors.index.json").read_text())["metadata"]["progress"]["step"]
        == 2
    )
    card = pretrain(job(folder, images=8, score_every=4))
    assert card.weights == pretrain(job(whole, images=8, score_every=4)).weights
    kept = [
        [{k: v for k, v in json.loads(line).items() if "second" not in k} for line in text.splitlines()]
        for text in ((path / "metrics.jsonl").read_text() for path in (folder, whole))
    ]
    assert kept[0] == kept[1]
    assert [row["images"] for row in kept[0]] == [4, 8, 8]


def test_finishing_early(tmp_path):
    folder = tmp_path / "out"
    with pytest.raises(InputError, match="no pretraining to finish"):
        pretrain(job(folder), finish=True)
    with pytest.raises(Stopped):
        pretrain(job(folder), observer=Stopping(3))
    card = pretrain(job(folder), finish=True)
    assert (card.images_seen, card.share_done) == (6, 0.5)
    # The same command still goes on.
    assert pretrain(job(folder)).images_seen == 12


def test_a_call_with_a_time_limit_writes_everything_and_the_next_goes_on(tmp_path, unbroken, monkeypatch):
    folder, now = tmp_path / "out", [100.0]
    # Two seconds a step, by a clock of the test's own.
    monkeypatch.setattr(module, "time", SimpleNamespace(perf_counter=lambda: now[0]))

    class Ticking(RunObserver):
        def advance(self, count=1, *, loss=None):
            now[0] += 2.0 * (count > 1)

    card = pretrain(job(folder, seconds=5.0), observer=Ticking())
    assert (card.steps, card.share_done) == (3, 0.5)
    assert {path.name for path in folder.iterdir()} >= {"weights.safetensors", "metrics.jsonl", "README.md"}
    # The whole differs in nothing from one that was not stopped, and its card replaces the early one.
    whole = pretrain(job(folder, seconds=50.0), observer=Ticking())
    assert whole.steps == 6
    assert whole.weights.sha256 == unbroken[1].weights.sha256
    with pytest.raises(InputError, match="--seconds must be a positive number"):
        job(folder, seconds=0.0)


def test_a_card_of_fewer_steps_is_written_again(tmp_path):
    folder = tmp_path / "out"
    with pytest.raises(Stopped):
        pretrain(job(folder), observer=Stopping(3))
    assert pretrain(job(folder), finish=True).steps == 3
    # All steps done and saved, but stopped before the weights were written.
    with pytest.raises(Stopped):
        pretrain(job(folder), observer=Stopping(3))
    assert pretrain(job(folder)).steps == 6


def test_wrong_folders(tmp_path, unbroken):
    (tmp_path / "file").write_text("mine")
    with pytest.raises(InputError, match="is a file"):
        pretrain(job(tmp_path / "file"))
    with pytest.raises(InputError, match="holds something else"):
        pretrain(job(tmp_path))
    with pytest.raises(InputError, match=r"was begun with lr 0\.001, not 0\.002"):
        pretrain(job(unbroken[0], lr=2e-3))
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_the_state_is_in_files_of_limited_size(tmp_path, monkeypatch):
    monkeypatch.setattr(checkpoint, "_PART_BYTES", 40_000)
    pretrain(job(tmp_path / "out", images=2))
    parts = [load_file(path) for path in (tmp_path / "out").glob("checkpoint-*.safetensors")]
    assert len(parts) > 5
    for tensors in parts:
        # A tensor that is larger has a file of its own.
        assert len(tensors) == 1 or sum(tensor.nbytes for tensor in tensors.values()) <= 40_000


def test_no_file_of_sam_tiny_reaches_16_mb(tmp_path):
    backbone = BACKBONES["sam-tiny"]
    model = backbone.build()
    optimizer = torch.optim.AdamW(model.parameters())
    for parameter in model.parameters():
        parameter.grad = torch.zeros_like(parameter)
    optimizer.step()
    state_module.save_checkpoint(
        tmp_path, model, Average(model, 0.9), [optimizer], torch.zeros(5), state_module.Progress(step=3)
    )
    sizes = [path.stat().st_size for path in tmp_path.iterdir()]
    assert sum(sizes) > 60_000_000
    assert max(sizes) < 16_000_000


def test_a_kill_while_saving_leaves_the_state_before(tmp_path, monkeypatch):
    """Stops at each file that is written or deleted: what is read next is the old state or the new one."""
    monkeypatch.setattr(checkpoint, "_PART_BYTES", 400)
    count = [0, math.inf]

    class Killed(BaseException):
        pass

    def killing(function):
        def called(*arguments, **options):
            count[0] += 1
            if count[0] > count[1]:
                raise Killed
            return function(*arguments, **options)

        return called

    for where, name in (
        (checkpoint, "save_tensors"),
        (checkpoint, "write_json"),
        (state_module, "write_metrics"),
    ):
        monkeypatch.setattr(where, name, killing(getattr(where, name)))
    unlink = Path.unlink
    monkeypatch.setattr(Path, "unlink", killing(unlink))

    def trained(steps):
        torch.manual_seed(0)
        model = torch.nn.Linear(9, 30)
        average, optimizer = Average(model, 0.9), torch.optim.AdamW(model.parameters())
        for step in range(steps):
            model(torch.full((1, 9), step + 1.0)).square().sum().backward()
            optimizer.step()
            average.update(model, step + 1)
        return model, average, [optimizer], torch.arange(5.0) * steps

    def save(folder, steps):
        state_module.save_checkpoint(folder, *trained(steps), state_module.Progress(step=steps))

    whole, stops, seen = 0, 0, set()
    while not whole:
        folder = tmp_path / str(stops)
        folder.mkdir()
        count[:] = 0, math.inf
        save(folder, 2)
        count[:] = 0, stops
        try:
            save(folder, 3)
            whole = 1
        except Killed:
            stops += 1
        count[1] = math.inf
        model, average, optimizers, sums = trained(0)
        progress = state_module.load_checkpoint(folder, model, average, optimizers, sums)
        expected = trained(progress.step)
        seen.add(progress.step)
        assert torch.equal(model.weight, expected[0].weight)
        assert torch.equal(average.tensors["bias"], expected[1].tensors["bias"])
        assert torch.equal(sums, expected[3])
        moments = [
            each.state[parameter]
            for each, parameter in ((optimizers[0], model.weight), (expected[2][0], expected[0].weight))
        ]
        assert all(torch.equal(moments[0][key], moments[1][key]) for key in ("step", "exp_avg", "exp_avg_sq"))
    assert seen == {2, 3}
    assert stops > 12
    state(folder)


def test_a_state_of_one_file_goes_on(tmp_path, unbroken):
    """Earlier versions wrote all tensors into checkpoint.safetensors."""
    folder = tmp_path / "out"
    with pytest.raises(Stopped):
        pretrain(job(folder), observer=Stopping(3))
    index = json.loads((folder / "checkpoint.safetensors.index.json").read_text())["metadata"]
    tensors = state(folder) | {"sums": torch.tensor(index["sums"])}
    save_file(tensors, folder / "checkpoint.safetensors", {"progress": json.dumps(index["progress"])})
    for path in (*folder.glob("checkpoint-*"), folder / "checkpoint.safetensors.index.json"):
        path.unlink()
    card = pretrain(job(folder))
    assert card.weights.sha256 == unbroken[1].weights.sha256
    assert not (folder / "checkpoint.safetensors").exists()


@pytest.mark.parametrize("damage", ["cut", "gone", "index", "old"])
def test_a_damaged_checkpoint_is_named(tmp_path, unbroken, damage):
    folder = tmp_path / "out"
    shutil.copytree(unbroken[0], folder)
    index, (part, *_) = folder / "checkpoint.safetensors.index.json", folder.glob("checkpoint-*")
    if damage == "cut":
        part.write_bytes(part.read_bytes()[:400])
    elif damage == "gone":
        part.unlink()
    elif damage == "index":
        index.write_text("{}")
    else:
        index.unlink()
        (folder / "checkpoint.safetensors").write_bytes(b"nothing")
    with pytest.raises(AimsError, match=r"checkpoint\.safetensors.*: not a checkpoint of this model"):
        pretrain(job(folder))


def test_what_is_not_finite_is_not_saved(tmp_path, monkeypatch):
    folder = tmp_path / "out"
    with pytest.raises(Stopped):
        pretrain(job(folder), observer=Stopping(2))
    before = state(folder)
    monkeypatch.setattr(module, "pair_loss", lambda embeddings, regions: embeddings.sum() * math.nan)
    with pytest.raises(AimsError, match="a loss is not finite after 6 images"):
        pretrain(job(folder), observer=Stopping(1))
    after = state(folder)
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_a_loss_that_is_not_finite_stops(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "_LOG_EVERY", 1)
    monkeypatch.setattr(module, "pair_loss", lambda embeddings, regions: embeddings.sum() * math.nan)
    with pytest.raises(AimsError, match=r"after 2 images .*try a lower --lr than 0\.001"):
        pretrain(job(tmp_path / "out"))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"images": None}, "with --images or with --hours"),
        ({"hours": 1.0}, "with --images or with --hours"),
        ({"images": None, "hours": 0.0}, "--hours must be a positive number"),
        ({"images": 0}, "--images must be at least 1"),
        ({"clicks": 0}, "--clicks must be at least 1"),
        ({"lr": math.nan}, "--lr must be a positive number"),
        ({"share_of_photos": 1.0}, "--share-of-photos must be"),
        ({"precision": "fp16"}, "unknown precision 'fp16'"),
        ({"backbone": "sam-tinny"}, "did you mean 'sam-tiny'"),
        ({"seed": -1}, "--seed must be"),
    ],
)
def test_wrong_settings(changes, message):
    with pytest.raises(InputError, match=message):
        config(**changes)


def test_wrong_photographs(tmp_path, photos):
    with pytest.raises(InputError, match=r"no photographs in images/train/\*\.jpg"):
        pretrain(job(tmp_path / "out", photos=tmp_path, share_of_photos=0.5))
    assert not (tmp_path / "out").exists()
    with pytest.raises(InputError, match="needs --photos"):
        plan_pretraining(folder=tmp_path / "out", images=8, share_of_photos=0.2)
    (tmp_path / "images" / "train").mkdir(parents=True)
    (tmp_path / "images" / "train" / "1.jpg").write_bytes(b"no picture")
    with pytest.raises(InputError, match=r"1\.mat: no such file"):
        Photographs.find(tmp_path, "train")
    (tmp_path / "groundTruth" / "train").mkdir(parents=True)
    scipy.io.savemat(tmp_path / "groundTruth" / "train" / "1.mat", {"other": 1})
    found = Photographs.find(tmp_path, "train")
    with pytest.raises(InputError, match=r"1\.jpg: not readable as a picture"):
        found.read(0)
    whole = photos / "images" / "train" / "12.jpg"
    (tmp_path / "images" / "train" / "1.jpg").write_bytes(whole.read_bytes())
    with pytest.raises(InputError, match=r"1\.mat: no region maps"):
        found.read(0)


def test_planning(tmp_path, photos):
    plain = plan_pretraining(folder=tmp_path, images=8, device="cpu")
    assert plain.config.share_of_photos == 0
    assert plain.config == PretrainConfig(images=8)
    mixed = plan_pretraining(folder=tmp_path, images=8, device="cpu", photos=photos, workers=2)
    assert (mixed.config.share_of_photos, mixed.workers) == (0.3, 2)
    assert plain.workers == 0
    with pytest.raises(InputError, match="use auto, cpu, cuda"):
        plan_pretraining(folder=tmp_path, images=8, device="gpu")


def test_two_processes_do_not_work_in_one_folder(tmp_path):
    settings = msgspec.to_builtins(module.settings_of(job(tmp_path)))
    (tmp_path / module.SETTINGS).write_text(json.dumps(settings))
    with FileLock(tmp_path / ".lock"), pytest.raises(Busy, match="another process is working here"):
        pretrain(job(tmp_path))
