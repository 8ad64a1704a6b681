"""The pictures that are predicted, and the names of their results."""

from __future__ import annotations

import dataclasses

from refusals import refused

import aims
from aims.core.errors import InputError
from aims.data.write import convert
from aims.prediction.sources import find_sources
from helpers import MadeUp


class Leaving(MadeUp):
    """Image ids that lead out of a folder."""

    def splits(self):
        return {split: [f"../../{name}" for name in names] for split, names in super().splits().items()}

    def read(self, split, image_id):
        return dataclasses.replace(super().read(split, image_id.removeprefix("../../")), image_id=image_id)


def test_results_stay_in_their_folder(run_folder, raw, tmp_path):
    convert(Leaving(raw=raw, images=2), tmp_path / "set")
    rules = aims.load(run_folder, device="cpu").rules
    with refused(InputError, "../../a000", "leaves its folder"):
        find_sources([tmp_path / "set"], rules)
