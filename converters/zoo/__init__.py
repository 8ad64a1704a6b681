"""Public datasets that need no program of their own: NAME.toml describes the files for `aims convert NAME`.

A description is one of the `folder` converter with a table of facts about the set:

    [published]
    sensor = "near infrared"                # the kind of sensor
    size = "40 MB"                          # optional: of the download
    access = "clone the repository"         # how to get the files; `url` says where
    images = { train = 40, test = 20 }      # optional: images in each split; or total = 60

Its comments say what the layout was taken from; what no source says is left out. A set is added by adding its
file here, and its tiny tree to the tests.
"""

from __future__ import annotations

from functools import cache
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .converter import ZooConverter

#: Kinds of sensor.
SENSORS = (
    "near infrared",
    "thermal",
    "fluorescence microscopy",
    "electron microscopy",
    "X-ray",
    "ultrasound",
    "SAR",
    "sonar",
    "depth",
    "polarization",
    "multispectral",
    "hyperspectral",
)

_FOLDER = Path(__file__).parent


def entries() -> list[EntryPoint]:
    """Returns an entry point for each description, as if its converter were registered by itself."""
    names = sorted(path.stem for path in _FOLDER.glob("*.toml"))
    return [
        EntryPoint(name=name, value=f"{__name__}:{name.replace('-', '_')}", group="aims.converters")
        for name in names
    ]


def __getattr__(name: str) -> Any:
    # Converters are attributes of this module, so that worker processes can unpickle them.
    path = _FOLDER / f"{name.replace('_', '-')}.toml"
    if name.startswith("_") or not path.is_file():
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return _made(path)


@cache
def _made(path: Path) -> type[ZooConverter]:
    # Imported here: `aims --help` lists names, and needs no reader of pictures.
    from .converter import zoo_converter

    return zoo_converter(path, module=__name__)
