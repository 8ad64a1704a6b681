"""From a recording to the channels that a model was trained on, checked on the way."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from aims.core.errors import InputError, unknown_name
from aims.core.records import Preprocessing
from aims.core.schema import Array, StreamSpec
from aims.core.vocabulary import Protocol
from aims.data.format import decode_rgb
from aims.data.read import Image
from aims.engine.inputs import Channels, to_input
from aims.reading.pictures import ARCHIVE_SUFFIXES, check_measured, load_picture, load_rgb
from aims.sensors.derived import POLARIZERS, derive, derived_streams

log = logging.getLogger(__name__)

#: A recording of one stream, as an array (height, width) or (height, width, channels) or as a file; of
#: several, by stream; or an image of a dataset.
Recording = ArrayLike | Path | str | Image | Mapping[str, ArrayLike | Path | str]

RGB = "rgb"
#: Least share of the measured values that must lie within the stream's valid range.
_WITHIN = 0.5
#: Share of the valid range below which all values of another scale lie: 255 of 65,535, 1 of 255.
_LOWEST = 1 / 200


@dataclass(frozen=True, kw_only=True)
class InputRules:
    """How recordings become inputs of a model: the rules of its training.

    Attributes:
        modality: name of the modality.
        streams: descriptions of the streams by name, in stacking order.
        preprocessing: mean, standard deviation and order of the channels.
        protocol: rules of scaling.
        size: side of the square model input, in pixels.
    """

    modality: str
    streams: Mapping[str, StreamSpec]
    preprocessing: Preprocessing
    protocol: Protocol
    size: int

    @property
    def sources(self) -> frozenset[str]:
        """The streams that recordings may have: the model's, and those from which its can be derived."""
        one = StreamSpec(channels=1, unit="")
        derivable = set(self.streams) <= set(derived_streams(dict.fromkeys(POLARIZERS, one)))
        return frozenset({*self.streams, *(POLARIZERS if derivable else ())})

    def read(
        self,
        recording: Recording,
        *,
        channels: Sequence[int] | None = None,
        variables: Mapping[str, str] = MappingProxyType({}),
    ) -> dict[str, Array]:
        """Reads a recording and checks that it is one of the model's sensor.

        Args:
            recording: arrays or files of the model's streams. From `i0`, `i45`, `i90` and `i135`, streams of
                a polarization camera are derived.
            channels: channels of the file or array to take, counted from 0; None for all. Only for models
                of a single stream.
            variables: by stream, the array to take of files that hold arrays by name (npz, MATLAB, HDF5).

        Returns:
            (height, width, channels) arrays as they are stored, by stream.

        Raises:
            InputError: a stream is missing or unknown, the sizes differ, or the numbers of channels or most
                of the values are not those of the stream.
        """
        arrays = {
            name: self._read(name, given, channels, variables.get(name))
            for name, given in self._by_stream(recording).items()
        }
        wanted = [name for name in self.streams if name not in arrays]
        if wanted and set(POLARIZERS) <= set(arrays):
            arrays |= {name: derive(name, arrays) for name in wanted}
        arrays = {name: arrays[name] for name in self.streams}
        sizes = {name: array.shape[:2] for name, array in arrays.items()}
        if len(set(sizes.values())) > 1:
            text = ", ".join(f"{name} {size[0]} x {size[1]}" for name, size in sizes.items())
            raise InputError(f"streams of one recording have different sizes (height x width): {text}")
        for name, spec in self.streams.items():
            self._check(name, arrays[name], spec, _place(recording))
        return arrays

    def tensor(self, arrays: Mapping[str, Array], device: Any) -> Float[Tensor, "1 channels size size"]:
        """Returns the model's input: scaled, stacked, normalised and resized, on a device."""
        channels = Channels.of(arrays, tuple(self.streams), self.streams, self.protocol)
        return to_input(channels, self.preprocessing, self.size, device)[None]

    def _by_stream(self, recording: Recording) -> Mapping[str, ArrayLike | Path | str]:
        if isinstance(recording, Image):
            return recording.streams
        if not isinstance(recording, Mapping):
            if len(self.streams) > 1:
                raise InputError(
                    f"the model sees {_listed(self.streams)}: give a recording of each by name, "
                    f"{{{', '.join(f'{name!r}: ...' for name in self.streams)}}}"
                )
            return MappingProxyType({next(iter(self.streams)): recording})
        whole = set(self.streams) <= set(recording)
        sources = set(self.streams) if whole else self.sources
        for name in recording:
            if name not in sources:
                raise unknown_name("stream", str(name), sources, where=f"the model of {self.modality}")
        if not (whole or set(POLARIZERS) <= set(recording)):
            missing = [name for name in self.streams if name not in recording]
            raise InputError(f"the model sees {_listed(self.streams)}: {_listed(missing)} is not given")
        return recording

    def _read(
        self,
        name: str,
        given: ArrayLike | Path | str,
        channels: Sequence[int] | None,
        variable: str | None,
    ) -> Array:
        if channels is not None and len(self.streams) > 1:
            raise InputError(
                f"channels are chosen for models of one stream; this one sees {_listed(self.streams)}"
            )
        if isinstance(given, (str, Path)):
            array = read_file(Path(given), name, variable)
        else:
            array = as_array(given, name)
            if array.dtype.kind not in "biuf":
                raise InputError(f"{name}: an array of {array.dtype}; give numbers")
            if array.ndim not in (2, 3) or not array.size:
                raise InputError(f"{name}: an array of shape {array.shape}; give (height, width, channels)")
            array = array.reshape(*array.shape[:2], -1)
        spec, where = self.streams.get(name), _place(given) or name
        if channels is not None:
            if missing := [channel for channel in channels if not 0 <= channel < array.shape[2]]:
                raise InputError(
                    f"{where}: has {array.shape[2]} channels; channel {missing[0]} (from 0) is asked for"
                )
            array = array[:, :, list(channels)]
        if spec is not None and array.shape[2] != spec.channels:
            array = _reduced(array, spec, name, where)
        return np.ascontiguousarray(array)

    def _check(self, name: str, array: Array, spec: StreamSpec, where: str) -> None:
        """Raises InputError if nothing was measured, or most values are none of the stream's."""
        measured = spec.measured(array)
        where = f"{where}: " if where else ""
        if not measured.any():
            raise InputError(f"{where}{name} holds no measurement: every value is missing")
        if spec.valid_range is None:
            return
        low, high = spec.valid_range
        values = array[measured]
        if np.mean(spec.within(values)) < _WITHIN:
            raise InputError(
                f"{where}{name} has values from {values.min():g} to {values.max():g}; the model was trained "
                f"on {low:g} to {high:g} {spec.unit}: convert them first"
            )
        highest = (float(values.max()) - low) / (high - low)
        # A dark picture of a sensor that never fills its range is none of another scale.
        if self.protocol.scaling == "valid-range" and highest < min(_LOWEST, self._mean(name) / 2):
            log.warning(
                "%s%s has no value above %g; the model was trained on %g to %g %s, %g on average: of another "
                "bit depth or unit its masks mean nothing",
                *(where, name, values.max(), low, high, spec.unit, low + self._mean(name) * (high - low)),
            )

    def _mean(self, name: str) -> float:
        """Returns the mean of a stream over the training part, as a share of its valid range."""
        channels = [spec.channels for spec in self.streams.values()]
        place = [*self.streams].index(name)
        first = sum(channels[:place])
        return float(np.mean(self.preprocessing.mean[first : first + channels[place]]))


def read_file(path: Path, stream: str, variable: str | None = None) -> Array:
    """Reads the (height, width, channels) array of a file, in the dtype that it stores.

    Args:
        path: PNG, JPEG, TIFF, BMP, npy, npz, .mat or HDF5 file; for "rgb" also WebP.
        stream: name of the stream; "rgb" is a photograph, whose colours may be those of a palette.
        variable: the array of a file that holds arrays by name.

    Raises:
        InputError: the file holds arrays by name, and none is named.
        SampleError: the file is missing, damaged or of a kind that is not read.
    """
    if path.suffix.lower() in ARCHIVE_SUFFIXES and variable is None:
        raise InputError(f"{path}: holds arrays by name; say which one with --variable, or give the array")
    if stream == RGB and variable is None:
        return decode_rgb(load_rgb(path)[0])
    picture = load_picture(path, variable=variable, stack=True)
    check_measured(path, picture)
    return picture.array


def as_array(given: ArrayLike, name: str) -> NDArray[Any]:
    """Returns an array, a list or a tensor of any device as an array; bfloat16 becomes float32.

    Raises:
        InputError: the lists are of different lengths, or values of a masked array are masked.
    """
    if isinstance(given, Tensor):
        tensor = given.detach().cpu()
        return (tensor.float() if tensor.dtype == torch.bfloat16 else tensor).numpy()
    if np.ma.is_masked(given):
        raise InputError(f"{name}: values are masked; fill them, with NaN where nothing was measured")
    try:
        return np.asarray(given)
    except ValueError:
        raise InputError(f"{name}: lists of different lengths are no array of numbers") from None


def _reduced(array: Array, spec: StreamSpec, name: str, where: str) -> Array:
    """Reduces a grey picture that was saved as colours to its one channel, or raises InputError."""
    colours = array[:, :, :3]
    if spec.channels == 1 and array.shape[2] == 3 and (colours == colours[:, :, :1]).all():
        return array[:, :, :1]
    have, want = array.shape[2], spec.channels
    way = "" if have < want else f"; choose among them, e.g. channels {', '.join(map(str, range(want)))}"
    raise InputError(f"{where}: has {have} channel{'s' * (have != 1)}, {name} has {want}{way}")


def _place(recording: Any) -> str:
    return str(recording) if isinstance(recording, (str, Path)) else getattr(recording, "image_id", "")


def _listed(names: Sequence[str] | Mapping[str, Any]) -> str:
    return " and ".join(names)
