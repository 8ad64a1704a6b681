"""The experiments on pretraining: recipes are read, made in slices of time, and laid side by side."""

from __future__ import annotations

import json

import pytest
import toys  # noqa: F401  (registers sam-toy)

from aims.benchmarks.pretraining import __main__ as command
from aims.benchmarks.pretraining.recipes import read_recipes
from aims.core.errors import InputError
from aims.methods import BACKBONES
from aims.models.flops import count_flops
from aims.pretrain.settings import PretrainConfig

SMALL = """
[base]
images = 2
batch-size = 2
clicks = 2
held-out = 2
backbone = "sam-toy"
[recipes.plain]
about = "nothing"
[recipes.rounds]
about = "one more click"
rounds = 2
"""


def test_the_recipes_that_come_with_aims_can_be_planned():
    recipes = read_recipes(command._RECIPES)
    configs = [PretrainConfig(**recipe.settings) for recipe in recipes]
    assert len({*map(str, configs)}) == len(recipes) > 10
    # All see the same number of images.
    assert len({config.images for config in configs}) == 1


def test_depth_and_width_are_tried_at_equal_cost():
    recipes = read_recipes(command._RECIPES, ["deep", "wide"])
    names = ["sam-tiny", *(recipe.settings["backbone"] for recipe in recipes)]
    costs = [count_flops(BACKBONES[name].build()).forward for name in names]
    assert max(costs) < 1.15 * min(costs)


def test_from_recipes_to_a_table(tmp_path, capsys):
    recipes, out = tmp_path / "recipes.toml", tmp_path / "out"
    recipes.write_text(SMALL)
    words = ["--out", str(out), "--recipes", str(recipes), "--device", "cpu"]
    assert command.main([*words, "--only", "rounds", "--images", "4"]) == 0
    assert command.main([*words, "--images", "4"]) == 0
    printed = capsys.readouterr().out
    text = (out / "table.md").read_text()
    assert printed.endswith(text)
    cards = json.loads((out / "table.json").read_text())
    assert list(cards) == ["plain", "rounds"]
    assert cards["rounds"]["settings"]["rounds"] == 2
    assert [card["images_seen"] for card in cards.values()] == [4, 4]
    rows = [line.strip("| ").split(" | ") for line in text.splitlines() if line.startswith("|")]
    assert [row[0] for row in rows] == ["recipe", "---", "disc", "best disc", "plain", "rounds"]
    assert rows[4][2] == f"{100 * cards['plain']['scores']['wilds']['miou']:.2f}"
    assert "protocol strict-2" in text


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("images = 2", "image = 2", r"\[base\]: unknown key 'image'; did you mean 'images'"),
        ("rounds = 2", 'rounds = "2"', r"\[recipes\.rounds\]: rounds is '2', not of type int"),
        ('about = "nothing"', "", r"\[recipes\.plain\]: write about"),
        ("[base]", "[bases]", r"must hold \[base\]"),
        ("[recipes.plain]", '[recipes."../plain"]', "a name has letters"),
    ],
)
def test_mistakes_in_recipes(tmp_path, old, new, message):
    path = tmp_path / "recipes.toml"
    path.write_text(SMALL.replace(old, new))
    with pytest.raises(InputError, match=message):
        read_recipes(path)


def test_an_unknown_recipe_is_named(tmp_path):
    path = tmp_path / "recipes.toml"
    path.write_text(SMALL)
    with pytest.raises(InputError, match="did you mean 'rounds'"):
        read_recipes(path, ["round"])
