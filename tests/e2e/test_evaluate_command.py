"""`aims evaluate`: other prompts than the one click, on the command line."""

from __future__ import annotations

import json

import pytest
import toys  # noqa: F401  (registers sam-toy)

from aims.synth.shapes import write_shapes


@pytest.fixture
def folder(aims, tmp_path):
    toml = write_shapes(tmp_path / "raw", scenes=9, size=(48, 64), seed=0, rgb=True)
    assert aims("convert", "folder", toml, "--out", tmp_path / "data" / "shapes")[0] == 0
    options = ("--data", tmp_path / "data", "--runs", tmp_path / "runs", "--modality", "thermal")
    for method in (("scratch", "--backbone", "sam-toy", "--epochs", "1"), ("disc",)):
        assert aims("run", *options, "--method", *method)[0] == 0
    return tmp_path


def test_a_table_and_two_files(aims, folder):
    (run,) = (folder / "runs").glob("shapes-*scratch*")
    arguments = ("evaluate", run, "--data", folder / "data", "--clicks", "3", "--jitter", "2")
    code, out, _ = aims(*arguments)
    assert code == 0
    assert out.startswith("trained on single clicks (--prompts click)\n")
    for part in ("1 click ", "2 clicks", "3 clicks", "box", "1 click anywhere, ±", "clicks until IoU 85 %"):
        assert part in out
    assert "5 clicks" not in out
    assert out.rstrip().endswith(f"written: {run / 'prompts.parquet'}, {run / 'prompts.json'}")
    means = json.loads(aims(*arguments, "--json")[1])
    assert means == json.loads((run / "prompts.json").read_text())
    assert len(means["miou_clicks"]) == means["clicks"] == 3
    assert means["trained_on"] == "click"
    assert means["last_mask"] is False
    assert "further clicks with the last mask" not in out
    code, out, _ = aims(*arguments, "--last-mask")
    assert code == 0
    assert "further clicks with the last mask" in out
    assert json.loads((run / "prompts.json").read_text())["last_mask"] is True


def test_everything_is_a_table_and_a_file(aims, folder):
    (run,) = (folder / "runs").glob("shapes-*scratch*")
    arguments = ("evaluate", run, "--data", folder / "data", "--everything")
    code, out, _ = aims(*arguments)
    assert code == 0
    assert out.startswith("trained on single clicks (--prompts click)\n")
    for part in ("average precision", "at IoU 50 %", "recall"):
        assert part in out
    assert out.rstrip().endswith(f"written: {run / 'everything.json'}")
    scores = json.loads(aims(*arguments, "--json")[1])
    written = json.loads((run / "everything.json").read_text())
    assert scores.items() <= written.items()
    assert scores["trained_on"] == "click"
    code, out, _ = aims("report", "--runs", folder / "runs", "--out", folder / "report", "--data", folder)
    assert code == 0
    assert "everything AP" in (folder / "report" / "results.md").read_text()


def test_mistakes_get_one_line(aims, folder):
    (disc,) = (folder / "runs").glob("shapes-*disc*")
    (run,) = (folder / "runs").glob("shapes-*scratch*")
    for arguments, part in (
        ((disc, "--data", folder / "data"), "has no model"),
        ((run, "--data", folder / "nothing"), "no such folder"),
        ((folder / "data",), "not a run"),
        ((run, "--clicks", "0"), "--clicks"),
        ((run, "--everything", "--clicks", "5"), "--clicks is of prompts"),
        ((run, "--everything", "--last-mask"), "--last-mask is of prompts"),
    ):
        code, _, err = aims("evaluate", *arguments)
        assert code == 2
        assert part in err
