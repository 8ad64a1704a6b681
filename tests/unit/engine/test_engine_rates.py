"""The learning rate chosen among seven."""

from __future__ import annotations

import dataclasses
import json

import pytest
import toys

from aims.core.errors import AimsError, Busy, InputError
from aims.core.records import RunRecord
from aims.engine.lock import run_lock
from aims.engine.rates import RATES, run_rates
from aims.engine.run import run

# All are trained for an epoch, the kept ones for two.
SHORT = {"epochs": 2, "score_every": 1}


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    return toys.made_up_set(tmp_path_factory.mktemp("sets") / "made-up", rgb=True)


def states(runs):
    """Status by rate."""
    records = [json.loads(path.read_text()) for path in runs.glob("made-up-*/run.json")]
    return {record["config"]["lr"]: record["status"] for record in records}


@pytest.mark.thorough
def test_strict_trains_three_to_the_end_and_chooses_on_validation(dataset, tmp_path):
    job = toys.job(dataset, tmp_path, **SHORT)
    found = run_rates(job)
    assert list(found.scores) == list(RATES)
    assert len(found.stopped) == 4
    finished = {rate for rate, status in states(tmp_path).items() if status == "finished"}
    assert finished == set(RATES) - set(found.stopped)
    best = found.best.config.lr
    assert found.scores[best] == max(found.scores[rate] for rate in finished)
    # The very run that one gets by naming the rate; only the note of what was tried is added.
    alone, _ = run(
        dataclasses.replace(job, runs=tmp_path / "alone", config=dataclasses.replace(job.config, lr=best))
    )
    assert alone.scores == found.best.scores
    noted = RunRecord.load(found.best.path).content.learning_rates
    assert noted.stopped_early == list(found.stopped)
    assert len(noted.scores) == 7
    # A second time everything is there.
    assert run_rates(job).best.content == found.best.content


@pytest.fixture
def three_rates(monkeypatch):
    monkeypatch.setattr("aims.engine.rates.RATES", (1e-5, 1e-4, 1e-3))


@pytest.mark.usefixtures("three_rates")
def test_paper_trains_all_and_takes_the_peak_on_the_test_split(dataset, tmp_path):
    found = run_rates(toys.job(dataset, tmp_path, **SHORT, protocol="paper"))
    assert found.stopped == ()
    assert set(states(tmp_path).values()) == {"finished"}
    assert found.best.scores.miou == max(found.scores.values())


@pytest.mark.usefixtures("three_rates")
def test_a_rate_that_fails_is_left_out(dataset, tmp_path, monkeypatch):
    from aims.engine.train import Trainer

    step = Trainer._step

    def diverge(self, batch):
        if self.config.lr > 1e-4:
            raise AimsError("the loss is nan")
        return step(self, batch)

    monkeypatch.setattr(Trainer, "_step", diverge)
    found = run_rates(toys.job(dataset, tmp_path, **SHORT))
    assert [rate for rate, score in found.scores.items() if score is None] == [1e-3]
    assert found.best.config.lr <= 1e-4

    def fail(self, batch):
        raise AimsError("the loss is nan")

    monkeypatch.setattr(Trainer, "_step", fail)
    with pytest.raises(AimsError, match=r"training failed with every rate from 1e-05 to 0\.001"):
        run_rates(toys.job(dataset, tmp_path / "none", **SHORT))


def test_without_training_there_is_no_rate(dataset, tmp_path):
    nothing = dict.fromkeys(("tuning", "weights", "backbone", "loss"), "none")
    job = toys.job(dataset, tmp_path, method="disc", epochs=0, lr=0.0, batch_size=1, **nothing)
    with pytest.raises(InputError, match="'disc' trains nothing"):
        run_rates(job)


@pytest.mark.usefixtures("three_rates")
@pytest.mark.parametrize("protocol", ["paper", "strict-2"])
def test_a_rate_that_another_process_trains_has_not_failed(dataset, tmp_path, protocol):
    job = toys.job(dataset, tmp_path, **SHORT, protocol=protocol)
    lowest = dataclasses.replace(job, config=dataclasses.replace(job.config, lr=1e-5))
    with run_lock(lowest.folder), pytest.raises(Busy):
        run_rates(job)
