import pytest

from aims.core.vocabulary import MODALITIES
from aims.reports.paper.published import PAPER_BACKBONE, TABLE1_METHODS, load_content, table1_footnotes

TABLE1 = load_content()["table1"]


def test_numbers_stand_under_their_modality() -> None:
    assert TABLE1["columns"] == ["thermal", "polarization", "depth", "hha", "nir"]
    assert TABLE1["simcmf"][1] == 72.69
    assert TABLE1["scratch"][4] == 7.99
    assert TABLE1["average"] == {"scratch": 22.15, "simcmf": 53.88}


@pytest.mark.parametrize("method", TABLE1_METHODS)
def test_printed_average_is_the_mean_of_the_five(method: str) -> None:
    assert sum(TABLE1[method]) / 5 == pytest.approx(TABLE1["average"][method], abs=0.005)


def test_only_nir_carries_a_footnote() -> None:
    notes = table1_footnotes(load_content())

    assert list(notes) == ["nir"]
    assert all(words in notes["nir"] for words in ("50.36", "adapter", "LoRA with 52.66"))


def test_every_row_has_the_papers_dataset() -> None:
    assert all(MODALITIES[name].datasets for name in TABLE1["columns"])


def test_the_papers_backbone_is_registered() -> None:
    sam = pytest.importorskip("aims.models.sam")

    assert PAPER_BACKBONE in sam.BACKBONES
