"""`aims info` as a user has it."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from pathlib import Path

import pytest
import toys  # noqa: F401  (registers sam-toy)
from hf_models import make_model, save_model
from rich.console import Console

from aims.cli._count_tables import as_renderables, count_tables
from aims.cli._counts import count_all
from aims.core.vocabulary import MODALITIES
from aims.methods import METHODS, TUNINGS

ROOT = Path(__file__).parents[2]
TOY = ("--backbone", "sam-toy")


def described(aims, *args):
    code, out, err = aims("info", *args, "--json")
    assert (code, err) == (0, "")
    return json.loads(out)


@pytest.fixture(scope="module")
def everything():
    """What --all counts on ViT-B; counted once, the command finds it counted."""
    return count_all("sam-vit-b")


def test_json_of_one_method(aims):
    found = described(aims, "--method", "simcmf", "--tuning", "lora", "--modality", "polarization")
    forward = found["flops"].pop("forward")
    assert found == {
        "method": "simcmf",
        "tuning": "lora",
        "modality": "polarization",
        "channels": 9,
        "backbone": "sam-vit-b",
        "options": {"kernel": 3, "width": 64, "depth": 2, "rank": 100},
        "parameters": {
            # SAM ViT-B and what is put in.
            "total": 93_735_472 + 4_280_643,
            "trainable": {"alignment": 5_443, "encoder": 3_686_400, "decoder": 588_800, "total": 4_280_643},
        },
        # Every pixel: 9 x 3 x 3 x 64 and 64 x 3 multiplications, each with its addition.
        "flops": {"alignment": 2 * 1024**2 * (9 * 9 * 64 + 64 * 3)},
        "image_size": 1024,
        "mask_size": 256,
    }
    # SAM ViT-B's encoder at 1024 x 1024 is near a tera-operation (its authors: 486 G multiply-adds).
    assert 0.95e12 < forward < 1.05e12


def test_on_the_terminal(aims):
    code, out, err = aims("info", "--method", "simcmf", "--modality", "nir", "--tuning", "lora", *TOY)
    assert (code, err) == (0, "")
    assert out.startswith(
        "simcmf x lora on sam-toy, nir (1 channel)\nkernel 3, width 64, depth 2, rank 100\n"
    )
    lines = [line.split() for line in out.splitlines()]
    assert ["alignment", "835"] in lines
    assert max(map(len, out.splitlines())) <= 80
    # Two blocks, queries and values, A and B: 24 x 100 each.
    assert ["encoder", f"{2 * 2 * 2 * 24 * 100:,}"] in lines


def test_the_tuning_is_the_methods_own_by_default(aims):
    expected = {"simcmf": "lora", "scratch": "full", "zero-shot": "none", "vipt": "prompt"}
    found = {
        method: described(aims, "--method", method, "--channels", 4, *TOY)["tuning"] for method in expected
    }
    assert found == expected


def test_options_of_methods_and_tunings(aims):
    found = described(aims, "--method", "simcmf", "--channels", 2, "--kernel", 5, "--rank=4", *TOY)
    assert found["options"] == {"kernel": 5, "width": 64, "depth": 2, "rank": 4}
    # 5 x 5 x 2 x 64 + 64 and 64 x 3 + 3.
    assert found["parameters"]["trainable"]["alignment"] == 3_459
    found = described(aims, "--method", "transformer", "--modality", "depth", "--patch-size", 8, *TOY)
    assert found["options"]["patch_size"] == 8


@pytest.mark.parametrize("modality", MODALITIES)
def test_a_modality_brings_its_channels(aims, modality):
    found = described(aims, "--method", "simcmf", "--modality", modality, *TOY)
    assert (found["modality"], found["channels"]) == (modality, MODALITIES[modality].channels)
    # 3 x 3 x 64 C + 64 and 64 x 3 + 3.
    assert found["parameters"]["trainable"]["alignment"] == 576 * found["channels"] + 259


def test_a_stream_of_ones_own_set_and_channels_alone(aims):
    own = described(aims, "--method", "simcmf", "--modality", "radar", "--channels", 2, *TOY)
    assert (own["modality"], own["channels"]) == ("radar", 2)
    alone = described(aims, "--method", "simcmf", "--channels", 2, *TOY)
    assert alone["modality"] is None
    assert alone["parameters"] == own["parameters"]
    agreeing = described(aims, "--method", "simcmf", "--modality", "nir", "--channels", 1, *TOY)
    assert agreeing["channels"] == 1


def test_methods_that_know_rgb_take_it_from_the_front(aims):
    for images in (("--channels", 4), ("--modality", "rgb-radar", "--channels", 4)):
        assert described(aims, "--method", "vipt", *images, *TOY)["channels"] == 4
    code, _, err = aims("info", "--method", "vipt", "--channels", 3, *TOY)
    assert code == 2
    assert "'vipt' does not go with modality '3 channels'" in err


@pytest.mark.parametrize(
    ("args", "message"),
    [
        ((), "give --modality (thermal, "),
        (("--method", "simcmf"), "or --channels N"),
        (("--channels", "4"), "give --method (channel-batch, "),
        (("--method", "simcfm", "--channels", "4"), "did you mean 'simcmf'"),
        (("--method", "simcmf", "--tuning", "lorra", "--channels", "4"), "did you mean 'lora'"),
        (("--method", "simcmf", "--modality", "polarisation"), "did you mean 'polarization'"),
        (("--method", "simcmf", "--modality", "radar"), "of your own set, say how many channels it has"),
        (("--method", "simcmf", "--modality", "nir", "--channels", "3"), "leave --channels 3 out"),
        (("--method", "simcmf", "--channels", "4", "--backbone", "sam-vit-d"), "unknown backbone"),
        (("--method", "simcmf", "--channels", "0"), "x>=1"),
        (("--method", "simcmf", "--channels", "four"), "not a valid integer"),
        (("--method", "simcmf", "--channels", "4", "--kernal", "5"), "--kernel"),
        (("--method", "simcmf", "--channels", "4", "--kernel"), "--kernel needs a value"),
        (("--method", "simcmf", "--channels", "4", "--kernel", "4", *TOY), "must be odd"),
        (("--method", "linear", "--channels", "4", "--kernel", "3"), "unknown option 'kernel'"),
        (("--method", "simcmf", "--channels", "4", "--rank", "0", *TOY), "--rank must be at least 1"),
        (("--method", "simcmf", "--channels", str(10**20)), "is it a slip?"),
        (("--method", "scratch", "--tuning", "lora", "--channels", "4"), "'scratch' does not go with tuning"),
        (("--method", "zero-shot", "--tuning", "full", "--channels", "4"), "it trains nothing"),
        (("--method", "simcmf", "--tuning", "none", "--channels", "4"), "it has to be tuned"),
        (("--method", "vipt", "--modality", "depth"), "'vipt' does not go with modality 'depth'"),
        (("--markdown", "--method", "simcmf", "--channels", "4"), "--markdown prints the tables of --all"),
        (("--markdown", "--all", "--json"), "without --json"),
        (("--all", "--method", "simcmf"), "leave --method out"),
        (("--all", "--rank", "4"), "leave --rank out"),
        (("--all", "--backbone", "sam-vitb"), "did you mean 'sam-vit-b'"),
    ],
)
def test_mistakes_get_one_line_and_exit_code_2(aims, args, message):
    code, out, err = aims("info", *args)
    assert code == 2
    assert out == ""
    assert message in err
    assert err.count("\n") == 1


@pytest.mark.thorough
def test_all_lists_every_entry(everything):
    assert [entry["name"] for entry in everything["methods"]] == list(METHODS)
    assert [entry["name"] for entry in everything["tunings"]] == list(TUNINGS)
    assert all(entry["summary"] for entry in (*everything["methods"], *everything["tunings"]))


@pytest.mark.thorough
def test_all_regenerates_table_4(everything):
    found = {entry["name"]: entry for entry in everything["tunings"]}
    assert {name: found[name]["total"] for name in found} == {
        "adapter": 3_903_728,
        # All 93,735,472 but the prompt encoder.
        "full": 93_735_472 - 6_220,
        "linear-probe": 3_736_320,
        "lora": 4_275_200,
        "prefix": 4_403_200,
        "prompt": 4_403_200,
    }
    printed = {name: found[name]["published_millions"] for name in found}
    assert printed == {
        "adapter": 3.9,
        "full": 93.7,
        "linear-probe": None,
        "lora": 4.3,
        "prefix": None,
        "prompt": 4.4,
    }
    assert all(
        round(found[name]["total"] / 1e6, 1) == millions for name, millions in printed.items() if millions
    )
    assert found["full"]["frozen"] == 6_220
    assert found["lora"]["options"] == {"rank": 100}


@pytest.mark.thorough
def test_all_has_figure_6s_depths(everything):
    assert [(row["depth"], row["alignment"]) for row in everything["depths"]] == [
        (1, 30),
        (2, 5_443),
        (3, 42_371),
        (4, 79_299),
        (5, 116_227),
    ]
    # Printed in thousands, the third one cut off.
    assert all(abs(row["alignment"] / 1e3 - row["published_thousands"]) < 0.1 for row in everything["depths"])


@pytest.mark.thorough
def test_all_compares_operations_with_simcmf(everything):
    found = {entry["name"]: entry for entry in everything["methods"]}
    assert found["simcmf"]["ratio"] == {"same": 1.0, "one_channel": 1.0}
    assert 8 <= found["channel-batch"]["ratio"]["same"] <= 9.5
    assert 0.9 <= found["channel-batch"]["ratio"]["one_channel"] <= 1.1
    assert found["vipt"]["modality"] == "rgb-hha"
    assert found["vipt"]["ratio"]["one_channel"] is None
    assert found["vipt"]["alignment"]["9"] is None
    assert found["simcmf"]["alignment"] == {"1": 835, "3": 1_987, "4": 2_563, "6": 3_715, "9": 5_443}


@pytest.mark.thorough
def test_all_as_json(aims, everything):
    assert described(aims, "--all") == everything


@pytest.mark.thorough
def test_all_fits_a_terminal_of_80_columns(everything):
    console = Console(width=80, file=io.StringIO(), highlight=False)
    for part in as_renderables(count_tables(everything)):
        console.print(part)
    lines = console.file.getvalue().splitlines()
    assert max(map(len, lines)) <= 80
    assert not any("…" in line for line in lines)
    starts = {line.split(" ")[0] for line in lines}
    assert starts >= {*METHODS, *TUNINGS}


def test_without_the_papers_backbone_nothing_stands_beside(aims, monkeypatch):
    monkeypatch.setattr("aims.cli._counts.METHODS", {"simcmf": METHODS["simcmf"]})
    code, out, _ = aims("info", "--all", "--markdown", *TOY)
    assert code == 0
    rows = [line for line in out.splitlines() if line.startswith("| lora |")]
    assert rows[-1].endswith("| – |")
    assert "The paper's 93.7" not in out


@pytest.mark.thorough
def test_the_documentation_shows_what_the_command_prints(aims, everything):
    code, out, _ = aims("info", "--all", "--markdown")
    assert code == 0
    text = (ROOT / "docs" / "methods.md").read_text("utf-8")
    shown = text.partition("<!-- counts -->\n")[2].partition("<!-- /counts -->")[0]
    assert shown.strip() == out.strip(), "put the output of `aims info --all --markdown` between the markers"


SCRIPT = """
import sys
from aims.cli import main
try:
    main(sys.argv[1:])
except SystemExit as stop:
    code = stop.code
print(code, *(name for name in sys.modules))
"""


def loaded(*args):
    command = (sys.executable, "-c", SCRIPT, "info", *args)
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT)
    code, *modules = done.stdout.splitlines()[-1].split()
    return int(code), set(modules)


@pytest.mark.thorough
def test_nothing_heavy_is_imported():
    code, modules = loaded("--method", "simcmf", "--modality", "nir", *("--backbone", "sam-tiny"))
    assert code == 0
    assert "torch" in modules
    assert modules.isdisjoint({"pandas", "datasets", "matplotlib", "pyarrow", "cv2", "scipy"})


def test_a_missing_modality_is_told_before_torch_is_imported():
    code, modules = loaded("--method", "simcmf")
    assert code == 2
    assert "torch" not in modules


@pytest.mark.thorough
def test_methods_that_a_backbone_refuses_have_no_counts(aims, tmp_path):
    backbone = save_model(tmp_path / "sam2", make_model("sam2"))
    code, out, _ = aims("info", "--all", "--json", "--backbone", backbone)
    assert code == 0
    content = json.loads(out)
    missing = {entry["name"] for entry in content["methods"] if entry["parameters"] is None}
    assert missing == {"vipt", "cmx"}
    assert {entry["name"] for entry in content["tunings"]} == set(TUNINGS)
