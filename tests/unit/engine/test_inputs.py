from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from aims.core.errors import InputError
from aims.core.records import Preprocessing
from aims.core.vocabulary import PAPER, STRICT
from aims.data.modalities import choose_dataset
from aims.data.read import Dataset
from aims.data.write import convert
from aims.engine.inputs import Channels, stack, survey, to_input
from aims.sensors.derived import POLARIZERS
from aims.sensors.polarization import aolp, aolp_folded, dolp, stokes
from aims.sensors.scaling import published_constants
from helpers import MadeUp


def channels(values, valid):
    return Channels(torch.from_numpy(values), torch.from_numpy(valid))


def test_to_input_normalises_orders_and_stretches():
    values = np.stack([np.full((2, 3), 5.0), np.full((2, 3), 1.0)], axis=2)
    valid = np.ones(values.shape, bool)
    preprocessing = Preprocessing(
        streams=("a", "b"), mean=(1.0, 3.0), std=(2.0, 4.0), source="training part", channel_order=(1, 0)
    )
    image = to_input(channels(values, valid), preprocessing, 8)
    assert image.shape == (2, 8, 8)
    torch.testing.assert_close(image[0], torch.full((8, 8), -0.5))
    torch.testing.assert_close(image[1], torch.full((8, 8), 2.0))
    # Where nothing was measured the model sees the mean.
    assert not to_input(channels(values, ~valid), preprocessing, 8).any()


def test_stretching_is_bilinear_between_pixel_centres():
    values = np.array([[0.0, 1.0]])[:, :, None]
    preprocessing = Preprocessing(
        streams=("a",), mean=(0.0,), std=(1.0,), source="training part", channel_order=(0,)
    )
    row = to_input(channels(values, values >= 0), preprocessing, 4)[0, 0]
    # Centres of four pixels over two: -0.25, 0.25, 0.75, 1.25 in source pixels, clamped at the edges.
    torch.testing.assert_close(row, torch.tensor([0.0, 0.25, 0.75, 1.0]))


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    import toys

    return toys.made_up_set(tmp_path_factory.mktemp("sets") / "made-up", rgb=True)


def test_survey_measures_the_training_part(dataset):
    chosen, modality = choose_dataset([dataset], "signal", STRICT)
    refs = dataset.index["train"]
    found = survey(chosen, modality, refs, STRICT, shuffle_seed=0).preprocessing
    stacked = np.concatenate(
        [dataset.read(ref, ("signal",)).streams["signal"].reshape(-1, 2) for ref in refs]
    )
    np.testing.assert_allclose(found.mean, stacked.mean(0, np.float64), rtol=1e-6)
    np.testing.assert_allclose(found.std, stacked.std(0, np.float64), rtol=1e-6)
    assert found.source == "training part"
    assert found.channel_order == (0, 1)


def test_rgb_with_a_sensor_is_shuffled_but_for_those_who_are_told(dataset):
    chosen, modality = choose_dataset([dataset], "rgb-signal", STRICT)
    assert modality.streams == ("rgb", "signal")
    assert modality.channels == 5
    assert modality.mixes_rgb
    refs = dataset.index["train"][:1]
    orders = [
        survey(chosen, modality, refs, STRICT, shuffle_seed=seed).preprocessing.channel_order
        for seed in (0, 0, 1, None)
    ]
    assert orders[0] == orders[1] != orders[2]
    assert orders[0] != orders[3] == (0, 1, 2, 3, 4)
    assert all(sorted(order) == [0, 1, 2, 3, 4] for order in orders)


def test_pictures_are_normalised_as_sam_expects_them(dataset):
    chosen, modality = choose_dataset([dataset], "rgb-signal", STRICT)
    refs = dataset.index["train"][:1]
    strict = survey(chosen, modality, refs, STRICT, shuffle_seed=0).preprocessing
    # ImageNet's, on pictures in 0..1 (torchvision's documentation of its models).
    assert strict.mean[:3] == (0.485, 0.456, 0.406)
    assert strict.std[:3] == (0.229, 0.224, 0.225)
    assert strict.source == "training part; rgb: ImageNet"
    paper = survey(chosen, modality, refs, PAPER, shuffle_seed=0).preprocessing
    assert paper.source == "training part"
    assert paper.mean[:3] != strict.mean[:3]
    assert paper.mean[3:] == strict.mean[3:]


def test_published_constants_are_used_stream_by_stream(dataset):
    """Protocol.md prints those of RGB beside NIR; a stream without any is measured, and drops no other."""
    chosen, modality = choose_dataset([dataset], "rgb-signal", PAPER)
    named = replace(chosen, spec=replace(chosen.spec, name="ivrg-nir"))
    refs = dataset.index["train"][:1]
    found = survey(named, modality, refs, PAPER, shuffle_seed=None).preprocessing
    measured = survey(chosen, modality, refs, PAPER, shuffle_seed=None).preprocessing
    assert found.mean == (0.43030727, 0.43242943, 0.41996416, *measured.mean[3:])
    assert found.std == (0.25075516, 0.24733004, 0.26631436, *measured.std[3:])
    assert found.source == "published; signal: training part"
    assert published_constants("ivrg-nir", "nir") is not None


def test_choosing(dataset, tmp_path):
    import toys

    assert choose_dataset([dataset], "signal", STRICT)[1].channels == 2
    assert choose_dataset([dataset], "rgb", STRICT)[1].channels == 3
    with pytest.raises(InputError, match="did you mean 'signal'"):
        choose_dataset([dataset], "signall", STRICT)
    with pytest.raises(InputError, match=r"no dataset has the streams of depth \(depth\): made-up has rgb"):
        choose_dataset([dataset], "depth", STRICT)
    with pytest.raises(InputError, match="unknown dataset 'mad-up'; did you mean 'made-up'"):
        choose_dataset([dataset], "signal", STRICT, "mad-up")
    other = toys.made_up_set(tmp_path / "other")
    with pytest.raises(InputError, match="several datasets carry signal"):
        choose_dataset([dataset, other], "signal", STRICT)


def test_polarization_is_derived_as_the_protocol_says(tmp_path):
    converter = MadeUp(raw=tmp_path, channels=3, dtypes=("uint8",), stream=POLARIZERS, images=2)
    convert(converter, tmp_path / "set")
    polarized = Dataset.open(tmp_path / "set")
    ref = polarized.index["train"][0]
    pictures = polarized.read(ref, POLARIZERS).streams.values()
    s0, s1, s2 = stokes(*pictures)
    for protocol, name, angle in ((PAPER, "aolp_folded", aolp_folded), (STRICT, "aolp", aolp)):
        _, modality = choose_dataset([polarized], "polarization", protocol)
        assert modality.streams == ("intensity", name, "dolp")
        assert modality.channels == 9
        values, valid = stack(
            polarized.read(ref, modality.streams).streams, modality.streams, polarized.streams, protocol
        )
        assert valid.all()
        # No range is declared for these pictures: only the two angles and the degree have one.
        np.testing.assert_allclose(values[:, :, :3], s0, rtol=1e-6)
        expected = angle(s1, s2) if protocol is PAPER else angle(s1, s2) / np.pi + 0.5
        np.testing.assert_allclose(values[:, :, 3:6], expected, atol=1e-6)
        np.testing.assert_allclose(values[:, :, 6:], dolp(s0, s1, s2), rtol=1e-6)
        found = survey(polarized, modality, [ref], protocol, shuffle_seed=0).preprocessing
        assert found.streams == modality.streams


def test_a_listed_modality_must_have_its_channels(dataset):
    renamed = Dataset(
        folder=dataset.folder,
        spec=dataset.spec.__class__(
            **{**vars(dataset.spec), "streams": {"depth": dataset.spec.streams["signal"]}}
        ),
        manifest=dataset.manifest,
    )
    with pytest.raises(InputError, match="depth has 1 channels, but the streams hold 2"):
        choose_dataset([renamed], "depth", STRICT)
