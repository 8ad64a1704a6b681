"""What earlier versions of AIMS wrote stays readable: the dataset, runs and submissions in tests/earlier/.

`version-1` was written before records had `pixels` and `miou_large`, when `paper` reduced the grid as
`strict` does; `version-2` before settings, records and tables were declared once. One submission holds its
weights. The weights that all started from are the sam-tiny that is part of AIMS.
"""

from __future__ import annotations

import csv
import json
import shutil

import pytest
from earlier_runs import EARLIER

from aims.core.records import run_folders

SUBMISSIONS = sorted(EARLIER.glob("version-*/*.aims.zip"))
#: mIoU in per cent as `aims run` printed it when each was made.
PRINTED = {
    "version-1/rooms-thermal-disc-none-paper-s0-ddfd234122": ("paper-1", 25.88),
    "version-1/rooms-rgb-thermal-simcmf-prompt-paper-s0-06e049cdf4": ("paper-1", 20.66),
    "version-1/rooms-thermal-disc-none-strict-s0-8faa8b8057": ("strict", 25.62),
    "version-2/rooms-rgb-thermal-simcmf-prompt-strict-s0-4244116e80": ("strict", 23.73),
    "version-2/rooms-thermal-disc-none-strict-2-s0-8ef5413c91": ("strict-2", 47.36),
    "version-2/rooms-rgb-thermal-vipt-prompt-strict-2-s0-3930f78c9c": ("strict-2", 63.82),
}


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """The dataset in a folder of several, as `--data` takes it: a copy, which tests may write into."""
    folder = tmp_path_factory.mktemp("earlier")
    shutil.copytree(EARLIER / "dataset", folder / "rooms")
    return folder


def name_of(submission):
    return f"{submission.parent.name}/{submission.name.removesuffix('.aims.zip')}"


@pytest.mark.parametrize("command", [("verify",), ("inspect",), ("audit",)])
def test_the_dataset_is_read(aims, data, command):
    code, out, err = aims(*command, data / "rooms", "--json")
    assert code == 0, err
    json.loads(out)


@pytest.mark.thorough
def test_submissions_are_verified_and_reported_with_their_scores(aims, data, tmp_path):
    """Every IoU is recomputed under the protocol that the run was made with."""
    runs = tmp_path / "runs"
    for submission in SUBMISSIONS:
        code, out, err = aims("verify", submission, "--data", data, "--into", runs)
        assert code == 0, out + err
    for folder in run_folders(runs):
        code, out, err = aims("verify", folder, "--data", data)
        assert code == 0, out + err
    code, _, err = aims("report", "--runs", runs, "--out", tmp_path / "report")
    assert code == 0, err
    with (tmp_path / "report" / "results.csv").open() as file:
        shown = {(row["protocol"], float(row["miou"])) for row in csv.DictReader(file)}
    assert shown == set(PRINTED.values())


def test_the_weights_of_a_submission_are_used(aims, data, tmp_path):
    """The first click at the centre gives the score of the run."""
    (submission,) = EARLIER.glob("version-2/*vipt*.zip")
    code, out, err = aims("verify", submission, "--data", data, "--into", tmp_path)
    assert code == 0, out + err
    folder = tmp_path / submission.name.removesuffix(".aims.zip")
    code, out, err = aims("evaluate", folder, "--data", data, "--clicks", 1, "--jitter", 0, "--json")
    assert code == 0, err
    _, miou = PRINTED[name_of(submission)]
    assert json.loads(out)["miou_clicks"][0] == pytest.approx(miou / 100, abs=2e-3)
