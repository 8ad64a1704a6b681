"""AIMS: any image modality segmentation.

Turns recordings of any imaging sensor into one instance-level dataset format, fine-tunes SAM on them
with the published baselines, and measures all of them with one harness.
"""

from aims.version import __version__

__all__ = ["__version__"]
