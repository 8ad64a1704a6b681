"""TIFF files of several pages, as streams of the folder converter."""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
import tifffile
from PIL import Image
from raw_folder import HEIGHT, WIDTH, Make, label_map, ramp
from refusals import refused

import aims.converters.folder.files as folder_files
from aims.core.schema import SampleError

Read = Callable[[], np.ndarray]


@pytest.fixture
def tiff(path: Path) -> Path:
    return path.with_suffix(".tif")


def pages(array: np.ndarray) -> np.ndarray:
    """(height, width, channels) as pages."""
    return np.moveaxis(array, -1, 0)


def write_pages(path: Path, planes: list[np.ndarray], **options: object) -> None:
    """Each page with tags and pixels of its own, and no metadata."""
    with tifffile.TiffWriter(path) as file:
        for plane in planes:
            file.write(plane, metadata=None, contiguous=False, **{"photometric": "minisblack", **options})


def hide_pages(path: Path) -> None:
    """Cuts the link from the first page to the second; the pixels stay."""
    with tifffile.TiffFile(path) as file:
        link = file.pages[0].offset + 2 + 12 * len(file.pages[0].tags)
    content = path.read_bytes()
    path.write_bytes(content[:link] + bytes(4) + content[link + 4 :])


class TestChannels:
    @pytest.mark.parametrize("compression", [None, "zlib"])
    @pytest.mark.parametrize("dtype", ["u1", "u2", "i2", "f4", "f8"])
    def test_pages_become_channels(self, tiff: Path, read: Read, dtype: str, compression: str | None) -> None:
        array = ramp(0, 5, np.float64).astype(dtype)
        if array.dtype.kind == "f":
            array[0, 0] = [np.nan, np.inf, -np.inf, 0.1, -0.0]
        write_pages(tiff, list(pages(array)), compression=compression)
        assert read().dtype == array.dtype
        assert read().tobytes() == np.ascontiguousarray(array).tobytes()

    def test_big_endian(self, tiff: Path, read: Read) -> None:
        with tifffile.TiffWriter(tiff, byteorder=">") as file:
            file.write(pages(ramp(0, 3)), photometric="minisblack")
        np.testing.assert_array_equal(read(), ramp(0, 3))

    def test_pages_of_colours(self, tiff: Path, read: Read) -> None:
        array = ramp(0, 6)
        write_pages(tiff, [array[..., :3], array[..., 3:]], photometric="rgb")
        np.testing.assert_array_equal(read(), array)

    def test_pages_of_planes(self, tiff: Path, read: Read) -> None:
        array = ramp(0, 6)
        planes = [pages(array[..., :3]), pages(array[..., 3:])]
        write_pages(tiff, planes, photometric="rgb", planarconfig="separate")
        np.testing.assert_array_equal(read(), array)

    def test_imagej_hyperstack(self, tiff: Path, read: Read) -> None:
        # ImageJ orders its pages by slice, then by channel.
        array = ramp(0, 6)
        stack = pages(array).reshape(2, 3, HEIGHT, WIDTH)
        tifffile.imwrite(tiff, stack, imagej=True, metadata={"axes": "ZCYX"})
        np.testing.assert_array_equal(read(), array)

    def test_imagej_hyperstack_behind_one_page(self, tiff: Path, read: Read) -> None:
        array = ramp(0, 6, np.float32)
        stack = pages(array).reshape(2, 3, HEIGHT, WIDTH)
        tifffile.imwrite(tiff, stack, imagej=True, metadata={"axes": "ZCYX"})
        hide_pages(tiff)
        np.testing.assert_array_equal(read(), array)

    def test_pages_behind_one(self, tiff: Path, read: Read) -> None:
        array = ramp(0, 4, np.float32)
        tifffile.imwrite(tiff, pages(array), photometric="minisblack", metadata={"axes": "TYX"})
        hide_pages(tiff)
        np.testing.assert_array_equal(read(), array)

    def test_ome_pages_are_read_in_their_order(self, tiff: Path, read: Read) -> None:
        array = ramp(0, 6)
        stack = pages(array).reshape(2, 3, HEIGHT, WIDTH)
        tifffile.imwrite(tiff, stack, ome=True, photometric="minisblack", metadata={"axes": "TZYX"})
        np.testing.assert_array_equal(read(), array)

    def test_other_files_named_in_a_file_are_left_alone(
        self, tiff: Path, read: Read, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        tifffile.imwrite(tmp_path / "other.ome.tif", ramp(900)[..., 0], photometric="minisblack")
        planes = "".join(
            f'<TiffData IFD="0" FirstC="{k}" PlaneCount="1">'
            f'<UUID FileName="{name}">urn:uuid:{k}</UUID></TiffData>'
            for k, name in enumerate(["a.tif", "other.ome.tif"])
        )
        ome = (
            '<?xml version="1.0"?><OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06" '
            'UUID="urn:uuid:0"><Image ID="Image:0">'
            '<Pixels ID="Pixels:0" DimensionOrder="XYCZT" Type="uint16" '
            f'SizeX="{WIDTH}" SizeY="{HEIGHT}" SizeC="2" SizeZ="1" SizeT="1">{planes}</Pixels></Image></OME>'
        )
        tifffile.imwrite(tiff, ramp()[..., 0], photometric="minisblack", description=ome, metadata=None)
        monkeypatch.chdir(tmp_path)
        np.testing.assert_array_equal(read(), ramp())

    @pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
    @pytest.mark.parametrize("channels", [1, 3])
    def test_lzw(self, tiff: Path, read: Read, dtype: type, channels: int) -> None:
        array = ramp(0, 2 * channels, dtype)
        planes = [array[..., :channels], array[..., channels:]]
        # OpenCV 4 does not compress floats.
        if dtype == np.float32:
            with tifffile.TiffWriter(tiff) as writer:
                for plane in planes:
                    writer.write(
                        plane.squeeze(), compression="lzw", photometric="rgb" if channels == 3 else None
                    )
        else:
            stored = [plane[..., ::-1] if channels == 3 else plane for plane in planes]
            assert cv2.imwritemulti(str(tiff), stored, [cv2.IMWRITE_TIFF_COMPRESSION, 5])
        with tifffile.TiffFile(tiff) as file:
            assert [int(page.compression) for page in file.pages] == [5, 5]
        np.testing.assert_array_equal(read(), array)
        assert read().dtype == array.dtype

    def test_overviews_are_no_channels(self, tiff: Path, read: Read) -> None:
        array = ramp(0, 2)
        with tifffile.TiffWriter(tiff) as file:
            for plane in pages(array):
                file.write(plane, subifds=1, photometric="minisblack", metadata=None)
                file.write(plane[::2, ::2], subfiletype=1, photometric="minisblack", metadata=None)
            file.write(array[::2, ::2, 0], subfiletype=1, photometric="minisblack", metadata=None)
        np.testing.assert_array_equal(read(), array)

    def test_channels_of_two_streams_are_decoded_once(
        self, make: Make, raw: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for name in "abc":
            write_pages(raw / "nir" / f"{name}.tif", list(pages(ramp(0, 4))))
        second = '[streams.red]\nfiles = "nir/{id}.tif"\nunit = "digital number"\nchannels = [0]\n\n[labels]'
        edits = (("nir/{id}.png", "nir/{id}.tif"), ("unit =", "channels = [3, 1]\nunit ="))
        converter = make(*edits, ("[labels]", second))
        converter.spec()
        decoded: list[Path] = []
        load = folder_files.load_picture

        def counting(path: Path, **options: object) -> object:
            decoded.append(path)
            return load(path, **options)

        monkeypatch.setattr(folder_files, "load_picture", counting)
        streams = converter.read("train", "a").streams
        assert decoded == [raw / "nir" / "a.tif", raw / "labels" / "a.png"]
        np.testing.assert_array_equal(streams["nir"], ramp(0, 4)[..., [3, 1]])
        np.testing.assert_array_equal(streams["red"], ramp(0, 4)[..., [0]])
        assert converter.source_files("train", "a") == (raw / "nir/a.tif", raw / "labels/a.png")


class TestRefused:
    def test_pages_of_two_sizes(self, tiff: Path, read: Read) -> None:
        write_pages(tiff, [ramp()[..., 0], ramp()[1:, :, 0]])
        with refused(
            SampleError,
            "nir/a.tif: page 2 is 4 x 7 uint16 (YX, MINISBLACK, NONE), but page 1 is 5 x 7 uint16 (",
            "pages of a stack become channels",
        ):
            read()

    def test_pages_of_two_dtypes(self, tiff: Path, read: Read) -> None:
        write_pages(tiff, [ramp()[..., 0], ramp()[..., 0].astype(np.float32)])
        with refused(SampleError, "nir/a.tif: page 2 is 5 x 7 float32 ("):
            read()

    @pytest.mark.parametrize("kind", [1, 4])
    def test_thumbnails_and_masks(self, tiff: Path, read: Read, kind: int) -> None:
        with tifffile.TiffWriter(tiff) as file:
            for page, subfiletype in ((ramp()[..., 0], 0), (ramp(50)[..., 0], 1)):
                file.write(page, subfiletype=subfiletype, photometric="minisblack", metadata=None)
        with tifffile.TiffFile(tiff) as file:
            place = file.pages[1].tags["NewSubfileType"].valueoffset
        content = bytearray(tiff.read_bytes())
        content[place] = kind  # tifffile writes no mask of 16 bits
        tiff.write_bytes(content)
        with refused(SampleError, "nir/a.tif: page 2 of 2 is marked as a thumbnail or a mask; save"):
            read()

    def test_picture_behind_its_thumbnail(self, tiff: Path, read: Read) -> None:
        with tifffile.TiffWriter(tiff) as file:
            thumbnail = ramp()[::2, ::2, 0]
            file.write(thumbnail, subfiletype=1, subifds=1, photometric="minisblack", metadata=None)
            file.write(ramp()[..., 0], photometric="minisblack", metadata=None)
        with refused(SampleError, "nir/a.tif: page 1 of 1 is marked as a thumbnail or a mask; save"):
            read()

    def test_palette_pages(self, tiff: Path, read: Read) -> None:
        colours = np.arange(768, dtype=np.uint16).reshape(3, 256) * 85
        plane = ramp(0, 1, np.uint8)[..., 0]
        write_pages(tiff, [plane, plane], photometric="palette", colormap=colours)
        with refused(SampleError, "nir/a.tif: 2 palette pages"):
            read()

    def test_volume_page(self, tiff: Path, read: Read) -> None:
        tifffile.imwrite(tiff, pages(ramp(0, 3)), volumetric=True, photometric="minisblack")
        with refused(SampleError, "nir/a.tif: TIFF axes ZYX are not read; save one"):
            read()

    @pytest.mark.parametrize("lost", [1, 40, 100])
    def test_cut_short(self, tiff: Path, read: Read, lost: int) -> None:
        write_pages(tiff, list(pages(ramp(0, 3))))
        tiff.write_bytes(tiff.read_bytes()[:-lost])
        with refused(SampleError, "nir/a.tif: not a whole TIFF file ("):
            read()

    @pytest.mark.parametrize("lost", [1, 80])
    def test_cut_behind_the_first_page(self, tiff: Path, read: Read, lost: int) -> None:
        stack = pages(ramp(0, 3))
        tifffile.imwrite(tiff, stack, photometric="minisblack", metadata={"axes": "TYX"})
        with tifffile.TiffFile(tiff) as file:
            end = file.pages[0].dataoffsets[0] + stack.nbytes
        hide_pages(tiff)
        tiff.write_bytes(tiff.read_bytes()[: end - lost])
        with refused(SampleError, "nir/a.tif: not a whole TIFF file ("):
            read()

    def test_pages_in_a_circle(self, tiff: Path, read: Read) -> None:
        write_pages(tiff, list(pages(ramp(0, 2))))
        with tifffile.TiffFile(tiff) as file:
            first, second = file.pages[0].offset, file.pages[1].offset
            link = second + 2 + 12 * len(file.pages[1].tags)
        content = tiff.read_bytes()
        tiff.write_bytes(content[:link] + struct.pack("<I", first) + content[link + 4 :])
        with refused(SampleError, "nir/a.tif: not a whole TIFF file ("):
            read()

    def test_labels(self, make: Make, raw: Path) -> None:
        write_pages(raw / "labels" / "a.tif", [label_map(), label_map()])
        with refused(SampleError, "labels/a.tif: holds 2 pages; save the one that is meant"):
            make(("labels/{id}.png", "labels/{id}.tif")).read("train", "a")

    def test_rgb(self, make: Make, raw: Path) -> None:
        picture = Image.fromarray(ramp(0, 3, np.uint8))
        picture.save(raw / "a.tif", save_all=True, append_images=[picture])
        converter = make(("[labels]", '[rgb]\nfiles = "{id}.tif"\n\n[labels]'))
        with refused(SampleError, "raw/a.tif: holds 2 pages; save the one that is meant"):
            converter.read("train", "a")
