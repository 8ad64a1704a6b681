"""AIMS from Python: the commands without a terminal, and datasets for one's own program."""

from __future__ import annotations

import doctest
import inspect
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import toys
from torch.utils.data import DataLoader

import aims
import aims.api
from aims.cli import COMMANDS, cli
from aims.core.errors import InputError
from aims.engine.run import run


@pytest.fixture(scope="module")
def made_up(tmp_path_factory):
    return toys.made_up_set(tmp_path_factory.mktemp("sets") / "made-up", channels=1, stream=("thermal",))


@pytest.mark.parametrize(
    "does",
    [
        "import aims; dir(aims); aims.load",
        # `aims report` says how many threads NumPy has before it is imported.
        "from aims.cli.report import command; command.make_context('report', ['--runs', 'r', '--data', 'd'])",
    ],
    ids=["import", "command line"],
)
def test_what_imports_nothing_heavy(does):
    code = (
        f"import sys; {does}; "
        "heavy = {'torch', 'numpy', 'pyarrow', 'datasets', 'pandas'} & set(sys.modules); "
        "assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_importing_aims_imports_no_command_line():
    code = "import sys, aims; aims.load; assert 'click' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_every_function_is_a_command_or_reads_what_one_wrote():
    assert set(aims.api.__all__) - {"load", "open"} <= set(COMMANDS)
    assert set(aims.__all__) == {"__version__", *aims.api.__all__}
    for name in aims.api.__all__:
        assert getattr(aims, name) is getattr(aims.api, name)
        assert inspect.get_annotations(getattr(aims, name))
    with pytest.raises(AttributeError, match="no attribute 'lod'"):
        aims.lod  # noqa: B018


def test_the_examples_of_the_docstrings_run(made_up, tmp_path):
    record, _ = run(toys.job(made_up, tmp_path, epochs=1, modality="thermal", protocol="strict-2"))
    thermal = aims.open(made_up.folder)[0].streams["thermal"][:, :, 0]
    # The examples' points are of a larger picture.
    thermal = np.kron(thermal, np.ones((2, 2), np.float32))
    names = {"aims": aims, "run": record.path, "folder": made_up.folder, "thermal": thermal}
    finder = doctest.DocTestFinder(recurse=False)
    found = [test for name in ("load", "open") for test in finder.find(getattr(aims, name), globs=names)]
    runner = doctest.DocTestRunner()
    assert [runner.run(test).failed for test in found] == [0, 0]
    assert all(test.examples for test in found)


def test_a_dataset_has_its_images_by_number_and_its_instances_as_a_table(made_up):
    dataset = aims.open(str(made_up.folder))
    assert len(dataset) == 12
    assert [dataset[k].image_id for k in (0, -1)] == ["a000", "b003"]
    with pytest.raises(TypeError, match="'slice' object cannot be interpreted as an integer"):
        dataset[:2]
    table = dataset.to_pandas()
    first = table[table.image_id == "a000"]
    areas = [thing["area"] for thing in dataset[0].objects]
    assert first.area.tolist() == areas
    assert set(first["class"]) <= {"box", "can"}
    instances = dataset[0].instances
    for row in first.itertuples():
        assert instances[row.click_y, row.click_x] == row.id
        assert (instances == row.id).any(1).sum() == row.height


def test_torch_items_are_what_a_run_sees(made_up):
    images = aims.open(made_up.folder).to_torch("test")
    assert [len(aims.open(made_up.folder).to_torch(part)) for part in ("train", "val")] == [6, 2]
    item = next(iter(DataLoader(images, batch_size=None)))
    assert item["image"].shape == (1, 40, 52)
    assert item["instances"].shape == (40, 52)
    x, y = item["clicks"].long().T
    assert torch.equal(item["instances"][y, x], item["ids"])
    whole = torch.cat([images[k]["image"].flatten() for k in range(len(images))])
    # Of the training part; the test images are drawn from the same.
    assert abs(float(whole.mean())) < 0.5
    with pytest.raises(InputError, match="unknown split 'tset'; did you mean 'test'"):
        aims.open(made_up.folder).to_torch("tset")


def test_wrong_names_are_refused(made_up, tmp_path):
    with pytest.raises(InputError, match="unknown setting 'epoch'; did you mean 'epochs'"):
        aims.run("simcmf", "thermal", data=made_up.folder, epoch=3)
    with pytest.raises(InputError, match="unknown converter 'folde'; did you mean 'folder'"):
        aims.convert("folde")
    with pytest.raises(InputError, match="unknown option 'configuration'"):
        aims.convert("folder", configuration="x")
    with pytest.raises(InputError, match="needs config"):
        aims.convert("folder", raw=str(tmp_path))


@pytest.mark.parametrize(
    ("name", "value", "line"),
    [
        ("epochs", 1.0, "'epochs' is 1.0, not a whole number"),
        ("epochs", "1", "'epochs' is '1', not a whole number"),
        ("epochs", True, "'epochs' is True, not a whole number"),
        ("seed", None, "'seed' is None, not a whole number"),
        ("lr", "1e-4", "'lr' is '1e-4', not a number"),
        ("lr", 10**400, f"'lr' is {10**400}, not a number"),
        ("weights", 3, "'weights' is 3, not a text"),
    ],
)
def test_settings_of_another_type_are_refused_before_anything_is_trained(
    made_up, tmp_path, name, value, line
):
    with pytest.raises(InputError, match=f"^{line}$"):
        aims.run("disc", "thermal", data=made_up.folder, runs=tmp_path, **{name: value})
    assert not [*tmp_path.iterdir()]


def test_numbers_of_numpy_are_numbers(made_up, tmp_path):
    toy = {"data": made_up.folder, "runs": tmp_path, "backbone": "sam-toy", "weights": "none"}
    plain = aims.run("simcmf", "thermal", epochs=1, lr=0.5, seed=3, width=4, **toy)
    numpy = {"epochs": np.int64(1), "lr": np.float32(0.5), "seed": np.uint8(3), "width": np.int32(4)}
    assert aims.run("simcmf", "thermal", **numpy, **toy).path == plain.path
    # As on the command line, where every rate is read as a float.
    rates = [aims.run("linear", "thermal", epochs=1, lr=lr, **toy).path for lr in (1, 1.0)]
    assert rates[0] == rates[1]


def test_convert_run_evaluate_and_report_are_the_commands(tmp_path):
    raw = tmp_path / "raw"
    assert (
        cli.main(
            ["synth", "folder", "--out", str(raw), "--scenes", "10", "--size", "48x64"],
            standalone_mode=False,
        )
        is None
    )
    made = aims.convert("folder", config=str(raw / "shapes.toml"), out=tmp_path / "set")
    record = aims.run(
        "simcmf",
        "thermal",
        data=tmp_path / "set",
        runs=tmp_path / "runs",
        backbone="sam-toy",
        weights="none",
        epochs=1,
        width=4,
    )
    assert record.config.fingerprint == made.manifest.fingerprint
    assert record.config.options == {"width": 4}
    total, images = [], []
    scores = aims.evaluate(
        record.path,
        data=tmp_path / "set",
        clicks=2,
        jitter=1,
        on_total=total.append,
        on_image=images.append,
    ).scores
    assert total == [sum(images)] == [scores.images]
    assert scores.miou_clicks[0] == pytest.approx(record.scores.miou)
    result = aims.report(tmp_path / "runs", out=tmp_path / "report", data=tmp_path / "set")
    assert (tmp_path / "report" / "index.html") in result.written


def test_defaults_are_those_of_the_commands():
    """What stands in two places: a function's default, and that of the option of the same name."""
    same = 0
    for name in ("run", "evaluate", "report"):
        options = {option.name: option.default for option in cli.get_command(None, name).params}
        options["out"], options["attention"] = options.get("target"), options.get("path")
        for argument in inspect.signature(getattr(aims, name)).parameters.values():
            default = options.get(argument.name)
            if default is not None and isinstance(default, (int, str, Path)):
                assert argument.default == default, (name, argument.name)
                same += 1
    assert same > 8


def test_a_sweep_over_rates_answers_with_the_best(made_up, tmp_path, monkeypatch):
    monkeypatch.setattr("aims.engine.rates.RATES", (1e-4, 1e-3))
    record = aims.run(
        *("simcmf", "thermal"),
        data=made_up.folder,
        runs=tmp_path,
        backbone="sam-toy",
        weights="none",
        epochs=1,
        lr="sweep",
    )
    assert set(record.content.learning_rates.scores) == {"0.0001", "0.001"}
    assert record.config.lr in (1e-4, 1e-3)
