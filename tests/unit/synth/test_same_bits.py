"""Made-up scenes have the same bits on every x86-64 processor, in any number of threads."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from processors import mkl_preload
from scene_digests import digests

# Hashes of all bits of scenes and of converted sets, made on an AMD processor with AVX2 (torch 2.13, NumPy
# 2.4). They change with the scenes, and with nothing else: a machine on which they differ shows a fault.
DIGESTS = {
    "rooms geometry": "5f71f0bd",
    "rooms rgb": "9874361d",
    "rooms nir": "aec74c83",
    "rooms thermal": "b9cd7d7f",
    "rooms depth": "52c916e7",
    "rooms hha": "95109fc2",
    "rooms polarization": "8a4f0111",
    "rooms folder": "6cda5cc3",
    "rooms nyuv2": "7d52b42d",
    "rooms rgbp-glass": "68b1504c",
    "rooms zju-rgbp": "1c28c765",
    "rooms thermal-glass": "8bb95888",
    "rooms ivrg-nir": "8a1be775",
    "wilds geometry": "e3bc88f0",
    "wilds rgb": "0c6d8002",
    "wilds nir": "f0e039f3",
    "wilds thermal": "06e1fd6f",
    "wilds depth": "ef4d2450",
    "wilds hha": "b1ac2c0e",
    "wilds polarization": "fe216490",
    "wilds folder": "726f2658",
    "wilds nyuv2": "2908b363",
    "wilds rgbp-glass": "06bfce90",
    "wilds zju-rgbp": "00fd9a21",
    "wilds thermal-glass": "e90933e1",
    "wilds ivrg-nir": "13918e8c",
}


def test_as_it_is(tmp_path):
    assert digests(tmp_path) == DIGESTS


@pytest.mark.thorough
@pytest.mark.parametrize("answer", [1, 0], ids=["intel", "other"])
def test_on_another_processor(tmp_path, answer):
    """In a process whose libraries take the processor for a newer one of Intel's, or an old one of others."""
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    if answer:
        threads, environment["ATEN_CPU_CAPABILITY"] = 2, "avx2"
    else:
        threads, environment["ATEN_CPU_CAPABILITY"] = 1, "default"
        # What NumPy, its BLAS, the C library and OpenCV choose at run time.
        environment["NPY_DISABLE_CPU_FEATURES"] = " ".join(
            np.show_config("dicts")["SIMD Extensions"].get("found", [])
        )
        environment["OPENBLAS_CORETYPE"] = "Nehalem"
        environment["GLIBC_TUNABLES"] = "glibc.cpu.hwcaps=-AVX2,-FMA,-FMA4"
        environment["OPENCV_CPU_DISABLE"] = "SSE4.1,SSE4.2,AVX,AVX2"
    # Threads that wait do not keep the cores from others.
    environment |= {"OMP_NUM_THREADS": str(threads), "OMP_WAIT_POLICY": "passive"}
    library = mkl_preload(tmp_path, answer)
    if library is not None:
        environment["LD_PRELOAD"] = str(library)
    program = [sys.executable, str(Path(__file__).parents[2] / "scene_digests.py"), str(threads)]
    done = subprocess.run(program, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == DIGESTS
    if library is None:
        pytest.skip("no C compiler: all was compared but what MKL does on the other vendor's processors")
