"""The floors on label maps alone, counted by hand."""

from __future__ import annotations

import tomllib
from importlib import resources
from pathlib import Path

import cv2
import numpy as np
import pytest

from aims.benchmarks.floors import main
from aims.core.vocabulary import PROTOCOLS


def square(side: int, label: int) -> np.ndarray:
    """A map as large as the grid, so that a radius is in pixels, with one square of odd side."""
    labels = np.zeros((256, 256), np.uint8)
    labels[100 : 100 + side, 60 : 60 + side] = label
    return labels


@pytest.fixture
def maps(tmp_path: Path) -> list[str]:
    """Squares of 3 and 5 in turn; on the last map void, too, and a line of six pixels."""
    paths = [tmp_path / f"{name}.png" for name in "abcd"]
    for path, side in zip(paths, (3, 5, 3, 5), strict=True):
        labels = square(side, label=side)
        if path.stem == "d":
            labels[:20] = 9
            labels[200, 10:16] = 3
        cv2.imwrite(str(path), labels)
    # Given in any order, they are taken in that of their names.
    return [str(path) for path in reversed(paths)]


def printed(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, dict[str, object]]:
    main(arguments)
    return tomllib.loads(capsys.readouterr().out)


def test_figures_by_hand(maps: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    found = printed(capsys, *maps, "--void", "0", "9")

    # Discs of radius 1.5 and 3 have 9 and 29 pixels: the best for 3 x 3 (1) and 5 x 5 (25 / 29). Each half
    # gets the other's: 9 / 29 and 9 / 25. Six pixels are 96 at 1024 x 1024: too small under `strict`.
    strict = found["strict"]
    assert (strict["maps"], strict["instances"], strict["vanished"]) == (4, 4, 0)
    assert strict["radius_by_half"] == [3.0, 1.5]
    assert strict["disc_by_half"] == [31.03, 36.0]
    assert strict["disc"] == 33.52
    assert strict["oracle_disc_by_half"] == [100.0, 86.21]
    assert strict["oracle_disc"] == 93.1
    # One radius for all that are scored: (1 + 9 / 25) / 2.
    assert (strict["peak_radius"], strict["peak"]) == (1.5, 68.0)
    low, high = strict["disc_interval"]
    assert low <= strict["disc"] <= high
    assert (found["paper"]["maps"], found["paper"]["instances"]) == (4, 5)


def test_what_vanishes_on_the_grid_is_counted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    # The paper's grid takes every fourth pixel of 1024, from the first on: column 1 is on none.
    labels = np.zeros((1024, 1024), np.uint8)
    labels[:512, 1], labels[8:40, 8:40] = 1, 2
    for name in "ab":
        np.save(tmp_path / f"{name}.npy", labels)
    found = printed(capsys, *(str(tmp_path / f"{name}.npy") for name in "ab"))["paper"]
    assert (found["instances"], found["vanished"]) == (4, 2)
    assert found["oracle_disc"] < 50


def test_a_class_0_may_be_an_object(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in "ab":
        np.save(tmp_path / f"{name}.npy", square(5, label=255))
    paths = [str(tmp_path / f"{name}.npy") for name in "ab"]
    assert printed(capsys, *paths, "--void", "255")["strict"]["instances"] == 2
    assert printed(capsys, *paths, "--void")["strict"]["instances"] == 4


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (square(5, label=1), "one half of the maps has no instance"),
        (np.zeros((8, 8)), "float64 values; labels are whole numbers"),
    ],
)
def test_what_cannot_be_used_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], content: np.ndarray, message: str
) -> None:
    np.save(tmp_path / "only.npy", content)
    with pytest.raises(SystemExit) as stop:
        main([str(tmp_path / "only.npy")])
    assert stop.value.code == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert all(line.startswith("error: ") and message in line for line in err.splitlines())


def test_a_protocol_without_instances_of_sufficient_size_is_left_out(
    maps: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    main(maps)
    out, err = capsys.readouterr()
    assert list(tomllib.loads(out)) == ["paper", "strict", "paper-1"]
    assert err == "left out: strict-2: one half of the maps has no instance: give more maps\n"


def test_the_leaderboard_holds_what_is_printed(maps: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    text = resources.files("aims.leaderboards").joinpath("floors.toml").read_text("utf-8")
    written = tomllib.loads(text)["nyuv2-test-class13"]
    assert set(written) >= set(PROTOCOLS)
    for protocol, figures in printed(capsys, *maps).items():
        assert list(written[protocol]) == list(figures)
