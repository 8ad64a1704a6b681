"""The suites that come with AIMS: counted by hand, and planned on made-up sets of their names."""

from __future__ import annotations

import dataclasses
import itertools
import tomllib
from collections import Counter
from pathlib import Path

import pytest
from hf_models import make_model, save_model

from aims.cli.sweep import suite_fields
from aims.data.write import convert
from aims.reports.figures.mask_figure import FIGURES
from aims.reports.paper.tables import load_paper_tables
from aims.suites.plan import plan_runs
from aims.suites.suite import find_suite, packaged_suites, read_suite
from helpers import MadeUp

OWN = ("backbones", "demo", "embedded", "prompts", "real-sensors", "smoke")
#: How many runs each has: rates x tunings (and scratch, zero-shot) x modalities.
OF_THE_PAPER = {
    "table1": 7 * 5 * 5,
    "table2": 7 * 4 * 4 + 4,
    "table3": 7 * 4 * 5,
    "table4": 4,
    "table6": 7 * 5 * 4,
    "figure4": 7 * 8,
    "figure5a": 7 * 2,
    "figure5b": 3 * 4,
    "figure6": 1 + 2 + 2 + 4,
    "figure7": 7 * 4,
}
#: What the pictures of masks need: the runs of table1, and zero-shot on RGB, or on RGB-like intensity.
OF_THE_PICTURES = {"figures-masks": 7 * 5 * 5 + 5}
SENSORS = ("thermal", "depth", "hha", "nir", "polarization")
PAIRS = ("rgb-thermal", "rgb-depth", "rgb-hha", "rgb-nir")
CHANNELS = {"thermal": 1, "depth": 1, "hha": 3, "nir": 1, "intensity": 3, "aolp": 3, "dolp": 3}
#: Those of the real sensors alone.
REAL = {
    "thermal": 1,
    "nir": 1,
    "red_nir": 2,
    "fluorescence": 1,
    "em": 1,
    "intensity": 3,
    "aolp": 3,
    "dolp": 3,
}


def suite(name):
    return read_suite(find_suite(name), suite_fields())


def test_these_come_with_aims():
    assert [path.stem for path in packaged_suites()] == sorted([*OWN, *OF_THE_PAPER, *OF_THE_PICTURES])


def test_the_embedded_benchmark():
    runs = Counter(
        (entry.fields["method"], entry.fields.get("tuning"), entry.fields["modality"])
        for entry in suite("embedded").entries
    )
    expected = Counter({("disc", None, "depth"): 1, ("oracle-disc", None, "depth"): 1})
    for modality in (*SENSORS, *PAIRS):
        expected |= {("zero-shot", None, modality): 1}
    for modality in SENSORS:
        expected |= {("scratch", "full", modality): 3}
        for method in ("random-embed", "linear", "linear-frozen"):
            expected |= {(method, "lora", modality): 3}
        for tuning in ("lora", "full", "adapter"):
            expected |= {("simcmf", tuning, modality): 3}
    for modality in PAIRS:
        expected |= {("simcmf", "lora", modality): 3, ("cmx", "lora", modality): 3}
        expected |= {("vipt", "prompt", modality): 3}
    assert runs == expected
    # 2 floors, 9 zero-shot, 5 sensors x 7 x 3 seeds, 4 pairs x 3 x 3
    assert runs.total() == 2 + 9 + 105 + 36


@dataclasses.dataclass(frozen=True, kw_only=True)
class Named(MadeUp):
    """A set of any name and streams; each stream has as many channels as modalities take."""

    dataset: str = "set"

    def spec(self):
        spec = super().spec()
        streams = {
            name: dataclasses.replace(stream, channels=(CHANNELS | REAL)[name])
            for name, stream in spec.streams.items()
        }
        return dataclasses.replace(spec, name=self.dataset, streams=streams)

    def read(self, split, image_id):
        sample = super().read(split, image_id)
        streams = {name: array[:, :, : (CHANNELS | REAL)[name]] for name, array in sample.streams.items()}
        return dataclasses.replace(sample, streams=streams)


@pytest.fixture(scope="module")
def papers_data(tmp_path_factory):
    """Made-up sets that are called like the paper's, with all of their streams."""
    folder = tmp_path_factory.mktemp("paper")
    sets = {
        "thermal-glass": ("thermal",),
        "rgbp-glass": ("intensity", "aolp", "dolp"),
        "nyuv2": ("depth", "hha"),
        "ivrg-nir": ("nir",),
    }
    for name, streams in sets.items():
        raw = folder / f"{name}-raw"
        raw.mkdir()
        made_up = Named(raw=raw, images=4, channels=3, rgb=True, stream=streams, dataset=name)
        convert(made_up, folder / "data" / name)
    return folder / "data"


def plan_papers(name, data, runs):
    """The runs of a suite by hash, planned on a backbone that is built in no time."""
    entries = []
    for entry in suite(name).entries:
        start = {} if entry.fields["method"] == "scratch" else {"weights": "none"}
        fields = {**entry.fields, **start, "backbone": "sam-tiny"}
        entries.append(dataclasses.replace(entry, fields=fields))
    planned = plan_runs(entries, data=data, runs=runs, device="cpu")
    configs = {run.config.hash: run.config for run in planned}
    assert len(configs) == len(planned)
    assert {config.protocol for config in configs.values()} == {"paper"}
    return configs


@pytest.mark.parametrize("name", OF_THE_PAPER)
def test_the_papers_suites_make_every_cell_of_its_tables_and_figures(tmp_path, papers_data, name):
    configs = plan_papers(name, papers_data, tmp_path)
    assert len(configs) == OF_THE_PAPER[name]
    cells = [
        cell
        for paper in load_paper_tables()
        if paper.key.rstrip("kdn" if name == "figure6" else "") == name
        for cell in paper.cells.values()
        if cell.query
    ]
    assert cells
    used = set()
    for cell in cells:
        fitting = {key for key, config in configs.items() if cell.query.fits(config)}
        assert fitting, (cell.row, cell.column)
        used |= fitting
    assert used == set(configs)  # no run that stands in no cell


def test_the_pictures_of_masks_need_the_runs_of_two_tables_and_one_more(tmp_path, papers_data):
    """Figures 3 and 9 to 13 show zero-shot, scratch and SimCMF on the five sensors."""
    configs = plan_papers("figures-masks", papers_data, tmp_path)
    assert len(configs) == OF_THE_PICTURES["figures-masks"]
    made = {(config.method, config.modality) for config in configs.values()}
    seen = {**{name: f"rgb-{name}" for name in FIGURES}, "polarization": "polarization"}
    assert made == {
        *((method, name) for method in ("scratch", "simcmf") for name in FIGURES),
        *(("zero-shot", name) for name in seen.values()),
    }
    tables = plan_papers("table1", papers_data, tmp_path) | plan_papers("table2", papers_data, tmp_path)
    (own,) = (config for key, config in configs.items() if key not in tables)
    assert (own.method, own.modality) == ("zero-shot", "polarization")


#: Tiny models of the same kinds in place of those of the Hub.
KINDS = {"sam-vit": "sam", "sam-hq": "sam_hq", "sam2": "sam2"}


def at_hand(fields, folder):
    """The fields of a run, with a backbone of the Hub replaced by one in a folder of the same name."""
    backbone = fields.get("backbone", "")
    if not backbone.startswith("hf:"):
        return fields
    name = backbone.rpartition("/")[2]
    (kind,) = (kind for begin, kind in KINDS.items() if name.startswith(begin))
    if not (folder / name).exists():
        save_model(folder / name, make_model(kind))
    return {**fields, "backbone": f"hf:{folder / name}"}


@pytest.mark.parametrize("name", OWN)
def test_every_run_can_be_planned(tmp_path, name):
    found = suite(name)
    rgb = not name.startswith("real-")
    streams = [*CHANNELS, "fluorescence"] if rgb else REAL
    for k, recipe in enumerate(found.recipes):
        raw = tmp_path / f"raw{k}"
        raw.mkdir()
        made_up = Named(raw=raw, images=4, channels=3, rgb=rgb, stream=tuple(streams), dataset=recipe.dataset)
        convert(made_up, tmp_path / "data" / recipe.dataset)
    # Shapes are what is checked here; pretrained weights that do not come with AIMS need not be at hand.
    entries = [
        dataclasses.replace(entry, fields={"weights": "none", **at_hand(entry.fields, tmp_path / "models")})
        for entry in found.entries
    ]
    planned = plan_runs(entries, data=tmp_path / "data", runs=tmp_path / "runs", device="cpu")
    assert len(planned) == len({run.config.hash for run in planned}) == len(found.entries)
    assert {run.config.dataset for run in planned} == {recipe.dataset for recipe in found.recipes}
    assert {run.config.protocol for run in planned} == {"strict-2"}


def test_the_real_sensors():
    """Six methods, three times where a seed draws training images; three more at 32; what is not trained.

    And with weights for any sensor, SimCMF and no training.
    """
    runs = Counter(
        (
            entry.fields["dataset"],
            entry.fields["modality"],
            entry.fields["method"],
            entry.fields.get("train-images"),
            entry.fields.get("weights"),
        )
        for entry in suite("real-sensors").entries
    )
    sensors = {
        "thermal-udder": "thermal",
        "cwfid-tiles": "nir",
        "dsb2018-tiles": "fluorescence",
        "vnc-tiles": "em",
        "rgbp-glass-tiles": "polarization",
    }
    expected = Counter()
    for place in sensors.items():
        # Of polarization there are no more than 32.
        sizes = (8,) if "polarization" in place else (8, 32)
        for method in ("disc", "oracle-disc", "zero-shot"):
            expected[*place, method, None, None] = 1
        expected[*place, "zero-shot", None, "sam-tiny-any@2"] = 1
        for method in ("scratch", "random-embed", "linear", "simcmf", "channel-batch", "simcmf-plus"):
            expected[*place, method, None, None] = 1
            for images in sizes:
                expected[*place, method, images, None] = 3
        for images in sizes:
            expected[*place, "simcmf", images, "sam-tiny-any@2"] = 1
        if 32 in sizes:
            for method in ("linear-frozen", "mlp", "transformer"):
                expected[*place, method, 32, None] = 1
    assert runs == expected


def test_the_training_prompts_beside_runs_of_other_suites():
    """Four kinds on two sets; what is trained on single clicks is a run of another suite."""
    runs = {
        (entry.fields["dataset"], entry.fields["prompts"]): entry.fields for entry in suite("prompts").entries
    }
    assert set(runs) == set(
        itertools.product(("rooms", "thermal-udder"), ("click", "clicks", "box", "mixed"))
    )
    for name, dataset in (("embedded", "rooms"), ("real-sensors", "thermal-udder")):
        others = [{**entry.fields, "prompts": "click"} for entry in suite(name).entries]
        assert runs[dataset, "click"] in others


def test_one_method_and_no_training_on_every_backbone():
    runs = Counter(
        (entry.fields["backbone"], entry.fields["method"], entry.fields.get("tuning"))
        for entry in suite("backbones").entries
    )
    backbones = {backbone for backbone, _, _ in runs}
    assert len(backbones) == 10
    assert runs == Counter(
        {
            **{(backbone, "simcmf", "lora"): 3 for backbone in backbones},
            **{(backbone, "zero-shot", None): 1 for backbone in backbones},
        }
    )


def test_no_picture_of_the_real_sensors_is_in_two_splits():
    folder = find_suite("real-sensors").parent / "real_sensors"
    for path in folder.glob("*.toml"):
        splits = tomllib.loads(path.read_text("utf-8"))["splits"]
        names = [name for listed in splits.values() for name in listed]
        assert len(set(names)) == len(names) > 10, path


@pytest.mark.parametrize("path", packaged_suites(), ids=lambda path: path.stem)
def test_what_a_recipe_reads_of_the_suites_folder_is_there(path):
    for recipe in suite(path.stem).recipes:
        commands = recipe.commands(suite=path.parent, data=Path("d"), raw=Path("r"), made=Path("m"))
        for word in (word for words in commands for word in words):
            assert not word.startswith(str(path.parent)) or Path(word).exists()


@pytest.mark.parametrize("path", packaged_suites(), ids=lambda path: path.stem)
def test_the_command_of_a_suite_is_its_own(path):
    command = {"demo": "aims demo", "smoke": "aims demo --quick"}
    assert suite(path.stem).command.startswith(command.get(path.stem, f"aims sweep {path.stem} --make-data"))
