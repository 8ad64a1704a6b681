"""Every converter, driven through every bad input: one clear line, exit code 2, what was finished intact."""

from __future__ import annotations

import json
import os
import re
import shutil

import numpy as np
import pytest
from bad_inputs import FAULTS, LAYOUTS, SUFFIXES
from raw_damage import PLANTED, pickles

from aims.cli import main
from aims.converters.zoo.converter import ZooConverter
from aims.core.converters import installed_converters, load_converter
from aims.data import write
from helpers import file_digests, time_limit

# The sets made here are tiny; that their counts differ from the published ones is said, and is no error. How
# many pictures are missing is said before the first of them ends the conversion.
_COUNTS = re.compile(
    r"warning: (images in (split '\w+'|all splits): [\d,]+, as published: [\d,]+|[^ ]+: no file for .*)"
)
_LIMIT_S = 30

CELLS = [
    pytest.param(layout, way, k == 1, id=f"{layout} - {fault}{f' {k}' * (len(ways) > 1)}")
    for layout, entry in LAYOUTS.items()
    for fault, cell in entry.cells.items()
    if not isinstance(cell, str)
    for ways in [cell if isinstance(cell, tuple) else (cell,)]
    for k, way in enumerate(ways, start=1)
]


@pytest.fixture
def aims(aims):
    """Runs a command line as everywhere, at most half a minute."""

    def call(*args):
        with time_limit(_LIMIT_S):
            return aims(*args)

    return call


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Every layout as it should be, written and converted once: its folder and its command line."""
    found = {}

    def get(name):
        if name not in found:
            home = tmp_path_factory.mktemp("layout") / "home"
            home.mkdir()
            options = LAYOUTS[name].write(home / "raw")
            with pytest.raises(SystemExit) as exited:
                main(["convert", *options, "--out", str(home / "finished")])
            assert not exited.value.code
            found[name] = home, options
        return found[name]

    return get


@pytest.fixture
def home(made, tmp_path, capsys):
    """A copy of a layout of one's own: folder, command line."""

    def get(name):
        source, options = made(name)
        capsys.readouterr()  # what the conversion said, if it was made here
        copied = shutil.copytree(source, tmp_path / "home", symlinks=True)
        return copied, ["convert", *(option.replace(str(source), str(copied)) for option in options)]

    return get


def one_error(result):
    """The one line on stderr of a command that was refused; nothing else may have been said."""
    code, out, err = result
    assert (code, out) == (2, ""), err
    lines = [line for line in err.splitlines() if not _COUNTS.fullmatch(line)]
    assert len(lines) == 1, err
    assert lines[0].startswith("error: ")
    return lines[0]


def test_the_matrix_is_complete():
    # The sets of the zoo are read by the converter `folder`.
    own = {name for name in installed_converters() if not issubclass(load_converter(name), ZooConverter)}
    assert {entry.converter for entry in LAYOUTS.values()} == own
    assert sorted(own) == ["coco", "folder", "ivrg-nir", "nyuv2", "rgbp-glass", "thermal-glass", "zju-rgbp"]
    for entry in LAYOUTS.values():
        assert set(entry.cells) == set(FAULTS)


@pytest.mark.parametrize("name", LAYOUTS)
def test_a_format_is_left_out_only_where_no_file_is_read_in_it(name, made):
    home, _ = made(name)
    sources = json.loads((home / "finished" / "aims.json").read_text())["sources"]
    for fault, suffixes in SUFFIXES.items():
        read = any(source.endswith(suffixes) and source != "splits.mat" for source in sources)
        assert isinstance(LAYOUTS[name].cells[fault], str) != read, fault


@pytest.mark.parametrize(("layout", "damage", "first"), CELLS)
def test_one_line_and_exit_code_2(layout, damage, first, home, aims):
    folder, command = home(layout)
    finished = file_digests(folder / "finished")
    named = damage(folder / "raw")
    line = one_error(aims(*command, "--out", folder / "new"))
    for text in named if isinstance(named, tuple) else (str(named),):
        assert text in line
    # More than the name: what is wrong with it.
    assert len(line) > len(f"error: {named}") + 10
    assert not (folder / "new").exists()
    if first:
        one_error(aims(*command, "--out", folder / "finished"))
    assert file_digests(folder / "finished") == finished
    assert not (folder / PLANTED).exists()


@pytest.mark.parametrize("name", [name for name, entry in LAYOUTS.items() if entry.last])
def test_what_was_finished_is_not_read_again(name, home, made, aims, monkeypatch):
    folder, command = home(name)
    broken = folder / "raw" / LAYOUTS[name].last
    reads = []
    converter = load_converter(LAYOUTS[name].converter)
    read = converter.read

    def noted(self, split, image_id):
        reads.append(image_id)
        return read(self, split, image_id)

    monkeypatch.setattr(converter, "read", noted)
    monkeypatch.setitem(write.convert.__kwdefaults__, "rows_per_shard", 1)
    whole = broken.read_bytes()
    broken.write_bytes(whole[: len(whole) * 2 // 3])
    code, _, err = aims(*command, "--out", folder / "new")
    assert code == 2, err
    assert str(broken) in err
    assert len(set(reads)) == 4
    shards = file_digests(folder / "new.partial" / "data")
    assert len(shards) == 3
    *finished, last = reads
    reads.clear()
    broken.write_bytes(whole)
    code, _, err = aims(*command, "--out", folder / "new")
    assert code == 0, err
    assert set(shards.items()) < set(file_digests(folder / "new" / "data").items())
    assert reads == [last], f"{finished} were finished"
    code, _, err = aims(*command, "--out", folder / "afresh")
    assert code == 0, err
    assert file_digests(folder / "new") == file_digests(folder / "afresh")


@pytest.mark.parametrize("name", [name for name, entry in LAYOUTS.items() if entry.last])
def test_a_pipe_is_not_waited_for(name, home, aims):
    folder, command = home(name)
    path = folder / "raw" / LAYOUTS[name].last
    path.unlink()
    os.mkfifo(path)
    assert path.name in one_error(aims(*command, "--out", folder / "new"))


@pytest.mark.parametrize("name", LAYOUTS)
def test_a_link_back_to_the_set_does_not_hang(name, home, made, aims):
    folder, command = home(name)
    for at in [folder / "raw", *(path for path in (folder / "raw").rglob("*") if path.is_dir())]:
        (at / "back").symlink_to(folder / "raw", target_is_directory=True)
    result = aims(*command, "--out", folder / "new")
    if result[0] == 0:
        assert file_digests(folder / "new") == file_digests(folder / "finished")
    else:
        assert "back" in one_error(result)


def test_the_planted_pickles_go_off_where_they_are_loaded(tmp_path):
    for damage in (*pickles("a.npy"), *pickles("a.npz")):
        (tmp_path / "raw").mkdir()
        loaded = np.load(damage(tmp_path / "raw"), allow_pickle=True)
        if isinstance(loaded, np.lib.npyio.NpzFile):
            with loaded:
                loaded["nir"]
        os.rmdir(tmp_path / PLANTED)
        shutil.rmtree(tmp_path / "raw")
