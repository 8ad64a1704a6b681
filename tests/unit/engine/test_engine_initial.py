"""`--init RUN`: a run that starts from what another run trained."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest
import torch
import toys
from safetensors.torch import load_file

from aims.core.errors import InputError
from aims.core.files import sha256_file
from aims.core.records import INITIAL, WEIGHTS, InitialRun, RunRecord
from aims.core.submissions import open_submission, pack
from aims.engine.initial import load_initial
from aims.engine.job import Job
from aims.engine.rerun import Rerun
from aims.engine.restore import load_model
from aims.engine.run import run
from aims.engine.verify import verify_run
from aims.methods.simcmf import SimCMF
from aims.models.segmenter import Segmenter


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    return toys.made_up_set(tmp_path_factory.mktemp("sets") / "made-up")


@pytest.fixture(scope="module")
def trained(dataset, tmp_path_factory):
    """A finished run of each tuning."""
    runs = tmp_path_factory.mktemp("trained")
    return {
        tuning: run(toys.job(dataset, runs, tuning=tuning, epochs=1, seed=7))[0].path
        for tuning in ("full", "lora", "adapter")
    }


def started_from(dataset: Any, runs: Path, folder: Path, **changes: Any) -> Job:
    job = toys.job(dataset, runs, epochs=1, **changes)
    config = job.config
    initial = load_initial(
        folder,
        None,
        method=config.method,
        tuning=config.tuning,
        backbone=config.backbone,
        channels=job.modality.channels or 0,
        options=config.options,
    )
    return dataclasses.replace(job, initial=initial, config=dataclasses.replace(config, init=initial.sha256))


def answers(model: Segmenter) -> torch.Tensor:
    images = torch.randn(1, 2, 64, 64, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        return model.decode(model.embed(images), torch.full((1, 1, 2), 20.0), torch.ones(1, 1).long())[0]


@pytest.mark.parametrize(
    ("first", "then"),
    [
        ("full", "full"),
        ("full", "lora"),
        ("full", "adapter"),
        ("lora", "full"),
        ("lora", "lora"),
        ("adapter",) * 2,
    ],
)
def test_a_run_starts_from_what_another_trained(dataset, trained, tmp_path, monkeypatch, first, then):
    seen: list[torch.Tensor] = []
    from aims.engine import run as module

    def stop(job: Job, plan: Any, *_: Any) -> None:
        seen.append(answers(plan.model.eval()))
        raise InputError("seen")

    job = started_from(dataset, tmp_path, trained[first], tuning=then)
    monkeypatch.setattr(module, "_train", stop)
    # Not called: the other run's weights are not set anew.
    monkeypatch.setattr(SimCMF, "fit", None)
    with pytest.raises(InputError, match="seen"):
        run(job)
    expected = answers(load_model(trained[first]))
    # LoRA is folded into the weights for another tuning: the same up to rounding.
    torch.testing.assert_close(seen[0], expected, rtol=1e-4, atol=1e-4)


def test_its_record_names_the_other_run_and_its_model_needs_it_no_more(dataset, trained, tmp_path):
    record, _ = run(started_from(dataset, tmp_path, trained["full"], tuning="lora"))
    checksum = sha256_file(trained["full"] / WEIGHTS)
    assert record.config.init == checksum
    assert record.content.init == InitialRun(run=trained["full"].name, weights=checksum)
    plain = toys.job(dataset, tmp_path, epochs=1, tuning="lora").config
    assert record.config.run_name != plain.run_name
    # What full tuning trained, but for what LoRA trains itself.
    kept = load_file(record.path / INITIAL)
    assert kept
    assert not set(kept) & set(load_file(record.path / WEIGHTS))
    # Away from the other run, it is built again with the numbers that were scored.
    moved = tmp_path / "elsewhere" / record.path.name
    moved.parent.mkdir()
    record.path.rename(moved)
    model = load_model(moved)
    state = model.state_dict()
    assert all(torch.equal(state[name], tensor) for name, tensor in kept.items())
    (moved / INITIAL).write_bytes(b"no tensors")
    with pytest.raises(InputError, match=r"initial.safetensors: damaged; make the run again"):
        load_model(moved)
    (moved / INITIAL).unlink()
    with pytest.raises(InputError, match="missing, and with it what the run started from"):
        load_model(moved)


def test_a_stopped_run_goes_on_and_a_second_generation_follows(dataset, trained, tmp_path):
    first = started_from(dataset, tmp_path, trained["full"], tuning="lora")
    record, _ = run(first)
    again, was_finished = run(started_from(dataset, tmp_path, trained["full"], tuning="lora"))
    assert was_finished
    assert again.path == record.path
    second, _ = run(started_from(dataset, tmp_path, record.path, tuning="full"))
    assert second.content.init.run == record.path.name


@pytest.mark.parametrize(
    ("first", "changes", "message"),
    [
        ("full", {"method": "mlp"}, "its method is simcmf, this run's mlp; they must be the same"),
        ("full", {"backbone": "sam-tiny"}, "its backbone is sam-toy, this run's sam-tiny"),
        ("adapter", {"tuning": "lora"}, "do not fit the model.*try --tuning adapter"),
        ("full", {"options": {"width": 8}}, r"alignment.*is \(64, 2, 3, 3\), not \(8, 2, 3, 3\)"),
    ],
)
def test_what_does_not_fit_is_refused_in_words(dataset, trained, tmp_path, first, changes, message):
    with pytest.raises(InputError, match=message):
        started_from(dataset, tmp_path, trained[first], **changes)


def test_a_run_without_weights_is_no_start(dataset, trained, tmp_path):
    with pytest.raises(InputError, match="not a run"):
        started_from(dataset, tmp_path, tmp_path)
    with pytest.raises(InputError, match="this run trains nothing; leave --init out"):
        load_initial(
            trained["full"], None, method="simcmf", tuning="none", backbone="sam-toy", channels=2, options={}
        )


def test_a_model_of_the_earlier_adapter_is_not_loaded(dataset, trained, tmp_path):
    record = RunRecord.load(trained["adapter"])
    (trained["adapter"] / "run.json").write_text(json.dumps({**record.content.as_json(), "version": 1}))
    with pytest.raises(InputError, match="its scores stay readable, for its model make the run again"):
        load_model(trained["adapter"])


def test_what_it_started_from_is_submitted_with_its_weights(dataset, trained, tmp_path):
    """Without it the model could not be made again."""
    path = run(started_from(dataset, tmp_path / "runs", trained["lora"], tuning="linear-probe"))[0].path
    assert "initial.safetensors" not in open_submission(pack(path, tmp_path)).members
    submission = open_submission(pack(path, tmp_path, weights=True))
    assert "initial.safetensors" in submission.members
    unpacked = tmp_path / submission.run
    assert submission.unpack(unpacked) == []
    assert verify_run(unpacked, dataset.folder, again=Rerun(device=torch.device("cpu"))) == []
