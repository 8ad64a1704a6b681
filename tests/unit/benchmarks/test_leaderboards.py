"""The tables that people read hold the numbers of the files that runs wrote."""

import csv
import json
from collections.abc import Iterator
from itertools import takewhile
from pathlib import Path

import numpy as np
import pytest

from aims.models.weights import PACKAGED
from aims.reports.statistics.label_efficiency import images_to_reach

LEADERBOARDS = Path(__file__).parents[3] / "leaderboards"
REAL_SENSORS = LEADERBOARDS / "real-sensors" / "README.md"
PRETRAINING = Path(__file__).parents[3] / "docs" / "pretraining.md"
SENSORS = {"near infrared": "nir", "electron microscopy": "em"}
#: The weights of tables.
FOUNDATION, ANY = "sam-tiny@3", "sam-tiny-any@2"


def scores(folder: str, field: str = "miou", weights: str = FOUNDATION) -> dict[tuple[str, ...], str]:
    """Percent by modality, method, tuning and number of training images; without pairs with RGB."""
    with (LEADERBOARDS / folder / "comparison.csv").open(newline="") as file:
        return {
            (line["modality"], line["method"], line["tuning"], line["train_images"]): line[field]
            for line in csv.DictReader(file)
            if "rgb" not in line["modality"] + line["mean_over"] and line["weights_name"] == weights
        }


def table(path: Path, start: str = "") -> tuple[list[str], list[list[str]]]:
    """Header and rows of the first table in Markdown whose header begins so."""
    text = path.read_text("utf-8")
    lines = takewhile(lambda line: line.startswith("|"), text[text.index(f"\n| {start}") + 1 :].splitlines())
    header, _, *rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return header, rows


def row_of(label: str) -> tuple[str, str]:
    method, _, tuning = label.partition(", ")
    return method, tuning or "none"


def modality(words: str) -> str:
    return SENSORS.get(words, words.lower())


@pytest.mark.parametrize(
    ("folder", "start", "count"), [("embedded", "mIoU, %", 10), ("embedded/seed-1", "seed 1, mIoU, %", 3)]
)
def test_the_embedded_benchmark(folder: str, start: str, count: int) -> None:
    known, (header, rows) = scores(folder), table(LEADERBOARDS / "embedded" / "README.md", start)
    assert len(rows) == count
    large = scores(folder, "miou_large")
    for label, *cells, last in rows:
        for name, cell in zip(header[1:-1], cells, strict=True):
            assert known[modality(name), *row_of(label), ""] == cell, (label, name)
        assert large["mean", *row_of(label), ""] == last, label


def lines_of_seeds(name: str) -> Iterator[tuple[int, dict[str, str]]]:
    """Number of seeds and line, of a file of both reports on real sensors."""
    for folder in (REAL_SENSORS.parent, REAL_SENSORS.parent / "seed-2"):
        with (folder / name).open(newline="") as file:
            for line in csv.DictReader(file):
                if line["weights_name"] in (FOUNDATION, ""):
                    yield len(line["seeds"].split()), line


def over_seeds() -> dict[tuple[str, ...], str]:
    """Percent on real sensors as `scores`, the mean over all seeds."""
    found: dict[tuple[str, ...], list[float]] = {}
    for seeds, line in lines_of_seeds("results.csv"):
        key = (line["modality"], line["method"], line["tuning"], line["train_images"])
        found.setdefault(key, []).extend([float(line["miou"])] * seeds)
    return {key: f"{sum(each) / len(each):.2f}" for key, each in found.items()}


def test_real_sensors() -> None:
    known, (header, rows) = over_seeds(), table(REAL_SENSORS)
    assert header[:2] == ["sensor", "images"]
    assert len(rows) == 14
    fewest = {}
    for sensor, images, *cells in rows:
        of, number = modality(sensor.partition(" (")[0]), images
        for label, cell in zip(header[2:], cells, strict=True):
            method, tuning = row_of(label)
            trained = tuning != "none" and not number.startswith("all")
            assert known[of, method, tuning, number if trained else ""] == cell, (sensor, images, label)
        fewest.setdefault(of, number)
    assert fewest == dict.fromkeys(("thermal", "nir", "fluorescence", "em", "polarization"), "8")


def test_three_more_methods_on_real_sensors() -> None:
    known, (header, rows) = scores("real-sensors"), table(REAL_SENSORS, "32 images")
    assert len(rows) == 4
    for sensor, *cells in rows:
        for label, cell in zip(header[1:], cells, strict=True):
            assert known[modality(sensor.partition(" (")[0]), *row_of(label), "32"] == cell, (sensor, label)


def test_real_sensors_from_weights_for_any_sensor() -> None:
    known, (header, rows) = (
        scores("real-sensors", weights=ANY),
        table(REAL_SENSORS, "from `sam-tiny-any@2`"),
    )
    labels = [("zero-shot", "none", ""), ("simcmf", "lora", "8"), ("simcmf", "lora", "32")]
    assert len(rows) == 5
    assert len(header) == 1 + len(labels)
    for sensor, *cells in rows:
        of = modality(sensor.partition(" (")[0])
        assert cells == [known.get((of, *label), "") for label in labels], sensor


def needed(of: str, known: dict[tuple[str, ...], str]) -> str:
    """How many images scratch needs for SimCMF's score with 8, in words."""
    numbers: list[list[float]] = []
    for seeds, line in lines_of_seeds("label_efficiency.csv"):
        if (line["modality"], line["method"], line["train_images"]) == (of, "simcmf", "8"):
            numbers += [[float(point.split(":")[0]) for point in line["baseline"].split()]] * seeds
    most = max(numbers, key=len)
    means = np.array([np.mean([each[k] for each in numbers if k < len(each)]) for k in range(len(most))])
    labels = [label for label in ("8", "32", "") if (of, "scratch", "full", label) in known]
    curve = np.array([float(known[of, "scratch", "full", label]) for label in labels])
    (images,) = images_to_reach(means, curve[None], np.array([float(known[of, "simcmf", "lora", "8"])]))
    return f"not reached with {most[-1]:.0f}" if np.isinf(images) else f"{images:.0f}"


def test_what_the_first_page_says() -> None:
    known, (_, rows) = over_seeds(), table(LEADERBOARDS.parent / "README.md", "sensor")
    assert len(rows) == 5
    for sensor, *cells, last in rows:
        of = modality(sensor.partition(" (")[0])
        labels = [("disc", "none", ""), ("scratch", "full", "8"), ("simcmf", "lora", "8")]
        assert cells == [known[of, *label] for label in labels], sensor
        assert last == needed(of, known), sensor


def test_editions_of_weights() -> None:
    header, rows = table(PRETRAINING, "weights")
    sets = [name for name in header if name in ("wilds", "rooms", "photographs")]
    assert len(sets) == 3
    found = {row[0].strip("`"): row[-3:] for row in rows}
    cards = [json.loads(path.read_text()) for path in sorted(PACKAGED.glob("*/card.json"))]
    names = [path.parent.name for path in sorted(PACKAGED.glob("*/card.json"))]
    assert sorted(found) == ["fixed disc", *names]
    for name, card in zip(names, cards, strict=True):
        # The first edition was scored under `strict`; the table holds what it has under `strict-2`.
        if card.get("protocol") == "strict-2":
            assert found[name] == [f"{100 * card['scores'][each]['miou']:.1f}" for each in sets], name
            assert found["fixed disc"] == [f"{100 * card['scores'][each]['disc']:.1f}" for each in sets]


def test_experiments_on_pretraining() -> None:
    header, rows = table(PRETRAINING, "recipe")
    cards = json.loads((LEADERBOARDS / "pretraining" / "table.json").read_text())
    assert [row[0] for row in rows] == list(cards)
    for name, _, *cells in rows:
        scores = cards[name]["scores"]
        assert cells == [f"{100 * scores[each]['miou']:.2f}" for each in header[2:]], name


def test_two_seeds_of_the_third_edition() -> None:
    header, rows = table(PRETRAINING, "| wilds | large")
    sets = header[1::2]
    cards = [PACKAGED / "sam-tiny@3" / "card.json", LEADERBOARDS / "pretraining" / "sam-tiny@3-seed-3.json"]
    for path, (label, *cells) in zip(cards, rows, strict=True):
        card = json.loads(path.read_text())
        assert label.startswith(f"seed {card['settings']['seed']}")
        found = [card["scores"][name][of] for name in sets for of in ("miou", "miou_large")]
        assert cells == [f"{100 * share:.2f}" for share in found], label
