from __future__ import annotations

import numpy as np
import pytest
import torch

from aims.core.errors import InputError
from aims.core.schema import StreamSpec
from aims.core.vocabulary import PAPER, STRICT
from aims.data.read import Dataset
from aims.engine.inputs import Preprocessing, choose_dataset, scale, survey, to_input

SENSOR = StreamSpec(channels=1, unit="m", valid_range=(0, 10), missing=0)


def plane(*values, dtype=np.float32):
    return np.array(values, dtype).reshape(1, -1, 1)


def test_paper_scales_depth_per_image_to_eight_bits():
    values, valid = scale(plane(1, 2, 5), "depth", SENSOR, PAPER)
    # (2 - 1) / 4 * 255 = 63.75, cut to 63.
    np.testing.assert_allclose(values.ravel(), [0, 63 / 255, 1])
    assert valid.all()


def test_paper_leaves_out_what_is_no_number():
    values, valid = scale(plane(1, np.nan, np.inf, 3), "thermal", SENSOR, PAPER)
    assert valid.ravel().tolist() == [True, False, False, True]
    np.testing.assert_allclose(values.ravel()[[0, 3]], [0, 1])
    constant, _ = scale(plane(4, 4), "thermal", SENSOR, PAPER)
    assert not constant.any()


def test_paper_keeps_other_streams():
    float_values, _ = scale(plane(-3, 0.5), "aolp", SENSOR, PAPER)
    np.testing.assert_allclose(float_values.ravel(), [-3, 0.5])
    eight, _ = scale(plane(0, 51, 255, dtype=np.uint8), "nir", SENSOR, PAPER)
    np.testing.assert_allclose(eight.ravel(), [0, 0.2, 1])
    sixteen, _ = scale(plane(65535, dtype=np.uint16), "nir", SENSOR, PAPER)
    assert sixteen.ravel() == [1]


def test_strict_scales_by_the_valid_range_and_leaves_out_the_missing_value():
    values, valid = scale(plane(0, 2.5, 12, np.nan), "depth", SENSOR, STRICT)
    np.testing.assert_allclose(values.ravel()[1:3], [0.25, 1])
    assert valid.ravel().tolist() == [False, True, True, False]
    unknown = StreamSpec(channels=1, unit="digital number")
    values, _ = scale(plane(-20_000, 20_000, dtype=np.int32), "x", unknown, STRICT)
    np.testing.assert_allclose(values.ravel(), np.array([-20_000, 20_000]) / (2**31 - 1))


def test_to_input_normalises_orders_and_stretches():
    values = np.stack([np.full((2, 3), 5.0), np.full((2, 3), 1.0)], axis=2)
    valid = np.ones(values.shape, bool)
    preprocessing = Preprocessing(
        streams=("a", "b"), mean=(1.0, 3.0), std=(2.0, 4.0), source="training part", channel_order=(1, 0)
    )
    image = to_input(values, valid, preprocessing, 8)
    assert image.shape == (2, 8, 8)
    torch.testing.assert_close(image[0], torch.full((8, 8), -0.5))
    torch.testing.assert_close(image[1], torch.full((8, 8), 2.0))
    # Where nothing was measured the model sees the mean.
    assert not to_input(values, ~valid, preprocessing, 8).any()


def test_stretching_is_bilinear_between_pixel_centres():
    values = np.array([[0.0, 1.0]])[:, :, None]
    preprocessing = Preprocessing(
        streams=("a",), mean=(0.0,), std=(1.0,), source="training part", channel_order=(0,)
    )
    row = to_input(values, values >= 0, preprocessing, 4)[0, 0]
    # Centres of four pixels over two: -0.25, 0.25, 0.75, 1.25 in source pixels, clamped at the edges.
    torch.testing.assert_close(row, torch.tensor([0.0, 0.25, 0.75, 1.0]))


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    import toys

    return toys.made_up_set(tmp_path_factory.mktemp("sets") / "made-up", rgb=True)


def test_survey_measures_the_training_part(dataset):
    chosen, modality = choose_dataset([dataset], "signal")
    refs = dataset.index["train"]
    found = survey(chosen, modality, refs, STRICT, seed=0).preprocessing
    stacked = np.concatenate(
        [dataset.read(ref, ("signal",)).streams["signal"].reshape(-1, 2) for ref in refs]
    )
    np.testing.assert_allclose(found.mean, stacked.mean(0, np.float64), rtol=1e-6)
    np.testing.assert_allclose(found.std, stacked.std(0, np.float64), rtol=1e-6)
    assert found.source == "training part"
    assert found.channel_order == (0, 1)


def test_published_constants_only_for_the_papers_sets():
    from aims.core.vocabulary import PAPER_CONSTANTS

    # 0.449 and 0.226 are the means over ImageNet's three channels, by hand.
    assert PAPER_CONSTANTS["nyuv2", "depth"].mean[0] == pytest.approx(0.449)
    assert PAPER_CONSTANTS["nyuv2", "depth"].std[0] == pytest.approx(0.226)
    assert ("made-up", "signal") not in PAPER_CONSTANTS


def test_choosing(dataset, tmp_path):
    import toys

    assert choose_dataset([dataset], "signal")[1].channels == 2
    assert choose_dataset([dataset], "rgb")[1].channels == 3
    with pytest.raises(InputError, match="did you mean 'signal'"):
        choose_dataset([dataset], "signall")
    with pytest.raises(InputError, match=r"no dataset has the streams of depth \(depth\): made-up has rgb"):
        choose_dataset([dataset], "depth")
    with pytest.raises(InputError, match="unknown dataset 'mad-up'; did you mean 'made-up'"):
        choose_dataset([dataset], "signal", "mad-up")
    other = toys.made_up_set(tmp_path / "other")
    with pytest.raises(InputError, match="several datasets carry signal"):
        choose_dataset([dataset, other], "signal")


def test_a_listed_modality_must_have_its_channels(dataset):
    renamed = Dataset(
        folder=dataset.folder,
        spec=dataset.spec.__class__(
            **{**vars(dataset.spec), "streams": {"depth": dataset.spec.streams["signal"]}}
        ),
        manifest=dataset.manifest,
    )
    with pytest.raises(InputError, match="depth has 1 channels, but the streams hold 2"):
        choose_dataset([renamed], "depth")
