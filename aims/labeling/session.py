"""What happens between a person and the models: pictures, prompts, answers, saved objects, undo."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType

from aims.core.errors import AimsError, InputError
from aims.core.schema import Array, few
from aims.labeling.folder import LabeledObject, LabelFolder, image_id
from aims.prediction.instances import Instances, Mask
from aims.prediction.model import Embedding, Model
from aims.prediction.prompt_files import Prompt, answer
from aims.prediction.sources import Source

Point = tuple[float, float]
Box = tuple[float, float, float, float]
_SHOWN = 3


@dataclass(frozen=True)
class Asked:
    """The prompts of the object that is being clicked, in pixels of the picture.

    Attributes:
        points: clicks (x, y).
        labels: 1 for a click on the object, 0 for one beside it.
        box: left, top, right, bottom; None for none.
    """

    points: tuple[Point, ...] = ()
    labels: tuple[int, ...] = ()
    box: Box | None = None

    def __bool__(self) -> bool:
        return bool(self.points) or self.box is not None

    def prompt(self) -> Prompt:
        """Returns them as the prompt of one object."""
        return Prompt(points=[*self.points], labels=[*self.labels], box=self.box)


@dataclass(frozen=True)
class Answer:
    """A model's answer to the prompts.

    Attributes:
        instances: the one object; None without prompts.
        seconds: time that it took, without the encoding of the picture.
    """

    instances: Instances | None = None
    seconds: float = 0.0

    @property
    def area(self) -> int:
        """Pixels of the mask."""
        return 0 if self.instances is None else int(self.instances.areas[0])

    @property
    def score(self) -> float:
        """The IoU that the model predicts for the mask, 0..1."""
        return 0.0 if self.instances is None else float(self.instances.scores[0])


@dataclass(frozen=True)
class _Step:
    """One step of a person on a picture: what was asked before it, and what it saved."""

    before: Asked
    saved: LabeledObject | None = None


@dataclass
class _Opened:
    """The picture that is open."""

    index: int
    arrays: dict[str, Array]
    embeddings: list[Embedding]
    asked: Asked = Asked()
    # Masks of the saved objects by number: they are drawn after every click.
    masks: dict[int, Mask] = field(default_factory=dict)
    answers: list[Answer] = field(default_factory=list)
    steps: list[_Step] = field(default_factory=list)


class Session:
    """One person who labels pictures with the help of one or several models.

    All methods may be called from several threads; they take their turns.

    Args:
        models: the models, which answer the same prompts. They see the same streams.
        sources: the pictures.
        labels: where objects are saved.
        channels: channels of the files to take, counted from 0; None for all.
        variables: by stream, the array to take of files that hold arrays by name.

    Raises:
        InputError: the models see different streams, or two pictures would have one name in `labels`.
    """

    def __init__(
        self,
        models: Sequence[Model],
        sources: Sequence[Source],
        labels: LabelFolder,
        channels: Sequence[int] | None = None,
        variables: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        first = models[0].rules.streams
        for model in models[1:]:
            if dict(model.rules.streams) != dict(first):
                raise InputError(
                    f"{models[0].name} sees {', '.join(first)} and {model.name} sees "
                    f"{', '.join(model.rules.streams)}, or other units; side by side they need the same"
                )
        names = Counter(image_id(source.name) for source in sources)
        if doubled := [name for name, count in names.items() if count > 1]:
            raise InputError(
                f"two pictures would both be saved as {few(doubled[:_SHOWN], len(doubled))}; rename a file"
            )
        self.models = tuple(models)
        self.sources = tuple(sources)
        self.labels = labels
        self._channels = channels
        self._variables = variables
        self._lock = threading.RLock()
        self._opened: _Opened | None = None
        self._next = self._first_unlabeled()

    @property
    def index(self) -> int:
        """Place of the picture that is open, or will be."""
        return self._next if self._opened is None else self._opened.index

    @property
    def name(self) -> str:
        """Name of the picture."""
        return self.sources[self.index].name

    @property
    def arrays(self) -> Mapping[str, Array]:
        """(height, width, channels) streams of the picture."""
        return self._picture().arrays

    @property
    def asked(self) -> Asked:
        """The prompts of the object that is being clicked."""
        return self._picture().asked

    @property
    def answers(self) -> Sequence[Answer]:
        """An answer of each model."""
        return tuple(self._picture().answers)

    @property
    def objects(self) -> Sequence[LabeledObject]:
        """The objects of the picture that are saved."""
        return self.labels.objects(self.name)

    @property
    def masks(self) -> Sequence[Mask]:
        """(height, width) masks of these objects."""
        return tuple(self._picture().masks.values())

    def open(self, index: int) -> None:
        """Opens a picture and encodes it by every model.

        Raises:
            InputError: there is no such picture.
            AimsError: it cannot be read; the one that was open stays open.
        """
        with self._lock:
            if not 0 <= index < len(self.sources):
                raise InputError(f"picture {index + 1}: there are {len(self.sources)}")
            source = self.sources[index]
            arrays = source.read(self.models[0].rules, self._channels, self._variables)
            self.labels.require_same(source.name, arrays)
            masks = {each.number: self.labels.mask(each) for each in self.labels.objects(source.name)}
            embeddings = [model.embed_arrays(arrays) for model in self.models]
            self._opened = _Opened(index, arrays, embeddings, masks=masks)
            self._ask(Asked())

    def move(self, by: int) -> None:
        """Opens the next readable picture in a direction, or stays where there is none.

        Raises:
            AimsError: no picture in this direction can be read.
        """
        with self._lock:
            step, error = (1 if by > 0 else -1), None
            index = self.index + step
            while 0 <= index < len(self.sources):
                try:
                    self.open(index)
                    return
                except AimsError as found:
                    error, index = found, index + step
            if error is not None:
                raise error
            self._picture()

    def click(self, x: float, y: float, label: int = 1) -> None:
        """Adds a click on the object (1) or beside it (0).

        Raises:
            InputError: it lies outside of the picture.
        """
        with self._lock:
            asked = self._picture().asked
            self._step(replace(asked, points=(*asked.points, (x, y)), labels=(*asked.labels, label)))

    def drag(self, box: Box) -> None:
        """Sets the box of the object: left, top, right, bottom.

        Raises:
            InputError: it lies outside of the picture.
        """
        with self._lock:
            self._step(replace(self._picture().asked, box=box))

    def clear(self) -> None:
        """Forgets all prompts of the object."""
        with self._lock:
            if self._picture().asked:
                self._step(Asked())

    def save(self, class_name: str, model: int = 0) -> LabeledObject:
        """Saves a model's answer as an object of the picture, and begins the next object.

        Raises:
            InputError: nothing was clicked, the mask is empty, or the class has a name that is not allowed.
        """
        with self._lock:
            opened = self._picture()
            found = opened.answers[model].instances
            if found is None:
                raise InputError("nothing to save: click on an object first")
            mask, prompt = found.masks[0], opened.asked.prompt()
            saved = self.labels.add(self.name, opened.arrays, mask, class_name.strip(), prompt)
            opened.masks[saved.number] = mask
            opened.steps.append(_Step(opened.asked, saved))
            self._ask(Asked())
            return saved

    def remove(self, number: int) -> None:
        """Removes a saved object of the picture; the way back ends here.

        Raises:
            InputError: there is no such object.
        """
        with self._lock:
            self._remove(number)
            self._picture().steps.clear()

    def undo(self) -> None:
        """Takes the last click, box or save back; nothing happens where there is none."""
        with self._lock:
            opened = self._picture()
            if not opened.steps:
                return
            step = opened.steps.pop()
            if step.saved is not None:
                self._remove(step.saved.number)
            self._ask(step.before)

    def _remove(self, number: int) -> None:
        self.labels.remove(self.name, number)
        del self._picture().masks[number]

    def _step(self, asked: Asked) -> None:
        before = self._picture().asked
        self._ask(asked)
        self._picture().steps.append(_Step(before))

    def _ask(self, asked: Asked) -> None:
        opened = self._picture()
        answers = []
        for model, embedding in zip(self.models, opened.embeddings, strict=True):
            start = time.perf_counter()
            found = answer(model, embedding, [asked.prompt()]) if asked else None
            answers.append(Answer(found, time.perf_counter() - start))
        opened.asked, opened.answers = asked, answers

    def _picture(self) -> _Opened:
        with self._lock:
            if self._opened is None:
                self.open(self._next)
            assert self._opened is not None
            return self._opened

    def _first_unlabeled(self) -> int:
        """Returns where a person goes on: at the first picture without objects, else at the first of all."""
        for index, source in enumerate(self.sources):
            if not self.labels.objects(source.name):
                return index
        return 0
