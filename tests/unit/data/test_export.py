from __future__ import annotations

import contextlib
import io
import json
import os
import re
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO
from refusals import refused

from aims.converters.coco import CocoConverter
from aims.converters.folder import FolderConverter
from aims.core.errors import AimsError, InputError
from aims.core.schema import Converter, DatasetSpec, InstanceMap, Sample, StreamSpec
from aims.data.export import export
from aims.data.export.coco import compress_masks
from aims.data.export.files import FlatNames, encode_stream, path_name, picture_suffix
from aims.data.read import Dataset
from aims.data.write import convert
from helpers import DTYPES, MadeUp, seeded

SIZE = (13, 17)


def instance_map(rng: np.random.Generator, size: tuple[int, int] = SIZE) -> InstanceMap:
    """A frame with a hole, a disc in the hole, an instance of two parts, and a pixel in the last corner."""
    instances = np.zeros(size, np.uint16)
    instances[1:9, 2:10] = 4
    instances[3:7, 4:8] = 0
    instances[4:6, 5:7] = 9
    instances[10:12, 1:3] = instances[10:12, 8:11] = 2
    instances[-1, -1] = 7
    return InstanceMap(
        instances=instances, class_ids=dict(zip((2, 4, 7, 9), rng.integers(1, 4, 4).tolist(), strict=True))
    )


@dataclass(frozen=True, kw_only=True)
class Lab(Converter):
    """Three classes, four streams of several dtypes with NaN and other oddities, JPEG and PNG pictures."""

    name: ClassVar[str] = "lab"

    ids: Mapping[str, Sequence[str]]
    groups: Mapping[str, str]
    rgb: tuple[str, ...] = (".jpg", ".png")

    def spec(self) -> DatasetSpec:
        return DatasetSpec(
            name="lab-2.1",
            classes=("glass", 'a "quoted" \\ name', "Über\tglas\x7f"),
            streams={
                "depth": StreamSpec(channels=1, unit="m", valid_range=(0.25, 1e22), missing=0.0),
                "aolp": StreamSpec(channels=3, unit="rad", valid_range=(0.0, 3.141592653589793)),
                "nir": StreamSpec(
                    channels=1, unit="DN", valid_range=(0.0, 1023.0), missing=0, wavelength_nm=(700.5, 1000.0)
                ),
                "hha": StreamSpec(channels=3, unit="digital number", valid_range=(0.0, 255.0)),
                "valid": StreamSpec(channels=1, unit="yes or no"),
                "polarized": StreamSpec(channels=4, unit="DN", valid_range=(0.0, 255.0)),
            },
            license='CC "BY" 4.0',
            citation="A. Nobody\nand others",
            url="https://example.org/#lab",
            has_rgb=bool(self.rgb),
        )

    def splits(self) -> Mapping[str, Sequence[str]]:
        return self.ids

    def source_files(self, split: str, image_id: str) -> Sequence[Path]:
        return ()

    def read(self, split: str, image_id: str) -> Sample:
        rng = seeded(split, image_id)
        depth = rng.normal(size=(*SIZE, 1)).astype(np.float32)
        depth[0, :4, 0] = (np.nan, np.inf, -0.0, 1e-42)
        suffix = self.rgb[int(rng.integers(len(self.rgb)))] if self.rgb else None
        return Sample(
            image_id=image_id,
            group=self.groups.get(image_id, image_id),
            streams={
                "depth": depth,
                "aolp": rng.normal(size=(*SIZE, 3)).astype(np.float16),
                "nir": rng.integers(0, 2**16, (*SIZE, 1), np.uint16),
                "hha": rng.integers(0, 256, (*SIZE, 3), np.uint8),
                "valid": rng.integers(0, 2, (*SIZE, 1)).astype(bool),
                "polarized": rng.integers(0, 256, (*SIZE, 4), np.uint8),
            },
            labels=instance_map(rng),
            rgb=suffix and cv2.imencode(suffix, rng.integers(0, 256, (*SIZE, 3), np.uint8))[1].tobytes(),
        )


ODD = (
    "scene 1/ä b%2F.png",
    "../../etc/passwd",
    "/abs",
    "a",
    "A",
    "",
    ".",
    "con:*?<>|\\",
    "x" * 300,
    "x" * 299 + "y",
)
PLAIN = ("scene1/a.b", "scene1/c", "scene2/Ä *?[x]{id}")


def lab(tmp_path: Path, **fields: Any) -> Dataset:
    fields = {"ids": {"val": PLAIN[:1], "train": PLAIN[1:]}, "groups": {}, **fields}
    convert(Lab(raw=tmp_path, **fields), tmp_path / "set")
    return Dataset.open(tmp_path / "set")


def back(converter: Converter, out: Path) -> Dataset:
    convert(converter, out)
    return Dataset.open(out)


def load(path: Path) -> COCO:
    with contextlib.redirect_stdout(io.StringIO()):
        return COCO(str(path))


def tree(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def read_all(dataset: Dataset) -> list[tuple[Any, ...]]:
    names = (*dataset.spec.streams, *(["rgb"] if dataset.spec.has_rgb else []))
    found = []
    for split, refs in dataset.index.items():
        for ref in refs:
            image = dataset.read(ref, names)
            streams = {name: (array.dtype, array.tobytes()) for name, array in image.streams.items()}
            found.append(
                (split, image.image_id, image.group, streams, image.instances.tolist(), image.objects)
            )
    return found


class TestCoco:
    def test_pycocotools_reads_every_instance(self, tmp_path):
        dataset = lab(tmp_path)
        result = export(dataset, tmp_path / "out", to="coco")
        assert (result.images, result.instances, result.lost) == (3, 12, ())
        annotation_ids: list[int] = []
        for split, refs in dataset.index.items():
            coco = load(tmp_path / "out" / "annotations" / f"{split}.json")
            assert [coco.cats[k]["name"] for k in (1, 2, 3)] == list(dataset.spec.classes)
            assert [entry["aims"]["image_id"] for entry in coco.imgs.values()] == [
                ref.image_id for ref in refs
            ]
            annotation_ids += coco.anns
            for ref, entry in zip(refs, coco.imgs.values(), strict=True):
                image = dataset.read(ref, ())
                assert (entry["height"], entry["width"]) == SIZE
                annotations = coco.imgToAnns[entry["id"]]
                assert [item["category_id"] for item in annotations] == [
                    item["class_id"] for item in image.objects
                ]
                for k, item in enumerate(annotations, start=1):
                    mask = image.instances == k
                    np.testing.assert_array_equal(coco.annToMask(item), mask)
                    assert item["area"] == coco_mask.area(item["segmentation"]) == mask.sum()
                    assert item["bbox"] == coco_mask.toBbox(item["segmentation"]).tolist()
                    assert item["iscrowd"] == 0
                    x, y = item["aims"]["click_strict"]
                    assert mask[y, x]
        assert sorted(annotation_ids) == list(range(1, 13))

    def test_round_trip_of_everything(self, tmp_path):
        groups = dict(zip(PLAIN, "121", strict=True))
        dataset = lab(tmp_path, groups=groups)
        export(dataset, tmp_path / "out", to="coco")
        again = back(CocoConverter(raw=tmp_path / "out"), tmp_path / "again")
        assert read_all(again) == read_all(dataset)
        assert again.spec == dataset.spec
        assert again.fingerprint == dataset.fingerprint
        assert {ref.group for refs in again.index.values() for ref in refs} == {"1", "2"}

    def test_round_trip_of_odd_ids_and_no_rgb(self, tmp_path):
        dataset = lab(tmp_path, ids={"train": ODD, "test": ("b",)}, rgb=())
        export(dataset, tmp_path / "out", to="coco")
        names = [path.name for path in (tmp_path / "out" / "streams" / "nir" / "train").iterdir()]
        assert len({name.casefold() for name in names}) == len(ODD)
        assert all(re.fullmatch(r"[A-Za-z0-9_~%-][A-Za-z0-9._~%-]*\.png", name) for name in names)
        assert max(map(len, names)) <= 210
        entries = load(tmp_path / "out" / "annotations" / "train.json").imgs.values()
        assert all((tmp_path / "out" / entry["file_name"]).is_file() for entry in entries)
        again = back(CocoConverter(raw=tmp_path / "out"), tmp_path / "again")
        assert [ref.image_id for ref in again.index["train"]] == list(ODD)
        assert again.fingerprint == dataset.fingerprint

    def test_round_trip_of_many_dtypes_in_one_stream(self, raw, tmp_path):
        convert(MadeUp(raw=raw, images=2 * len(DTYPES), dtypes=DTYPES, rgb=True), tmp_path / "set")
        dataset = Dataset.open(tmp_path / "set")
        export(dataset, tmp_path / "out", to="coco")
        assert (
            back(CocoConverter(raw=tmp_path / "out"), tmp_path / "again").fingerprint == dataset.fingerprint
        )
        with refused(InputError, "'a001': stream 'signal' is uint16", "'a000'", "--format coco"):
            export(dataset, tmp_path / "out2", to="folder")
        assert {path.name for path in tmp_path.iterdir()} == {"raw", "set", "out", "again"}

    def test_same_bytes_and_pictures_untouched(self, raw, tmp_path):
        convert(MadeUp(raw=raw, images=3, rgb=True), tmp_path / "set", rows_per_shard=2)
        dataset, seen = Dataset.open(tmp_path / "set"), []
        for name in ("one", "two"):
            export(dataset, tmp_path / name, to="coco", on_progress=seen.append)
        assert sum(seen) == 8
        files = tree(tmp_path / "one")
        assert files == tree(tmp_path / "two")
        picture = MadeUp(raw=raw, images=3, rgb=True).read("train", "a001").rgb
        assert files["images/train/a001.png"] == picture

    def test_a_split_without_images_stays(self, raw, tmp_path):
        convert(MadeUp(raw=raw, images=2, blank=("b000",)), tmp_path / "set")
        dataset = Dataset.open(tmp_path / "set")
        assert not dataset.index["test"]
        export(dataset, tmp_path / "out", to="coco")
        assert not load(tmp_path / "out" / "annotations" / "test.json").imgs
        assert (
            back(CocoConverter(raw=tmp_path / "out"), tmp_path / "again").fingerprint == dataset.fingerprint
        )
        lost = export(dataset, tmp_path / "out2", to="folder").lost
        assert lost[0] == "folder.toml: split 'test' has no images and is left out"

    def test_one_large_image(self, tmp_path):
        """2048 x 2448, as the polarization cameras have it, with an instance in every cell of a grid."""

        class Large(MadeUp):
            def read(self, split: str, image_id: str) -> Sample:
                cells = np.add.outer(np.arange(2048) // 256 * 8, np.arange(2448) // 306 + 1)
                instances = np.where(np.add.outer(np.arange(2048), np.arange(2448)) % 97 < 60, cells, 0)
                return Sample(
                    image_id=image_id,
                    group="g",
                    streams={"signal": np.arange(instances.size, dtype=np.uint16).reshape(2048, 2448, 1)},
                    labels=InstanceMap(instances=instances, class_ids=dict.fromkeys(range(1, 65), 1)),
                )

        convert(Large(raw=tmp_path, images=1, channels=1), tmp_path / "set")
        dataset = Dataset.open(tmp_path / "set")
        export(dataset, tmp_path / "out", to="coco")
        assert len(load(tmp_path / "out" / "annotations" / "train.json").anns) == 64
        assert (
            back(CocoConverter(raw=tmp_path / "out"), tmp_path / "again").fingerprint == dataset.fingerprint
        )


class TestFolder:
    def test_round_trip_of_everything(self, tmp_path):
        groups = {image_id: image_id.partition("/")[0] for image_id in PLAIN}
        dataset = lab(tmp_path, groups=groups, rgb=(".jpg",))
        result = export(dataset, tmp_path / "out", to="folder")
        assert result.lost == ()
        again = back(FolderConverter(config=tmp_path / "out" / "folder.toml"), tmp_path / "again")
        assert again.spec == dataset.spec
        assert read_all(again) == read_all(dataset)
        assert again.fingerprint == dataset.fingerprint
        # The label maps are the dataset's own, and the JSON is a COCO file beside the pictures.
        image = dataset.read(dataset.index["val"][0], ())
        written = cv2.imread(
            str(tmp_path / "out" / "labels" / "val" / "scene1" / "a.b.png"), cv2.IMREAD_UNCHANGED
        )
        np.testing.assert_array_equal(written, image.instances)
        for entry in load(tmp_path / "out" / "annotations" / "val.json").imgs.values():
            assert (tmp_path / "out" / "images" / "val" / entry["file_name"]).is_file()

    def test_round_trip_through_coco(self, tmp_path):
        dataset = lab(tmp_path, rgb=(".png",), groups=dict(zip(PLAIN, "xyx", strict=True)))
        result = export(dataset, tmp_path / "out", to="folder")
        assert len(result.lost) == 1
        assert "no expression finds the groups" in result.lost[0]
        # The TOML has no place for these groups; the JSON beside it has.
        folder = back(FolderConverter(config=tmp_path / "out" / "folder.toml"), tmp_path / "folder")
        assert [item[:2] + item[3:] for item in read_all(folder)] == [
            item[:2] + item[3:] for item in read_all(dataset)
        ]
        assert [item[2] for item in read_all(folder)] == [item[1] for item in read_all(dataset)]
        again = back(CocoConverter(raw=tmp_path / "out"), tmp_path / "again")
        assert again.fingerprint == dataset.fingerprint

    def test_one_class_is_read_from_the_label_maps(self, raw, tmp_path):
        class OneClass(MadeUp):
            def spec(self) -> DatasetSpec:
                streams = {"signal": StreamSpec(channels=2, unit="V")}
                return DatasetSpec(name="one", classes=("box",), streams=streams, license="none")

            def read(self, split: str, image_id: str) -> Sample:
                labels = instance_map(seeded(image_id), self.size)
                labels = InstanceMap(instances=labels.instances, class_ids=dict.fromkeys(labels.class_ids, 1))
                sample = super().read(split, image_id)
                return Sample(
                    image_id=image_id,
                    group=image_id,
                    streams={"signal": sample.streams["signal"]},
                    labels=labels,
                )

        convert(OneClass(raw=raw, images=2), tmp_path / "set")
        dataset = Dataset.open(tmp_path / "set")
        assert export(dataset, tmp_path / "out", to="folder").lost == ()
        shutil.rmtree(tmp_path / "out" / "annotations")
        again = back(FolderConverter(config=tmp_path / "out" / "folder.toml"), tmp_path / "again")
        assert again.fingerprint == dataset.fingerprint

    def test_what_a_description_cannot_hold(self, tmp_path):
        (tmp_path / "one").mkdir()
        dataset = lab(tmp_path / "one", ids={"train": ODD[1:2]})
        with refused(InputError, "'../../etc/passwd' cannot be a file's name", "--format coco"):
            export(dataset, tmp_path / "out", to="folder")
        (tmp_path / "two").mkdir()
        dataset = lab(tmp_path / "two", ids={"train": ("a.png/b", "a")})
        with refused(InputError, "'a' and 'a.png/b'", "--format coco"):
            export(dataset, tmp_path / "out", to="folder")
        (tmp_path / "three").mkdir()
        dataset = lab(tmp_path / "three", ids={"train": [f"a{k}" for k in range(9)]})
        with refused(InputError, "the RGB picture is .", "--format coco"):
            export(dataset, tmp_path / "out", to="folder")
        assert not list(tmp_path.glob("out*"))


class TestTarget:
    @pytest.fixture
    def dataset(self, raw: Path, tmp_path: Path) -> Dataset:
        convert(MadeUp(raw=raw, images=2), tmp_path / "set")
        return Dataset.open(tmp_path / "set")

    def test_nothing_is_written_over(self, dataset, tmp_path):
        target = tmp_path / "out"
        target.mkdir()
        (target / "mine").touch()
        with refused(InputError, "out: exists already", "--out"):
            export(dataset, target, to="coco")
        (target / "mine").unlink()
        (tmp_path / "out.partial").mkdir()
        (tmp_path / "out.partial" / "mine").touch()
        with refused(InputError, "out.partial: is in the way"):
            export(dataset, target, to="coco")
        assert (tmp_path / "out.partial" / "mine").exists()
        with refused(InputError, "lies in the dataset"):
            export(dataset, dataset.folder / "coco", to="coco")
        with refused(InputError, "unknown format 'voc'", "coco, folder"):
            export(dataset, target, to="voc")

    def test_an_export_that_was_killed_is_made_again(self, dataset, tmp_path):
        partial = tmp_path / "out.partial"
        (partial / "images").mkdir(parents=True)
        for name in (".export.lock", "old.json", "images/old.png"):
            (partial / name).touch()
        export(dataset, tmp_path / "out", to="coco")
        assert {path.name for path in (tmp_path / "out").iterdir()} == {"annotations", "streams"}
        assert not partial.exists()

    def test_nothing_is_left_after_an_error(self, dataset, tmp_path):
        def stop(count: int) -> None:
            raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            export(dataset, tmp_path / "out", to="coco", on_progress=stop)
        assert {path.name for path in tmp_path.iterdir()} == {"raw", "set"}

    def test_damage_is_told(self, dataset, tmp_path):
        file = next(iter(dataset.manifest.files))
        path = dataset.folder / file
        os.truncate(path, path.stat().st_size // 2)
        with refused(AimsError, path, "not readable"):
            export(dataset, tmp_path / "out", to="coco")

    def test_pictures_of_unknown_kinds(self, raw, tmp_path):
        class Pixmaps(MadeUp):
            def _png(self, rng: np.random.Generator) -> bytes:
                return cv2.imencode(".ppm", np.zeros((*self.size, 3), np.uint8))[1].tobytes()

        convert(Pixmaps(raw=raw, images=2, rgb=True), tmp_path / "set")
        with refused(AimsError, "image 'a000': the RGB picture is no PNG"):
            export(Dataset.open(tmp_path / "set"), tmp_path / "out", to="coco")


class TestExportedFiles:
    """What `aims convert coco` says of an export that someone has changed."""

    @pytest.fixture
    def out(self, raw: Path, tmp_path: Path) -> Path:
        convert(MadeUp(raw=raw, images=2), tmp_path / "set")
        return export(Dataset.open(tmp_path / "set"), tmp_path / "out", to="coco").folder

    @staticmethod
    def edit(path: Path, old: str, new: str) -> None:
        text = path.read_text("utf-8")
        assert old in text
        path.write_text(text.replace(old, new), "utf-8")

    @pytest.mark.parametrize(
        ("old", "new", "parts"),
        [
            ('"aims": {"version"', '"other": {"version"', ["train.json", "none"]),
            ('"version": 1', '"version": 2', "newer format"),
            ('"version": 1', '"version": "1"', "not as `aims export` writes it"),
            ('"dataset": {', '"dataset": {"colour": 1, ', ["train.json: aims.dataset", "key 'colour'"]),
            ('"fingerprint": "', '"fingerprint": "0', "is of another export"),
            ('"split": "train"', '"split": "test"', "is of another export"),
            ('"splits": ["train", "test"]', '"splits": ["train", "test", "val"]', ["split 'val'", "missing"]),
            ('"name": "box"', '"name": "bag"', ["categories"]),
            ('"streams": {"signal": "', '"streams": {"other": "', ["image 1", "'signal'"]),
            ('"signal": "streams', '"signal": "../streams', ["image 1", "leaves its folder"]),
            ('"rgb": null', '"rgb": "none.png"', "none.png: no such file"),
            ('"group": "scene0", ', "", ["image 1", "'group'"]),
            ('"group": "scene0", ', '"group": 5, ', ["image 1", "'int'"]),
            ('"image_id": "a000"', '"image_id": "\\ud800"', ["train.json: not readable as JSON"]),
        ],
    )
    def test_edits(self, out, tmp_path, old, new, parts):
        self.edit(out / "annotations" / "train.json", old, new)
        converter = CocoConverter(raw=out)
        with refused(InputError, parts):
            convert(converter, tmp_path / "again")

    def test_a_split_that_is_not_there(self, out):
        (out / "annotations" / "test.json").unlink()
        with refused(InputError, "train.json", "split 'test'", "missing"):
            CocoConverter(raw=out).spec()
        self.edit(out / "annotations" / "train.json", ', "test"]', "]")
        assert list(CocoConverter(raw=out).splits()) == ["train"]

    def test_options_are_refused(self, out):
        for option in ({"images": "a"}, {"stream": "nir"}, {"unit": "m"}, {"dataset": "x"}):
            with refused(InputError, "an export of 'made-up'", "leave --images"):
                CocoConverter(raw=out, **option).spec()

    def test_other_pictures(self, out, tmp_path):
        path = out / "streams" / "signal" / "train" / "a001.npy"
        np.save(path, np.zeros((3, 3, 2), np.float32))
        with refused(InputError, "a001.npy: 3 x 3", "train.json: image 2 is 24 x 32"):
            convert(CocoConverter(raw=out), tmp_path / "again")
        np.save(path, np.zeros((24, 32, 3), np.float32))
        with refused(InputError, "a001.npy: has 3 channels, stream 'signal' 2"):
            convert(CocoConverter(raw=out), tmp_path / "again")


class TestParts:
    @given(arrays.arrays(np.uint16, st.tuples(*[st.integers(1, 12)] * 2), elements=st.integers(0, 3)))
    def test_masks_are_those_of_pycocotools(self, instances):
        ids = [k for k in np.unique(instances).tolist() if k]
        for k, counts in compress_masks(instances, ids):
            mask = np.asfortranarray(instances == k, np.uint8)
            assert counts == coco_mask.encode(mask)["counts"].decode()

    @settings(max_examples=15)
    @given(
        arrays.arrays(np.uint8, st.tuples(*[st.integers(1, 9)] * 2), elements=st.integers(0, 4)), st.data()
    )
    def test_instance_maps_survive(self, tmp_path_factory, instances, data):
        instances[0, 0] = 1
        ids = [k for k in np.unique(instances).tolist() if k]
        classes = {k: data.draw(st.integers(1, 2)) for k in ids}

        class Drawn(MadeUp):
            def splits(self) -> Mapping[str, Sequence[str]]:
                return {"train": ["a"]}

            def read(self, split: str, image_id: str) -> Sample:
                return Sample(
                    image_id=image_id,
                    group="a",
                    streams={"signal": np.zeros((*instances.shape, 2), np.int16)},
                    labels=InstanceMap(instances=instances, class_ids=classes),
                )

        folder = tmp_path_factory.mktemp("drawn")
        convert(Drawn(raw=folder), folder / "set")
        dataset = Dataset.open(folder / "set")
        export(dataset, folder / "coco", to="coco")
        assert back(CocoConverter(raw=folder / "coco"), folder / "1").fingerprint == dataset.fingerprint
        assert export(dataset, folder / "folder", to="folder").lost == ()
        again = back(FolderConverter(config=folder / "folder" / "folder.toml"), folder / "2")
        assert again.fingerprint == dataset.fingerprint

    @given(st.lists(st.text(max_size=400), unique=True, max_size=20))
    def test_flat_names_are_safe_and_differ(self, ids):
        namer = FlatNames()
        names = [namer(image_id) for image_id in ids]
        assert len({name.casefold() for name in names}) == len(ids)
        assert all(re.fullmatch(r"[A-Za-z0-9_~%-][A-Za-z0-9._~%-]{0,199}", name) for name in names)

    def test_flat_names_can_be_read(self):
        assert FlatNames()("scene 1/a.b_c-d") == "scene%201%2Fa.b_c-d"

    @pytest.mark.parametrize(
        "image_id", ["", ".", "..", "a/..", "/a", "a//b", "a/", "./a", "a\\b", "C:a", "a\n", "é" * 150]
    )
    def test_ids_that_are_no_paths(self, image_id):
        with refused(InputError, "cannot be a file's name"):
            path_name(image_id)

    def test_ids_that_are_paths(self):
        for image_id in ("a", "a/b.c", ".a", "a b", "ü/%2F", "..a", "{id}", "a*?"):
            assert path_name(image_id) == image_id

    @pytest.mark.parametrize("channels", [1, 2, 3, 4])
    @pytest.mark.parametrize("dtype", [*DTYPES, "bool", "uint64"])
    def test_stream_files(self, dtype, channels):
        array = np.arange(2 * 3 * channels).reshape(2, 3, channels).astype(dtype)
        suffix, content = encode_stream(array)
        assert suffix == (".png" if dtype in ("uint8", "uint16") and channels in (1, 3) else ".npy")
        if suffix == ".npy":
            read = np.load(io.BytesIO(content))
        else:
            read = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_UNCHANGED)
            read = read.reshape(2, 3, channels)[..., ::-1]
        assert read.dtype == array.dtype
        np.testing.assert_array_equal(read, array)

    @pytest.mark.parametrize("suffix", [".png", ".jpg", ".tif", ".bmp", ".webp"])
    def test_suffixes(self, suffix):
        name = {".tif": ".tiff"}.get(suffix, suffix)
        assert picture_suffix(cv2.imencode(name, np.zeros((4, 4, 3), np.uint8))[1].tobytes()) == suffix

    def test_the_json_is_plain(self, raw, tmp_path):
        convert(MadeUp(raw=raw, images=2), tmp_path / "set")
        export(Dataset.open(tmp_path / "set"), tmp_path / "out", to="coco")
        value = json.loads((tmp_path / "out" / "annotations" / "train.json").read_text("utf-8"))
        assert list(value) == ["info", "licenses", "categories", "aims", "annotations", "images"]
        assert value["images"][1]["file_name"] == "streams/signal/train/a001.npy"
