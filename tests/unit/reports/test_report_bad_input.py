"""Run folders that are no good: named with the reason, left out, and harmless whatever they are called."""

import json
import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from made_runs import AddRun, edit_record
from markdown_it import MarkdownIt

from aims.cli import main
from aims.core.records import INSTANCE_SCHEMA, INSTANCES, METRICS, RECORD, RUN_VERSION
from aims.reports.report import write_report
from aims.reports.runs.load import load_runs

pytestmark = pytest.mark.usefixtures("no_cost_figures")

SCRIPT, INPUT = "<script>alert(1)</script>", r"\input{passwd}"


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-20])


def spoil(runs: Path, add_run: AddRun) -> dict[str, str]:
    """Makes one bad folder of each kind; returns what is to be said of each."""
    cut(add_run(folder="cut-record", seed=1) / RECORD)
    cut(add_run(folder="cut-instances", seed=2) / INSTANCES)
    newer = add_run(folder="newer", seed=3) / RECORD
    edit_record(newer.parent, version=RUN_VERSION + 1)
    deep = add_run(folder="deep", seed=4) / RECORD
    deep.write_text("[" * 100_000)
    # As root reads everything, a folder in place of the file stands for one that may not be read.
    for folder, name in (("unreadable-record", RECORD), ("unreadable-instances", INSTANCES)):
        path = add_run(folder=folder, seed=5) / name
        path.unlink()
        path.mkdir()
    binary = add_run(folder="binary", seed=6) / RECORD
    binary.write_bytes(b"\x80\x81" * 50)
    # A row of nulls takes no space in the file, and any in memory.
    nulls = {field.name: pa.nulls(1_000_000, field.type) for field in INSTANCE_SCHEMA}
    pq.write_table(pa.table(nulls, INSTANCE_SCHEMA), add_run(folder="nulls", seed=8) / INSTANCES)
    with (add_run(folder="large", seed=9) / RECORD).open("ab") as file:
        file.truncate(2 << 20)
    shutil.copytree(add_run(seed=7), runs / "twin")
    (runs / "empty").mkdir()
    return {
        "cut-record": "run.json: not readable as JSON",
        "cut-instances": "instances.parquet: not readable as the instances of a run, perhaps cut short",
        "newer": f"run.json: version {RUN_VERSION + 1}; update AIMS to read it",
        "deep": "run.json: not readable as JSON",
        "unreadable-record": "run.json: not a regular file",
        "unreadable-instances": "instances.parquet: not a regular file",
        "binary": "run.json: not readable as JSON",
        "nulls": "instances.parquet: holds 1,000,000 rows, more than the 3 instances that there can be",
        "large": "run.json: larger than the 1,048,576 bytes that it can have",
        "twin": "same configuration as ivrg-nir-nir-simcmf-lora-strict-s7-",
        "empty": "run.json: no such file",
    }


def test_every_kind_is_named_with_its_reason(runs: Path, tmp_path: Path, add_run: AddRun) -> None:
    reasons = spoil(runs, add_run)

    report = write_report(runs, tmp_path / "out")

    found = {item.folder: item.reason for item in report.left_out}
    assert found.keys() == reasons.keys()
    for folder, reason in reasons.items():
        assert reason in found[folder], folder
    (result,) = report.results
    assert result.seeds == (7,)
    page = (tmp_path / "out" / "index.html").read_text("utf-8")
    assert all(folder in page for folder in reasons)


def test_strict_ends_with_1_after_everything_is_written(
    runs: Path, tmp_path: Path, add_run: AddRun, capsys: pytest.CaptureFixture[str]
) -> None:
    def report(*options: str) -> tuple[int, str]:
        with pytest.raises(SystemExit) as stop:
            main(["report", "--runs", str(runs), "--out", str(tmp_path / "out"), *options])
        return int(stop.value.code or 0), capsys.readouterr().err

    add_run()
    assert report("--strict") == (0, "")
    (runs / "empty").mkdir()
    assert report()[0] == 0
    for json_too in ((), ("--json",)):
        shutil.rmtree(tmp_path / "out")
        code, err = report("--strict", *json_too)
        assert code == 1
        assert err.splitlines()[-1] == "error: run folders left out: 1 (--strict); the files are written"
        assert "Run folders left out: 1" in (tmp_path / "out" / "results.md").read_text("utf-8")


def test_two_contents_of_one_dataset_are_told_apart(runs: Path, tmp_path: Path, add_run: AddRun) -> None:
    add_run(0.5)
    add_run(0.25, fingerprint="f2" * 32)

    report = write_report(runs, tmp_path / "out")

    assert (len(report.results), len(report.comparisons), report.left_out) == (2, 2, ())
    contents = ("content f1f1f1f1", "content f2f2f2f2")
    for name in ("comparison.md", "comparison.tex", "index.html"):
        text = (tmp_path / "out" / name).read_text("utf-8")
        assert all(content in text for content in contents), name
    note = "runs used different contents of this dataset (fingerprints f1f1f1f1, f2f2f2f2)"
    for name in ("table1.md", "table1.tex"):
        assert note in (tmp_path / "out" / name).read_text("utf-8"), name


def test_a_damaged_byte_anywhere_costs_at_most_that_run(runs: Path, add_run: AddRun) -> None:
    add_run(seed=7)
    path = add_run({f"image-{k}": [0.25, 0.75] for k in range(40)}) / INSTANCES
    whole = path.read_bytes()
    left_out = 0
    for place in np.linspace(0, len(whole) - 1, 150).astype(int).tolist():
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 0x5A]) + whole[place + 1 :])
        loaded, bad = load_runs(runs)
        assert len(loaded) + len(bad) == 2
        left_out += len(bad)
        for run in loaded:
            assert run.miou == pytest.approx(0.5)
    assert left_out > 30


def test_names_do_nothing_on_the_page_and_in_latex(runs: Path, tmp_path: Path, add_run: AddRun) -> None:
    for name, folder in ((SCRIPT, "<script>alert(1)<script>"), (INPUT, INPUT)):
        add_run(
            folder=folder, dataset=name, modality=name, tuning=name, backbone=name, weights=name, loss=name
        )
        # Left out for its own reason, which has the name in it.
        (runs / f"{folder}-empty").mkdir()

    report = write_report(runs, tmp_path / "out", title=SCRIPT)

    assert len(report.left_out) == len(report.results) == 2
    checked = []
    for path in (path for path in report.written if path.suffix in (".tex", ".html", ".md", ".svg")):
        text = path.read_text("utf-8")
        if path.suffix == ".tex":
            # What stands for a backslash is a command of its own, with empty braces behind.
            assert r"\input" not in text, path.name
            assert r"\textbackslash{}input" in text or "comparison" not in path.name
        elif path.suffix == ".md":
            assert "<script" not in MarkdownIt("commonmark").enable("table").render(text), path.name
        else:
            assert "<script>alert" not in text, path.name
        checked.append(path.name)
    assert {"index.html", "table1.tex", "comparison.tex", "comparison.md", "results.md"} <= set(checked)
    page = (tmp_path / "out" / "index.html").read_text("utf-8")
    assert "&lt;script&gt;alert(1)&lt;script&gt;-empty" in page
    assert json.dumps(report.as_json(), allow_nan=False)


def test_dollar_signs_in_names_are_no_formulas(runs: Path, tmp_path: Path, add_run: AddRun) -> None:
    # Drawn where there are curves: a formula that is none would end the whole report.
    path = add_run(folder="run", method=r"$\no{$", tuning="a$b$")
    lines = [{"epoch": epoch, "loss": 1 / epoch, "val_miou": 0.5} for epoch in (1, 2)]
    (path / METRICS).write_text("".join(f"{json.dumps(line)}\n" for line in lines))

    write_report(runs, tmp_path / "out")

    page = (tmp_path / "out" / "index.html").read_text("utf-8")
    assert r"$\no{$, a$b$" in page
