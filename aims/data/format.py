"""Encodes and decodes the rows of an AIMS dataset, version 1: schema, tensors, instance maps, digests."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any, get_args, get_origin, get_type_hints

import cv2
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from aims.core.columns import COLUMNS, Area, Instance, Shape, Tensor, column_types
from aims.core.files import is_unicode
from aims.core.schema import Array, DatasetSpec, InstanceMap, Sample, SampleError, SemanticMap
from aims.data.instances import (
    MAX_INSTANCES,
    describe_objects,
    first_pixels,
    order_by_first_pixel,
    split_instances,
)

DROPPED = "dropped.jsonl"
CARD = "README.md"
#: Pictures of this size or more are written and read with as few copies as possible.
LARGE_CELL_BYTES = 128 << 20


def arrow_schema(spec: DatasetSpec) -> pa.Schema:
    """Returns the Parquet schema of a dataset; its metadata carries the Hugging Face features."""
    # Imported here because it imports pandas, which would delay programs that only read.
    from datasets import Features, Image, List, Value

    values = {str: Value("string"), bytes: Value("binary"), Area: Value("int64"), Shape: List(Value("int32"))}
    values |= dict.fromkeys((COLUMNS["rgb"], COLUMNS["instances"]), Image())

    def feature(kind: Any) -> Any:
        """Returns the Hugging Face feature of a column's type."""
        if kind in values:
            return values[kind]
        if kind in (Tensor, Instance):
            fields = get_type_hints(kind, include_extras=True)
            return {name: feature(inner) for name, inner in fields.items()}
        if get_origin(kind) is list:
            return List(feature(*get_args(kind)))
        # What remains are integers and fixed-length tuples of integers.
        number, length = Value("int32"), len(get_args(kind))
        return List(number, length=length) if get_origin(kind) is tuple else number

    return Features({name: feature(kind) for name, kind in column_types(spec.streams).items()}).arrow_schema


def check_text(where: str, what: str, text: str) -> None:
    """Raises SampleError if a name from a file system or a table is not valid Unicode text."""
    if not is_unicode(text):
        raise SampleError(f"{where}: {what} {text!r} is not valid Unicode text; rename it")


def encode_tensor(array: Array) -> dict[str, Any]:
    """Encodes an array as the value of a stream: C-order little-endian bytes, NumPy dtype name, shape."""
    little = np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("<"))
    return {"data": _bytes_of(little), "dtype": array.dtype.name, "shape": list(array.shape)}


def _bytes_of(array: Array) -> memoryview:
    """Returns the bytes of a contiguous array without copying them."""
    return array.reshape(-1).view(np.uint8).data


def decode_tensor(value: Mapping[str, Any]) -> Array:
    """Decodes the value of a stream to a read-only array, without a copy.

    Raises:
        ValueError: the bytes do not match dtype and shape, or the dtype is not numeric.
    """
    try:
        dtype = np.dtype(value["dtype"])
    except TypeError as error:
        raise ValueError(str(error)) from None
    if dtype.kind not in "biuf":
        raise ValueError(f"dtype {value['dtype']!r} is not a number")
    return np.frombuffer(value["data"], dtype.newbyteorder("<")).reshape(value["shape"])


def encode_instances(instances: NDArray[Any]) -> bytes:
    """Encodes a (height, width) instance map, ids up to `MAX_INSTANCES`, as a 16-bit PNG."""
    _, png = cv2.imencode(".png", instances.astype(np.uint16, copy=False))
    return png.tobytes()


def decode_instances(png: bytes) -> NDArray[np.uint16]:
    """Decodes an instance map to (height, width) uint16.

    Raises:
        ValueError: the bytes are not a 16-bit, one-channel PNG.
    """
    image = _decode(png, cv2.IMREAD_UNCHANGED)
    if image is None or image.dtype != np.uint16 or image.ndim != 2:
        raise ValueError("not a 16-bit, one-channel PNG")
    return image.astype(np.uint16, copy=False)


def decode_rgb(encoded: bytes) -> NDArray[np.uint8]:
    """Decodes an image to (height, width, 3) uint8 in RGB order.

    Raises:
        ValueError: the bytes are not an image that OpenCV reads.
    """
    flags = cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION
    image = _decode(encoded, flags)
    if image is None:
        raise ValueError("not a readable picture")
    return np.ascontiguousarray(image[:, :, ::-1])


def _decode(encoded: bytes, flags: int) -> NDArray[Any] | None:
    try:
        return cv2.imdecode(np.frombuffer(encoded, np.uint8), flags) if encoded else None
    except cv2.error:  # the header declares more pixels than OpenCV allows
        return None


def encode_row(
    sample: Sample, spec: DatasetSpec, labels: InstanceMap | None = None
) -> tuple[dict[str, Any], NDArray[Any]]:
    """Encodes a sample as a row, splitting a semantic map into instances.

    Args:
        sample: one image.
        spec: the description of the dataset.
        labels: `dense_instances` of the sample, if they are known.

    Returns:
        The row by column, and its (height, width) instance map, which the row holds as PNG.

    Raises:
        SampleError: the sample does not match the description of the dataset.
    """
    check_text(sample.image_id, "group", sample.group)
    labels = labels or dense_instances(sample, spec)
    instances = labels.instances
    height, width = instances.shape
    if set(sample.streams) != set(spec.streams):
        raise SampleError(f"{sample.image_id}: streams {sorted(sample.streams)}, not {sorted(spec.streams)}")
    for name, array in sample.streams.items():
        expected = (height, width, spec.streams[name].channels)
        if array.shape != expected or array.dtype.kind not in "biuf" or array.dtype.itemsize > 8:
            raise SampleError(
                f"{sample.image_id}: stream {name} is {array.dtype} {array.shape}, expected numbers "
                f"{expected} (height and width of the labels)"
            )
    row = {
        "image_id": sample.image_id,
        "group": sample.group,
        "height": height,
        "width": width,
        "rgb": None if sample.rgb is None else {"bytes": sample.rgb, "path": None},
        **{name: encode_tensor(sample.streams[name]) for name in spec.streams},
        "instances": {"bytes": encode_instances(instances), "path": None},
        "objects": describe_objects(instances, labels.class_ids),
    }
    return row, instances


def dense_instances(sample: Sample, spec: DatasetSpec) -> InstanceMap:
    """Returns the instance map of a sample with ids 1..n in row-major order of their first pixels.

    Raises:
        SampleError: there are too many instances, or a class that the dataset does not have.
    """
    labels = sample.labels
    if isinstance(labels, SemanticMap):
        source, classes = labels.class_map, None
        instances = split_instances(source, void=labels.void, dtype=np.uint16)
    elif isinstance(labels, InstanceMap):
        source, classes = labels.instances, labels.class_ids
        instances = order_by_first_pixel(source, np.uint16)
    first = first_pixels(instances)[1:]
    if len(first) > MAX_INSTANCES:
        raise SampleError(f"{sample.image_id}: {len(first)} instances; the format holds {MAX_INSTANCES}")
    values = source.reshape(-1)[first].tolist()
    class_ids = {
        k: int(value if classes is None else classes[value]) for k, value in enumerate(values, start=1)
    }
    for class_id in set(class_ids.values()):
        if not 1 <= class_id <= len(spec.classes):
            raise SampleError(f"{sample.image_id}: class id {class_id} of {len(spec.classes)} classes")
    return InstanceMap(instances=instances, class_ids=class_ids)


def row_digest(split: str, row: Mapping[str, Any], instances: NDArray[Any], streams: tuple[str, ...]) -> str:
    """Returns the SHA-256 of a row's content, independent of how Parquet and PNG compress it."""
    digest = hashlib.sha256()

    def add(header: Any, payload: bytes | memoryview = b"") -> None:
        # Lengths go first, so that the parts of two different rows never concatenate to the same bytes.
        text = json.dumps([header, len(payload)], sort_keys=True, separators=(",", ":")).encode()
        digest.update(len(text).to_bytes(8, "little") + text)
        digest.update(payload)

    add([split, row["image_id"], row["group"], row["height"], row["width"]])
    add("rgb", b"" if row["rgb"] is None else row["rgb"]["bytes"])
    for name in streams:
        value = row[name]
        add([name, value["dtype"], list(value["shape"])], value["data"])
    add("instances", _bytes_of(np.ascontiguousarray(instances, "<u2")))
    add(row["objects"])
    return digest.hexdigest()


def picture_digest(row: Mapping[str, Any], streams: tuple[str, ...]) -> str:
    """Returns the SHA-256 of a row's pictures alone."""
    digest = hashlib.sha256(b"" if row["rgb"] is None else row["rgb"]["bytes"])
    for name in streams:
        value = row[name]
        digest.update(f"{value['dtype']} {value['shape']}".encode())
        digest.update(value["data"])
    return digest.hexdigest()


def fingerprint(spec: DatasetSpec, digests: list[str]) -> str:
    """Returns the SHA-256 of a dataset's description and of the digests of its rows, in order."""
    digest = hashlib.sha256(json.dumps(asdict(spec), sort_keys=True).encode())
    for row in digests:
        digest.update(bytes.fromhex(row))
    return digest.hexdigest()
