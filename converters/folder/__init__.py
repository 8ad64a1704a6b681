"""Any folder of images and label files, described by one TOML file, which `aims init FOLDER` drafts.

    name = "cwfid"
    license = "non-commercial research"
    citation = "Haug and Ostermann, 2014"       # optional, as is url = "https://..."
    classes = ["weed", "crop"]                  # class ids 1, 2
    image_id = "{id}"                           # "{split}/{id}": one name may stand in two splits
    group = "^(..)"                             # optional: the part of the image id that names its scene,
                                                # or "{scene}" of files = "{scene}/depth/{id}.png"

    [splits]
    train = ["002", "005"]                      # ids, or "*", or a text file with one id a line; see below
    test = ["001"]

    [streams.nir]
    files = "images/{id}_image.png"             # {id}, {split}, and the wildcards * and ?
    channels = [1]                              # default: all
    channel_axis = "last"                       # "first": arrays are (channels, height, width)
    unit = "digital number"
    valid_range = [0, 255]                      # optional; 8 and 16 bit have one of their own
    missing = 0                                 # optional: the value of "not measured", by default the one
                                                # that files declare (GDAL's nodata); NaN always is
    wavelength_nm = [700, 1000]                 # optional

    [streams.depth]
    files = "frames/{id}.mat"                   # several streams may come from one file
    variable = "scene.depth"                    # npz: an array; mat: a variable or field; h5: a path
    unit = "m"

    [mosaic]                                    # raw frames of a polarization sensor -> i0, i45, i90, i135
    files = "raw/{id}.png"                      # variable, valid_range, ... as in a stream
    layout = [[90, 45], [135, 0]]               # the angles of a 2 x 2 cell, row by row
    resolution = "full"                         # or "half"
    unit = "digital number"

    [rgb]                                       # optional: png, jpg, tiff, bmp, webp, kept byte for byte
    files = "rgb/{id}.jpg"

    [labels]                                    # png, tiff, npy, npz, mat
    files = "annotations/{id}_annotation.png"
    kind = "semantic"                           # or "instance": one number or colour an instance, one class
    palette = { weed = [255, 0, 0], crop = [0, 255, 0] }     # or values = { weed = 1, crop = [2, 3] }
    void = [[128, 128, 128]]                    # optional: more colours, or values, that are nothing

    [tiles]                                     # optional: cuts pictures; the ids are then ID_00, ID_01, ...
    size = [256, 256]                           # height and width
    overlap = 0                                 # optional: pixels that neighbours share

Instances of several classes are read from

- one coded number: `kind = "instance"`, `label_divisor = 1000` and `values = { person = 24, car = 26 }`, the
  numbers // 1000 (Cityscapes, KITTI);
- two maps: `kind = "instance"`, `class_files = "SegmentationClass/{id}.png"` (`class_variable` in npz, mat
  and h5 files) and the `palette` or `values` of the classes; pixels of equal class and equal number are one
  instance (Pascal VOC);
- one mask file an object: `kind = "masks"` and `files = "masks/{id}/*.png"` or "{id}_mask*.png". All but 0
  and `void` is the object; of several classes, `values` or `palette` say which one it has, or the names of
  the files: `files = "masks/{id}/{class}_*.png"`, where `values = { crop = ["maize", "wheat"] }` and
  `void = ["unsure"]` are other names than the classes'. With `empty = true` an image without a mask shows no
  object.

Of masks that overlap the smaller one is on top, of equal ones the later name; dropped.jsonl counts what lies
below.

For files that outline the objects of one image: `kind = "labelme"` (labels/{id}.json), "supervisely"
(ann/{id}.png.json) or "yolo" (labels/{id}.txt, of segmentation). Labels are the names of the classes, of YOLO
their places from 0; `values = { crop = ["maize", "wheat"] }` and `void = ["unsure"]` say otherwise.

For labels in COCO's JSON, whose category names must be the classes: `files = "annotations/{split}.json"`
and `kind = "coco"`; see `CocoLabels.read` for how an image finds its entry. `crowd = "keep"` or "drop" says
what to do with crowd regions (iscrowd 1); by default CVAT's are kept, see `keeps_crowds`.

Streams are png, jpg, tiff, bmp, npy, npz, mat or h5 and keep dtype, channel order (RGB) and an alpha
channel. The pages of a TIFF become channels in their order. A palette picture is refused as a stream, because
its numbers are colours of a table and measure nothing. With "*" the ids are those of the first stream's files
(without streams the mosaic's, then the labels', then the RGB pictures'). `group` is a regular expression
that is searched in the image id; its first group is the scene, and an image without one is an error.

Where a name alone does not tell images apart, give the other parts of their paths names of your own:
`files = "{scene}/depth/{id}.png"` and `group = "{scene}"`. Names that `group` or `image_id` mention may
stand in every pattern; the image ids are then "SCENE/ID" (or as `image_id` says, such as "{scene}-{id}"),
also in the lists of [splits].

A split is one of

- a list of names, or a text file with one a line, below the raw folder or beside the description;
- `{ file = "meta.csv", column = "fold", value = [1, 2] }`: the rows with these values in the column, by
  default the name of the split. Names stand in the first column, or in that called `names = "..."`;
- a pattern of names such as "scene7*";
- a share of the images that no list or pattern has, such as "20%", in whole groups. The order of the groups
  is random, and `seed = 1` gives another;
- "*": what is left.

Lists and tables may give paths of an image's files or their names for its name, also paths that begin in
another folder, and several of one image on a line: "/data/img/1.png /data/masks/1.png".

Suffixes are the same in upper and lower case, and letters with marks in both of Unicode's forms, in names of
files and of classes. A link that leads to no file is a file that is missing. Text may begin with a byte order
mark and end its lines as Windows does; backslashes in lists separate folders.

A mosaic's "full" resolution keeps every raw value at its place in the stream of its angle, as float32
(float64 for more than 16 bits), and fills in the others as the mean of their neighbours; labels fit as
drawn on the raw frame. "half" keeps the raw values alone, in their own dtype; labels and other streams must
have half the size too, as reducing them would lose some. Either way nothing of the raw frame is lost.
Colour polarization sensors, whose cells are 4 x 4, are not read.

Tiles of one picture are of one group, by default of their own, and in one split; splits name pictures. Where
the cuts are says `aims.converters.folder.tiles`; dropped.jsonl counts the objects that they go through.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any, ClassVar

from aims.core.drafts import Draft
from aims.core.errors import InputError
from aims.core.schema import Converter, DatasetSpec, FileCount, Sample, SampleError, option
from aims.reading.patterns import Parts, Pattern, Tree
from aims.reading.pictures import check_sizes, load_rgb

from ..reading.coco import crowd_warning, keeps_crowds
from ..reading.files import first_readable, label_size
from ..reading.inventory import FileKind, take_inventory
from .config import FolderConfig, load_config
from .describe import describe_folder
from .files import (
    ImageFiles,
    StreamFile,
    announced_size,
    describe_channels,
    own_kinds,
    read_streams,
    stream_entries,
)
from .images import Images, list_images
from .instance_files import missing_masks, read_instance_files
from .labels import CocoLabels, Labels, read_label_file
from .object_files import read_object_file
from .objects import ObjectClasses
from .splits import ListFile, TableColumn, find_list
from .tiles import TiledImages


@dataclass(frozen=True, kw_only=True)
class FolderConverter(Converter):
    """Any folder of images and label files, as CONFIG describes it (see docs/datasets.md)."""

    name: ClassVar[str] = "folder"

    config: Path = option(argument=True, help="TOML file that describes the folder.")

    @classmethod
    def draft(cls, folder: Path) -> Draft:
        """Drafts the description of a folder from its names and a few files; see `describe_folder`."""
        return describe_folder(folder, lambda config, raw: cls(config=config, raw=raw))

    @property
    def root(self) -> Path:
        """The raw folder: the given one, else that of the TOML file."""
        return self.raw if self.raw is not None else self.config.parent

    @property
    def how_to_get(self) -> str:
        """What to do where there is no raw folder."""
        return f"give the raw data of {self.config} with --raw"

    def spec(self) -> DatasetSpec:
        """Describes the dataset; channels and ranges follow from the first readable image."""
        entries = stream_entries(self._config)
        streams = {
            name: entries[name].spec(stream.array.shape[2], stream.stored, stream.missing)
            for name, stream in self._first.items()
        }
        if self._config.labels.classes is None:
            for split in self._splits:
                self._coco(split)  # raises if categories do not match, before the slow work starts
        return self._config.spec(streams)

    def splits(self) -> Mapping[str, Sequence[str]]:
        """Returns the image ids in the order of the description; those of "*" are sorted."""
        return self._splits if self._tiled is None else self._tiled.splits()

    def read(self, split: str, image_id: str) -> Sample:
        """Reads one image and checks that its files match each other and the first image.

        A picture is read once for tiles that are read one after the other.
        """
        return (self._read if self._tiled is None else self._tiled.read)(split, image_id)

    def _read(self, split: str, image_id: str) -> Sample:
        files = self._files(split, image_id)
        streams, entries = read_streams(self._config, files), stream_entries(self._config)
        for name, stream in streams.items():
            model = self._first[name]
            found, expected = (
                f"{describe_channels(each.array)} of {each.array.dtype}" for each in (stream, model)
            )
            if found != expected:
                raise SampleError(
                    f"{stream.path}: {found}, but {model.path} has {expected}; all images of a stream must "
                    "be alike, convert one or leave it out"
                )
            stream.check_missing(model, entries[name])
        sizes: list[tuple[str, tuple[int, int]]] = [
            (stream.place, stream.array.shape[:2]) for stream in streams.values()
        ]
        rgb = None
        if self._config.rgb is not None:
            rgb_path = files.find(self._config.rgb)
            rgb, size = load_rgb(rgb_path)
            sizes.append((str(rgb_path), size))
        labels = self._labels(files, sizes[0][1])
        size = label_size(labels.labels)
        sizes.append((labels.place, size))
        for name, stream in streams.items():
            if stream.array.shape[:2] != size and stream.array.shape[1:] == size:
                raise SampleError(
                    f"{stream.path}: shape {stream.array.shape}, but the labels are {size[0]} x {size[1]} "
                    f'(height x width); if channels come first, [streams.{name}] needs channel_axis = "first"'
                )
        check_sizes(sizes)
        return Sample(
            image_id=image_id,
            group=self._config.naming.group_of(image_id, files.parts),
            streams={name: stream.array for name, stream in streams.items()},
            labels=labels.labels,
            rgb=rgb,
            dropped=labels.dropped,
            overlaps=labels.overlaps,
        )

    def source_files(self, split: str, image_id: str) -> Sequence[Path]:
        """Returns the image's existing stream, label and RGB files, each once."""
        picture = image_id if self._tiled is None else self._tiled.picture(split, image_id)
        return tuple(dict.fromkeys(self._own_files(self._parts(split, picture))))

    def shared_files(self) -> Sequence[Path]:
        """Returns the description, the text files that list ids, and the JSON files of the splits."""
        lists = [
            find_list((self.root, self.config.parent), source.file, f"{self.config} [splits]")
            for source in self._config.splits.values()
            if isinstance(source, ListFile | TableColumn)
        ]
        labels = self._config.labels.files
        if not labels.has_id():
            lists += [
                path for split in self._config.splits for path in labels.find(self._tree, {"split": split})
            ]
        return (self.config, *dict.fromkeys(lists))

    def warnings(self) -> Sequence[str]:
        """Returns a line for images without a mask, or for crowd regions that the description leaves open."""
        labels = self._config.labels
        if labels.one_each:
            return missing_masks(labels, self._kinds[labels.files].without)
        if labels.classes is not None or labels.crowd is not None:
            return ()
        by = f'crowd = "{"drop" if self._crowds else "keep"}" in [labels]'
        files = [opened.annotations for opened in self._opened.values()]
        return crowd_warning(files, kept=self._crowds, by=by)

    def inventory(self) -> Sequence[FileCount]:
        """Returns the counts of the files of every pattern; with "*", all of them should be used."""
        complete, kinds = self._config.wants_all, tuple(self._kinds.values())
        counts = take_inventory(self._tree, kinds, shared=self.shared_files(), complete=complete)
        if self._config.labels.classes is None:
            entries: dict[CocoLabels, dict[str, tuple[str, Sequence[str]]]] = {}
            for image_id, parts in self._all_images.items():
                name = self._config.naming.names.fill(parts)
                labels = self._coco(parts["split"])
                own = [path for kind in kinds for path in kind.files[image_id]]
                entries.setdefault(labels, {})[image_id] = (name, self._relative(own))
            counts += [labels.count(named, complete=complete) for labels, named in entries.items()]
        return counts

    def options(self) -> dict[str, Any]:
        """Returns the options, and how frames were split and pictures cut, to reassemble them."""
        mosaic, tiles, taken = self._config.mosaic, self._config.tiles, super().options()
        if mosaic is not None:
            layout = [list(row) for row in mosaic.layout]
            taken |= {"mosaic": {"layout": layout, "resolution": mosaic.resolution}}
        if tiles is not None:
            taken |= {"tiles": {"size": list(tiles.size), "overlap": tiles.overlap}}
        return taken

    @cached_property
    def _tiled(self) -> TiledImages | None:
        """The tiles of all pictures; None if they stay whole."""
        tiles = self._config.tiles
        if tiles is None:
            return None
        return TiledImages(tiles, self._images, partial(announced_size, self._config, self._tree), self._read)

    @cached_property
    def _config(self) -> FolderConfig:
        return load_config(self.config)

    @cached_property
    def _kinds(self) -> Mapping[Pattern, FileKind]:
        return own_kinds(self._tree, self._config, self._all_images)

    @property
    def _all_images(self) -> Mapping[str, Parts]:
        return {image_id: parts for ids in self._images.values() for image_id, parts in ids.items()}

    @cached_property
    def _tree(self) -> Tree:
        return Tree(self.root)

    @property
    def _splits(self) -> Mapping[str, Sequence[str]]:
        return {split: tuple(images) for split, images in self._images.items()}

    @cached_property
    def _images(self) -> Images:
        if not self.root.is_dir():
            raise InputError(f"{self.root}: no such folder; {self.how_to_get}")
        return list_images(self._config, self._tree, self.config)

    def _parts(self, split: str, image_id: str) -> Parts:
        return self._images[split][image_id]

    def _name(self, split: str, image_id: str) -> str:
        return self._config.naming.names.fill(self._parts(split, image_id))

    def _own_files(self, parts: Parts) -> Iterator[Path]:
        for pattern in self._config.own_files:
            yield from pattern.find(self._tree, parts)

    def _relative(self, paths: Iterable[Path]) -> tuple[str, ...]:
        return tuple(path.relative_to(self.root).as_posix() for path in paths)

    @cached_property
    def _first(self) -> dict[str, StreamFile]:
        """The streams of the first image that can be read, each as its first pixel."""
        images = ((split, image_id) for split, ids in self._splits.items() for image_id in ids)
        found = first_readable(images, lambda image: read_streams(self._config, self._files(*image))) or {}
        return {name: replace(stream, array=stream.array[:1, :1].copy()) for name, stream in found.items()}

    def _files(self, split: str, image_id: str) -> ImageFiles:
        return ImageFiles(self._tree, self._name(split, image_id), self._parts(split, image_id))

    def _labels(self, files: ImageFiles, size: tuple[int, int]) -> Labels:
        entry = self._config.labels
        if isinstance(entry.classes, ObjectClasses):
            return read_object_file(files.find(entry.files), entry.classes, size, where=str(self.config))
        if entry.classes is not None and entry.holds_instances:
            return read_instance_files(entry, entry.classes, files, size, where=str(self.config))
        if entry.classes is not None:
            return read_label_file(entry, entry.classes, files, where=str(self.config))
        return self._coco(files.parts["split"]).read(
            files.name, self._relative(self._own_files(files.parts)), crowds=self._crowds
        )

    @cached_property
    def _crowds(self) -> bool:
        """Whether COCO's crowd regions are objects."""
        crowd = self._config.labels.crowd
        files = [self._coco(split).annotations for split in self._splits]
        return keeps_crowds(files) if crowd is None else crowd == "keep"

    @cached_property
    def _opened(self) -> dict[Path, CocoLabels]:
        return {}

    def _coco(self, split: str) -> CocoLabels:
        """Returns the annotations of a split; every file is read once."""
        pattern = self._config.labels.files
        found = pattern.find(self._tree, {"split": split})
        if len(found) != 1:
            missing = f"{self.root / pattern.fill({'split': split})}: no such file"
            files = " and ".join(map(str, found)) or missing
            raise InputError(f"{files}; split {split!r} needs one JSON file ({pattern.where})")
        if found[0] not in self._opened:
            names = {self._name(split, image_id) for split, ids in self._images.items() for image_id in ids}
            self._opened[found[0]] = CocoLabels(
                found[0], self._config.classes, names=names, where=str(self.config)
            )
        return self._opened[found[0]]
