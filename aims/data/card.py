"""The Hugging Face dataset card of a converted set."""

from __future__ import annotations

import json

from aims.core.schema import StreamSpec
from aims.data.manifest import Manifest


def dataset_card(manifest: Manifest) -> str:
    """Writes README.md for a dataset folder, from its manifest alone."""
    dataset, splits = manifest.dataset, manifest.splits
    # JSON strings are YAML strings, so any name is quoted safely.
    quote = json.dumps
    header = [
        "---",
        f"pretty_name: {quote(dataset.name)}",
        "license: other",
        f"license_name: {quote(dataset.license, ensure_ascii=False)}",
        "task_categories:",
        "- image-segmentation",
        "tags:",
        "- aims",
        "configs:",
        "- config_name: default",
        "  data_files:",
    ]
    for split in splits:
        header += [f"  - split: {split}", f"    path: data/{split}-*.parquet"]
    body = [
        "---",
        "",
        f"# {dataset.name}",
        "",
        "Instance segmentation in the AIMS dataset format, version 1: one row is one image with all its",
        "sensors and all its instances. Read it with `datasets.load_dataset(folder)`, or any Parquet reader.",
        "",
        "| split | images | instances |",
        "| --- | ---: | ---: |",
        *(f"| {name} | {count.images:,} | {count.instances:,} |" for name, count in splits.items()),
        "",
        "| stream | channels | unit | valid range | missing | wavelength (nm) |",
        "| --- | ---: | --- | --- | --- | --- |",
        *(_stream_line(name, stream) for name, stream in dataset.streams.items()),
        "",
        "A stream is a struct of `data` (C-order little-endian bytes), `dtype` (NumPy's name) and `shape`",
        "(height, width, channels):",
        "",
        "```python",
        "import numpy as np",
        "def array(stream):",
        '    dtype = np.dtype(stream["dtype"]).newbyteorder("<")',
        '    return np.frombuffer(stream["data"], dtype).reshape(stream["shape"])',
        "```",
        "",
        "`instances` is a 16-bit PNG (0 = nothing, 1..n = instance ids); `objects` lists for each instance",
        "its class, area, box (x, y, width, height) and two clicks (x, y). Classes:",
        ", ".join(f"{k} = {name}" for k, name in enumerate(dataset.classes, start=1)) + ".",
        "",
        f"Licence of the raw data: {dataset.license}.",
        *([f"Citation: {dataset.citation}"] if dataset.citation else []),
        *([f"Source: {dataset.url}"] if dataset.url else []),
        "",
        *(f"Note: {line}." for line in manifest.warnings),
        f"Left out: {_left_out(manifest.dropped)}, listed in `dropped.jsonl` with the reasons.",
        f"Fingerprint of the content: `{manifest.fingerprint}`.",
    ]
    return "\n".join((*header, *body)) + "\n"


def _left_out(dropped: dict[str, int]) -> str:
    """Images and labelled objects that are not in the dataset, in words."""
    objects = dropped.get("object", 0)
    images = sum(dropped.values()) - objects
    return f"{images:,} image{'s' * (images != 1)}, {objects:,} labelled object{'s' * (objects != 1)}"


def _stream_line(name: str, stream: StreamSpec) -> str:
    def bounds(pair: tuple[float, float] | None) -> str:
        return "" if pair is None else f"{pair[0]:g} to {pair[1]:g}"

    missing = "" if stream.missing is None else f"{stream.missing:g}"
    cells = (
        name,
        str(stream.channels),
        stream.unit.replace("|", "\\|"),
        bounds(stream.valid_range),
        missing,
        bounds(stream.wavelength_nm),
    )
    return f"| {' | '.join(cells)} |"
