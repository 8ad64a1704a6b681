"""The candidates for a better baseline: what each claims of its first step, its pictures and its counts."""

from __future__ import annotations

import importlib
import tomllib
from itertools import product
from pathlib import Path

import pytest
import torch
import toys
from candidate_modules import CANDIDATES, candidate_modules
from fitted_methods import fitted, map_linearly, pictures

from aims.cli.sweep import suite_fields
from aims.core.errors import InputError
from aims.core.records import RunContent, Scores
from aims.methods import BACKBONES, METHODS, TUNINGS, build_model, build_shapes, count_parameters
from aims.methods.simcmf_plus import match_colours, measure
from aims.models.merging import alignment_layers, folded_state
from aims.suites.suite import read_suite


@pytest.fixture(scope="module")
def candidates():
    with candidate_modules() as modules:
        yield modules


@pytest.fixture(scope="module")
def weights():
    model = BACKBONES["sam-toy"].build()
    return model.state_dict()


def test_tones_depend_on_no_gain_and_no_offset(candidates):
    batch = torch.stack(pictures(2))
    gains, offsets = torch.tensor([2.0, 0.25])[:, None, None], torch.tensor([3.0, -7.0])[:, None, None]
    # Float32: an offset of 7 costs three of 24 binary digits, and the gamma of a dark pixel some more.
    torch.testing.assert_close(
        candidates.toned.tone(batch * gains + offsets), candidates.toned.tone(batch), rtol=0, atol=1e-4
    )


def test_tones_are_of_each_picture_on_its_own(candidates):
    batch = torch.stack(pictures(2))
    batch[1] *= 5
    alone = torch.cat([candidates.toned.tone(picture[None]) for picture in batch])
    torch.testing.assert_close(candidates.toned.tone(batch), alone)


def test_the_median_lies_in_the_middle_and_a_percent_at_either_end(candidates):
    # Squares, whose median is at a quarter of the range.
    ramp = (torch.arange(4096.0) / 4095).square().reshape(1, 1, 64, 64)
    toned = candidates.toned.tone(ramp)
    assert toned.median().item() == pytest.approx(0.45, abs=1e-3)
    assert (toned == 0).sum() == (toned == 1).sum() == 42


def test_a_constant_channel_is_black_and_has_no_edges(candidates):
    flat = torch.full((1, 2, 64, 64), 4.0)
    assert not candidates.toned.tone(flat).any()
    assert not candidates.toned.slope(flat).any()


def test_edges_lie_along_the_border(candidates):
    picture = torch.zeros(1, 1, 64, 64)
    picture[..., 20:40, 30:] = 1
    edges = candidates.toned.slope(picture)[0, 0]
    # Half the step, over two pixels to each side.
    assert [edges[30, 29].item(), edges[30, 30].item(), edges[19, 50].item()] == pytest.approx([1 / 3] * 3)
    assert not edges[24:36, 35:].any()
    assert not edges[:15].any()


@pytest.mark.parametrize("edges", [True, False])
def test_the_toned_start_is_linear_in_tones_and_edges(candidates, edges):
    images = pictures(2)
    model = fitted("simcmf-toned", images, edges=edges)
    shown = model.alignment.show(torch.stack(images))
    assert shown.shape[1] == (4 if edges else 2)
    weight, bias = match_colours(*measure(shown))
    expected = map_linearly(weight, bias, shown)
    with torch.no_grad():
        # As for `simcmf-plus`, with weights up to ten, as edges vary little.
        torch.testing.assert_close(model.alignment(torch.stack(images)), expected, rtol=1e-4, atol=1e-4)


def test_a_toned_model_is_not_exported_as_if_its_convolutions_were_all(candidates):
    model = build_shapes(method="simcmf-toned", tuning="lora", backbone="sam-toy", channels=1)
    with pytest.raises(InputError, match="TonedAlignment, is no sequence of convolutions"):
        alignment_layers(model)


def test_lora_with_norms_and_decoder_has_these_counts(candidates):
    counts = {
        tuning: count_parameters(
            build_shapes(method="simcmf", tuning=tuning, backbone="sam-vit-b", channels=1)
        )
        for tuning in ("lora", "full", "lora-norms-decoder")
    }
    ours = counts["lora-norms-decoder"]
    # Weights and biases: two norms of width 768 in each of twelve blocks, two of width 256 in the neck.
    assert ours.encoder == counts["lora"].encoder + 2 * (12 * 2 * 768 + 2 * 256) == 3_724_288
    assert ours.decoder == counts["full"].decoder == 4_058_340


def test_lora_with_norms_and_decoder_folds_into_plain_sam(candidates, weights):
    model = build_model(
        method="simcmf", tuning="lora-norms-decoder", backbone="sam-toy", channels=1, weights=weights, seed=0
    )
    folded = folded_state(model)
    # The updates are zero at the start.
    assert folded.keys() == weights.keys()
    assert all(torch.equal(folded[name], weights[name]) for name in weights)


def write_run(runs: Path, dataset, method: str, seed: int, val: float | None, test: float) -> None:
    config = toys.job(dataset, runs, method=method, seed=seed).config
    scores = Scores(miou=test, instances=1, images=1, epoch=1, val_miou=val)
    folder = runs / f"{method}-{seed}"
    folder.mkdir(parents=True)
    RunContent(version=2, status="finished", config=config, scores=scores).write(folder)


def test_the_ranking_is_that_of_the_validation_part(candidates, tmp_path):
    dataset, runs = toys.made_up_set(tmp_path / "made-up"), tmp_path / "runs"
    for method, seed, val, test in (
        ("simcmf", 0, 0.5, 0.9),
        ("simcmf", 1, 0.4, 0.9),
        ("mlp", 0, 0.6, 0.1),
        ("mlp", 1, 0.38, 0.1),
        # No others have this seed, and zero-shot has no validation score.
        ("mlp", 2, 0.1, 0.1),
        ("zero-shot", 0, None, 1.0),
    ):
        write_run(runs, dataset, method, seed, val, test)
    ranking = candidates.ranking.rank(runs)
    assert [name.split()[0] for name in ranking.index] == ["mlp", "simcmf"]
    best = ranking.iloc[0]
    assert best.to_dict() == pytest.approx({"val": 49, "gain": 4, "worst": -2, "wins": 1, "cells": 2})


def test_a_ranking_without_the_baseline_is_refused(candidates, tmp_path):
    write_run(tmp_path / "runs", toys.made_up_set(tmp_path / "made-up"), "mlp", 0, 0.5, 0.5)
    with pytest.raises(InputError, match="no validation scores of simcmf"):
        candidates.ranking.rank(tmp_path / "runs")


def test_the_package_names_what_it_registers(candidates):
    package = tomllib.loads((CANDIDATES / "pyproject.toml").read_text())
    for name, module in package["project"]["entry-points"]["aims.methods"].items():
        assert name in [*METHODS, *TUNINGS]
        assert importlib.import_module(module).__name__ == module


def test_the_suite_compares_every_method_with_every_tuning_in_every_cell(candidates):
    suite = read_suite(CANDIDATES / "simcmf-plus.toml", suite_fields())
    cells: dict[tuple[object, ...], set[tuple[object, ...]]] = {}
    for entry in suite.entries:
        cell = tuple(entry.fields[name] for name in ("dataset", "modality", "seed"))
        cells.setdefault(cell, set()).add((entry.fields["method"], entry.fields["tuning"]))
    assert len(cells) == (5 + 5) * 2
    methods, tunings = ("simcmf", "simcmf-plus", "simcmf-toned"), ("lora", "lora-norms-decoder")
    assert all(pairs == set(product(methods, tunings)) for pairs in cells.values())
