"""The package as others get it: a wheel, the Makefile, the README."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
import zipfile
from glob import glob
from pathlib import Path

import cv2
import numpy as np
import pytest
from documentation import START, commands

from aims.cli import COMMANDS
from aims.synth.layouts.nyuv2 import NYUv2Image, write_official

ROOT = Path(__file__).parents[2]
BIN = Path(sys.executable).parent
PIP = (sys.executable, "-m", "pip", "--disable-pip-version-check")
OFFLINE = ("--no-deps", "--no-build-isolation", "--no-index")
# What takes long of the commands in README, start and own-sensor, and what is tested in its place.
SHORTER = {
    "--scenes 60": "--scenes 12",
    "--epochs 10": "--epochs 1",
    "--epochs 5": "--epochs 1",
    "--images 80 --held-out 20": "--images 16 --held-out 4",
}


def run(command, **options):
    done = subprocess.run(command, capture_output=True, text=True, **options)
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """A copy: building in place would leave a build folder whose stale files get into the next wheel."""
    copy = tmp_path_factory.mktemp("source") / "aims"
    ignored = shutil.ignore_patterns(".*", "*.egg-info", "__pycache__", "build", "data", "runs", "demo")
    shutil.copytree(
        ROOT, copy, ignore=lambda folder, names: ignored(folder, names) if folder == str(ROOT) else []
    )
    return copy


@pytest.fixture(scope="module")
def wheel(source, tmp_path_factory):
    out = tmp_path_factory.mktemp("wheel")
    run([*PIP, "wheel", *OFFLINE, "--wheel-dir", str(out), str(source)])
    return next(out.glob("*.whl"))


def test_the_wheel_holds_everything(wheel):
    names = zipfile.ZipFile(wheel).namelist()
    for name in (
        "aims/py.typed",
        "aims/cli/run.py",
        "aims/converters/thermal_glass.py",
        *(f"aims/converters/zoo/{path.name}" for path in (ROOT / "converters" / "zoo").glob("*.toml")),
        "aims/benchmarks/speed/conversion.py",
        "aims/benchmarks/demo_data/nuclei.toml",
        "aims/benchmarks/demo_data/recordings/README.md",
        "aims/benchmarks/demo_data/recordings/images/test/003cee89357d.png",
        "aims/benchmarks/embedded.toml",
        "aims/benchmarks/real_sensors/vnc_tiles.toml",
        "aims/engine/export/cards/card.md.j2",
        "aims/leaderboards/published.toml",
        "aims/models/pretrained/sam-tiny@1/README.md",
        "aims/models/pretrained/sam-tiny@1/weights.safetensors",
        "aims/models/pretrained/sam-tiny@2/weights.safetensors",
        "aims/models/pretrained/sam-tiny-any@2/weights.safetensors",
        "aims/labeling/canvas.js",
        "aims/reports/page/details.html.j2",
        "aims/reports/page/index.html.j2",
        "aims/reports/page/page.css",
        "aims/reports/page/page.js",
        "aims/reports/tables/table.tex.j2",
        "aims/synth/layouts/nyuv2.py",
    ):
        assert name in names, name
    tops = {name.split("/")[0] for name in names if ".dist-info" not in name}
    assert tops == {"aims"}
    # Methods that are tried are not released.
    assert not any("candidates" in name for name in names)
    sources = {f"aims/{path.relative_to(ROOT / 'aims')}" for path in (ROOT / "aims").rglob("*.py")}
    sources |= {f"aims/{path.relative_to(ROOT)}" for path in (ROOT / "converters").rglob("*.py")}
    assert sources <= set(names)


@pytest.mark.thorough
def test_the_wheel_works_from_any_folder(wheel, tmp_path):
    site = tmp_path / "site"
    zipfile.ZipFile(wheel).extractall(site)
    environment = {**os.environ, "PYTHONPATH": str(site)}

    def aims(*args):
        return run([sys.executable, "-m", "aims", *args], cwd=tmp_path, env=environment)

    where = run(
        [sys.executable, "-c", "import aims.converters; print(aims.converters.__file__)"],
        cwd=tmp_path,
        env=environment,
    )
    assert where.startswith(str(site))
    aims("synth", "folder", "--out", "raw", "--scenes", "6", "--size", "32x48")
    assert "shapes" in aims("convert", "folder", "raw/shapes.toml")
    assert "no problem found" in aims("verify", "data/aims/shapes")
    assert "6 of 6 images" in aims("view", "data/aims/shapes", "--out", "page.html")
    (tmp_path / "runs").mkdir()
    aims("report")
    assert "32.08" in (tmp_path / "leaderboards" / "table1.md").read_text()


def test_make_demo_is_the_command(tmp_path):
    """The command itself is run with the README's, as `aims demo --quick`."""
    out = run(
        # Already installed here; the rule that installs is what ran before these tests.
        [
            "make",
            "--no-print-directory",
            "-n",
            "demo",
            f"BIN={BIN}",
            "DEMO=here",
            "DEMO_OPTIONS=--quick",
            "INSTALLED=",
        ],
        cwd=ROOT,
    )
    assert out.strip() == f"{BIN}/aims demo --out here --quick"


def test_every_make_target_has_help():
    out = run(["make", "help"], cwd=ROOT)
    for target in ("demo", "test", "lint", "docs", "help"):
        assert re.search(rf"^{target} ", out, re.MULTILINE)


def shorter(command):
    for long, short in SHORTER.items():
        command = command.replace(long, short)
    return command


@pytest.mark.thorough
def test_every_command_of_readme_and_start(aims, tmp_path, monkeypatch):
    """Runs them in order in an empty folder, beside the files that the README tells one to write.

    The first is run by a shell, as a user does; the others in this process, which has imported torch already.
    """
    (toml,) = set(re.findall(r"```toml\n(name = .*?)```", START, re.DOTALL))
    (tmp_path / "sensor.toml").write_text(toml)
    write_own_pictures(tmp_path / "recordings")
    environment = {**os.environ, "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}", "COLUMNS": "100"}
    every = commands(START)
    # `make demo` has a test of its own, and these are run by `make test`.
    setup = [command for command in every if not command.startswith("aims ")]
    assert setup == [
        "git clone ADDRESS aims && cd aims",
        "make demo",
        "make test",
        "make install",
        "source .venv/bin/activate",
    ]
    assert "aims report --against paper --out paper" in every
    # What is pushed goes to the Hub, and a page waits for a person: both have tests of their own.
    waiting = [command for command in every if command.startswith("aims click ")]
    assert len(waiting) == 1
    others = [command for command in every if command not in (*setup, *waiting)]
    assert {command.split()[1] for command in others} == set(COMMANDS) - {"push", "click"}
    for long in SHORTER:
        assert sum(long in command for command in others) == 1
    first, *rest = others
    run(["bash", "-c", shorter(first)], cwd=tmp_path, env=environment)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "100")
    outputs = {}
    for command in rest:
        _, *words = shlex.split(shorter(command))
        code, outputs[command], err = aims(*(path for word in words for path in sorted(glob(word)) or [word]))
        assert code == 0, f"{command}\n{outputs[command]}\n{err}"
    demo = outputs["aims demo --quick"]
    protocol = "made-up-nyuv2: protocol strict-2, backbone sam-tiny"
    for text in (protocol, "nuclei: ", "simcmf, lora"):
        assert text in demo
    assert demo.splitlines()[-7].strip() == "aims init SENSOR"
    assert demo.splitlines()[-1].strip().startswith("aims click demo-quick/runs/nuclei-fluorescence-simcmf-")
    assert len(list((tmp_path / "demo-quick" / "runs").glob("*/samples.png"))) == 4
    assert "<image " in (tmp_path / "demo-quick" / "index.html").read_text()


@pytest.mark.thorough
def test_every_command_in_the_readmes_text(wheel, tmp_path):
    text = re.sub(r"```.*?```", "", START, flags=re.DOTALL)
    assert set(re.findall(r"`((?:aims|make|pip|python) [^`]+)`", text)) == {
        "pip install -c constraints.txt .",
        "aims run --method simcmf --modality depth",
        "aims run --prompts mixed",
        "aims push",
        "aims convert nyuv2 --hha",
        "aims weights sam-vit-b",
        # Run with the README's blocks, and in the tests of the zoo.
        "aims init",
        "aims list datasets",
        "aims convert cwfid --raw FOLDER",
        # Others tell of commands and targets that are run above and in other tests.
        "aims synth",
        "aims COMMAND --help",
        "make demo",
        "make docs",
    }
    # From the wheel that another test has built of the folder.
    options = ("--no-deps", "--no-index", "--target", tmp_path / "site", "-c", "constraints.txt")
    run([*PIP, "install", *options, wheel], cwd=ROOT)
    assert (tmp_path / "site" / "aims" / "cli" / "__init__.py").is_file()
    images = [
        NYUv2Image(
            rgb=np.full((24, 32, 3), k, np.uint8),
            depth=np.full((24, 32), 1 + k, np.float32),
            labels=np.repeat([[1, 21]], 24, axis=0).repeat(16, axis=1).astype(np.uint16),
        )
        for k in range(3)
    ]
    write_official(tmp_path / "data" / "raw" / "nyuv2", images, train=(1, 2), test=(3,))
    aims = [sys.executable, "-m", "aims"]
    assert "nyuv2" in run([*aims, "convert", "nyuv2", "--hha"], cwd=tmp_path)
    # Without the weights it refuses to start, as the README says.
    environment = {**os.environ, "AIMS_CACHE": str(tmp_path / "cache")}
    command = [*aims, "run", "--method", "simcmf", "--modality", "depth"]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 2
    assert "sam_vit_b_01ec64.pth" in done.stderr


def write_own_pictures(folder):
    """The recordings that the README's description of an own sensor speaks of."""
    rng = np.random.default_rng(0)
    for split, numbers in (("train", range(6)), ("test", range(6, 8))):
        for name in ("swir", "labels"):
            (folder / split / name).mkdir(parents=True)
        for k in numbers:
            labels = np.zeros((48, 64, 3), np.uint8)
            labels[10:30, 5:25], labels[15:40, 35:60] = (0, 200, 0), (0, 0, 200)
            swir = (1000 + 40 * labels.sum(2) + rng.integers(0, 500, (48, 64))).astype(np.uint16)
            cv2.imwrite(str(folder / split / "swir" / f"{k:03d}.tiff"), swir)
            cv2.imwrite(str(folder / split / "labels" / f"{k:03d}.png"), labels)


def test_the_readmes_python_runs(tmp_path):
    for name in ("docs/format.md",):
        code = re.search(r"```python\n(.*?)```", (ROOT / name).read_text("utf-8"), re.DOTALL)[1]
        run(
            [
                *("bash", "-c"),
                f"{sys.executable} -m aims synth folder --out raw --scenes 3 --size 32x32 && "
                f"{sys.executable} -m aims convert folder raw/shapes.toml && {sys.executable} -",
            ],
            cwd=tmp_path,
            input=code,
        )
