"""AIMS from Python: functions with the names and the defaults of the commands.

The commands call them, but for `aims run`, which says what it is about to do between planning and training.
`import aims` gives all of them; each imports what it needs when it is called.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aims.core.config import SETTINGS
from aims.core.evaluations import PromptPlan

if TYPE_CHECKING:
    from aims.api.datasets import OpenedDataset
    from aims.core.records import RunRecord
    from aims.data.write import Conversion
    from aims.engine.prompts import PromptReport
    from aims.engine.train import RunObserver
    from aims.prediction.model import Model
    from aims.reports.contents import ReportResult

__all__ = ["convert", "evaluate", "load", "open", "report", "run"]

#: Where commands read and write unless they are told otherwise.
DATA, RUNS, LEADERBOARDS = Path("data/aims"), Path("runs"), Path("leaderboards")


def load(
    model: str | Path,
    *,
    weights: str | Path | None = None,
    device: str = "auto",
    precision: str | None = None,
) -> Model:
    """Loads a trained model, ready for `predict`, `embed` and `everything`.

    Args:
        model: the folder of a finished run, one that `aims export-model --format sam` wrote, a submission
            that holds its weights, or one of these folders on the Hub as hf://OWNER/NAME.
        weights: the pretrained weights that the run started from; None to find them by their checksum, among
            those that come with AIMS and in the cache folder.
        device: "auto" (CUDA if available), "cpu", "cuda" or "cuda:N".
        precision: "float32" or "bf16"; None for that of the run on a GPU, float32 on a CPU.

    Raises:
        aims.core.errors.InputError: there is no model, it has no weights, or a file of it is missing or
            damaged.

    Examples:
        >>> model = aims.load(run, device="cpu")
        >>> answer = model.predict(thermal, points=[[60, 40]])
        >>> answer.masks.shape == (1, *thermal.shape)
        True
        >>> embedding = model.embed(thermal)
        >>> embedding.predict(boxes=[[10, 10, 50, 40], [60, 30, 90, 70]]).masks.shape[0]
        2
    """
    from aims.prediction.load import load as load_model

    return load_model(model, weights=weights, device=device, precision=precision)


def open(dataset: str | Path) -> OpenedDataset:
    """Opens a converted dataset.

    Args:
        dataset: its folder, or hf://OWNER/NAME.

    Raises:
        aims.core.errors.InputError: the folder holds no dataset, or one of a newer format.

    Examples:
        >>> dataset = aims.open(folder)
        >>> sorted(dataset.splits)
        ['test', 'train']
        >>> image = dataset[0]
        >>> image.streams["thermal"].shape[2], image.instances.shape == image.streams["thermal"].shape[:2]
        (1, True)
        >>> len(dataset.to_pandas()) == sum(counts.instances for counts in dataset.splits.values())
        True
    """
    from aims.api.datasets import OpenedDataset
    from aims.data.hub import local_path

    return OpenedDataset.open(local_path(dataset, kind="dataset"))


def convert(
    name: str,
    /,
    *,
    out: str | Path | None = None,
    jobs: int | None = None,
    engine: str = "local",
    keep_going: bool = False,
    overwrite: bool = False,
    strict_counts: bool = False,
    on_total: Callable[[int], None] = lambda images: None,
    on_progress: Callable[[int], None] = lambda images: None,
    on_warning: Callable[[str], None] = lambda line: None,
    **options: Any,
) -> Conversion:
    """Turns a raw dataset into an AIMS dataset, as `aims convert NAME` does.

    Args:
        name: name of the converter, as `aims list` shows it.
        out: folder to make; None for `data/aims/` and the name of the dataset.
        jobs: worker processes on this machine; None converts in this process. With several, a script must
            guard its main module.
        engine: "local", or "ray" for the cluster that RAY_ADDRESS names.
        keep_going: list unreadable images in dropped.jsonl and go on.
        overwrite: replace a dataset that is there already.
        strict_counts: raise if a split has not as many images as published, or files and images do not match.
        on_total: called once with the number of images.
        on_progress: called with the number of images finished since the last call.
        on_warning: called with each warning.
        **options: options of the converter (`aims convert NAME --help`), with underscores, e.g.
            `raw="downloads/nyuv2", hha=True`.

    Raises:
        aims.core.errors.InputError: there is no such converter or option, the source cannot be read, or `out`
            holds anything else.
    """
    from aims.core.converters import make_converter
    from aims.data.write import convert as write

    converter = make_converter(name, options)
    return write(
        converter,
        DATA / converter.description().name if out is None else Path(out),
        jobs=jobs,
        engine=engine,
        keep_going=keep_going,
        overwrite=overwrite,
        strict_counts=strict_counts,
        on_total=on_total,
        on_progress=on_progress,
        on_warning=on_warning,
    )


def run(
    method: str,
    modality: str,
    *,
    data: str | Path = DATA,
    runs: str | Path = RUNS,
    device: str = "auto",
    workers: int | None = None,
    checkpoint_every: int | None = None,
    attention: str = "fast",
    track: str | None = None,
    trust: bool = False,
    fresh: bool = False,
    observer: RunObserver | None = None,
    **settings: Any,
) -> RunRecord:
    """Trains and evaluates one method on one modality, as `aims run` does.

    A run that was stopped goes on, and a finished one is answered from its record.

    Args:
        method: name of the method, e.g. "simcmf".
        modality: "depth", "nir", "thermal", ... or a stream of your own set.
        data: a converted dataset, or a folder of several.
        runs: folder of runs.
        device: "auto", "cpu", "cuda" or "cuda:N".
        workers: reading processes; None for none on a CPU and at most eight with a GPU.
        checkpoint_every: steps between checkpoints within an epoch; None for none.
        attention: "fast", or "stock" for segment-anything's modules as they are.
        track: experiment tracker to tell of the progress (extra `tracking`); None for none.
        trust: take the dataset as it is, without verifying it.
        fresh: discard what is there of this run.
        observer: receives the progress.
        **settings: other settings of `aims run` (`aims.core.config.SETTINGS`), with underscores, e.g.
            `tuning="lora", epochs=10, backbone="sam-tiny", weights="none"`; and options of the method and the
            tuning, e.g. `kernel=5, rank=8`. `lr="sweep"` tries the paper's rates.

    Returns:
        The record: `path`, `config`, `scores`; of a sweep over rates that of the best one.

    Raises:
        aims.core.errors.InputError: a name, a file or a number cannot be used; nothing has been written.
        aims.core.errors.AimsError: the training failed; `run` again goes on from the last checkpoint.
    """
    from aims.core.errors import unknown_name
    from aims.engine.plan import plan
    from aims.engine.rates import run_rates
    from aims.engine.run import run as make
    from aims.methods import all_options

    options = {name: value for name, value in settings.items() if name not in SETTINGS}
    for name in options:
        if name not in all_options():
            raise unknown_name("setting", name, {*SETTINGS, *all_options()})
    chosen = {name: value for name, value in settings.items() if name in SETTINGS}
    for name in ("weights", "init"):
        if isinstance(chosen.get(name), Path):
            chosen[name] = str(chosen[name])
    sweep = chosen.get("lr") == "sweep"
    if sweep:
        chosen["lr"] = None
    job = plan(
        data=Path(data),
        runs=Path(runs),
        device=device,
        workers=workers,
        checkpoint_every=checkpoint_every,
        path=attention,  # type: ignore[arg-type]
        track=track,
        trust=trust,
        options=options,
        method=method,
        modality=modality,
        **chosen,
    )
    if sweep:
        return run_rates(job, fresh=fresh, observer=observer).best
    return make(job, fresh=fresh, observer=observer)[0]


def evaluate(
    run: str | Path,
    *,
    data: str | Path = DATA,
    weights: str | Path | None = None,
    clicks: int = PromptPlan.clicks,
    jitter: int = PromptPlan.jitter,
    seed: int = PromptPlan.seed,
    last_mask: bool = PromptPlan.last_mask,
    device: str = "auto",
    trust: bool = False,
    on_total: Callable[[int], None] = lambda images: None,
    on_image: Callable[[int], None] = lambda images: None,
) -> PromptReport:
    """Evaluates a run's model with more clicks, boxes and jitter, as `aims evaluate` does.

    Args:
        run: folder of a finished run; prompts.parquet and prompts.json are written beside its record.
        data: a converted dataset, or a folder of several, with the run's.
        weights: the pretrained weights that the run started from; None to find them by their checksum.
        clicks: clicks for an instance at most, each where the error is largest.
        jitter: single clicks drawn anywhere in an instance.
        seed: seed of these.
        last_mask: give the mask of the answer before with every further click, as SAM's own evaluation does.
        device: "auto", "cpu", "cuda" or "cuda:N".
        trust: take the dataset as it is, without verifying it.
        on_total: called once with the number of images.
        on_image: called with the number of images finished since the last call.

    Returns:
        The means, and the rows that they are of; `scores` has mIoU after each click, for boxes, by class and
        by size.

    Raises:
        aims.core.errors.InputError: the folder holds no finished run with a model, or its dataset or weights
            are missing.
    """
    from aims.engine.plan import find_device
    from aims.engine.prompts import evaluate_run

    return evaluate_run(
        Path(run),
        Path(data),
        PromptPlan(clicks=clicks, jitter=jitter, seed=seed, last_mask=last_mask),
        weights=None if weights is None else Path(weights),
        device=find_device(device),
        trust=trust,
        on_total=on_total,
        on_image=on_image,
    )


def report(
    runs: str | Path = RUNS,
    *,
    out: str | Path = LEADERBOARDS,
    against: str | None = None,
    data: str | Path = DATA,
    title: str = "AIMS leaderboard",
    jobs: int = 1,
) -> ReportResult:
    """Writes tables, figures and the page from finished runs, as `aims report` does.

    Args:
        runs: folder of runs.
        out: folder for the files.
        against: METHOD[:TUNING] that others are tested against, or "paper"; None for simcmf, else the best.
        data: datasets of the runs, for pictures of masks; there are none where they are not there.
        title: heading of the page.
        jobs: processes; with several, a script must guard its main module.

    Returns:
        The comparisons, results and written files.

    Raises:
        aims.core.errors.InputError: `runs` does not exist, or there is no run of `against`.
    """
    from aims.reports.report import write_report

    return write_report(Path(runs), Path(out), against=against, data=Path(data), title=title, jobs=jobs)
