from __future__ import annotations

import hashlib
import json
import pickle
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from aims.core.errors import InputError
from aims.methods import BACKBONES
from aims.models.weights import (
    PackagedWeights,
    find_packaged,
    load_weights,
    packaged_name,
    packaged_weights,
    resolve_weights,
    weights_folder,
)


@pytest.fixture(scope="module")
def state() -> dict[str, torch.Tensor]:
    return {
        name: torch.full_like(tensor, index)
        for index, (name, tensor) in enumerate(BACKBONES["sam-tiny"].build().state_dict().items())
    }


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("AIMS_CACHE", str(tmp_path))
    return tmp_path / "weights"


class Malicious:
    def __init__(self, witness: Path) -> None:
        self.witness = witness

    def __reduce__(self) -> tuple[object, tuple[Path]]:
        return Path.touch, (self.witness,)


def test_a_given_file_is_taken(tmp_path: Path) -> None:
    path = tmp_path / "own.pth"
    path.touch()
    assert resolve_weights("sam-tiny", path) == path


def test_a_given_file_that_is_missing(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"own\.pth: no such file.*--weights PATH.*--weights none"):
        resolve_weights("sam-vit-b", tmp_path / "own.pth")


def test_the_authors_file_is_found_in_the_cache(cache: Path) -> None:
    cache.mkdir()
    path = cache / "sam_vit_b_01ec64.pth"
    path.touch()
    assert resolve_weights("sam-vit-b", None) == path


def test_the_authors_file_is_missing(cache: Path) -> None:
    with pytest.raises(InputError) as caught:
        resolve_weights("sam-vit-h", None)
    for part in (
        *("sam_vit_h_4b8939.pth", str(cache), "fetch it with `aims weights sam-vit-h`"),
        *("--weights PATH", "--weights none", "random"),
    ):
        assert part in str(caught.value)


@pytest.mark.parametrize("packaged", packaged_weights(), ids=lambda packaged: packaged.full_name)
def test_weights_that_come_with_aims_are_those_of_their_card(packaged: PackagedWeights) -> None:
    path = resolve_weights(packaged.backbone, packaged.full_name)
    assert path == packaged.path
    assert path.stat().st_size < 8_000_000
    loaded = load_weights(packaged.backbone, path)
    assert packaged_name(loaded.sha256) == packaged.full_name
    assert {tensor.dtype for tensor in loaded.state.values()} == {torch.float32}
    card = json.loads((path.parent / "card.json").read_text("utf-8"))
    assert card["weights"] == {
        "file": path.name,
        "bytes": path.stat().st_size,
        "sha256": loaded.sha256,
    }
    assert card["shippable"]
    assert card["learned_from"]["photographs"] == 0
    # Held-out scores of the very file, each above the floor beside it.
    assert {"wilds", "rooms"} <= set(card["scores"])
    assert all(numbers["miou"] > numbers["disc"] for numbers in card["scores"].values())


def test_editions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("aims.models.weights.PACKAGED", tmp_path)
    digest, fine = iter("abcd"), "sam-tiny:image_size=256,patch_size=16"
    editions = (("sam-tiny@2", "sam-tiny"), ("sam-tiny@10", "sam-tiny"), ("other@1", "sam-vit-b"))
    for folder, model in (*editions, ("sam-tiny@11", fine)):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "weights.safetensors").touch()
        card = {"model": model, "weights": {"sha256": next(digest) * 64}}
        (tmp_path / folder / "card.json").write_text(json.dumps(card))
    assert resolve_weights("sam-tiny", None) == tmp_path / "sam-tiny@10" / "weights.safetensors"
    assert resolve_weights("sam-tiny", "sam-tiny@2") == tmp_path / "sam-tiny@2" / "weights.safetensors"
    # The newest edition is of another architecture, which has to be asked for.
    assert resolve_weights(fine, None) == tmp_path / "sam-tiny@11" / "weights.safetensors"
    with pytest.raises(InputError, match="sam-tiny@11 are weights of sam-tiny:image_size=256"):
        resolve_weights("sam-tiny", "sam-tiny")
    assert find_packaged("sam-tiny@1") is None
    assert packaged_name("c" * 64) == "other@1"
    assert packaged_name("random") is None
    with pytest.raises(InputError, match="other@1 are weights of sam-vit-b, not of sam-tiny"):
        resolve_weights("sam-tiny", "other")


def test_the_first_edition_stays() -> None:
    first = find_packaged("sam-tiny@1")
    assert first is not None
    assert first.sha256 == "c3668e61e474abef2a9b8bb47673073116b6ec79b0f395cdd0557b225caec12c"


def test_a_backbone_without_weights_says_so(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("aims.models.weights.PACKAGED", cache)
    with pytest.raises(
        InputError, match=r"no pretrained weights of sam-tiny come with AIMS or can be.*--weights none"
    ):
        resolve_weights("sam-tiny", None)


def test_the_cache_is_the_users_without_a_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AIMS_CACHE", raising=False)
    assert weights_folder().name == "weights"
    assert "aims" in weights_folder().parts


@pytest.mark.parametrize("kind", ["safetensors", "zip", "legacy"])
def test_every_tensor_comes_back(kind: str, state: dict[str, torch.Tensor], tmp_path: Path) -> None:
    path = tmp_path / ("w.safetensors" if kind == "safetensors" else "w.pth")
    if kind == "safetensors":
        save_file(state, path)
    else:
        torch.save(state, path, _use_new_zipfile_serialization=kind == "zip")
    loaded = load_weights("sam-tiny", path)
    assert loaded.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert set(loaded.state) == set(state)
    assert all(torch.equal(tensor, state[name]) for name, tensor in loaded.state.items())


def test_a_truncated_authors_file_says_both_sizes(tmp_path: Path) -> None:
    path = tmp_path / "sam_vit_b_01ec64.pth"
    path.write_bytes(bytes(1234))
    with pytest.raises(
        InputError, match=r"1,234 bytes where theirs has 375,042,383.*ec2df627.*delete it .*`aims weights`"
    ):
        load_weights("sam-vit-b", path)


def test_the_authors_name_is_checked_whatever_the_backbone(
    state: dict[str, torch.Tensor], tmp_path: Path
) -> None:
    path = tmp_path / "sam_vit_b_01ec64.pth"
    torch.save(state, path)
    with pytest.raises(InputError, match=r"not the authors' sam_vit_b_01ec64\.pth"):
        load_weights("sam-tiny", path)


def test_a_pickle_that_would_run_code_is_refused(tmp_path: Path) -> None:
    witness = tmp_path / "witness"
    for name, writer in (("zip.pth", torch.save), ("plain.pth", dump)):
        writer({"weight": Malicious(witness)}, tmp_path / name)
        with pytest.raises(InputError, match=r"\.pth: refused: .*would run code"):
            load_weights("sam-tiny", tmp_path / name)
    assert not witness.exists()
    pickle.loads((tmp_path / "plain.pth").read_bytes())
    assert witness.exists(), "the file was harmless: the test shows nothing"


def dump(value: object, path: Path) -> None:
    path.write_bytes(pickle.dumps(value))


@pytest.mark.parametrize("name", ["w.pth", "w.safetensors"])
@pytest.mark.parametrize("keep", [0, 100, 100_000])
def test_a_damaged_file_is_refused(
    name: str, keep: int, state: dict[str, torch.Tensor], tmp_path: Path
) -> None:
    path = tmp_path / name
    (save_file if name.endswith("safetensors") else torch.save)(state, path)
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(InputError, match="refused: it is damaged"):
        load_weights("sam-tiny", path)


@pytest.mark.parametrize(
    "value", [torch.zeros(3), {"state": {"weight": torch.zeros(3)}}, {1: torch.zeros(3)}]
)
def test_anything_but_named_tensors_is_refused(value: object, tmp_path: Path) -> None:
    torch.save(value, tmp_path / "w.pth")
    with pytest.raises(InputError, match="not a dictionary of tensors by name"):
        load_weights("sam-tiny", tmp_path / "w.pth")


def test_tensors_that_do_not_fit_are_named(state: dict[str, torch.Tensor], tmp_path: Path) -> None:
    wrong = {**state, "image_encoder.pos_embed": torch.zeros(1), "head.weight": torch.zeros(1)}
    del wrong["mask_decoder.iou_token.weight"]
    torch.save(wrong, tmp_path / "w.pth")
    with pytest.raises(InputError) as caught:
        load_weights("sam-tiny", tmp_path / "w.pth")
    for part in (
        "1 missing (mask_decoder.iou_token.weight)",
        "1 unexpected (head.weight)",
        "1 mis-shaped (image_encoder.pos_embed is (1,), not (1, 16, 16, 192))",
    ):
        assert part in str(caught.value)


def test_a_missing_file_is_an_input_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="not readable"):
        load_weights("sam-tiny", tmp_path / "none.pth")


NAME = "image_encoder.pos_embed"
#: What a file holds in place of a tensor -> what is said of it.
UNUSABLE = {
    "sparse": (lambda tensor: tensor.to_sparse(), "refused: .*pos_embed is sparse .sparse_coo., not a dense"),
    "meta": (lambda tensor: tensor.to("meta"), "refused: .*pos_embed is a meta tensor, not a dense"),
    "integers": (lambda tensor: tensor.long(), "for sam-tiny: .*pos_embed holds int64, the model float32"),
    "truths": (lambda tensor: tensor > 0, "pos_embed holds bool, the model float32"),
    "complex": (lambda tensor: tensor.to(torch.complex64), "pos_embed holds complex64, the model float32"),
    "one NaN": (
        lambda tensor: tensor.index_put((torch.tensor([0]),) * 4, torch.tensor(float("nan"))),
        "1 of [0-9,]+ numbers of .*pos_embed are not finite",
    ),
    "infinite": (
        lambda tensor: tensor + float("inf"),
        r"([0-9,]+) of \1 numbers of .*pos_embed are not finite",
    ),
    "too large": (lambda tensor: tensor.double() + 1e300, r"([0-9,]+) of \1 numbers of .*pos_embed are not"),
}


@pytest.mark.parametrize("what", UNUSABLE)
def test_what_is_no_finite_number_is_refused_and_not_cast(
    tmp_path: Path, state: dict[str, torch.Tensor], what: str
) -> None:
    change, said = UNUSABLE[what]
    torch.save({**state, NAME: change(state[NAME])}, tmp_path / "own.pth")
    with pytest.raises(InputError, match=said):
        load_weights("sam-tiny", tmp_path / "own.pth")


def test_other_floating_point_numbers_are_taken(tmp_path: Path, state: dict[str, torch.Tensor]) -> None:
    for dtype in (torch.float16, torch.bfloat16, torch.float64):
        torch.save({name: tensor.to(dtype) for name, tensor in state.items()}, tmp_path / "own.pth")
        assert load_weights("sam-tiny", tmp_path / "own.pth").state.keys() == state.keys()


@pytest.mark.parametrize(
    "content",
    [
        *(f"{letter}ello, these are weights\n".encode() * 9 for letter in "hearjqstu(N."),
        b"<!DOCTYPE html><html>404</html>",
        b"version https://git-lfs.github.com/spec/v1\noid sha256:abc\n",
        b"",
        b"\x80\x02hello",
        b"PK\x03\x04hello",
    ],
)
def test_text_is_no_file_of_weights(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "own.pth").write_bytes(content)
    with pytest.raises(InputError, match=r"\A.*own\.pth: refused: .*\Z"):
        load_weights("sam-tiny", tmp_path / "own.pth")
