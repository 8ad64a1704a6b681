from __future__ import annotations

import dataclasses

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from refusals import refused

from aims.core.errors import AimsError, InputError
from aims.data.read import Dataset
from aims.data.write import convert
from aims.sensors.derived import POLARIZERS
from aims.sensors.polarization import dolp, stokes
from helpers import MadeUp

TRAIN = "data/train-00000-of-00001.parquet"


@pytest.fixture
def dataset(raw, tmp_path):
    convert(MadeUp(raw=raw), tmp_path / "set")
    return Dataset.open(tmp_path / "set")


def read_all(folder):
    dataset = Dataset.open(folder)
    for ref in dataset.index["train"]:
        dataset.read(ref, ("signal",))


def test_a_damaged_shard_is_named_wherever_the_damage_is(dataset):
    path = dataset.folder / TRAIN
    whole = path.read_bytes()
    refused = 0
    for share in (0.0, 0.3, 0.5, 0.7, 0.9):
        start = int(share * len(whole))
        path.write_bytes(whole[:start] + bytes(200) + whole[start + 200 :])
        try:
            read_all(dataset.folder)
        except AimsError as error:
            refused += str(path) in str(error)
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(AimsError, match=r"not readable .* see `aims verify"):
        read_all(dataset.folder)
    # Zeros that hit padding or an unread column go unseen here; checksums are for `aims verify`.
    assert refused >= 3


def test_unknown_streams_are_named(dataset):
    with pytest.raises(InputError, match="did you mean 'signal'"):
        dataset.read(dataset.index["train"][0], ("sgnal",))
    with pytest.raises(InputError, match="unknown stream 'rgb'"):
        dataset.read(dataset.index["train"][0], ("rgb",))


def test_a_picture_that_is_promised_and_absent(dataset):
    promised = Dataset(
        folder=dataset.folder, spec=dataclasses.replace(dataset.spec, has_rgb=True), manifest=dataset.manifest
    )
    with pytest.raises(AimsError, match="rgb: is empty"):
        promised.read(promised.index["train"][0], ("rgb",))


def test_derived_streams_are_computed(tmp_path):
    convert(MadeUp(raw=tmp_path, channels=2, dtypes=("uint8",), stream=POLARIZERS), tmp_path / "set")
    polarized = Dataset.open(tmp_path / "set")
    ref = polarized.index["train"][1]
    image = polarized.read(ref, ("dolp", "i45"))
    stored = polarized.read(ref, POLARIZERS).streams
    assert list(image.streams) == ["dolp", "i45"]
    expected = dolp(*stokes(*stored.values()))
    np.testing.assert_array_equal(image.streams["dolp"], expected)
    assert expected.any()
    np.testing.assert_array_equal(image.streams["i45"], stored["i45"])
    assert polarized.streams["dolp"].channels == 2


def test_neighbours_share_a_row_group_and_are_told_apart(dataset):
    ids = [dataset.read(ref, ()).image_id for ref in dataset.index["train"]]
    assert ids == [ref.image_id for ref in dataset.index["train"]]
    assert len({(ref.file, ref.row_group) for ref in dataset.index["train"]}) < len(ids)


def test_a_bad_row_is_named_by_shard_and_row(raw, tmp_path):
    convert(MadeUp(raw=raw, images=66), tmp_path / "set", rows_per_shard=66)
    path = tmp_path / "set" / TRAIN
    with pq.ParquetFile(path) as file:
        assert file.num_row_groups == 2
    table = pq.read_table(path)
    rows = table.to_pylist()
    rows[65]["objects"][0]["click_strict"] = rows[65]["objects"][1]["click_strict"]
    pq.write_table(pa.Table.from_pylist(rows, table.schema), path, row_group_size=64)
    dataset = Dataset.open(tmp_path / "set")
    *others, last = dataset.index["train"]
    dataset.read(others[-1], ())
    said = rf"{path}, row 65, objects.click_strict: click \[\d+, \d+\] of instance 1 does not lie in it"
    with pytest.raises(AimsError, match=said):
        dataset.read(last, ())


def test_a_file_that_was_replaced_meanwhile_is_noticed(dataset):
    ref = dataset.index["train"][3]
    table = pq.read_table(dataset.folder / TRAIN)
    for replaced in (table.slice(0, 2), table.take(list(range(len(table)))[::-1])):
        pq.write_table(replaced, dataset.folder / TRAIN)
        with pytest.raises(AimsError, match=rf"{TRAIN}, row 3, image_id: no longer 'a003'"):
            Dataset.open(dataset.folder).read(ref, ())


def test_a_file_is_read_when_one_of_its_images_is_asked_for(raw, tmp_path):
    folder = convert(MadeUp(raw=raw), tmp_path / "set", rows_per_shard=5).folder
    dataset = Dataset.open(folder)
    train = dataset.index["train"]
    ids = [ref.image_id for ref in Dataset.open(folder).index["train"]]
    (folder / "data/train-00001-of-00003.parquet").unlink()
    assert (len(train), len(dataset.refs)) == (12, 18)
    assert [train[k].image_id for k in (0, 4, 10, -1)] == [ids[k] for k in (0, 4, 10, -1)]
    assert [ref.image_id for ref in train[:5]] == ids[:5]
    assert dataset.refs[12].split == "test"
    for place in (12, -13):
        with pytest.raises(IndexError, match=f"image {place} of 12"):
            train[place]
    with refused(AimsError, "train-00001-of-00003.parquet: no longer there"):
        list(train)


def test_other_images_than_the_manifest_counts_are_refused(dataset):
    path = dataset.folder / TRAIN
    pq.write_table(pq.read_table(path).slice(0, 3), path)
    with refused(AimsError, f"{path}: 3 images, and 12 in aims.json; see `aims verify"):
        list(dataset.index["train"])
