"""What a run record says of the machine and of the code."""

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
    """What a run was made on."""
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
    """The processor's own name where Linux tells it; Python knows the architecture alone there."""
    with suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text("utf-8").splitlines():
            key, _, name = line.partition(":")
            if key.strip() == "model name":
                return name.strip()
    return platform.processor() or platform.machine()


def peak_memory(device: torch.device) -> int:
    """The most memory in bytes that this process has held so far, on the GPU where there is one."""
    if device.type == "cuda":
        return int(torch.cuda.max_memory_allocated(device))
    # Linux counts in kilobytes, macOS in bytes.
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


class PeakMemory:
    """The most memory that this process holds from now on, on the GPU where there is one.

    Beginning a second one ends the first: a process has one mark of its highest memory, which is set back.

    Args:
        device: where the memory is held.
    """

    _begun = 0

    def __init__(self, device: torch.device) -> None:
        self._device = device
        PeakMemory._begun += 1
        # What an earlier run left in cycles is not this one's.
        gc.collect()
        if device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(device)
        self._set_back = _set_back_peak()

    def read(self) -> int | None:
        """The peak in bytes; None where it cannot be told from that of what the process did before."""
        if self._device.type != "cuda" and self._set_back and (peak := _peak_resident()) is not None:
            return peak
        if self._device.type == "cuda" or PeakMemory._begun == 1:
            return peak_memory(self._device)
        return None


def _set_back_peak() -> bool:
    """Sets the mark of this process's highest memory back to what it holds now (proc_pid_clear_refs(5))."""
    try:
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    except OSError:
        return False
    return True


def _peak_resident() -> int | None:
    """That mark, in bytes; `ru_maxrss` is never set back."""
    with suppress(OSError):
        if found := re.search(r"^VmHWM:\s*(\d+) kB$", Path("/proc/self/status").read_text("utf-8"), re.M):
            return int(found[1]) * 1024
    return None


def commit() -> str | None:
    """The commit of the code, with "+" if it was changed; None outside a checkout."""
    folder = Path(__file__).parent

    def git(*args: str) -> str:
        return subprocess.run(
            ("git", "-C", str(folder), *args), capture_output=True, text=True, check=True, timeout=10
        ).stdout.strip()

    try:
        # A checkout of something else, with AIMS installed below it, is not the code's commit.
        if Path(git("rev-parse", "--show-toplevel")) != folder.parent.parent:
            return None
        return git("rev-parse", "HEAD") + ("+" if git("status", "--porcelain", "-uno") else "")
    except (OSError, subprocess.SubprocessError):
        return None
