"""Helpers that the speed measurements share: argument parsing, timing, and image sizes."""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray

T = TypeVar("T")


def parser(doc: str | None) -> argparse.ArgumentParser:
    """Makes an argument parser that shows a module's docstring verbatim as its description."""
    return argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)


def size_of(text: str) -> tuple[int, int]:
    """Parses "HEIGHTxWIDTH" into (height, width).

    Raises:
        ValueError: the text has another form.
    """
    height, width = text.lower().split("x")
    return int(height), int(width)


def clock(
    work: Callable[[], T], device: torch.device | None = None, *, processor_time: bool = False
) -> tuple[T, float]:
    """Times one call of a function.

    Args:
        work: the function.
        device: synchronized before the clock stops if it is a GPU.
        processor_time: measure CPU time rather than wall-clock time, so that other programs do not count.

    Returns:
        The function's result and the seconds that it took.
    """
    now = time.process_time if processor_time else time.perf_counter
    began = now()
    result = work()
    if device is not None and device.type == "cuda":
        torch.cuda.synchronize(device)
    return result, now() - began


def repeat(
    work: Callable[[], object], repeats: int, device: torch.device | None = None
) -> NDArray[np.float64]:
    """Times repeated calls of a function after one warm-up call; returns the seconds of each, (repeats,)."""
    return np.array([clock(work, device)[1] for _ in range(repeats + 1)][1:])
