"""`aims synth`: each raw layout is converted by the command that it prints, and one scene is drawn."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys

import pytest

from aims.cli import synth
from aims.synth.datasets import LAYOUTS

SMALL = ("--scenes", "3", "--size", "36x48")
STREAMS = {
    "folder": {"thermal", "depth", "hha", "nir", "intensity", "aolp", "dolp"},
    "nyuv2": {"depth", "hha"},
    "rgbp-glass": {"intensity", "aolp", "dolp"},
    "zju-rgbp": {"i0", "i45", "i90", "i135"},
    "thermal-glass": {"thermal"},
    "ivrg-nir": {"nir"},
}


def test_every_layout_is_here():
    assert set(STREAMS) == set(LAYOUTS)


@pytest.mark.parametrize("layout", STREAMS)
def test_what_is_written_is_converted_by_the_printed_command(aims, tmp_path, layout):
    raw = tmp_path / "a raw folder"
    code, out, _ = aims("synth", layout, "--out", raw, *SMALL, "--family", "rooms")
    assert code == 0
    said, _, command = out.strip().partition("; convert them with: ")
    assert said == "3 scenes written"
    program, *arguments = shlex.split(command)
    assert program == "aims"
    code, out, _ = aims(*arguments, "--out", tmp_path / "set", "--json")
    assert code == 0
    manifest = json.loads(out)
    assert set(manifest["dataset"]["streams"]) == STREAMS[layout]
    assert {split: part["images"] for split, part in manifest["splits"].items()} == {"train": 2, "test": 1}
    assert all(part["instances"] for part in manifest["splits"].values())
    assert "no problem found" in aims("verify", tmp_path / "set")[1]


def test_family_and_seed_are_passed_on(aims, tmp_path):
    options = ("--family", "wilds", "--seed", "4")
    assert aims("synth", "ivrg-nir", "--out", tmp_path / "raw", *SMALL, *options)[0] == 0
    about = json.loads((tmp_path / "raw" / "synth.json").read_text())
    assert (about["family"], about["seed"], about["scenes"], about["size"]) == ("wilds", 4, 3, [36, 48])


def test_defaults(aims, tmp_path, monkeypatch):
    asked = {}
    monkeypatch.setattr("aims.synth.datasets.write", lambda *layout, **rest: asked.update(rest))
    code, out, _ = aims("synth", "nyuv2", "--out", tmp_path / "raw")
    assert (code, asked["scenes"], asked["size"], asked["family"], asked["seed"]) == (
        0,
        60,
        (96, 128),
        "rooms",
        0,
    )
    assert out.endswith(" --hha\n")
    _, out, _ = aims("synth", "nyuv2", "--out", tmp_path / "raw", "--size", "128x128")
    assert "--hha" not in out


def test_look(aims, tmp_path):
    page = tmp_path / "pages" / "look.html"
    code, out, _ = aims("synth", "--look", page, "--size", "48x64", "--scene", "7", "--family", "wilds")
    assert (code, out) == (0, f"{page}: scene 7 of wilds, seed 0; {page.stat().st_size / 1e6:.1f} MB\n")
    text = page.read_text("utf-8")
    assert "family wilds, seed 0, scene 7; 48 × 64 pixels" in text
    code, _, err = aims("synth", "--look", page)
    assert code == 2
    assert "exists; give another --look, or --overwrite" in err
    assert page.read_text("utf-8") == text
    assert aims("synth", "--look", page, "--size", "48x64", "--seed", "1", "--overwrite")[0] == 0
    assert "family rooms, seed 1, scene 0" in page.read_text("utf-8")
    assert [path.name for path in page.parent.iterdir()] == ["look.html"]


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (
            (),
            "name a layout (folder, nyuv2, rgbp-glass, zju-rgbp, thermal-glass, ivrg-nir), or a page with",
        ),
        (("nyuv2",), "name the folder to make with --out"),
        (("nyuv", "--out", "x"), "unknown layout 'nyuv'; did you mean 'nyuv2'?"),
        (("nyuv2", "--out", "x", "--family", "room"), "did you mean 'rooms'?"),
        (
            ("folder", "--out", "x", "--test", "1"),
            "--test does not go with the layout 'folder' without --family",
        ),
        (("nyuv2", "--out", "x", "--scenes", "3", "--test", "3"), "3 of 3 scenes for testing leave none"),
        (("nyuv2", "--out", "x", "--scene", "1"), "--scene does not go with a layout"),
        (("nyuv2", "--out", "x", "--overwrite"), "--overwrite does not go with a layout"),
        (("nyuv2", "--out", "x", "--size", "31x64"), "give height x width in pixels, 32 or more"),
        (("nyuv2", "--look", "x.html"), "LAYOUT does not go with --look"),
        (("--look", "x.html", "--out", "y"), "--out does not go with --look"),
        (("--look", "x.html", "--scenes", "9"), "--scenes does not go with --look"),
        (("--look", "x.html", "--family", "room"), "did you mean 'rooms'?"),
        (("--look", "."), "is a folder; give --look a file"),
    ],
)
def test_mistakes(aims, tmp_path, monkeypatch, args, message):
    monkeypatch.chdir(tmp_path)
    code, out, err = aims("synth", *args)
    assert (code, out) == (2, "")
    assert err.startswith("error: ")
    assert err.count("\n") == 1
    assert message in err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("layout", STREAMS)
def test_a_full_folder_is_left_alone(aims, tmp_path, layout):
    (tmp_path / "precious.txt").write_text("mine")
    code, _, err = aims("synth", layout, "--out", tmp_path)
    assert code == 2
    assert "is not empty" in err
    assert [path.name for path in tmp_path.iterdir()] == ["precious.txt"]


def test_torch_is_loaded_only_for_a_world(tmp_path):
    code = (
        "import sys\n"
        "from aims.cli import main\n"
        "try:\n"
        f"    main(['synth', 'folder', '--out', {str(tmp_path / 'raw')!r}, '--scenes', '3'])\n"
        "except SystemExit as stop:\n"
        "    assert not stop.code\n"
        "assert 'torch' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, cwd=tmp_path)


def test_the_words_of_the_help_name_every_layout():
    assert all(layout in synth.command.help for layout in LAYOUTS)


def test_shapes_that_were_stopped_leave_nothing(aims, monkeypatch, tmp_path):
    def stop(out, **drawn):
        (out / "labels").mkdir()
        raise KeyboardInterrupt

    monkeypatch.setattr("aims.synth.shapes.write_shapes", stop)
    assert aims("synth", "folder", "--out", tmp_path / "raw", "--scenes", "12")[0] == 130
    assert [*tmp_path.iterdir()] == []
