"""Ranks runs by their validation scores; test scores are not looked at.

`python -m aims_candidates.ranking RUNS` compares everything that was run with `simcmf` and `lora` on the same
datasets, modalities, numbers of training images and seeds.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import pandas as pd

from aims.core.errors import InputError
from aims.core.records import RunRecord, is_finished, run_folders

_CELL = ["dataset", "modality", "train_images", "seed"]


def rank(runs: Path, baseline: str = "simcmf") -> pd.DataFrame:
    """Ranks methods, with tuning, options and learning rate, by mean IoU on the validation part.

    A cell is a dataset with a modality, a number of training images and a seed. Only cells in which all of
    them have a validation score count, so that all are means over the same images.

    Args:
        runs: folder of the runs of one suite.
        baseline: method with which the others are compared, in its best tuning and at its best rate.

    Returns:
        One row for each, best first: `val` is the mean in percent, `gain` that of the differences to the
        baseline in points, `worst` the least difference in a cell, `wins` and `cells` the number of cells in
        which the difference is positive, and of all.

    Raises:
        InputError: the folder holds no such runs, or none of the baseline.
    """
    scores: dict[str, dict[tuple[object, ...], float]] = {}
    for folder in run_folders(runs):
        if not is_finished(folder):
            continue
        record = RunRecord.load(folder)
        config, score = record.config, record.scores.val_miou
        if score is None or config.is_floor:
            continue
        words = (config.method, config.tuning, config.options_text, f"lr {config.lr:g}")
        cell = tuple(getattr(config, name) or 0 for name in _CELL)
        scores.setdefault(" ".join(filter(None, words)), {})[cell] = 100 * score
    table = pd.DataFrame(scores).dropna()
    means = table.mean().sort_values(ascending=False, kind="stable")
    known = [name for name in means.index if name.split()[0] == baseline]
    if table.empty or not known:
        raise InputError(
            f"{runs}: no validation scores of {baseline} and all others in the same cells; give a folder "
            "with the runs of one suite alone"
        )
    gains = table.sub(table[known[0]], axis=0)
    columns = {"val": means, "gain": gains.mean(), "worst": gains.min(), "wins": (gains > 0).sum()}
    return pd.DataFrame(columns).loc[means.index].assign(cells=len(table))


def main() -> None:
    """Prints the ranking of a folder of runs."""
    parser = argparse.ArgumentParser(description="Rank runs by their validation scores.")
    parser.add_argument("runs", type=Path, help="folder of runs")
    try:
        print(rank(parser.parse_args().runs).round(2).to_string())
    except InputError as error:
        parser.error(str(error))


if __name__ == "__main__":
    main()
