"""The datasets of a suite: which are missing, and the commands that make them."""

from __future__ import annotations

import shlex
import subprocess
import sys
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout

from aims.cli._terminal import counting, err
from aims.core.errors import AimsError, InputError
from aims.data.manifest import MANIFEST
from aims.data.read import Dataset, find_datasets
from aims.data.verified import require_verified
from aims.suites.grid import Entry
from aims.suites.suite import Recipe, Suite
from aims.synth.datasets import is_written


@dataclass(frozen=True, kw_only=True)
class Folders:
    """The folders of a suite's datasets.

    Attributes:
        data: converted datasets.
        raw: raw recordings; nothing is written there.
    """

    data: Path
    raw: Path

    def commands(self, recipe: Recipe, suite: Suite) -> list[list[str]]:
        """Returns the commands of a recipe, each as a list of words."""
        return recipe.commands(
            data=self.data, raw=self.raw, made=self.data.parent / "made", suite=suite.path.parent
        )


def make_missing(suite: Suite, entries: Iterable[Entry], folders: Folders) -> None:
    """Makes the datasets that runs need and that are missing, with the recipes in the suite's `[[data]]`.

    Of several sweeps one makes them and the others wait for it.

    Raises:
        AimsError: a command failed; its own message is on stderr.
    """
    wanted = _wanted(entries)

    def missing() -> list[Recipe]:
        there = _datasets(folders.data)
        return [each for each in suite.recipes if each.dataset in wanted and each.dataset not in there]

    if missing():
        with _making_data(folders.data):
            for recipe in missing():
                for words in folders.commands(recipe, suite):
                    _run(words, recipe)


@contextmanager
def _making_data(folder: Path) -> Iterator[None]:
    """Waits until no other sweep makes datasets in a folder, and keeps others from it."""
    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / ".make-data.lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        err.print(f"{folder}: waiting for another process, which makes data there", markup=False)
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


def require_datasets(suite: Suite, entries: Iterable[Entry], folders: Folders, name: str) -> None:
    """Checks that every dataset that runs need exists and has the suite's number of images.

    Args:
        suite: the suite.
        entries: the runs.
        folders: folders of the datasets.
        name: the suite as the user wrote it, for the message.

    Raises:
        InputError: a dataset is missing, and the message has the commands that make it; or it has another
            number of images.
    """
    there = _datasets(folders.data)
    recipes = {recipe.dataset: recipe for recipe in suite.recipes}
    for dataset in _wanted(entries):
        recipe = recipes.get(dataset)
        if dataset in there and recipe is not None:
            _require_images(there[dataset], recipe, suite)
        if dataset in there:
            continue
        absent = f"{suite.path}: dataset {dataset!r} is not in {folders.data}"
        if recipe is None:
            raise InputError(f"{absent}; `aims convert` makes datasets")
        steps = ", then ".join(f"`{shlex.join(words)}`" for words in folders.commands(recipe, suite))
        raw = " --raw PATH" if any("{raw}" in command for command in recipe.make) else ""
        raise InputError(f"{absent}; `aims sweep {name} --make-data{raw}` makes it: {steps}")


def verify_datasets(names: Collection[str], data: Path) -> None:
    """Verifies the datasets with some names before runs side by side each do it.

    Raises:
        InputError: one of them violates the format.
    """
    for name, dataset in _datasets(data).items():
        if name in names:
            with counting("verify") as counter:
                require_verified(dataset, on_total=counter.total, on_progress=counter.advance)


def _wanted(entries: Iterable[Entry]) -> list[str]:
    return list(dict.fromkeys(str(entry.fields["dataset"]) for entry in entries if "dataset" in entry.fields))


def _datasets(data: Path) -> dict[str, Dataset]:
    """Opens the datasets of a folder, by name; empty if there is no dataset yet, which is no error here."""
    if not (data / MANIFEST).is_file() and not any(data.glob(f"*/{MANIFEST}")):
        return {}
    return {dataset.name: dataset for dataset in find_datasets(data)}


def _require_images(dataset: Dataset, recipe: Recipe, suite: Suite) -> None:
    for split, count in recipe.images.items():
        held = dataset.manifest.splits[split].images if split in dataset.manifest.splits else 0
        if held != count:
            raise InputError(
                f"{dataset.folder}: holds {held} images in {split!r}, {suite.path} wants {count}: it is "
                "another set of that name; give another --data, or move it away and add --make-data"
            )


def _run(words: Sequence[str], recipe: Recipe) -> None:
    """Runs one command of a recipe; its output goes to stderr, as stdout is for the sweep's results."""
    if words[:2] == ["aims", "synth"] and "--out" in words:
        out = Path(words[words.index("--out") + 1])
        if is_written(out):
            # `aims convert` skips what exists already; `aims synth` does not.
            err.print(f"{out}: there already", markup=False)
            return
    err.print(f"$ {shlex.join(words)}", markup=False, soft_wrap=True)
    program = [sys.executable, "-m", "aims"] if words[0] == "aims" else [sys.executable]
    done = subprocess.run([*program, *words[1:]], stdout=2)
    if done.returncode:
        raise AimsError(
            f"dataset {recipe.dataset!r} could not be made: `{shlex.join(words)}` ended with exit code "
            f"{done.returncode}; what it said stands above"
        )
