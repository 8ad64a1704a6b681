"""Splits as shares, patterns, lists in two places and columns of a table."""

from __future__ import annotations

import codecs
import hashlib
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
from raw_folder import HEIGHT, WIDTH, Make
from refusals import refused

from aims.converters.folder import FolderConverter
from aims.core.errors import InputError
from aims.data.write import convert

SPLITS = 'train = ["b", "a"]\ntest = ["c"]'
NAMES = [f"s{scene}_{frame}" for scene in range(5) for frame in range(4)]
GROUP = ("license", 'group = "^(s.)_"\nlicense')


@pytest.fixture
def many(raw: Path) -> Path:
    """Five scenes of four frames."""
    for folder in ("nir", "labels"):
        for name in NAMES:
            shutil.copy(raw / folder / "a.png", raw / folder / f"{name}.png")
    for number, name in enumerate(NAMES):
        cv2.imwrite(str(raw / "nir" / f"{name}.png"), np.full((HEIGHT, WIDTH), number, np.uint8))
    for folder in ("nir", "labels"):
        for name in "abc":
            (raw / folder / f"{name}.png").unlink()
    return raw


def split(converter: FolderConverter) -> dict[str, list[str]]:
    return {name: list(ids) for name, ids in converter.splits().items()}


@pytest.mark.usefixtures("many")
class TestShares:
    def test_whole_groups(self, make: Make) -> None:
        found = split(make(GROUP, (SPLITS, 'train = "*"\ntest = "20%"\nval = "20 %"')))
        assert {name: len(ids) for name, ids in found.items()} == {"train": 12, "test": 4, "val": 4}
        scenes = {name: {image_id[:2] for image_id in ids} for name, ids in found.items()}
        assert [len(names) for names in scenes.values()] == [3, 1, 1]
        assert sorted(name for ids in found.values() for name in ids) == NAMES
        assert all(ids == sorted(ids) for ids in found.values())

    def test_the_seed_decides(self, make: Make) -> None:
        text = 'train = "60%"\ntest = "40%"'
        seeds = [split(make((SPLITS, f"{text}\nseed = {seed}"))) for seed in (0, 0, 1)]
        assert seeds[0] == seeds[1] == split(make((SPLITS, text)))
        assert seeds[0] != seeds[2]
        assert [len(ids) for found in seeds for ids in found.values()] == [12, 8] * 3
        # The choice is the same on every machine.
        order = sorted(NAMES, key=lambda name: hashlib.sha256(f"0/{name}".encode()).hexdigest())
        assert seeds[0] == {"train": sorted(order[:12]), "test": sorted(order[12:])}

    def test_lists_come_first(self, make: Make) -> None:
        found = split(make((SPLITS, 'train = "*"\nval = "50%"\ntest = ["s0_0", "s0_1"]\nhard = "s4_*"')))
        assert found["test"] == ["s0_0", "s0_1"]
        assert found["hard"] == [name for name in NAMES if name.startswith("s4")]
        assert (len(found["val"]), len(found["train"])) == (7, 7)
        assert sorted(name for ids in found.values() for name in ids) == NAMES

    @pytest.mark.parametrize(
        ("splits", "parts"),
        [
            ('train = "70%"\ntest = "20%"', "[splits]: the shares sum to 90 %; give 100 %, or less and"),
            ('train = "*"\ntest = "101%"', "the shares sum to 101 %"),
            ('train = "*"\ntest = "1%"', "'test' has no images; the groups of the files nir/*.png ("),
            ('train = "*"\nseed = "x*"', "'seed' has no images; no name of a file nir/*.png ("),
            ('train = "*"\ntest = "t*"', "fits 't*'"),
        ],
    )
    def test_refused(self, make: Make, splits: str, parts: str) -> None:
        with refused(InputError, parts):
            make(GROUP, (SPLITS, splits)).splits()

    def test_a_share_of_divided_folders(self, make: Make, many: Path) -> None:
        (many / "train").mkdir()
        (many / "nir").rename(many / "train" / "nir")
        edits = ((SPLITS, 'train = "*"\nval = "10%"'), ("nir/{id}", "{split}/nir/{id}"))
        with refused(InputError, "[streams.nir] files: a share is of all images, but {split} divides them"):
            make(*edits).splits()


@pytest.mark.usefixtures("many")
def test_patterns(make: Make) -> None:
    found = split(make((SPLITS, 'test = "s?_3"\nval = "*_0"\ntrain = "*"')))
    assert found["test"] == [f"s{scene}_3" for scene in range(5)]
    assert found["val"] == [f"s{scene}_0" for scene in range(5)]
    assert len(found["train"]) == 10
    with refused(InputError, "image 's0_3' is in split 'test' (", "and in 'val' ("):
        make((SPLITS, 'test = "s?_3"\nval = "s0_*"')).splits()


def test_list_beside_the_description(make: Make, raw: Path, tmp_path: Path) -> None:
    config = tmp_path / "described" / "field.toml"
    config.parent.mkdir()
    make((SPLITS, 'train = "t.txt"\ntest = "v.txt"'))
    shutil.move(raw / "field.toml", config)
    (config.parent / "t.txt").write_text("a\n")
    (config.parent / "v.txt").write_text("a\n")
    (raw / "v.txt").write_text("b\n")  # the raw folder comes first
    converter = FolderConverter(config=config, raw=raw)
    assert split(converter) == {"train": ["a"], "test": ["b"]}
    assert converter.shared_files() == (config, config.parent / "t.txt", raw / "v.txt")


@pytest.mark.parametrize(
    "lines",
    [
        "/data/x/nir/{}.png",
        "C:\\data\\nir\\{}.png",
        "../sensor/nir/{}.PNG",
        "nir/{}.png labels/{}.png",
        "/nir/{}.png\t/labels/{}.png",
        "my data/nir/{}.png, my data/labels/{}.png",
    ],
)
def test_lists_of_paths_from_elsewhere(make: Make, raw: Path, lines: str) -> None:
    (raw / "train.txt").write_text("".join(lines.replace("{}", name) + "\n" for name in "ba"))
    assert split(make((SPLITS, 'train = "train.txt"')))["train"] == ["b", "a"]


@pytest.mark.parametrize(
    "line",
    [
        "nir/a.png labels/b.png",
        "/nir/a.png /labels/b.png",
        "a 1",
        "a.png -1",
        "/data/a.png",
        "nir/x.png nir/x.png",
    ],
)
def test_lines_that_name_no_image(make: Make, raw: Path, line: str) -> None:
    (raw / "train.txt").write_text(f"{line}\n")
    converter = make((SPLITS, 'train = "train.txt"'))
    with pytest.raises(InputError, match=r"leaves its folder|no such file"):
        [converter.read("train", name) for name in converter.splits()["train"]]


@pytest.mark.parametrize("lines", ["nir/a.png\nlabels/b.png\n", "a.png\nb.PNG\n", r"nir\a.png" + "\r\nb"])
def test_lists_of_file_names(make: Make, raw: Path, lines: str) -> None:
    (raw / "t.txt").write_text(lines, newline="")
    assert split(make((SPLITS, 'train = "t.txt"'))) == {"train": ["a", "b"]}


@pytest.mark.parametrize("separator", [",", ";", "\t"])
class TestTables:
    def write(self, raw: Path, rows: list[list[str]], separator: str) -> None:
        text = "".join(separator.join(row) + "\r\n" for row in rows)
        (raw / "meta.csv").write_bytes(codecs.BOM_UTF8 + text.encode())

    def test_columns(self, make: Make, raw: Path, separator: str) -> None:
        rows = [
            ["picture", "fold", "split"],
            ["a", "1", "train"],
            ["nir/b.png", "2", " test "],
            ["c", "3", "-"],
        ]
        self.write(raw, rows, separator)
        by_name = (
            'train = { file = "meta.csv", column = "split" }\ntest = { file = "meta.csv", column = "split" }'
        )
        converter = make((SPLITS, by_name))
        assert split(converter) == {"train": ["a"], "test": ["b"]}
        assert converter.shared_files() == (raw / "field.toml", raw / "meta.csv")
        by_value = 'train = { file = "meta.csv", column = "fold", value = [1, "3"], names = "picture" }'
        assert split(make((SPLITS, by_value + '\ntest = "*"'))) == {"train": ["a", "c"], "test": ["b"]}

    def test_numbers_of_rows_are_no_names(self, make: Make, raw: Path, separator: str) -> None:
        """As pandas writes its index, in a set whose images may be called so, too."""
        self.write(raw, [["", "picture", "split"], ["0", "b", "train"], ["1", "a", "train"]], separator)
        entry = 'file = "meta.csv", column = "split"'
        with refused(InputError, "meta.csv: its first column counts rows and", "(known: picture, split)"):
            make((SPLITS, f"train = {{ {entry} }}")).splits()
        named = make((SPLITS, f'train = {{ {entry}, names = "picture" }}'))
        assert split(named) == {"train": ["b", "a"]}
        self.write(raw, [["", "split"], ["a", "train"], ["b", "train"]], separator)
        assert split(make((SPLITS, f"train = {{ {entry} }}"))) == {"train": ["a", "b"]}

    @pytest.mark.parametrize(
        ("entry", "parts"),
        [
            ('file = "meta.csv", column = "splt"', "meta.csv: unknown column 'splt'; did you mean 'split'?"),
            ('file = "meta.csv", column = "split", names = "x"', "meta.csv: unknown column 'x'"),
            (
                'file = "meta.csv", column = "split", value = "no"',
                "no row of meta.csv has no in column 'split'",
            ),
            ('file = "none.csv", column = "split"', "[splits] train: 'none.csv' names no file ("),
            ('file = "meta.csv", column = "split", value = 1.5', "'value' is 1.5; it must be a text"),
            ('file = "meta.csv", colum = "split"', "[splits.train]: unknown key 'colum'"),
            ('file = "meta.csv", column = "split", value = "short"', "meta.csv, line 3: 1 columns, but"),
        ],
    )
    def test_refused(self, make: Make, raw: Path, separator: str, entry: str, parts: str) -> None:
        rows = [["picture", "split"], ["a", "train"], *([["b"]] if "short" in entry else [])]
        self.write(raw, rows, separator)
        with refused(InputError, parts):
            make((SPLITS, f"train = {{ {entry} }}")).splits()


@pytest.mark.usefixtures("many")
def test_a_group_in_a_list_and_in_a_share(make: Make, tmp_path: Path) -> None:
    whole = make(GROUP, (SPLITS, 'train = "*"\ntest = "20%"'))
    assert convert(whole, tmp_path / "whole").manifest.warnings == ()
    warnings: list[str] = []
    parted = make(GROUP, (SPLITS, 'test = ["s1_0", "s3_2"]\ntrain = "50%"\nval = "50%"'))
    made = convert(parted, tmp_path / "parted", on_warning=warnings.append, rows_per_shard=4)
    (line,) = warnings
    assert line.startswith(
        "2 groups have images in several splits, which are then not independent: s1 (test, "
    )
    assert ", s3 (test, " in line
    assert made.manifest.warnings == (line,)
