import pytest

from aims.core.vocabulary import MODALITIES
from aims.report.paper.published import PAPER_BACKBONE, TABLE1_METHODS, load_published


def test_numbers_stand_under_their_modality() -> None:
    published = load_published()

    assert published.modalities == ("thermal", "polarization", "depth", "hha", "nir")
    assert published.miou["simcmf"]["polarization"] == 72.69
    assert published.miou["scratch"]["nir"] == 7.99
    assert published.average == {"scratch": 22.15, "simcmf": 53.88}


@pytest.mark.parametrize("method", TABLE1_METHODS)
def test_printed_average_is_the_mean_of_the_five(method: str) -> None:
    published = load_published()

    mean = sum(published.miou[method].values()) / 5

    assert mean == pytest.approx(published.average[method], abs=0.005)


def test_only_nir_carries_a_footnote() -> None:
    published = load_published()

    assert list(published.footnotes) == [("simcmf", "nir")]
    note = published.footnotes["simcmf", "nir"]
    assert "50.36" in note
    assert "adapter" in note
    assert "LoRA with 52.66" in note


def test_every_row_has_the_papers_dataset() -> None:
    assert all(MODALITIES[name].datasets for name in load_published().modalities)


def test_the_papers_backbone_is_registered() -> None:
    sam = pytest.importorskip("aims.models.sam")

    assert PAPER_BACKBONE in sam.BACKBONES
