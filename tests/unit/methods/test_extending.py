"""docs/extending.md, block by block, and methods of other people's packages."""

from __future__ import annotations

import importlib
import logging
import re
import subprocess
import sys
from importlib.metadata import EntryPoint
from itertools import product
from pathlib import Path

import pytest
import torch

import aims.methods
from aims.core.errors import InputError
from aims.methods import (
    BACKBONES,
    METHODS,
    TUNINGS,
    build_model,
    count_parameters,
    describe,
    has_model,
)

PAGE = Path(__file__).parents[3] / "docs" / "extending.md"
BLOCKS = re.findall(r"```(\w+)\n(.*?)```", PAGE.read_text(), re.DOTALL)
METHOD, TUNING, BACKBONE = [text for language, text in BLOCKS if language == "python"]
(ENTRY_POINT,) = [text for language, text in BLOCKS if language == "toml"]


@pytest.fixture
def registries(monkeypatch: pytest.MonkeyPatch) -> None:
    """Takes back what a test registers."""
    for registry in (METHODS, TUNINGS, BACKBONES):
        monkeypatch.setattr(registry, "_entries", dict(registry._entries))


def import_block(text: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "example.py").write_text(text)
    monkeypatch.syspath_prepend(folder)
    monkeypatch.delitem(sys.modules, "example", raising=False)
    importlib.import_module("example")


def test_the_examples_are_short() -> None:
    assert all(len(text.splitlines()) < 40 for _, text in BLOCKS if text != BACKBONE)
    assert len(BACKBONE.splitlines()) < 60


@pytest.mark.usefixtures("registries")
def test_a_method_in_one_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import_block(METHOD, tmp_path, monkeypatch)
    model = build_model(
        method="grey",
        tuning="lora",
        backbone="sam-tiny",
        channels=2,
        weights=None,
        seed=0,
        options={"gain": "0.5"},
    )
    images = torch.randn(1, 2, 4, 4)
    expected = images.mean(1, keepdim=True) * 0.5
    torch.testing.assert_close(model.alignment(images), expected.expand(-1, 3, -1, -1))
    assert count_parameters(model).alignment == 2


@pytest.mark.usefixtures("registries")
def test_a_tuning_in_one_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import_block(TUNING, tmp_path, monkeypatch)
    model = build_model(
        method="simcmf", tuning="norms", backbone="sam-tiny", channels=1, weights=None, seed=0
    )
    counts = count_parameters(model)
    # Two norms of width 192 in each of six blocks. In the decoder norms of width 128: four in each of
    # two blocks, and the last one. Weight and bias each.
    assert counts.encoder == 6 * 2 * 2 * 192
    assert counts.decoder == (2 * 4 + 1) * 2 * 128


@pytest.mark.usefixtures("registries")
def test_a_backbone_of_another_family_in_one_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every method and tuning, in which a step lowers the loss, or the reason of the refusal."""
    import_block(BACKBONE, tmp_path, monkeypatch)
    refused = {}
    for method, tuning in product(filter(has_model, METHODS), [*TUNINGS, "none"]):
        arguments = {"method": method, "tuning": tuning, "backbone": "click-net", "channels": 4}
        try:
            model = build_model(**arguments, weights=None, seed=0)
        except InputError as error:
            if "does not go with" not in str(error):
                refused[method, tuning] = str(error)
            continue
        described = describe(**arguments)
        assert described.parameters.trainable == count_parameters(model).trainable
        assert described.flops.forward > 0
        images = torch.randn(2, 4, 128, 128, generator=torch.Generator().manual_seed(0))
        points, labels = torch.full((4, 1, 2), 64.0), torch.ones(4, 1, dtype=torch.int64)
        boxes, masks = torch.tensor([[9.0, 9, 99, 99]]).expand(4, 4), torch.zeros(4, 1, 32, 32)
        model.decode(model.embed(images), points, labels, boxes, masks)
        losses = []
        optimizer = torch.optim.SGD(model.parameters(), lr=1e-3)
        for _ in range(2):
            logits, _ = model.decode(model.embed(images), points, labels)
            losses.append(logits.square().mean())
            if described.parameters.trainable:
                optimizer.zero_grad()
                losses[-1].backward()
                optimizer.step()
        assert losses[1] < losses[0] or not described.parameters.trainable
    reasons = {
        "lora": "has no attention",
        "prompt": "has no attention",
        "prefix": "has no attention",
        "adapter": "has no MLP",
        "simcmf-released": "no patch embedding of one convolution",
        "vipt": "fused between blocks of one width",
        "cmx": "fused between blocks of one width",
    }
    assert {method for method, _ in refused if method in reasons} == {"simcmf-released", "vipt", "cmx"}
    for (method, tuning), message in refused.items():
        assert (reasons.get(method) or reasons[tuning]) in message


def test_a_package_of_ones_own_is_found(tmp_path: Path) -> None:
    """In a process of its own, with the metadata that an installation would write."""
    package = tmp_path / "my_package"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "grey.py").write_text(METHOD)
    metadata = tmp_path / "my_package-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: my-package\nVersion: 1.0\n")
    section = ENTRY_POINT.replace('[project.entry-points."aims.methods"]', "[aims.methods]").replace('"', "")
    (metadata / "entry_points.txt").write_text(section)
    script = "from aims.methods import METHODS; print(METHODS['grey'].__doc__)"
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert done.stdout == "A learned weighted mean of all channels goes into frozen SAM as a grey picture.\n"


def test_a_broken_package_is_named_and_left_out(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    broken = EntryPoint(name="x", value="a_package_that_is_not_there.method", group="aims.methods")
    monkeypatch.setattr("importlib.metadata.entry_points", lambda group: [broken])
    with caplog.at_level(logging.WARNING):
        importlib.reload(aims.methods)
    assert "a_package_that_is_not_there.method of the entry-point group aims.methods" in caplog.text
    assert "simcmf" in aims.methods.METHODS
