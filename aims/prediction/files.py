"""Predictions for any number of files, one after the other, into a folder.

OUT/
    settings.json       model, prompts and options, with which other ones are refused in the same folder
    masks/NAME.png      16-bit map of the objects: 0 = nothing, else the object's number
    pictures/NAME.png   the sensor's picture with outlines, smaller where it is huge
    objects.jsonl       one line a finished picture: its objects as COCO annotations; what a stop leaves
    predictions.json    all of them as COCO's JSON, written at the end
"""

from __future__ import annotations

import json
import os
import shutil
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from concurrent.futures.process import BrokenProcessPool
from dataclasses import asdict, dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import imagecodecs
import torch
from filelock import FileLock

from aims.core.errors import AimsError, InputError
from aims.core.files import atomic_write, naming, sha256_file, write_json
from aims.core.processes import process_pool
from aims.core.schema import Array, SampleError
from aims.core.staging import held
from aims.core.structs import decode_json
from aims.prediction.instances import Instances
from aims.prediction.load import load
from aims.prediction.model import Model
from aims.prediction.options import Everything, Tiling
from aims.prediction.outlines import outlined
from aims.prediction.prompt_files import Prompt, PromptFile, answer
from aims.prediction.sources import Source
from aims.prediction.tiles import everything_in_tiles

SETTINGS, OBJECTS, PREDICTIONS = "settings.json", "objects.jsonl", "predictions.json"
MASKS, PICTURES = "masks", "pictures"
_LOCK = ".lock"
_CATEGORY = {"id": 1, "name": "object"}


@dataclass(frozen=True, kw_only=True)
class Predicting:
    """What is predicted, and how; the same for all files.

    Attributes:
        model: a run's folder or a submission, as `aims.load` takes.
        weights: the pretrained weights that the run started from; None to find them.
        device: "auto", "cpu", "cuda" or "cuda:N".
        precision: "float32" or "bf16"; None for the run's on a GPU.
        prompts: file of prompts; None for everything.
        everything: grid and thresholds where there is no file of prompts; None for the defaults.
        tiling: how pictures are cut; None sees each as a whole.
        channels: channels of the files to take, counted from 0; None for all.
        variables: by stream, the array to take of files that hold arrays by name.
        pictures: whether to write pictures with outlines.
    """

    model: str
    weights: str | None = None
    device: str = "auto"
    precision: str | None = None
    prompts: Path | None = None
    everything: Everything | None = None
    tiling: Tiling | None = None
    channels: tuple[int, ...] | None = None
    variables: Mapping[str, str] = field(default_factory=dict)
    pictures: bool = True

    def load(self) -> Model:
        """Loads the model, or returns that of an earlier call in this process."""
        return _loaded(self.model, self.weights, self.device, self.precision)


@lru_cache(maxsize=1)
def _loaded(model: str, weights: str | None, device: str, precision: str | None) -> Model:
    return load(model, weights=weights, device=device, precision=precision)


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What became of the files.

    Attributes:
        folder: the output.
        finished: number of pictures that are done, in this call or before.
        objects: number of objects in them.
        skipped: files without a prompt.
        failed: reason by file that could not be predicted.
    """

    folder: Path
    finished: int
    objects: int
    skipped: list[str]
    failed: dict[str, str]


def predict_files(
    sources: Sequence[Source],
    plan: Predicting,
    out: Path,
    *,
    jobs: int = 1,
    overwrite: bool = False,
    on_picture: Callable[[int], None] = lambda pictures: None,
) -> Outcome:
    """Predicts pictures and writes masks, outlines and COCO's JSON; pictures that are done are left.

    Args:
        sources: the pictures, from `aims.prediction.sources.find_sources`.
        plan: model, prompts and options.
        out: folder for the files.
        jobs: processes, each with a model of its own; with several, a script must guard its main module.
        overwrite: discard what other settings left in `out`.
        on_picture: called with the number of pictures finished since the last call.

    Raises:
        InputError: `out` holds predictions of other settings, or something else.
        Busy: another process predicts into `out`.
    """
    prompts = PromptFile.read(plan.prompts) if plan.prompts is not None else None
    asked = [None if prompts is None else tuple(prompts.of(each.name, each.file)) for each in sources]
    skipped = [source.file for source, own in zip(sources, asked, strict=True) if own == ()]
    if prompts is not None and len(skipped) == len(sources):
        named = next(iter(prompts.pictures))
        raise InputError(
            f"{prompts.path}: names none of the pictures (e.g. {named!r}, not {sources[0].name!r})"
        )
    if out.exists() and not (out / SETTINGS).is_file() and any(each.name != _LOCK for each in out.iterdir()):
        raise InputError(f"{out}: holds something else; give another --out")
    out.mkdir(parents=True, exist_ok=True)
    with held(FileLock(out / _LOCK, timeout=0), out, "predicting into it; wait for it"):
        done = _prepare(out, plan, overwrite)
        tasks = [
            (source, own)
            for source, own in zip(sources, asked, strict=True)
            if own != () and source.name not in done
        ]
        on_picture(len(sources) - len(skipped) - len(tasks))
        failed: dict[str, str] = {}
        with naming(out / OBJECTS), (out / OBJECTS).open("a", encoding="utf-8") as lines:
            for source, result in _computed(tasks, plan, out, jobs):
                if isinstance(result, AimsError):
                    failed[source.file] = str(result)
                else:
                    lines.write(json.dumps(result, ensure_ascii=False) + "\n")
                    lines.flush()
                on_picture(1)
        wanted = {source.name for source in sources}
        finished, objects = _write_coco(out, wanted)
    (out / _LOCK).unlink(missing_ok=True)
    return Outcome(folder=out, finished=finished, objects=objects, skipped=skipped, failed=failed)


_Task = tuple[Source, tuple[Prompt, ...] | None]
_Result = dict[str, Any] | AimsError


def _computed(
    tasks: Sequence[_Task], plan: Predicting, out: Path, jobs: int
) -> Iterator[tuple[Source, _Result]]:
    """Yields every picture's line of objects.jsonl, or why there is none."""
    if jobs == 1:
        for task in tasks:
            yield task[0], _predict(task, plan, out, None)
        return
    threads = max(1, (os.cpu_count() or 1) // jobs)
    pool = process_pool(min(jobs, max(1, len(tasks))))
    waiting: deque[tuple[Source, Future[_Result]]] = deque()
    try:
        # A few tasks ahead: neither they nor their results pile up.
        for task in tasks:
            waiting.append((task[0], pool.submit(_predict, task, plan, out, threads)))
            if len(waiting) > 2 * jobs:
                source, future = waiting.popleft()
                yield source, future.result()
        for source, future in waiting:
            yield source, future.result()
    except BrokenProcessPool:
        raise AimsError(
            "a process was killed, most often as memory lacked; finished pictures are kept: the same command "
            f"goes on, with fewer than {jobs} --jobs or smaller --tile"
        ) from None
    finally:
        # After an interruption nobody waits for a picture that may take minutes.
        pool.end()


def _predict(task: _Task, plan: Predicting, out: Path, threads: int | None) -> _Result:
    """Predicts one picture and writes its files; runs in a process of its own if there are several."""
    if threads is not None:
        torch.set_num_threads(threads)
    source, prompts = task
    model = plan.load()
    try:
        arrays = source.read(model.rules, plan.channels, plan.variables)
        instances = _find(model, arrays, prompts, plan)
        labels = instances.label_map()
    except (SampleError, InputError) as error:
        return error
    with atomic_write(_file(out, MASKS, source.name)) as beside:
        beside.write_bytes(imagecodecs.png_encode(labels))
    if plan.pictures:
        drawn = outlined(arrays, model.rules.streams, instances)
        with atomic_write(_file(out, PICTURES, source.name)) as beside:
            beside.write_bytes(imagecodecs.png_encode(drawn))
    height, width = instances.size
    line = {"name": source.name, "file": source.file, "height": height, "width": width}
    return {**line, "objects": instances.annotations()}


def _find(
    model: Model, arrays: dict[str, Array], prompts: tuple[Prompt, ...] | None, plan: Predicting
) -> Instances:
    if prompts is not None:
        return answer(model, model.embed_arrays(arrays), prompts)
    if plan.tiling is not None:
        return everything_in_tiles(model, arrays, plan.tiling, plan.everything or Everything())
    return model.everything(arrays, plan.everything)


def _file(out: Path, kind: str, name: str) -> Path:
    path = out / kind / f"{name}.png"
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


def _prepare(out: Path, plan: Predicting, overwrite: bool) -> set[str]:
    """Empties the folder, or checks that it has the same settings; returns the pictures that are done."""
    settings = asdict(plan) | {
        # The name of a run says its configuration; where it lies does not matter.
        "model": Path(plan.model).name,
        "prompts": None if plan.prompts is None else sha256_file(plan.prompts),
    }
    del settings["device"], settings["weights"]
    if not plan.variables:  # as in the settings of earlier versions
        del settings["variables"]
    value = json.loads(json.dumps(settings))
    path = out / SETTINGS
    # Other settings may follow ones with which nothing was predicted.
    if path.is_file() and not overwrite and (done := _finished(out)):
        if decode_json(path.read_bytes(), where=str(path)) != value:
            raise InputError(
                f"{out}: holds predictions of another model or other options; give another --out, or "
                "--overwrite"
            )
        return done
    for name in (OBJECTS, PREDICTIONS):
        (out / name).unlink(missing_ok=True)
    for name in (MASKS, PICTURES):
        # Only ours: the folder had settings of ours, or nothing.
        shutil.rmtree(out / name, ignore_errors=True)
    write_json(path, value)
    return set()


def _finished(out: Path) -> set[str]:
    """Returns the names of the pictures that are done; a line that a kill cut short is removed."""
    path, names, end = out / OBJECTS, set(), 0
    if not path.is_file():
        return set()
    with path.open("rb") as lines:
        for line in lines:
            if line.endswith(b"\n"):
                names.add(decode_json(line, where=str(path))["name"])
                end += len(line)
    os.truncate(path, end)
    return names


def _write_coco(out: Path, wanted: set[str]) -> tuple[int, int]:
    """Writes predictions.json line by line; returns the numbers of pictures and objects."""
    with atomic_write(out / PREDICTIONS) as beside, beside.open("w", encoding="utf-8") as file:
        file.write('{"categories": ' + json.dumps([_CATEGORY]) + ', "images": [')
        pictures = _listed(file, (line for line in _image_lines(out, wanted)))
        file.write('], "annotations": [')
        objects = _listed(file, _object_lines(out, wanted))
        file.write("]}\n")
    return pictures, objects


def _listed(file: Any, values: Iterable[dict[str, Any]]) -> int:
    count = 0
    for count, value in enumerate(values, start=1):
        file.write(("" if count == 1 else ",") + "\n" + json.dumps(value, ensure_ascii=False))
    return count


def _lines(out: Path, wanted: set[str]) -> Iterator[dict[str, Any]]:
    path = out / OBJECTS
    with path.open("rb") as lines:
        for line in lines:
            value = decode_json(line, where=str(path))
            if value["name"] in wanted:
                yield value


def _image_lines(out: Path, wanted: set[str]) -> Iterator[dict[str, Any]]:
    for number, line in enumerate(_lines(out, wanted), start=1):
        yield {
            "id": number,
            "file_name": line["file"],
            "mask": f"{MASKS}/{line['name']}.png",
            "height": line["height"],
            "width": line["width"],
        }


def _object_lines(out: Path, wanted: set[str]) -> Iterator[dict[str, Any]]:
    number = 0
    for image, line in enumerate(_lines(out, wanted), start=1):
        for label, entry in enumerate(line["objects"], start=1):
            number += 1
            yield {"id": number, "image_id": image, "category_id": _CATEGORY["id"], "label": label, **entry}
