"""The pictures that are predicted, and the names of their results."""

from __future__ import annotations

import dataclasses

import pytest
from refusals import refused

import aims
from aims.core.errors import InputError
from aims.data.write import convert
from aims.prediction.sources import Source, find_sources
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


@pytest.mark.parametrize("name", ["/x", "a\0b", "caf\udce9"])
def test_no_result_is_outside_or_has_a_name_that_is_no_text(name):
    with pytest.raises(InputError, match=r"leaves its folder|no result can have its name"):
        Source(name=name, file="set:x")
