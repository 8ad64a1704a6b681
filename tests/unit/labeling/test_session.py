"""Clicks, boxes, undo, saved objects and pictures, without a page."""

from __future__ import annotations

import copy
from dataclasses import replace

import numpy as np
import pytest
from refusals import refused

import aims
from aims.core.errors import AimsError, InputError
from aims.labeling.folder import LabelFolder
from aims.labeling.session import Asked, Session
from aims.prediction.sources import Source, find_sources


@pytest.fixture
def session(model, made_up, tmp_path):
    sources = find_sources([made_up.folder], model.rules, split="test")
    return Session([model], sources, LabelFolder(tmp_path / "labels", model.rules.streams))


def test_an_answer_is_the_model_s(session, model, made_up):
    session.click(20, 10)
    session.click(5, 5, 0)
    image = next(image for image in aims.open(made_up.folder) if session.name.endswith(image.image_id))
    expected = model.predict(image, points=[[[20, 10], [5, 5]]], labels=[[1, 0]])
    (answer,) = session.answers
    assert np.array_equal(answer.instances.masks, expected.masks)
    assert answer.score == expected.scores[0]
    assert answer.area == expected.masks.sum()


def test_every_step_has_a_way_back(session):
    states = [session.asked]
    session.click(20, 10)
    states.append(session.asked)
    session.drag((2, 3, 30, 20))
    states.append(session.asked)
    saved = session.save("box")
    assert [each.number for each in session.objects] == [saved.number]
    assert session.asked == Asked()
    session.click(7, 7, 0)
    session.clear()
    session.clear()
    assert session.asked == Asked()
    session.undo()
    assert session.asked == Asked(points=((7, 7),), labels=(0,))
    session.undo()
    assert len(session.objects) == 1
    for state in reversed(states):
        session.undo()
        assert session.asked == state
    assert not session.objects
    session.undo()
    assert session.asked == Asked()


def test_what_is_saved_is_the_mask(session):
    session.drag((2, 3, 40, 30))
    mask = session.answers[0].instances.masks[0]
    saved = session.save("  box ")
    assert saved.class_name == "box"
    assert np.array_equal(session.labels.mask(saved), mask)
    with refused(InputError, "nothing to save"):
        session.save("box")


def test_a_person_goes_on_at_the_first_picture_without_objects(session, model):
    session.drag((2, 3, 40, 30))
    session.save("box")
    again = Session([model], session.sources, LabelFolder(session.labels.path, model.rules.streams))
    assert again.index == 1
    again.move(-1)
    again.remove(again.objects[0].number)
    assert not again.objects


def test_moving_leaves_out_what_cannot_be_read(session, model, tmp_path):
    broken = Source(name="broken", file="broken.png", recording=tmp_path / "broken.png")
    first, second, *_ = session.sources
    moving = Session([model], [broken, first, broken, second, broken][1:4], session.labels)
    moving.move(1)
    assert moving.name == second.name
    ends = Session(
        [model], [Source(name="b", file="b.png", recording=tmp_path / "b.png"), first], session.labels
    )
    with refused(AimsError, "b.png"):
        ends.open(0)
    ends.move(1)
    assert ends.name == first.name
    with refused(AimsError, "b.png"):
        ends.move(-1)
    assert ends.name == first.name
    ends.move(1)
    assert ends.name == first.name


def test_wrong_places_and_pictures_change_nothing(session):
    session.click(20, 10)
    before = session.asked, session.answers
    with refused(InputError, "outside the picture"):
        session.click(1000, 10)
    with refused(InputError, "picture 100"):
        session.open(99)
    assert (session.asked, session.answers) == before


def test_two_models_answer_the_same_clicks(session, model):
    both = Session([model, model], session.sources, session.labels)
    both.click(20, 10)
    first, second = both.answers
    assert np.array_equal(first.instances.masks, second.instances.masks)
    both.save("box", model=1)
    assert len(both.objects) == 1


def test_models_of_other_sensors_do_not_stand_side_by_side(session, model):
    other = copy.copy(model)
    other.rules = replace(model.rules, streams={"echo": replace(model.rules.streams["signal"], channels=2)})
    with refused(InputError, "sees signal", "sees echo", "side by side"):
        Session([model, other], session.sources, session.labels)


def test_names_that_would_be_one_are_refused(session, model):
    first = session.sources[0]
    twice = [first, Source(name=first.name.replace("/", "--"), file="x", recording=None)]
    with refused(InputError, "two pictures", first.name.replace("/", "--")):
        Session([model], twice, session.labels)


def test_a_picture_of_a_known_name_must_be_the_same(session, model, made_up, tmp_path):
    session.drag((2, 3, 40, 30))
    session.save("box")
    first, other = session.sources[0], session.sources[1]
    renamed = replace(other, name=first.name)
    again = Session([model], [renamed], LabelFolder(session.labels.path, model.rules.streams))
    with refused(InputError, "another picture of this name"):
        again.open(0)
    assert again.labels.count() == (1, 1)


def test_saved_masks_are_those_that_are_drawn(session, model):
    session.drag((2, 3, 40, 30))
    session.save("box")
    session.drag((10, 3, 50, 20))
    session.save("can")
    kept = session.masks
    assert [each.class_name for each in session.objects] == ["box", "can"]
    again = Session([model], session.sources, LabelFolder(session.labels.path, model.rules.streams))
    again.open(session.index)
    assert all(np.array_equal(one, two) for one, two in zip(kept, again.masks, strict=True))
    session.undo()
    assert np.array_equal(session.masks[0], kept[0])
    assert len(session.masks) == 1
    again.remove(1)
    assert np.array_equal(again.masks[0], kept[1])
    assert len(again.masks) == 1
