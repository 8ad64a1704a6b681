from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import tifffile
from PIL import Image
from raw_folder import HEIGHT, WIDTH, Make, label_map, ramp
from refusals import refused

import aims.converters.folder as folder_module
from aims.converters.folder import FolderConverter
from aims.core.errors import InputError
from aims.core.remarks import collect_remarks
from aims.core.schema import InstanceMap, SampleError, SemanticMap, StreamSpec
from aims.data.manifest import Counts
from aims.data.write import convert

VALUES = "values = { weed = 1, crop = 2 }"
SEMANTIC = f'kind = "semantic"\n{VALUES}'
CLASSES = 'classes = ["weed", "crop"]'
SPLITS = 'train = ["b", "a"]\ntest = ["c"]'


class TestWholeFolder:
    def test_spec(self, make: Make) -> None:
        spec = make().spec()
        assert (spec.name, spec.license, spec.classes) == ("field", "CC0-1.0", ("weed", "crop"))
        nir = StreamSpec(channels=1, unit="digital number", valid_range=(0.0, 65535.0))
        assert dict(spec.streams) == {"nir": nir}
        assert not spec.has_rgb

    def test_ids_stay_in_the_order_of_the_list(self, make: Make) -> None:
        assert dict(make().splits()) == {"train": ("b", "a"), "test": ("c",)}

    def test_read(self, make: Make) -> None:
        sample = make().read("train", "b")
        assert (sample.image_id, sample.group, sample.rgb) == ("b", "b", None)
        assert sample.streams["nir"].dtype == np.uint16
        np.testing.assert_array_equal(sample.streams["nir"], ramp(2000))
        assert isinstance(sample.labels, SemanticMap)
        np.testing.assert_array_equal(sample.labels.class_map, label_map())
        assert sample.labels.void == (0,)

    def test_files(self, make: Make, raw: Path) -> None:
        converter = make()
        assert converter.source_files("test", "c") == (raw / "nir/c.png", raw / "labels/c.png")
        (raw / "labels/c.png").unlink()
        assert converter.source_files("test", "c") == (raw / "nir/c.png",)
        assert converter.shared_files() == (raw / "field.toml",)
        assert converter.options() == {}

    def test_raw_folder_elsewhere(self, make: Make, raw: Path, tmp_path: Path) -> None:
        make()
        config = tmp_path / "elsewhere.toml"
        (raw / "field.toml").rename(config)
        sample = FolderConverter(config=config, raw=raw).read("test", "c")
        np.testing.assert_array_equal(sample.streams["nir"], ramp(3000))
        with refused(InputError, "absent: no such folder; ", "--raw"):
            FolderConverter(config=config, raw=raw / "absent").spec()

    def test_travels_to_another_process(self, make: Make) -> None:
        converter = make()
        converter.spec()
        copy = pickle.loads(pickle.dumps(converter))
        assert copy == converter
        np.testing.assert_array_equal(copy.read("train", "a").streams["nir"], ramp(1000))

    def test_becomes_a_dataset(self, make: Make, tmp_path: Path) -> None:
        result = convert(make(), tmp_path / "out")
        assert result.manifest.splits == {
            "train": Counts(images=2, instances=4),
            "test": Counts(images=1, instances=2),
        }
        assert result.dropped == []


class TestDescription:
    @pytest.mark.parametrize(
        ("old", "new", "parts"),
        [
            ("license =", "licence =", "field.toml: unknown key 'licence'; did you mean 'license'?"),
            ("unit =", "unti =", "field.toml [streams.nir]: unknown key 'unti'; did you mean 'unit'?"),
            ("kind =", "kinds =", "field.toml [labels]: unknown key 'kinds'; did you mean 'kind'?"),
            ("weed = 1", "wed = 1", "[labels.values]: unknown class 'wed'; did you mean 'weed'?"),
            ("[labels]", '[rgb]\nfile = "x"\n[labels]', "[rgb]: unknown key 'file'; did you mean 'files'?"),
            ("/{id}", "/{ids}", "[streams.nir] files: unknown placeholder '{ids}'; did you mean '{id}'?"),
            ('name = "field"\n', "", "field.toml: needs 'name' (a text)"),
            ('"field"', "3", "field.toml: 'name' is 3; it must be a text"),
            (CLASSES, 'classes = "weed"', "'classes' is 'weed'; it must be a list of texts"),
            (CLASSES, 'classes = ["weed", "weed"]', "'classes' needs at least one name, each once"),
            (SPLITS, "", "[splits]: needs at least one split"),
            (SPLITS, "train = [1]", "[splits]: 'train' is [1]; it must be a list of image ids"),
            ("train =", "Train =", "[splits]: split name 'Train'"),
            ('unit = "digital number"', "", "[streams.nir]: needs 'unit'"),
            ("unit", 'channels = "all"\nunit', "'channels' is 'all'; it must be a list of channel numbers"),
            ("unit", "channels = [0, 0]\nunit", "'channels' is [0, 0]; list numbers from 0, each once"),
            ("unit", "channels = [-1]\nunit", "'channels' is [-1]; list numbers from 0"),
            ("unit", "channels = [true]\nunit", "'channels' is [True]; it must be"),
            ("nir/{id}.png", "nir/{id}.gif", "[streams.nir] files: suffix '.gif' is not read here"),
            ("labels/{id}.png", "labels/{id}.jpg", "[labels] files: JPEG labels are refused"),
            ("nir/{id}.png", "../{id}.png", "[streams.nir] files: path '../{id}.png' leaves its folder"),
            ("nir/{id}.png", "/nir/{id}.png", "path '/nir/{id}.png' leaves its folder"),
            ("nir/{id}.png", "nir/a.png", "'nir/a.png' has no {id}, so all images would share one file"),
            ("nir/{id}.png", "**/{id}.png", "'**' in '**/{id}.png' is not supported"),
            (
                '"semantic"',
                '"panoptic"',
                '\'kind\' is \'panoptic\'; it must be "semantic" or "instance" or "masks" or "coco" or',
            ),
            (VALUES, "", "[labels]: needs either 'palette' or 'values'"),
            (", crop = 2", "", "[labels.values]: needs 'crop' (a whole number or a list of them)"),
            ("crop = 2", "crop = 1", "[labels.values]: 'weed' and 'crop' have the same entry"),
            ("crop = 2", "crop = 2.5", "'crop' is 2.5; it must be a whole number"),
            (
                VALUES,
                "palette = { weed = [255, 0, 0], crop = [0, 256, 0] }",
                "'crop' is [0, 256, 0]; it must",
            ),
            (SEMANTIC, 'kind = "instance"', "'classes' has 2: give one class"),
            ('"semantic"', '"instance"', "'values' does not go with kind = \"instance\""),
            ("[splits]", "[splits", ("field.toml: not TOML (", "line 5")),
            ('"field"', '"Field"', "dataset name 'Field'"),
            ("[streams.nir]", "[streams.rgb]", ("stream name 'rgb'",)),
            ("[labels]", "[label]", "unknown key 'label'; did you mean 'labels'?"),
        ],
    )
    def test_every_key_is_checked(self, make: Make, old: str, new: str, parts: object) -> None:
        with refused(InputError, parts):
            make((old, new)).spec()

    def test_missing_file(self, tmp_path: Path) -> None:
        with refused(InputError, "none.toml: no such file; let `aims init FOLDER` write one"):
            FolderConverter(config=tmp_path / "none.toml").spec()

    def test_no_images_at_all(self, make: Make) -> None:
        stream = '[streams.nir]\nfiles = "nir/{id}.png"\nunit = "digital number"\n'
        with refused(InputError, "needs a [streams.NAME], [mosaic] or [rgb] table"):
            make((stream, "")).spec()


class TestSplits:
    def test_star_sorts_and_ignores_other_files(self, make: Make, raw: Path) -> None:
        (raw / "nir" / "Thumbs.db").touch()
        (raw / "nir" / "._a.png").touch()
        assert dict(make((SPLITS, 'train = "*"')).splits()) == {"train": ("a", "b", "c")}

    def test_star_by_split(self, make: Make, raw: Path) -> None:
        for split, name in (("train", "c"), ("train", "a"), ("test", "b")):
            (raw / split).mkdir(exist_ok=True)
            (raw / "nir" / f"{name}.png").rename(raw / split / f"x_{name}.png")
        stars = (SPLITS, 'test = "*"\ntrain = "*"')
        converter = make(stars, ("nir/{id}.png", "{split}/x_{id}.png"))
        assert dict(converter.splits()) == {"test": ("b",), "train": ("a", "c")}
        np.testing.assert_array_equal(converter.read("test", "b").streams["nir"], ramp(2000))

    def test_star_of_labels_without_streams(self, make: Make, raw: Path) -> None:
        (raw / "labels" / "b.png").unlink()
        stream = '[streams.nir]\nfiles = "nir/{id}.png"\nunit = "digital number"\n'
        converter = make((stream, '[rgb]\nfiles = "nir/{id}.png"\n'), (SPLITS, 'train = "*"'))
        assert converter.splits()["train"] == ("a", "c")
        assert converter.spec().has_rgb

    def test_star_of_one_id_in_two_places(self, make: Make, raw: Path) -> None:
        for name in "ab":
            (raw / name).mkdir()
            (raw / "nir" / f"{name}.png").rename(raw / name / f"{name}_nir.png")
        (raw / "z").mkdir()
        (raw / "z" / "b_nir.png").touch()
        converter = make((SPLITS, 'train = "*"'), ("nir/{id}.png", "{id}/{id}_nir.png"))
        assert converter.splits()["train"] == ("a", "b")

    def test_star_without_match(self, make: Make, raw: Path) -> None:
        with refused(InputError, "'test' has no images; no file below", "fits nir/*.tif"):
            make((SPLITS, 'test = "*"'), ("nir/{id}.png", "nir/{id}.tif")).splits()

    def test_star_twice_without_split(self, make: Make) -> None:
        with refused(
            InputError, "image 'a' is in split 'train' (", "nir/a.png) and in 'test' (", "put {split} into"
        ):
            make((SPLITS, 'train = "*"\ntest = "*"')).splits()

    def test_text_file(self, make: Make, raw: Path) -> None:
        (raw / "lists").mkdir()
        (raw / "lists" / "train.txt").write_bytes(b"\xef\xbb\xbf c \r\n\r\na\n")
        converter = make((SPLITS, 'train = "lists/train.txt"'))
        assert dict(converter.splits()) == {"train": ("c", "a")}
        assert converter.shared_files() == (raw / "field.toml", raw / "lists/train.txt")

    @pytest.mark.parametrize(
        ("splits", "text", "parts"),
        [
            (
                'train = "t.txt"',
                "a\n\na\n",
                ("t.txt, line 3: image 'a' stands twice (first: ", "t.txt, line 1)"),
            ),
            (
                'train = "t.txt"\ntest = ["b"]',
                "a\nb\n",
                (
                    "image 'b' is in split 'train' (",
                    "t.txt, line 2) and in 'test' (",
                    "[splits] test); leave it",
                ),
            ),
            ('train = ["a", "a"]', "", "[splits] train: image 'a' stands twice"),
            ('train = "t.txt"', "../a\n", "t.txt, line 1: path '../a' leaves its folder"),
            ('train = ["/a"]', "", "path '/a' leaves its folder"),
            ('train = "t.txt"', "\n", "[splits]: 'train' has no images; list at least one"),
            ("train = []", "", "[splits]: 'train' has no images; list at least one"),
            ('train = "none.txt"', "", "[splits] train: 'none.txt' names no file"),
            ('train = "../t.txt"', "", "[splits] train: path '../t.txt' leaves its folder"),
        ],
    )
    def test_wrong_lists(self, make: Make, raw: Path, splits: str, text: str, parts: object) -> None:
        (raw / "t.txt").write_text(text)
        with refused(InputError, parts):
            make((SPLITS, splits)).splits()

    def test_list_that_is_no_text(self, make: Make, raw: Path) -> None:
        (raw / "t.txt").write_bytes(b"\xff\xfe\xfa")
        with refused(InputError, "t.txt: not readable as UTF-8 text"):
            make((SPLITS, 'train = "t.txt"')).splits()

    def test_id_with_folder(self, make: Make, raw: Path) -> None:
        for name in ("nir", "labels"):
            (raw / name / "scene").mkdir()
            (raw / name / "a.png").rename(raw / name / "scene" / "a.png")
        sample = make((SPLITS, 'train = ["scene/a"]')).read("train", "scene/a")
        np.testing.assert_array_equal(sample.streams["nir"], ramp(1000))


class TestFiles:
    def test_wildcard(self, make: Make, raw: Path) -> None:
        (raw / "nir" / "a.png").rename(raw / "nir" / "a_20240101.png")
        converter = make(("nir/{id}.png", "n?r/{id}_*.png"), (SPLITS, 'train = ["a"]'))
        np.testing.assert_array_equal(converter.read("train", "a").streams["nir"], ramp(1000))

    def test_two_files_for_one_id(self, make: Make, raw: Path) -> None:
        np.save(raw / "nir" / "a.npy", ramp())
        converter = make(("nir/{id}.png", "nir/{id}.*"))
        parts = ("nir/a.npy and ", "nir/a.png: two files for image 'a'; remove one or narrow")
        with refused(SampleError, parts):
            converter.read("train", "a")
        assert len(converter.source_files("train", "a")) == 3

    @pytest.mark.parametrize("name", ["[ab]", "a?", "*"])
    def test_wildcards_in_an_id_are_letters(self, make: Make, raw: Path, name: str) -> None:
        for folder in ("nir", "labels"):
            (raw / folder / "a.png").rename(raw / folder / f"{name}.png")
        converter = make(("nir/{id}.png", "nir/{id}.*"), (SPLITS, f'train = ["{name}"]'))
        np.testing.assert_array_equal(converter.read("train", name).streams["nir"], ramp(1000))

    def test_brackets_in_a_pattern_are_letters(self, make: Make, raw: Path) -> None:
        (raw / "nir").rename(raw / "[nir]")
        converter = make(("nir/{id}.png", "[nir]/{id}.*"), (SPLITS, 'train = "*"'))
        assert converter.splits()["train"] == ("a", "b", "c")

    def test_id_that_climbs_once_it_is_filled_in(self, make: Make) -> None:
        with refused(InputError, "[streams.nir] files: path 'nir/../a.png' leaves its folder"):
            named = ("license", 'image_id = "{scene}-{id}"\nlicense')
            make(named, ("nir/{id}.png", "nir/{scene}{id}/a.png"), (SPLITS, 'train = [".-."]')).spec()

    @pytest.mark.parametrize("pattern", ["labels/{id}.png", "labels/{id}.*"])
    def test_missing_file(self, make: Make, raw: Path, pattern: str) -> None:
        (raw / "labels" / "a.png").unlink()
        parts = ("labels/a.", ": no such file; image 'a' of 'train' needs it (", "[labels] files)")
        with refused(SampleError, parts):
            make(("labels/{id}.png", pattern)).read("train", "a")

    def test_broken_first_image_does_not_hide_the_others(self, make: Make, raw: Path, tmp_path: Path) -> None:
        (raw / "nir" / "b.png").write_bytes(b"")
        converter = make()
        assert converter.spec().streams["nir"].channels == 1
        with refused(SampleError, "nir/b.png: empty (0 bytes)"):
            converter.read("train", "b")
        dropped = convert(converter, tmp_path / "out", keep_going=True).dropped
        assert [(line.image_id, line.kind) for line in dropped] == [("b", "unreadable")]

    def test_no_readable_image(self, make: Make, raw: Path) -> None:
        for name in "abc":
            (raw / "nir" / f"{name}.png").write_bytes(b"")
        with refused(SampleError, "nir/b.png: empty (0 bytes)"):
            make().spec()

    def test_channels(self, make: Make, raw: Path) -> None:
        for number, name in enumerate("abc"):
            Image.fromarray(ramp(number, 3, np.uint8)).save(raw / "nir" / f"{name}.png")
        converter = make(("unit =", "channels = [2, 0]\nunit ="))
        assert converter.spec().streams["nir"] == StreamSpec(
            channels=2, unit="digital number", valid_range=(0.0, 255.0)
        )
        np.testing.assert_array_equal(
            converter.read("train", "b").streams["nir"], ramp(1, 3, np.uint8)[..., [2, 0]]
        )
        parts = ("nir/b.png: has 3 channels, but ", "[streams.nir] wants channel 3 (counted from 0); correct")
        with refused(SampleError, parts):
            make(("unit =", "channels = [3]\nunit =")).spec()

    def test_images_of_a_stream_are_alike(self, make: Make, raw: Path) -> None:
        Image.fromarray(ramp(0, 3, np.uint8)).save(raw / "nir" / "a.png")
        parts = ("nir/a.png: 3 channels of uint8, but ", "nir/b.png has 1 channel of uint16; all images")
        with refused(SampleError, parts):
            make().read("train", "a")

    def test_sizes_agree(self, make: Make, raw: Path) -> None:
        Image.fromarray(label_map().T).save(raw / "labels" / "a.png")
        parts = ("labels/a.png: 7 x 5 (height x width), but ", "nir/a.png is 5 x 7; all files of one image")
        with refused(SampleError, parts):
            make().read("train", "a")

    def test_rgb_is_kept_byte_for_byte(self, make: Make, raw: Path) -> None:
        (raw / "rgb").mkdir()
        for name in "abc":
            Image.fromarray(ramp(0, 3, np.uint8)).save(raw / "rgb" / f"{name}.jpg", comment=f"picture {name}")
        converter = make(("[labels]", '[rgb]\nfiles = "rgb/{id}.jpg"\n\n[labels]'))
        assert converter.spec().has_rgb
        assert converter.read("train", "a").rgb == (raw / "rgb" / "a.jpg").read_bytes()
        assert (raw / "rgb" / "a.jpg") in converter.source_files("train", "a")
        Image.fromarray(ramp(0, 3, np.uint8)[1:]).save(raw / "rgb" / "b.jpg")
        with refused(SampleError, "rgb/b.jpg: 4 x 7 (height x width), but ", "is 5 x 7"):
            converter.read("train", "b")


class TestLabels:
    PALETTE = (VALUES, "palette = { weed = [255, 0, 10], crop = [10, 0, 255] }")
    COLOURS = np.array([[0, 0, 0], [255, 0, 10], [10, 0, 255]], np.uint8)

    GREYS = (VALUES, "palette = { weed = [100, 100, 100], crop = [200, 200, 200] }")
    WHITE = (VALUES, "palette = { crop = [255, 255, 255] }")
    BLACK = (VALUES, "palette = { weed = [255, 0, 10], crop = [10, 0, 255], soil = [0, 0, 0] }")
    SOIL, CROP = (CLASSES, 'classes = ["soil", "weed", "crop"]'), (CLASSES, 'classes = ["crop"]')
    SEVEN = np.where(np.arange(HEIGHT * WIDTH).reshape(HEIGHT, WIDTH) == WIDTH + 5, 7, label_map())
    DEEP = label_map().astype(np.uint16)

    @pytest.mark.parametrize(
        ("picture", "mode", "edits", "expected"),
        [
            (COLOURS[label_map()], "RGB", [PALETTE], label_map()),
            (COLOURS[label_map()], "RGBA", [PALETTE], label_map()),
            (label_map() * np.uint8(100), "L", [GREYS], label_map()),
            (label_map() > 1, "1", [CROP, WHITE], label_map() > 1),
            (COLOURS[label_map()], "RGB", [SOIL, BLACK], label_map() + 1),
            (SEVEN.astype(np.uint8), "L", [("weed = 1", "weed = [1, 7]")], label_map()),
            (label_map(), "L", [SOIL, ("{ weed", "{ soil = 0, weed")], label_map() + 1),
            (DEEP * 1000, "I;16", [("weed = 1, crop = 2", "weed = 1000, crop = 2000")], label_map()),
            (label_map(), "LA", [], label_map()),
            (label_map(), "RGB", [], label_map()),
        ],
    )
    def test_kinds_of_pictures(
        self, make: Make, raw: Path, picture: Any, mode: str, edits: Any, expected: Any
    ) -> None:
        image = Image.fromarray(picture)
        (image if mode == image.mode else image.convert(mode)).save(raw / "labels" / "a.png")
        np.testing.assert_array_equal(self.read(make(*edits)), expected)

    @pytest.mark.parametrize(
        ("picture", "edits", "message"),
        [
            (
                COLOURS[label_map()],
                [],
                "3 channels that differ, where one number a pixel is expected; for colours",
            ),
            (DEEP, [PALETTE], "1 channels of uint16; colours need 8 bits"),
        ],
    )
    def test_colours_and_numbers_mixed_up(
        self, make: Make, raw: Path, picture: Any, edits: Any, message: str
    ) -> None:
        Image.fromarray(picture).save(raw / "labels" / "a.png")
        with refused(SampleError, f"labels/a.png: {message}"):
            self.read(make(*edits))

    @pytest.mark.parametrize(
        ("drawn", "alpha", "message"),
        [
            (COLOURS[label_map()], label_map() != 2, "2 pixels are transparent and not 0, so prog"),
            (np.full_like(COLOURS[label_map()], 255), label_map() > 0, "pixels are transparent and not 0"),
            (np.zeros_like(COLOURS[label_map()]), label_map() > 0, "differs in its alpha channel alone"),
            (label_map()[..., None], label_map() != 2, "2 pixels are transparent and not 0"),
        ],
    )
    def test_alpha_that_shows_another_mask(
        self, make: Make, raw: Path, drawn: Any, alpha: Any, message: str
    ) -> None:
        picture = np.concatenate([drawn, alpha[..., None] * np.uint8(255)], 2)
        Image.fromarray(picture).save(raw / "labels" / "a.png")
        with refused(SampleError, "labels/a.png: ", message):
            self.read(make(*([self.PALETTE] if drawn.shape[2] == 3 else [])))

    @pytest.mark.parametrize("suffix", ["npy", "tif"])
    def test_two_channels_without_alpha(self, make: Make, raw: Path, suffix: str) -> None:
        """Classes and numbers of instances, for example."""
        pair = np.stack([label_map(), 5 * label_map()], 2)
        (raw / "labels" / "a.png").unlink()
        if suffix == "npy":
            np.save(raw / "labels" / "a.npy", pair)
        else:
            tifffile.imwrite(raw / "labels" / "a.tif", pair, photometric="minisblack", planarconfig="contig")
        with refused(SampleError, f"labels/a.{suffix}: 2 channels that differ, where one number a pixel is"):
            self.read(make(("labels/{id}.png", "labels/{id}.*")))

    def test_an_array_with_its_channel_first(self, make: Make, raw: Path) -> None:
        np.save(raw / "labels" / "a.npy", label_map()[None])
        (raw / "labels" / "a.png").unlink()
        with refused(SampleError, "labels/a.npy: 7 channels that differ", "save it as (height, width)"):
            self.read(make(("labels/{id}.png", "labels/{id}.*")))

    @pytest.mark.parametrize("alpha", [label_map() > 0, label_map() < 0])
    def test_alpha_that_shows_no_other_mask(self, make: Make, raw: Path, alpha: Any) -> None:
        picture = np.concatenate([self.COLOURS[label_map()], alpha[..., None] * np.uint8(255)], 2)
        Image.fromarray(picture).save(raw / "labels" / "a.png")
        np.testing.assert_array_equal(self.read(make(self.PALETTE)), label_map())

    def read(self, converter: FolderConverter) -> np.ndarray:
        labels = converter.read("train", "a").labels
        assert isinstance(labels, SemanticMap)
        return labels.class_map

    def test_palette_file_by_colour_and_by_index(self, make: Make, raw: Path) -> None:
        picture = Image.fromarray(label_map())
        picture.putpalette([0, 0, 0, 10, 0, 255, 255, 0, 10])  # index 1 has the colour of class 2
        picture.save(raw / "labels" / "a.png")
        with Image.open(raw / "labels" / "a.png") as stored:
            assert stored.mode == "P"
        np.testing.assert_array_equal(self.read(make()), label_map())
        np.testing.assert_array_equal(self.read(make(self.PALETTE)), np.array([0, 2, 1])[label_map()])

    def test_unknown_colour(self, make: Make, raw: Path) -> None:
        colours = self.COLOURS[label_map()]
        colours[2, 4] = colours[4, 1] = (1, 2, 3)
        Image.fromarray(colours).save(raw / "labels" / "a.png")
        parts = (
            "labels/a.png: colour [1, 2, 3] is in no class (2 pixels, first at x=4, y=2); add it to palette"
        )
        with refused(SampleError, parts):
            self.read(make(self.PALETTE))

    def test_unknown_value(self, make: Make, raw: Path) -> None:
        labels = label_map()
        labels[2, 4:] = 9
        Image.fromarray(labels).save(raw / "labels" / "a.png")
        parts = "labels/a.png: value 9 is in no class (3 pixels, first at x=4, y=2); add it to values in "
        with refused(SampleError, parts, "field.toml [labels]"):
            self.read(make())

    def test_npy_with_negative_values(self, make: Make, raw: Path) -> None:
        for name in "abc":
            np.save(raw / "labels" / f"{name}.npy", np.array([0, -1, 300])[label_map()])
        converter = make(
            ("labels/{id}.png", "labels/{id}.npy"), ("weed = 1, crop = 2", "weed = -1, crop = 300")
        )
        np.testing.assert_array_equal(self.read(converter), label_map())

    @pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
    @pytest.mark.parametrize("suffix", ["npy", "tif"])
    def test_whole_numbers_saved_as_floats(self, make: Make, raw: Path, dtype: type, suffix: str) -> None:
        for name in "abc":
            array, path = label_map().astype(dtype), raw / "labels" / f"{name}.{suffix}"
            if suffix == "npy":
                np.save(path, array)
            else:  # GDAL declares NaN to be no data
                tifffile.imwrite(path, array, extratags=[(42113, "s", 0, "nan", True)])
        converter = make(("labels/{id}.png", f"labels/{{id}}.{suffix}"))
        np.testing.assert_array_equal(self.read(converter), label_map())

    def test_a_fraction_declared_to_be_no_data_is_no_label(self, make: Make, raw: Path) -> None:
        array, tag = np.where(label_map() == 0, 9, label_map()), (42113, "s", 0, "9.5", True)
        (raw / "labels" / "a.png").unlink()
        tifffile.imwrite(raw / "labels" / "a.tif", array.astype(np.float32), extratags=[tag])
        with refused(SampleError, "labels/a.tif: value 9 "):
            self.read(make(("labels/{id}.png", "labels/{id}.*")))

    def test_floats_that_stand_for_several_integers(self, make: Make, raw: Path) -> None:
        (raw / "labels" / "a.png").unlink()
        np.save(raw / "labels" / "a.npy", np.where(label_map() == 1, 2.0**24, 0).astype(np.float32))
        with refused(SampleError, "labels/a.npy: float32 values; labels are whole numbers"):
            self.read(make(("labels/{id}.png", "labels/{id}.*"), ("weed = 1", f"weed = {2**24}")))

    def test_palette_of_a_tiff_file(self, make: Make, raw: Path) -> None:
        colours = np.zeros((3, 256), np.uint16)
        colours[:, :3] = self.COLOURS.T.astype(np.uint16) * 257
        (raw / "labels" / "a.png").unlink()
        tifffile.imwrite(raw / "labels" / "a.tif", label_map(), photometric="palette", colormap=colours)
        converter = make(self.PALETTE, ("labels/{id}.png", "labels/{id}.*"))
        np.testing.assert_array_equal(self.read(converter), label_map())

    def test_fractions(self, make: Make, raw: Path) -> None:
        np.save(raw / "labels" / "a.npy", label_map() / 2)
        (raw / "labels" / "a.png").unlink()
        with refused(SampleError, "labels/a.npy: float64 values; labels are whole numbers"):
            self.read(make(("labels/{id}.png", "labels/{id}.*")))

    def test_jpeg_behind_a_wildcard(self, make: Make, raw: Path) -> None:
        (raw / "labels" / "a.png").unlink()
        Image.fromarray(label_map()).save(raw / "labels" / "a.jpg")
        with refused(SampleError, "labels/a.jpg: JPEG labels are refused, because its compress"):
            self.read(make(("labels/{id}.png", "labels/{id}.*")))

    def test_instances_as_drawn(self, make: Make, raw: Path) -> None:
        drawn = np.zeros(label_map().shape, np.uint16)
        drawn[0, 0] = drawn[4, 6] = 700  # one instance in two places stays one
        drawn[2, 2:4] = 3
        cv2.imwrite(str(raw / "labels" / "a.png"), drawn)
        edits = ((CLASSES, 'classes = ["plant"]'), (SEMANTIC, 'kind = "instance"'))
        labels = make(*edits).read("train", "a").labels
        assert isinstance(labels, InstanceMap)
        np.testing.assert_array_equal(labels.instances, drawn)
        assert dict(labels.class_ids) == {3: 1, 700: 1}

    @pytest.mark.parametrize(
        ("rows", "number", "told"),
        [(slice(0, 5, 2), 255, True), (slice(0, 5), 255, False), (slice(0, 5, 2), 7, False)],
    )
    def test_a_mask_taken_for_instances(
        self, make: Make, raw: Path, rows: slice, number: int, told: bool
    ) -> None:
        drawn = np.zeros(label_map().shape, np.uint8)
        drawn[rows] = number
        Image.fromarray(drawn).save(raw / "labels" / "a.png")
        converter = make((CLASSES, 'classes = ["plant"]'), (SEMANTIC, 'kind = "instance"'))
        with collect_remarks() as found:
            converter.read("train", "a")
        line = '255 alone, in several regions, is one instance; of a mask kind = "semantic" splits them'
        assert list(found) == [line] * told

    @pytest.mark.parametrize(
        ("numbers", "told"),
        [((1, 255), 255), ((2, 65535), 65535), ((254, 255), None), ((1, 254), None), ((1, 256), None)],
    )
    def test_a_border_taken_for_an_instance(
        self, make: Make, raw: Path, numbers: tuple[int, int], told: int | None
    ) -> None:
        drawn = np.zeros(label_map().shape, np.uint16)
        drawn[0], drawn[1] = numbers
        Image.fromarray(drawn).save(raw / "labels" / "a.png")
        edits = [(CLASSES, 'classes = ["plant"]'), (SEMANTIC, 'kind = "instance"')]
        with collect_remarks() as found:
            make(*edits).read("train", "a")
        line = f"{told} is an instance like all others; if it means a border or unknown, give void = {told}"
        assert list(found) == [line] * bool(told)
        with collect_remarks() as found:
            make(*edits, ('kind = "instance"', f'kind = "instance"\nvoid = {numbers[1]}')).read("train", "a")
        assert not found

    @pytest.mark.parametrize(("resized", "told"), [(cv2.INTER_LINEAR, True), (cv2.INTER_NEAREST, False)])
    def test_instances_with_blended_edges(self, make: Make, raw: Path, resized: int, told: bool) -> None:
        drawn = np.zeros((30, 30), np.uint16)
        for k, corner in enumerate(np.ndindex(3, 3), start=1):
            drawn[tuple(slice(10 * at + 2, 10 * at + 9) for at in corner)] = 1000 * k
        drawn = cv2.resize(drawn, (50, 50), interpolation=resized)
        Image.fromarray(drawn).save(raw / "labels" / "a.png")
        Image.fromarray(drawn).save(raw / "nir" / "a.png")
        converter = make((CLASSES, 'classes = ["plant"]'), (SEMANTIC, 'kind = "instance"'))
        with collect_remarks() as found:
            converter.read("train", "a")
        assert [text[:40] for text in found] == ["most of its numbers are nowhere three pi"] * told

    def test_negative_instance(self, make: Make, raw: Path) -> None:
        np.save(raw / "labels" / "a.npy", -label_map().astype(np.int32))
        (raw / "labels" / "a.png").unlink()
        edits = ((CLASSES, 'classes = ["plant"]'), (SEMANTIC, 'kind = "instance"'))
        with refused(SampleError, "labels/a.npy: instance number -2 is negative"):
            make(*edits, ("labels/{id}.png", "labels/{id}.*")).read("train", "a")


class TestColouredInstances:
    COLOURS = np.array([[0, 0, 0], [255, 0, 10], [10, 0, 255], [255, 255, 255], [7, 7, 7]], np.uint8)

    def coloured(self, make: Make, raw: Path, drawn: Any, void: str = "") -> tuple[InstanceMap, list[str]]:
        """The labels of a map of colours, and the remarks about them."""
        picture = self.COLOURS[np.array(drawn)]
        Image.fromarray(picture).save(raw / "labels" / "a.png")
        Image.fromarray(picture[..., 0].astype(np.uint16)).save(raw / "nir" / "a.png")
        converter = make((CLASSES, 'classes = ["plant"]'), (SEMANTIC, f'kind = "instance"{void}'))
        with collect_remarks() as found:
            labels = converter.read("train", "a").labels
        assert isinstance(labels, InstanceMap)
        return labels, list(found)

    def test_one_colour_an_instance(self, make: Make, raw: Path) -> None:
        labels, found = self.coloured(make, raw, [[1, 1, 0, 2], [0, 0, 0, 2]])
        red, blue = 0xFF000A, 0x0A00FF
        np.testing.assert_array_equal(labels.instances, [[red, red, 0, blue], [0, 0, 0, blue]])
        assert dict(labels.class_ids) == {red: 1, blue: 1}
        assert not found

    @pytest.mark.parametrize("drawn", [[[1, 3, 4, 2]], [[3, 3, 4, 4]]])  # the second has no colour but grey
    def test_colours_that_are_void(self, make: Make, raw: Path, drawn: Any) -> None:
        labels, found = self.coloured(make, raw, drawn, "\nvoid = [[255, 255, 255], [7, 7, 7]]")
        np.testing.assert_array_equal(labels.instances > 0, np.isin(drawn, [1, 2]))
        assert not found

    @pytest.mark.parametrize(
        ("drawn", "text"),
        [
            (
                [[1, 0, 1, 0, 2]],
                "a colour in several regions is one instance; colours that mean classes need",
            ),
            (
                [[1, 0, 3, 0, 2]],
                "white is an instance like all others; if it means a border or unknown, give",
            ),
        ],
    )
    def test_colours_that_may_mean_something_else(self, make: Make, raw: Path, drawn: Any, text: str) -> None:
        (line,) = self.coloured(make, raw, drawn)[1]
        assert line.startswith(text)


def test_the_example_in_the_documentation_is_complete(tmp_path: Path) -> None:
    config = Path(__file__).parents[3] / "docs" / "polarization_camera.toml"
    converter = FolderConverter(config=config, raw=tmp_path)
    assert converter.shared_files() == (config,)
    with refused(InputError, "no file below", "fits frames/train/*.png"):
        converter.splits()


def test_the_form_in_the_documentation_is_read(tmp_path: Path) -> None:
    text = folder_module.__doc__ or ""
    lines = [line[4:] for line in text.splitlines() if line.startswith("    ") or not line]
    (tmp_path / "cwfid.toml").write_text("\n".join(lines), encoding="utf-8")
    splits = FolderConverter(config=tmp_path / "cwfid.toml").splits()
    assert dict(splits) == {"train": ("002_00", "005_00"), "test": ("001_00",)}
