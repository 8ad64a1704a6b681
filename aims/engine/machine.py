"""Hardware, peak memory and code version, for the record of a run."""

from __future__ import annotations

import gc
import os
import platform
import re
import resource
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import torch

from aims.core.records import Hardware


def hardware(device: torch.device) -> Hardware:
    """Describes the hardware and the platform of this process."""
    name = _processor()
    if device.type == "cuda":
        name = torch.cuda.get_device_name(device)
    return Hardware(
        device=device.type,
        name=name,
        threads=torch.get_num_threads(),
        cpus=os.cpu_count(),
        platform=platform.platform(),
        python=platform.python_version(),
    )


def _processor() -> str:
    """Returns the processor's name, from /proc/cpuinfo: on Linux `platform` knows the architecture only."""
    with suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text("utf-8").splitlines():
            key, _, name = line.partition(":")
            if key.strip() == "model name":
                return name.strip()
    return platform.processor() or platform.machine()


def peak_memory(device: torch.device) -> int:
    """Returns the peak memory of this process in bytes: on the GPU if `device` is one, else resident."""
    if device.type == "cuda":
        return int(torch.cuda.max_memory_allocated(device))
    # `ru_maxrss` is in kilobytes on Linux and in bytes on macOS.
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


class PeakMemory:
    """Measures the peak memory of this process from now on: on the GPU if `device` is one, else resident.

    A new instance invalidates earlier ones, because a process has a single peak counter, which is reset.

    Args:
        device: device whose memory is measured.
    """

    _begun = 0

    def __init__(self, device: torch.device) -> None:
        self._device = device
        PeakMemory._begun += 1
        # Tensors that an earlier run left in reference cycles would count for this one.
        gc.collect()
        if device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(device)
        self._set_back = _set_back_peak()

    def read(self) -> int | None:
        """Returns the peak in bytes; None if earlier work of the process cannot be excluded from it."""
        if self._device.type != "cuda" and self._set_back and (peak := _peak_resident()) is not None:
            return peak
        if self._device.type == "cuda" or PeakMemory._begun == 1:
            return peak_memory(self._device)
        return None


def _set_back_peak() -> bool:
    """Resets the peak resident set size of this process (proc_pid_clear_refs(5)); False if refused."""
    try:
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    except OSError:
        return False
    return True


def _peak_resident() -> int | None:
    """Returns the resettable peak resident set size in bytes; `ru_maxrss` cannot be reset."""
    with suppress(OSError):
        if found := re.search(r"^VmHWM:\s*(\d+) kB$", Path("/proc/self/status").read_text("utf-8"), re.M):
            return int(found[1]) * 1024
    return None


def commit() -> str | None:
    """Returns the hash of the checked-out commit, with "+" for local changes; None outside a checkout."""
    folder = Path(__file__).parent

    def git(*args: str) -> str:
        return subprocess.run(
            ("git", "-C", str(folder), *args), capture_output=True, text=True, check=True, timeout=10
        ).stdout.strip()

    try:
        # AIMS may be installed below the checkout of another project, whose commit says nothing about it.
        if Path(git("rev-parse", "--show-toplevel")) != folder.parent.parent:
            return None
        # -uno: untracked files do not count as changes.
        return git("rev-parse", "HEAD") + ("+" if git("status", "--porcelain", "-uno") else "")
    except (OSError, subprocess.SubprocessError):
        return None
