"""The keys of the description that say what the numbers, ids and scenes of a folder mean."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image
from raw_folder import Make, label_map, ramp
from refusals import refused

from aims.converters.folder import FolderConverter
from aims.core.errors import InputError
from aims.core.schema import InstanceMap, SampleError, SemanticMap, StreamSpec

UNIT = 'unit = "digital number"'
CLASSES = 'classes = ["weed", "crop"]'
VALUES = "values = { weed = 1, crop = 2 }"
SPLITS = 'train = ["b", "a"]\ntest = ["c"]'


class TestFacts:
    def test_citation_and_url(self, make: Make) -> None:
        assert (make().spec().citation, make().spec().url) == (None, None)
        keys = 'citation = "Somebody, 2020"\nurl = "https://example.org/field"\n'
        spec = make(("license", keys + "license")).spec()
        assert (spec.citation, spec.url) == ("Somebody, 2020", "https://example.org/field")

    def test_stream(self, make: Make) -> None:
        keys = "valid_range = [0, 4095]\nmissing = 0\nwavelength_nm = [8000, 14000.5]\n"
        assert make((UNIT, keys + UNIT)).spec().streams["nir"] == StreamSpec(
            channels=1,
            unit="digital number",
            valid_range=(0.0, 4095.0),
            missing=0,
            wavelength_nm=(8000.0, 14000.5),
        )

    def test_missing_value_of_floats(self, make: Make, raw: Path) -> None:
        for name in "abc":
            np.save(raw / "nir" / f"{name}.npy", ramp(0, 1, np.float32))
        converter = make(("nir/{id}.png", "nir/{id}.npy"), (UNIT, f"missing = -0.5\n{UNIT}"))
        assert converter.spec().streams["nir"].missing == -0.5

    @pytest.mark.parametrize(
        ("old", "new", "parts"),
        [
            ("license", 'citation = ""\nlicense', "'citation' is ''; it must be a text"),
            ("license", "url = 1\nlicense", "'url' is 1; it must be a text"),
            ("unit", "valid_range = [1, 0]\nunit", "[streams.nir]: 'valid_range' is [1, 0]; it must be two"),
            ("unit", "valid_range = [0, inf]\nunit", "'valid_range' is [0, inf]; it must be two numbers"),
            ("unit", "valid_range = [0, 1, 2]\nunit", "'valid_range' is [0, 1, 2]; it must be"),
            ("unit", "valid_range = 3\nunit", "'valid_range' is 3; it must be two numbers [lowest, highest]"),
            ("unit", "wavelength_nm = [0, 700]\nunit", "'wavelength_nm' is [0.0, 700.0]; wavelengths are"),
            ("unit", "missing = nan\nunit", "'missing' is nan; it must be a finite number"),
            ("unit", "missing = true\nunit", "'missing' is True; it must be a finite number"),
            ("unit", "missing = 0.5\nunit", "[streams.nir]: 'missing' is 0.5, which uint16 cannot hold"),
            ("unit", "missing = -1\nunit", "[streams.nir]: 'missing' is -1, which uint16 cannot hold"),
            ("unit", "mising = 0\nunit", "unknown key 'mising'; did you mean 'missing'?"),
            ("unit", 'variable = "x"\nunit', "'variable' is 'x', but .png files hold one picture; leave it"),
            (
                "nir/{id}.png",
                "nir/{id}.npz",
                "[streams.nir]: needs 'variable', the name of the array in the .npz",
            ),
            (
                "labels/{id}.png",
                "labels/{id}.mat",
                "[labels]: needs 'variable', the name of the array in the",
            ),
            ("nir/{id}.png", "nir/{id}.json", "[streams.nir] files: suffix '.json' is not read here"),
            ("license", 'image_id = "{id}_{split}"\nlicense', "'image_id' is '{id}_{split}'; it must be"),
            ("license", 'group = "(a"\nlicense', "'group' is '(a', no regular expression ("),
            ("license", 'group = "a"\nlicense', "'group' is 'a'; put the part of the image id that names"),
            ("kind", "void = 1\nkind", "[labels]: value 1 is 'void' and 'weed'; give it one meaning"),
            ("kind", "void = []\nkind", "'void' is []; it must be a whole number or a list of them"),
            ("kind", "void = [[1, 2, 3]]\nkind", "'void' is [[1, 2, 3]]; it must be a whole number"),
        ],
    )
    def test_every_key_is_checked(self, make: Make, old: str, new: str, parts: object) -> None:
        with refused(InputError, "field.toml", parts):
            make((old, new)).spec()


class TestVoid:
    def read(self, converter: FolderConverter) -> np.ndarray:
        labels = converter.read("train", "a").labels
        assert isinstance(labels, SemanticMap)
        return labels.class_map

    @pytest.fixture
    def labels(self, raw: Path) -> np.ndarray:
        """Labels with the numbers 255 and 77 at places of nothing."""
        labels = label_map()
        labels[0, 0], labels[4, 6] = 255, 77
        Image.fromarray(labels).save(raw / "labels" / "a.png")
        return labels

    @pytest.mark.usefixtures("labels")
    def test_values(self, make: Make) -> None:
        np.testing.assert_array_equal(self.read(make(("kind", "void = [255, 77]\nkind"))), label_map())
        with refused(SampleError, "labels/a.png: value 77 is in no class (1 pixels, first at"):
            self.read(make(("kind", "void = 255\nkind")))

    def test_colours(self, make: Make, raw: Path) -> None:
        colours = np.array([[0, 0, 0], [255, 0, 10], [10, 0, 255]], np.uint8)[label_map()]
        colours[0, 0], colours[4, 6] = (1, 2, 3), (128, 128, 128)
        Image.fromarray(colours).save(raw / "labels" / "a.png")
        palette = (VALUES, "palette = { weed = [255, 0, 10], crop = [10, 0, 255] }")
        converter = make(palette, ("kind", "void = [[1, 2, 3], [128, 128, 128]]\nkind"))
        np.testing.assert_array_equal(self.read(converter), label_map())
        with refused(SampleError, "colour [128, 128, 128] is in no class (1 pixels"):
            self.read(make(palette, ("kind", "void = [1, 2, 3]\nkind")))
        with refused(InputError, "colour [10, 0, 255] is 'void' and 'crop'; give it one"):
            make(palette, ("kind", "void = [10, 0, 255]\nkind")).spec()
        with refused(InputError, "'void' is 1; it must be a colour [red, green, blue] or a"):
            make(palette, ("kind", "void = 1\nkind")).spec()

    @pytest.mark.usefixtures("labels")
    def test_instances(self, make: Make) -> None:
        kind = (f'kind = "semantic"\n{VALUES}', 'kind = "instance"\nvoid = [255, 77]')
        labels = make(kind, (CLASSES, 'classes = ["plant"]')).read("train", "a").labels
        assert isinstance(labels, InstanceMap)
        np.testing.assert_array_equal(labels.instances, label_map())
        assert labels.instances.dtype == np.uint8
        assert dict(labels.class_ids) == {1: 1, 2: 1}


class TestGroups:
    def test_scene_of_an_id(self, make: Make, raw: Path) -> None:
        for old, new in (("a", "scene7_001"), ("b", "scene12_001")):
            for folder in ("nir", "labels"):
                (raw / folder / f"{old}.png").rename(raw / folder / f"{new}.png")
        ids = (SPLITS, 'train = ["scene7_001", "scene12_001"]')
        converter = make(ids, ("license", "group = '^(scene\\d+)_'\nlicense"))
        assert converter.read("train", "scene7_001").group == "scene7"
        assert converter.read("train", "scene12_001").group == "scene12"

    @pytest.mark.parametrize("pattern", ["^([ab])$", "^([ab]?)"])
    def test_no_scene(self, make: Make, pattern: str) -> None:
        with refused(InputError, "field.toml: 'group' finds no scene in image 'c'; correct "):
            make(("license", f"group = '{pattern}'\nlicense")).splits()


class TestImageIds:
    STARS = (SPLITS, 'train = "*"\ntest = "*"')
    FILES = ("nir/{id}.png", "{split}/nir/{id}.png")

    @pytest.fixture
    def twice(self, raw: Path) -> Path:
        """The same names in both splits."""
        for split, start in (("train", 100), ("test", 500)):
            (raw / split / "nir").mkdir(parents=True)
            for number, name in enumerate("ab"):
                cv2.imwrite(str(raw / split / "nir" / f"{name}.png"), ramp(start + number))
        return raw

    def test_one_name_in_two_splits(self, make: Make, twice: Path) -> None:
        converter = make(self.STARS, self.FILES, ("license", 'image_id = "{split}/{id}"\nlicense'))
        assert dict(converter.splits()) == {"train": ("train/a", "train/b"), "test": ("test/a", "test/b")}
        sample = converter.read("test", "test/b")
        assert (sample.image_id, sample.group) == ("test/b", "test/b")
        np.testing.assert_array_equal(sample.streams["nir"], ramp(501))
        assert converter.source_files("test", "test/b") == (twice / "test/nir/b.png", twice / "labels/b.png")

    def test_the_group_sees_the_whole_id(self, make: Make, twice: Path) -> None:
        keys = 'image_id = "{split}/{id}"\ngroup = "^([a-z]+)/"\n'
        converter = make(self.STARS, self.FILES, ("license", f"{keys}license"))
        assert converter.read("test", "test/b").group == "test"

    def test_refused_otherwise(self, make: Make, twice: Path) -> None:
        parts = ("image 'a' is in split 'train' (", ") and in 'test' (", 'give image_id = "{split}/{id}"')
        with refused(InputError, parts):
            make(self.STARS, self.FILES).splits()

    def test_an_id_that_begins_as_its_split(self, make: Make, raw: Path) -> None:
        for folder in ("nir", "labels"):
            (raw / folder / "train").mkdir()
            (raw / folder / "a.png").rename(raw / folder / "train" / "a.png")
        converter = make((SPLITS, 'train = ["train/a"]'))
        np.testing.assert_array_equal(converter.read("train", "train/a").streams["nir"], ramp(1000))


class TestOddFiles:
    def test_link_in_a_circle(self, make: Make, raw: Path) -> None:
        (raw / "nir" / "a.png").unlink()
        (raw / "nir" / "a.png").symlink_to("a.png")
        parts = "nir/a.png: a link that leads to no file, or in a circle; image 'a' of 'train' needs it"
        with refused(SampleError, parts):
            make().read("train", "a")
        assert dict(make((SPLITS, 'train = "*"')).splits()) == {"train": ("a", "b", "c")}

    def test_folder_in_a_circle(self, make: Make, raw: Path) -> None:
        (raw / "nir" / "again").symlink_to(raw, target_is_directory=True)
        converter = make((SPLITS, 'train = "*"'), ("nir/{id}.png", "nir/*/nir/{id}.png"))
        assert dict(converter.splits()) == {"train": ("a", "b", "c")}
        np.testing.assert_array_equal(converter.read("train", "a").streams["nir"], ramp(1000))

    def test_description_in_a_circle(self, tmp_path: Path) -> None:
        (tmp_path / "x.toml").symlink_to("x.toml")
        with refused(InputError, "x.toml: not readable ("):
            FolderConverter(config=tmp_path / "x.toml").spec()

    def test_list_in_a_circle(self, make: Make, raw: Path) -> None:
        (raw / "train.txt").symlink_to("train.txt")
        with refused(InputError, "train.txt: not readable as UTF-8 text ("):
            make((SPLITS, 'train = "train.txt"')).splits()

    @pytest.mark.parametrize(
        "name", ["ä b", "a'\"b", "a\nb", "a{id}b", "a%b", "-a", "a.b.c", "日本", "$HOME"]
    )
    def test_odd_names(self, make: Make, raw: Path, name: str) -> None:
        for folder in ("nir", "labels"):
            (raw / folder / "a.png").rename(raw / folder / f"{name}.png")
        converter = make((SPLITS, 'train = "*"'))
        assert set(converter.splits()["train"]) == {name, "b", "c"}
        np.testing.assert_array_equal(converter.read("train", name).streams["nir"], ramp(1000))

    @pytest.mark.skipif(sys.platform != "linux", reason="other systems have no such names")
    @pytest.mark.parametrize("splits", ['train = "*"', 'train = ["x"]'])
    def test_names_that_are_no_text(self, make: Make, raw: Path, splits: str) -> None:
        folder = os.fsencode(raw / "nir")
        os.rename(folder + b"/a.png", folder + b"/x\xff.png")
        converter = make((SPLITS, splits), ("nir/{id}.png", "nir/{id}*.png"))
        parts = ("raw: file name 'nir/x\\udcff.png' is not UTF-8; rename it (", "[streams.nir] files)")
        with refused(InputError, parts) as caught:
            converter.spec()
        assert str(caught.value).isprintable()

    def test_null_character(self, make: Make) -> None:
        with refused(SampleError, "no such file; image 'a\\x00b' of 'train' needs it"):
            make((SPLITS, 'train = ["a\\u0000b"]')).spec()
