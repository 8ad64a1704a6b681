"""A converted dataset for one's own program: images by number, a table of instances, torch items."""

from __future__ import annotations

import operator
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypedDict

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset as TorchDataset

from aims.core.errors import InputError, unknown_name
from aims.core.vocabulary import DEFAULT_PROTOCOL, find_protocol
from aims.data.manifest import Counts
from aims.data.modalities import choose_dataset
from aims.data.read import Dataset, Image
from aims.data.refs import ImageRef
from aims.engine.inputs import survey
from aims.engine.samples import EvaluationSet, Source, split_images

if TYPE_CHECKING:
    import pandas as pd


class Sample(TypedDict):
    """An image with the instances and clicks of a protocol.

    Attributes:
        image_id: name of the image.
        image: normalised channels; 0 where nothing was measured.
        valid: where something was measured.
        instances: instance map at the image's own size; 0 = nothing.
        ids: ids of the instances that count under the protocol, ascending.
        class_ids: their classes.
        clicks: their clicks, (x, y) in pixels of the image.
    """

    image_id: str
    image: Float[Tensor, "channels height width"]
    valid: Bool[Tensor, "channels height width"]
    instances: Int[Tensor, "height width"]
    ids: Int[Tensor, " instances"]
    class_ids: Int[Tensor, " instances"]
    clicks: Float[Tensor, "instances 2"]


class OpenedDataset(Dataset):
    """A converted dataset, as `aims.open` returns it.

    `len(dataset)` and `dataset[i]` count the images of all splits, in the order of the files; `dataset[i]`
    has all streams and, where the dataset has it, "rgb".
    """

    @property
    def splits(self) -> Mapping[str, Counts]:
        """Numbers of images and instances by split."""
        return self.manifest.splits

    def __len__(self) -> int:
        return len(self.refs)

    def __getitem__(self, index: int) -> Image:
        return self.read(self.refs[operator.index(index)], tuple(self.stored_streams))

    @property
    def stored_streams(self) -> list[str]:
        """The streams that are stored, and "rgb" where the dataset has it."""
        return [*(["rgb"] if self.spec.has_rgb else []), *self.spec.streams]

    def to_pandas(self) -> pd.DataFrame:
        """Returns one row an instance: image, split, group, class, area, bounding box, clicks.

        Columns are `image_id`, `split`, `group`, `id`, `class_id`, `class`, `area`, `x`, `y`, `width`,
        `height` (bounding box in pixels), `click_x` and `click_y` (the click of `strict`, in pixels).
        """
        import pandas as pd

        rows = []
        columns = ("image_id", "group", "height", "width", "objects")
        for file, entry in self.manifest.files.items():
            for _, _, row in self.rows(file, columns):
                for thing in row["objects"]:
                    x, y, width, height = thing["bbox"]
                    click_x, click_y = thing["click_strict"]
                    rows.append(
                        {
                            "image_id": row["image_id"],
                            "split": entry.split,
                            "group": row["group"],
                            "id": thing["id"],
                            "class_id": thing["class_id"],
                            "class": self.spec.classes[thing["class_id"] - 1],
                            "area": thing["area"],
                            "x": x,
                            "y": y,
                            "width": width,
                            "height": height,
                            "click_x": click_x,
                            "click_y": click_y,
                        }
                    )
        return pd.DataFrame(rows)

    def to_torch(
        self, split: str, protocol: str = DEFAULT_PROTOCOL, *, modality: str | None = None, seed: int = 0
    ) -> TorchImages:
        """Returns the images of a split for one's own training loop.

        Mean and standard deviation are those of the training part, which is read once for them. Where the
        dataset has no `val` split, train and val are the parts that `aims run` with this seed makes.

        Args:
            split: "train", "val" or "test".
            protocol: rules of scaling, sizes and clicks.
            modality: as in `aims run`; None for the dataset's only stream.
            seed: seed of the held-out validation part.

        Raises:
            InputError: the split or the modality is unknown, or there are several streams to choose from.
        """
        rules = find_protocol(protocol)
        if modality is None:
            modality = _only_stream(self)
        dataset, chosen = choose_dataset([self], modality, rules)
        parts = split_images(dataset, rules, seed, None)
        if split not in parts:
            raise unknown_name("split", split, parts, where=str(self.folder))
        surveyed = survey(dataset, chosen, parts["train"], rules, shuffle_seed=None)
        source = Source(
            dataset=dataset,
            modality=chosen,
            protocol=rules,
            preprocessing=surveyed.preprocessing,
            input_size=1,
        )
        return TorchImages(source, parts[split])


@dataclass(frozen=True)
class TorchImages(TorchDataset[Sample]):
    """The images of one split; they keep their own size, so that batches of several need a `collate_fn`."""

    source: Source
    refs: tuple[ImageRef, ...]

    def __len__(self) -> int:
        return len(self.refs)

    def __getitem__(self, index: int) -> Sample:
        item = EvaluationSet(self.source, self.refs)[index]
        statistics = self.source.preprocessing
        mean, std = (
            torch.tensor(values, dtype=torch.float64) for values in (statistics.mean, statistics.std)
        )
        image = torch.where(item.image.valid, (item.image.values.double() - mean) / std, 0.0).float()
        return {
            "image_id": item.ref.image_id,
            "image": image.permute(2, 0, 1).contiguous(),
            "valid": item.image.valid.permute(2, 0, 1).contiguous(),
            "instances": torch.from_numpy(item.native.astype(np.int64)),
            "ids": torch.from_numpy(item.ids),
            "class_ids": torch.tensor(item.class_ids),
            "clicks": _in_pixels(item.clicks, item.click_size, item.native.shape),
        }


def _in_pixels(clicks: NDArray[np.int64], grid: tuple[int, int], size: tuple[int, ...]) -> Tensor:
    scale = np.array([size[1] / grid[1], size[0] / grid[0]])
    return torch.from_numpy((clicks + 0.5) * scale - 0.5).float()


def _only_stream(dataset: Dataset) -> str:
    streams = list(dataset.spec.streams)
    if len(streams) != 1:
        raise InputError(f"{dataset.folder}: has the streams {', '.join(streams)}; choose with modality=")
    return streams[0]
