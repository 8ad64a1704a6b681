"""File names from other systems, and names of images that several parts of a path make up."""

from __future__ import annotations

import codecs
import json
import unicodedata
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image
from raw_folder import BASE, Make, check_dataset, label_map, ramp
from refusals import refused

from aims.converters.folder import FolderConverter
from aims.core.errors import InputError
from aims.core.schema import InstanceMap, SampleError

SPLITS = 'train = ["b", "a"]\ntest = ["c"]'
STAR = (SPLITS, 'train = "*"')
NIR, LABELS = "nir/{id}.png", "labels/{id}.png"


class TestOtherSystems:
    @pytest.mark.parametrize("pattern", [NIR, "nir/{id}*.png", "nir/?.png", "n*/{id}.PNG", "nir/{id}.*"])
    def test_suffix_in_any_case(self, make: Make, raw: Path, pattern: str) -> None:
        (raw / "nir" / "b.png").rename(raw / "nir" / "b.PNG")
        (raw / "labels" / "c.png").rename(raw / "labels" / "c.Png")
        if "{id}" not in pattern:
            with refused(InputError, "has no {id}"):
                make(STAR, (NIR, pattern)).splits()
            return
        converter = make(STAR, (NIR, pattern))
        assert dict(converter.splits()) == {"train": ("a", "b", "c")}
        np.testing.assert_array_equal(converter.read("train", "b").streams["nir"], ramp(2000))
        files = converter.source_files("train", "b") + converter.source_files("train", "c")
        assert [path.name for path in files] == ["b.PNG", "b.png", "c.png", "c.Png"]

    def test_only_the_suffix_is(self, make: Make, raw: Path) -> None:
        (raw / "nir" / "a.png").rename(raw / "nir" / "A.png")
        with refused(SampleError, "nir/a.png: no such file"):
            make().read("train", "a")

    def test_exact_name_comes_first(self, make: Make, raw: Path) -> None:
        cv2.imwrite(str(raw / "nir" / "x.png"), ramp(9))
        (raw / "nir" / "x.png").rename(raw / "nir" / "a.PNG")
        np.testing.assert_array_equal(make().read("train", "a").streams["nir"], ramp(1000))
        (raw / "nir" / "a.png").rename(raw / "nir" / "a.Png")
        with refused(SampleError, "nir/a.PNG and ", "nir/a.Png: two files for image 'a'"):
            make().read("train", "a")

    @pytest.mark.parametrize("form", ["NFC", "NFD"])
    @pytest.mark.parametrize("splits", ['train = "*"', 'train = ["à"]'])
    def test_names_in_both_forms_of_unicode(self, make: Make, raw: Path, form: str, splits: str) -> None:
        other = {"NFC": "NFD", "NFD": "NFC"}[form]
        for folder, spelling in (("nir", form), ("labels", other)):
            name = unicodedata.normalize(spelling, "à")
            (raw / folder / "a.png").rename(raw / folder / f"{name}.png")
            (raw / folder).rename(raw / unicodedata.normalize(spelling, f"{folder}é"))
        converter = make((SPLITS, splits), (NIR, "niré/{id}.png"), (LABELS, "labelsé/{id}*.png"))
        names = {unicodedata.normalize("NFC", name): name for name in converter.splits()["train"]}
        name = names["à"]
        np.testing.assert_array_equal(converter.read("train", name).streams["nir"], ramp(1000))

    @pytest.mark.parametrize("pattern", ["nir/{id}.png", "nir/{id}*.png", "*/{id}.png"])
    def test_hidden_files_are_no_images(self, make: Make, raw: Path, pattern: str) -> None:
        for folder in ("nir", "labels", "._nir"):
            (raw / folder).mkdir(exist_ok=True)
            (raw / folder / "._a.png").write_bytes(b"resource fork")
        (raw / "labels").rename(raw / "drawn")
        (raw / "drawn").rename(raw / ".labels")
        converter = make(STAR, (NIR, pattern), (LABELS, ".labels/{id}.png"))
        assert dict(converter.splits()) == {"train": ("a", "b", "c")}
        assert len(converter.source_files("train", "a")) == 2

    @pytest.mark.parametrize("inline", [True, False])
    def test_backslashes_in_lists(self, make: Make, raw: Path, inline: bool) -> None:
        for folder in ("nir", "labels"):
            (raw / folder / "s1").mkdir()
            (raw / folder / "a.png").rename(raw / folder / "s1" / "a.png")
        (raw / "t.txt").write_bytes(codecs.BOM_UTF8 + b"s1\\a\r\nb\r\n")
        splits = "train = ['s1\\a', 'b']" if inline else 'train = "t.txt"'
        converter = make((SPLITS, splits))
        assert dict(converter.splits()) == {"train": ("s1/a", "b")}
        np.testing.assert_array_equal(converter.read("train", "s1/a").streams["nir"], ramp(1000))

    @pytest.mark.parametrize("names", ["./nir/a.png\n./nir/b.png", "./a\nb", ".\\nir\\a.png\nnir//b.png"])
    def test_paths_from_the_folder_itself(self, make: Make, raw: Path, names: str) -> None:
        (raw / "t.txt").write_text(names)
        assert dict(make((SPLITS, 'train = "t.txt"')).splits()) == {"train": ("a", "b")}

    def test_links_that_lead_to_no_file(self, make: Make, raw: Path) -> None:
        """As in a clone without the content that it links to."""
        for folder in ("nir", "labels"):
            (raw / folder / "d.png").symlink_to("../.git/annex/objects/d.png")
        converter = make((SPLITS, 'train = "*"'))
        assert converter.splits()["train"] == ("a", "b", "c", "d")
        with refused(SampleError, "nir/d.png: a link that leads to no file, or in a circle; image 'd' of"):
            converter.read("train", "d")

    def test_a_mask_that_is_a_link_to_no_file(self, make: Make, raw: Path) -> None:
        (raw / "masks" / "a").mkdir(parents=True)
        (raw / "labels" / "a.png").rename(raw / "masks" / "a" / "0.png")
        (raw / "masks" / "a" / "1.png").symlink_to("nowhere")
        keys = ('kind = "semantic"\nvalues = { weed = 1, crop = 2 }', 'kind = "masks"')
        one = ('classes = ["weed", "crop"]', 'classes = ["crop"]')
        converter = make((SPLITS, 'train = ["a"]'), (LABELS, "masks/{id}/*.png"), keys, one)
        with refused(SampleError, "masks/a/1.png: a link that leads to no file"):
            converter.read("train", "a")

    def test_description_from_windows(self, raw: Path) -> None:
        config = raw / "field.toml"
        config.write_bytes(codecs.BOM_UTF8 + BASE.replace("\n", "\r\n").replace("nir/{", r"nir\\{").encode())
        converter = FolderConverter(config=config)
        np.testing.assert_array_equal(converter.read("train", "a").streams["nir"], ramp(1000))


class TestNamedParts:
    STREAM = (NIR, "{scene}/nir/{id}.png")
    DRAWN = (LABELS, "{scene}/label/{id}.png")
    GROUP = ("license", 'group = "{scene}"\nlicense')

    @pytest.fixture
    def scenes(self, raw: Path) -> Path:
        """Frames 0 and 1 of two scenes, under the same names."""
        for number, scene in enumerate(("s1", "s2")):
            for folder in ("nir", "label"):
                (raw / scene / folder).mkdir(parents=True)
            for frame in range(2):
                cv2.imwrite(str(raw / scene / "nir" / f"{frame}.png"), ramp(100 * number + frame))
                Image.fromarray(np.roll(label_map(), number, 1)).save(raw / scene / "label" / f"{frame}.png")
        return raw

    def test_scene_and_frame(self, make: Make, scenes: Path, tmp_path: Path) -> None:
        converter = make(STAR, self.STREAM, self.DRAWN, self.GROUP)
        assert dict(converter.splits()) == {"train": ("s1/0", "s1/1", "s2/0", "s2/1")}
        sample = converter.read("train", "s2/1")
        assert sample.group == "s2"
        np.testing.assert_array_equal(sample.streams["nir"], ramp(101))
        files = (scenes / "s2/nir/1.png", scenes / "s2/label/1.png")
        assert converter.source_files("train", "s2/1") == files
        check_dataset(converter, tmp_path / "out")

    @pytest.mark.parametrize(
        ("image_id", "ids"),
        [
            ("{scene}-{id}", ("s1-0", "s1-1", "s2-0", "s2-1")),
            ("{id}/{scene}", ("0/s1", "0/s2", "1/s1", "1/s2")),
            ("{split}/{scene}/{id}", ("train/s1/0", "train/s1/1", "train/s2/0", "train/s2/1")),
        ],
    )
    @pytest.mark.usefixtures("scenes")
    def test_image_ids(self, make: Make, image_id: str, ids: tuple[str, ...]) -> None:
        converter = make(STAR, self.STREAM, self.DRAWN, ("license", f'image_id = "{image_id}"\nlicense'))
        assert converter.splits()["train"] == ids
        assert converter.read("train", ids[2]).group == ids[2]

    @pytest.mark.usefixtures("scenes")
    def test_lists(self, make: Make) -> None:
        edits = (self.STREAM, self.DRAWN, self.GROUP)
        converter = make((SPLITS, 'train = ["s2/0"]\ntest = ["s1/1"]'), *edits)
        assert dict(converter.splits()) == {"train": ("s2/0",), "test": ("s1/1",)}
        np.testing.assert_array_equal(converter.read("test", "s1/1").streams["nir"], ramp(1))
        with refused(InputError, "[splits] train: 's2' is no name of the form '{scene}/{id}'"):
            make((SPLITS, 'train = ["s2"]'), *edits).splits()

    def test_a_part_without_id(self, make: Make, scenes: Path) -> None:
        converter = make(STAR, (NIR, "{scene}/nir/0.png"), (LABELS, "{scene}/label/0.png"), self.GROUP)
        assert dict(converter.splits()) == {"train": ("s1", "s2")}
        np.testing.assert_array_equal(converter.read("train", "s2").streams["nir"], ramp(100))

    def test_shared_files_are_refused(self, make: Make, scenes: Path) -> None:
        parts = ("[labels] files: images 's1/0' and 's2/0' would share labels/0.png; put {scene} into it",)
        with refused(InputError, parts):
            make(STAR, self.STREAM, self.GROUP).splits()

    @pytest.mark.usefixtures("scenes")
    def test_wildcard_folders_have_a_hint(self, make: Make) -> None:
        with refused(SampleError, "s1/nir/0.png and ", "two files for image '0'", 'group = "{scene}"'):
            make(STAR, (NIR, "*/nir/{id}.png"), (LABELS, "*/label/{id}.png")).spec()

    @pytest.mark.parametrize(
        ("edits", "parts"),
        [
            ([STREAM, DRAWN], "[streams.nir] files: unknown placeholder '{scene}'"),
            ([GROUP], "'group' is '{scene}', but files are named by {id} only; put {scene} into 'files'"),
            (
                [STREAM, DRAWN, GROUP, ("license", 'image_id = "{id}"\nlicense')],
                "'image_id' is '{id}', but '{scene}/nir/{id}.png' (",
            ),
            ([DRAWN, GROUP], "[labels] files: '{scene}/label/{id}.png' has other parts than 'nir/{id}.png'"),
            ([("license", 'image_id = "{id}/{id}"\nlicense')], "'image_id' is '{id}/{id}'; it must be"),
            ([("license", 'image_id = "{id}*"\nlicense')], "'image_id' is '{id}*'; it must be"),
        ],
    )
    @pytest.mark.usefixtures("scenes")
    def test_refused(self, make: Make, edits: list[tuple[str, str]], parts: str) -> None:
        with refused(InputError, parts):
            make(STAR, *edits).spec()


@pytest.mark.parametrize("form", ["NFC", "NFD"])
def test_coco_names_in_both_forms_of_unicode(make: Make, raw: Path, form: str) -> None:
    other = {"NFC": "NFD", "NFD": "NFC"}[form]
    (raw / "nir" / "a.png").rename(raw / "nir" / f"{unicodedata.normalize(form, 'à')}.png")
    categories = [{"id": 1, "name": "weed"}, {"id": 2, "name": unicodedata.normalize(other, "blé")}]
    classes = ('["weed", "crop"]', f'["weed", "{unicodedata.normalize(form, "blé")}"]')
    image = {"id": 1, "file_name": unicodedata.normalize(other, "nir/à.png"), "height": 5, "width": 7}
    polygon = {"id": 1, "image_id": 1, "category_id": 2, "segmentation": [[0, 0, 3, 0, 3, 3, 0, 3]]}
    content = {"images": [image], "annotations": [polygon], "categories": categories}
    (raw / "all.json").write_text(json.dumps(content, ensure_ascii=False), encoding="utf-8-sig")
    kind = ('kind = "semantic"\nvalues = { weed = 1, crop = 2 }', 'kind = "coco"')
    converter = make((SPLITS, 'train = ["à"]'), (LABELS, "all.json"), kind, classes)
    labels = converter.read("train", "à").labels
    assert isinstance(labels, InstanceMap)
    assert dict(labels.class_ids) == {1: 2}


def test_channels_first(make: Make, raw: Path) -> None:
    for name in "abc":
        np.save(raw / "nir" / f"{name}.npy", np.moveaxis(ramp(7, 3), -1, 0))
    edits = (NIR, "nir/{id}.npy")
    converter = make(edits, ("unit =", 'channel_axis = "first"\nchannels = [0, 2]\nunit ='))
    np.testing.assert_array_equal(converter.read("train", "a").streams["nir"], ramp(7, 3)[..., [0, 2]])
    parts = (
        "nir/a.npy: shape (3, 5, 7), but the labels are 5 x 7",
        '[streams.nir] needs channel_axis = "first"',
    )
    with refused(SampleError, parts):
        make(edits).read("train", "a")
    np.save(raw / "nir" / "b.npy", ramp(5)[..., 0])  # two axes have no channels
    (raw / "nir" / "a.npy").unlink()
    np.testing.assert_array_equal(
        make(edits, ("unit =", 'channel_axis = "first"\nunit =')).read("train", "b").streams["nir"], ramp(5)
    )
    with refused(InputError, "'channel_axis' is 0; it must be \"first\""):
        make(edits, ("unit =", "channel_axis = 0\nunit =")).spec()


def test_label_values_that_nobody_named(make: Make, raw: Path) -> None:
    labels = label_map()
    labels[0, :3], labels[0, 4] = 9, 255
    Image.fromarray(labels).save(raw / "labels" / "a.png")
    parts = (
        "labels/a.png: value 9 is in no class (3 pixels, first at x=0, y=0); nor is value 255 (1); add it to "
        "values in ",
        "[labels] as a class, or to 'void' there, or mend the file",
    )
    with refused(SampleError, parts):
        make().read("train", "a")


def test_names_that_no_file_can_have(make: Make) -> None:
    """The system refuses to look for them."""
    name = "a" * 5000
    converter = make((SPLITS, f'train = ["{name}", "a"]'))
    with refused(SampleError, f"{name}.png: no such file"):
        converter.read("train", name)
    assert converter.source_files("train", name) == ()
    assert [count.examples for count in converter.inventory()] == [(name,), (name,)]
    with refused(InputError, "not readable", "File name too long"):
        make((SPLITS, f'train = "{name}"')).spec()
