"""What the speed measurements share: their command line, their clock, and sizes of pictures."""

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
    """A parser whose help page is a module's docstring, as it stands."""
    return argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)


def size_of(text: str) -> tuple[int, int]:
    """HEIGHTxWIDTH -> (height, width)."""
    height, width = text.lower().split("x")
    return int(height), int(width)


def clock(
    work: Callable[[], T], device: torch.device | None = None, *, processor_time: bool = False
) -> tuple[T, float]:
    """Does some work once.

    Args:
        work: what is timed.
        device: waited for where it is a GPU.
        processor_time: count the processor's time, so that waiting for other programs does not count.

    Returns:
        What the work returns, and its seconds.
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
    """The seconds of each repeat of some work, after one that is not counted."""
    return np.array([clock(work, device)[1] for _ in range(repeats + 1)][1:])
