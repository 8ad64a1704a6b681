"""Which dataset has the streams of a modality."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from aims.core.errors import InputError, unknown_name
from aims.core.vocabulary import MODALITIES, Modality, Protocol
from aims.data.read import Dataset
from aims.sensors.scaling import stream_to_read


def choose_dataset(
    datasets: Sequence[Dataset], modality: str, protocol: Protocol, name: str | None = None
) -> tuple[Dataset, Modality]:
    """Finds the dataset that holds the streams of a modality.

    Args:
        datasets: available datasets.
        modality: a name in `MODALITIES`; or a stream of a dataset, stored or derived ("rgb" is the picture);
            or "rgb-" plus a stream, for the picture with the stream stacked behind it.
        protocol: may replace a stream by another one (the paper's folded angle of polarization).
        name: name of the dataset; None if the modality decides.

    Returns:
        The dataset, and the modality with the streams to read and their channels.

    Raises:
        InputError: a name is unknown, or none or several of the datasets have the streams.
    """
    if name is not None:
        if name not in {dataset.name for dataset in datasets}:
            raise unknown_name("dataset", name, {dataset.name for dataset in datasets})
        datasets = [dataset for dataset in datasets if dataset.name == name]
    listed = MODALITIES.get(modality) or _own_modality(modality, datasets)
    candidates = [dataset for dataset in datasets if set(listed.streams) <= set(dataset.streams)]
    if not candidates:
        if modality not in MODALITIES:
            raise unknown_name(
                "modality", modality, set(MODALITIES).union(*(dataset.streams for dataset in datasets))
            )
        held = "; ".join(f"{d.name} has {', '.join(sorted(d.streams))}" for d in datasets)
        raise InputError(f"no dataset has the streams of {modality} ({', '.join(listed.streams)}): {held}")
    # The order of `Modality.datasets`: the dataset of the paper wins.
    preferred = [d for known in listed.datasets for d in candidates if d.name == known]
    if not preferred and len(candidates) > 1:
        names = ", ".join(dataset.name for dataset in candidates)
        raise InputError(f"several datasets carry {modality}: {names}; choose one with --dataset")
    dataset = (preferred or candidates)[0]
    channels = sum(dataset.streams[stream].channels for stream in listed.streams)
    if listed.channels not in (None, channels):
        raise InputError(
            f"{dataset.name}: {modality} has {listed.channels} channels, but the streams hold {channels}; "
            "give the stream a name of its own"
        )
    streams = tuple(stream_to_read(stream, dataset.derived, protocol) for stream in listed.streams)
    return dataset, replace(listed, streams=streams, channels=channels)


def _own_modality(name: str, datasets: Sequence[Dataset]) -> Modality:
    """Builds a modality that `MODALITIES` does not list: a stream, or RGB stacked with a stream."""
    streams = {stream for dataset in datasets for stream in dataset.streams}
    sensor = name.removeprefix("rgb-")
    stacked = name not in streams and sensor != name and sensor in streams
    return Modality(name=name, streams=("rgb", sensor) if stacked else (name,))
