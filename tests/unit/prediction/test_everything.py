"""Objects from a grid of clicks, against segment-anything's rules; parts that join across tiles."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import pytest
import torch
from pycocotools import mask as coco_mask

import aims
from aims.core.errors import InputError
from aims.core.normalisation import IMAGENET
from aims.core.records import Preprocessing
from aims.core.schema import StreamSpec
from aims.core.vocabulary import STRICT
from aims.methods import BACKBONES
from aims.models.weights import find_packaged, load_weights
from aims.prediction.everything import crop_boxes, point_grid
from aims.prediction.inputs import InputRules
from aims.prediction.instances import Instances, encode_part
from aims.prediction.model import Model
from aims.prediction.options import Everything, Tiling
from aims.prediction.tiles import Tile, everything_in_tiles, join, tiles_of


@pytest.fixture(scope="module")
def amg():
    """segment-anything's own helpers, without its package, which needs torchvision."""
    folder = Path(importlib.util.find_spec("segment_anything").submodule_search_locations[0])
    spec = importlib.util.spec_from_file_location("amg", folder / "utils" / "amg.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def model(run_folder):
    return aims.load(run_folder, device="cpu")


@pytest.fixture(scope="module")
def picture():
    """As large as the toy's input, so that neither program resizes it."""
    return np.random.default_rng(0).random((64, 64, 2), np.float32)


def box_nms(boxes, scores, threshold):
    """What torchvision's `nms` returns, by its definition."""
    kept = []
    for k in scores.argsort(descending=True, stable=True).tolist():
        left, top = torch.maximum(boxes[k, :2], boxes[kept, :2]).unbind(1)
        right, bottom = torch.minimum(boxes[k, 2:], boxes[kept, 2:]).unbind(1)
        common = (right - left).clamp(0) * (bottom - top).clamp(0)
        areas = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
        if not (common / (areas[k] + areas[kept] - common) > threshold).any():
            kept.append(k)
    return kept


def generate(amg, model, picture, options):
    """The masks of `SamAutomaticMaskGenerator` without crops, by its own helpers and the stock modules."""
    features = model.embed(picture).features
    sam, size = model.segmenter, model.rules.size
    points = torch.from_numpy(amg.build_point_grid(options.points_per_side) * size).float()
    sparse, dense = sam.prompt_encoder((points[:, None], torch.ones(len(points), 1)), None, None)
    with torch.no_grad():
        low, iou = sam.mask_decoder(
            features, sam.prompt_encoder.get_dense_pe(), sparse, dense, options.multimask
        )
    logits = torch.nn.functional.interpolate(low, (size, size), mode="bilinear", align_corners=False)
    data = amg.MaskData(masks=logits.flatten(0, 1), iou_preds=iou.flatten())
    data.filter(data["iou_preds"] > options.min_iou)
    stability = amg.calculate_stability_score(data["masks"], 0.0, options.stability_offset)
    data.filter(stability >= options.min_stability)
    masks = data["masks"] > 0
    keep = box_nms(amg.batched_mask_to_box(masks).float(), data["iou_preds"], options.nms)
    return masks[keep].numpy()


@pytest.fixture(scope="module")
def pretrained():
    """The first edition of sam-tiny, on photographs as large as its input."""
    segmenter = BACKBONES["sam-tiny"].build()
    segmenter.load_state_dict(load_weights("sam-tiny", find_packaged("sam-tiny@1").path).state)
    segmenter.path = "fast"
    preprocessing = Preprocessing(
        streams=("rgb",), mean=IMAGENET.mean, std=IMAGENET.std, source="ImageNet", channel_order=(0, 1, 2)
    )
    rgb = StreamSpec(channels=3, unit="digital number", valid_range=(0, 255))
    rules = InputRules(
        modality="rgb", streams={"rgb": rgb}, preprocessing=preprocessing, protocol=STRICT, size=128
    )
    return Model(segmenter, rules, name="sam-tiny")


def test_the_masks_are_those_of_segment_anything(amg, pretrained):
    photograph = np.full((128, 128, 3), (90, 120, 60), np.uint8)
    for left, top, side, colour in (
        (10, 15, 30, (200, 40, 40)),
        (60, 20, 44, (40, 60, 200)),
        (30, 80, 36, (220, 220, 90)),
    ):
        photograph[top : top + side, left : left + side] = colour
    options = Everything(
        points_per_side=8,
        min_iou=0.5,
        min_stability=0.7,
        nms=0.7,
        nms_on="box",
        rank="iou",
        max_share=1.0,
    )
    ours = pretrained.everything(photograph, options).masks
    theirs = generate(amg, pretrained, photograph, options)
    assert len(theirs) > 3
    assert np.array_equal(ours, theirs)


def test_the_other_masks_are_those_of_the_stock_decoder(pretrained):
    features = torch.randn(1, 128, 16, 16)
    coords = torch.tensor([[[20.0, 30.0]], [[90.0, 100.0]]])
    answers = []
    for path in ("stock", "fast"):
        pretrained.segmenter.path = path
        with torch.no_grad():
            answers.append(
                pretrained.segmenter.decode(
                    features, coords, torch.ones(2, 1, dtype=torch.int64), multimask=True
                )
            )
    (stock, stock_iou), (fast, fast_iou) = answers
    assert fast.shape == (2, 3, 64, 64)
    # Rounding of float32, as in the parity tests of the single mask.
    assert torch.allclose(fast, stock, atol=1e-4 * float(stock.abs().max()))
    assert torch.allclose(fast_iou, stock_iou, atol=1e-5)


def test_grid_and_crops_are_those_of_segment_anything(amg):
    assert np.allclose(point_grid(7), amg.build_point_grid(7))
    for size in ((480, 640), (101, 67)):
        boxes, layers = amg.generate_crop_boxes(size, 2, 512 / 1500)
        ours = crop_boxes(size, Everything(crop_layers=2))
        assert [list(crop[:4]) for crop in ours] == [list(map(int, box)) for box in boxes]
        assert [crop.layer for crop in ours] == layers


def test_thresholds_leave_out_masks(model, picture):
    loose = Everything(points_per_side=6, stability_offset=1e-3, min_stability=0, nms=1.0, max_share=1.0)
    everything = model.everything(picture, loose)
    assert len(everything) > 3
    ranks = everything.scores * everything.stability
    assert (np.diff(ranks) <= 0).all()
    middle = float(np.median(everything.stability))
    stable = model.everything(
        picture,
        Everything(points_per_side=6, stability_offset=1e-3, min_stability=middle, nms=1.0, max_share=1.0),
    )
    assert len(stable) == (everything.stability >= middle).sum()
    area = int(np.median(everything.areas))
    large = model.everything(
        picture,
        Everything(
            points_per_side=6, stability_offset=1e-3, min_stability=0, nms=1.0, max_share=1.0, min_area=area
        ),
    )
    assert len(large) == (everything.areas >= area).sum()
    apart = model.everything(
        picture, Everything(points_per_side=6, stability_offset=1e-3, min_stability=0, nms=0.1, max_share=1.0)
    )
    rles = [dict(rle) for rle in apart.rles]
    overlaps = coco_mask.iou(rles, rles, [0] * len(rles))
    assert (overlaps - np.eye(len(rles)) <= 0.1).all()
    assert 0 < len(apart) < len(everything)


def test_crops_find_objects_in_pixels_of_the_whole(model, picture):
    options = Everything(points_per_side=4, min_stability=0, crop_layers=1, nms=1.0, max_share=1.0)
    found = model.everything(picture, options)
    assert found.size == (64, 64)
    assert found.points.max() > 40
    with pytest.raises(InputError, match="needs the recording, not its embedding"):
        model.everything(model.embed(picture), options)


@pytest.mark.parametrize(
    "wrong", [{"min_iou": 2}, {"nms": -1}, {"points_per_side": 0}, {"nms_on": "circle"}, {"rank": "size"}]
)
def test_options_out_of_range_are_refused(wrong):
    with pytest.raises(InputError, match=next(iter(wrong))):
        Everything(**wrong)


def test_run_length_codes_of_parts_are_those_of_pycocotools():
    rng = np.random.default_rng(0)
    for _ in range(200):
        height, width = rng.integers(1, 9, 2).tolist()
        tall, wide = int(rng.integers(1, height + 1)), int(rng.integers(1, width + 1))
        top, left = int(rng.integers(0, height - tall + 1)), int(rng.integers(0, width - wide + 1))
        part = rng.random((tall, wide)) < rng.random()
        whole = np.zeros((height, width), np.uint8)
        whole[top : top + tall, left : left + wide] = part
        expected = coco_mask.encode(np.asfortranarray(whole))["counts"].decode()
        assert encode_part(part, (left, top), (height, width))["counts"] == expected
        instances = Instances.of(whole[None].astype(bool), np.ones(1, np.float32))
        assert np.array_equal(instances.masks[0], whole)
        assert instances.areas[0] == whole.sum()


def test_the_smaller_object_is_on_top():
    masks = np.zeros((2, 4, 6), bool)
    masks[0, 1:3, 1:3] = True
    masks[1] = True
    labels = Instances.of(masks, np.ones(2, np.float32)).label_map()
    assert labels.dtype == np.uint16
    assert np.array_equal(labels, np.where(masks[0], 1, 2))


@pytest.mark.parametrize("size", [(64, 64), (200, 333), (50, 64)])
def test_tiles_cover_the_picture_and_overlap(size):
    tiling = Tiling(side=64, overlap=0.25)
    tiles = tiles_of(size, tiling)
    covered = np.zeros(size, int)
    for tile in tiles:
        covered[tile.place] += 1
        assert (tile.bottom - tile.top, tile.right - tile.left) == (min(64, size[0]), min(64, size[1]))
    assert covered.min() == 1
    for one in tiles:
        beside = [other.left for other in tiles if other.left > one.left]
        assert not beside or one.right - min(beside) >= 16


def objects(tile, masks, size):
    inside = np.stack([mask[tile.place] for mask in masks])
    scores = np.linspace(0.9, 0.5, len(masks), dtype=np.float32)
    return Instances.of(inside, scores, offset=(tile.left, tile.top), size=size)


def test_parts_of_one_object_join_across_a_seam_and_what_a_neighbour_denies_is_left_out():
    size, tiles = (20, 50), [Tile(0, 0, 30, 20), Tile(20, 0, 50, 20)]
    across, left, right, touching = (np.zeros(size, bool) for _ in range(4))
    across[3:8, 10:45] = True
    left[12:16, 2:9] = True
    right[12:16, 40:46] = True
    touching[14:17, 27:30] = True
    found = [objects(tiles[0], [across, left, touching], size), objects(tiles[1], [right, across], size)]
    joined = join(tiles, found)
    assert {mask.tobytes() for mask in joined.masks} == {each.tobytes() for each in (across, left, right)}
    # In another order of the tiles the objects are the same.
    turned = join(tiles[::-1], found[::-1])
    assert {mask.tobytes() for mask in turned.masks} == {mask.tobytes() for mask in joined.masks}
    whole = next(k for k, mask in enumerate(joined.masks) if np.array_equal(mask, across))
    assert joined.scores[whole] == found[1].scores[1]  # of the larger part


def test_objects_that_differ_in_the_strip_stay_apart():
    size, tiles = (20, 50), [Tile(0, 0, 30, 20), Tile(20, 0, 50, 20)]
    one, other = np.zeros(size, bool), np.zeros(size, bool)
    one[3:8, 10:29] = True
    other[6:11, 22:45] = True
    assert len(join(tiles, [objects(tiles[0], [one], size), objects(tiles[1], [other], size)])) == 2


def test_nothing_in_any_tile_is_no_object():
    empty = Instances.of(np.zeros((0, 20, 30), bool), np.zeros(0, np.float32), size=(20, 50))
    assert len(join([Tile(0, 0, 30, 20), Tile(20, 0, 50, 20)], [empty, empty])) == 0


def test_a_large_picture_is_found_in_tiles(model):
    large = np.random.default_rng(1).random((70, 150, 2), np.float32)
    options = Everything(points_per_side=4, stability_offset=1e-3, min_stability=0.1, max_share=1.0)
    found = everything_in_tiles(model, model.rules.read(large), Tiling(side=64), options)
    assert found.size == (70, 150)
    assert len(found)
    assert found.masks.any((1, 2)).all()
    assert (found.boxes[:, :2] + found.boxes[:, 2:] <= (150, 70)).all()


@pytest.mark.parametrize(
    ("wrong", "reason"), [({"side": 4}, "at least 16"), ({"side": 64, "overlap": 0}, "0.1")]
)
def test_tilings_that_cannot_join_are_refused(wrong, reason):
    with pytest.raises(InputError, match=reason):
        Tiling(**wrong)
