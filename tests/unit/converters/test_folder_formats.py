"""Every file format of the folder converter, whole and broken."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
import tifffile
from picture_bytes import bmp, chunk, png
from PIL import Image
from raw_folder import HEIGHT, WIDTH, Make, ramp
from refusals import refused

from aims.core.schema import SampleError
from aims.reading.pictures import load_picture

Read = Callable[[], np.ndarray]


class TestPng:
    @pytest.mark.parametrize("channels", [1, 2, 3, 4])
    def test_eight_bit(self, path: Path, read: Read, channels: int) -> None:
        array = ramp(0, channels, np.uint8)
        Image.fromarray(array[..., 0] if channels == 1 else array).save(path.with_suffix(".png"))
        np.testing.assert_array_equal(read(), array)
        assert read().dtype == np.uint8

    @pytest.mark.parametrize(("channels", "colour"), [(1, 0), (2, 4), (3, 2), (4, 6)])
    def test_sixteen_bit(self, path: Path, read: Read, channels: int, colour: int) -> None:
        array = ramp(40_000, channels)
        rows = [row.astype(">u2").tobytes() for row in array]
        path.with_suffix(".png").write_bytes(png(16, colour, rows))
        np.testing.assert_array_equal(read(), array)
        assert read().dtype == np.uint16

    def test_transparent_colour_adds_no_channel(self, path: Path, read: Read) -> None:
        array = ramp(40_000, 3)
        key = chunk(b"tRNS", array[0, 0].astype(">u2").tobytes())
        path.with_suffix(".png").write_bytes(
            png(16, 2, [row.astype(">u2").tobytes() for row in array], chunks=key)
        )
        np.testing.assert_array_equal(read(), array)

    @pytest.mark.parametrize("bits", [2, 4])
    def test_few_bits_are_not_stretched(self, path: Path, read: Read, bits: int) -> None:
        values = np.arange(HEIGHT * WIDTH).reshape(HEIGHT, WIDTH) % 2**bits
        wide = np.pad(values, ((0, 0), (0, 1)))  # 7 pixels fill no whole byte
        per_byte = 8 // bits
        weights = 2 ** (bits * np.arange(per_byte)[::-1])
        packed = (wide.reshape(HEIGHT, -1, per_byte) * weights).sum(axis=-1).astype(np.uint8)
        path.with_suffix(".png").write_bytes(png(bits, 0, [row.tobytes() for row in packed]))
        np.testing.assert_array_equal(read()[..., 0], values)

    def test_one_bit(self, path: Path, read: Read) -> None:
        array = ramp()[..., 0] % 3 == 0
        Image.fromarray(array).save(path.with_suffix(".png"))
        np.testing.assert_array_equal(read()[..., 0], array)

    def test_palette_is_refused(self, path: Path, read: Read) -> None:
        picture = Image.fromarray(ramp()[..., 0].astype(np.uint8))
        picture.putpalette(list(range(256)) * 3)
        picture.save(path.with_suffix(".png"))
        with refused(SampleError, "nir/a.png: a palette picture, whose numbers measure nothing"):
            read()

    def test_index_outside_the_palette(self, path: Path, read: Read) -> None:
        rows = [bytes([0, 1, 2, 0, 0, 0, 9])] * HEIGHT
        path.with_suffix(".png").write_bytes(png(8, 3, rows, chunks=chunk(b"PLTE", bytes(9))))
        with refused(SampleError, "index 9 lies outside its palette of 3 colours"):
            read()

    @pytest.mark.parametrize("channels", [1, 3])
    @pytest.mark.parametrize("lost", [1, 12, 13, 40])
    def test_cut_short(self, path: Path, read: Read, channels: int, lost: int) -> None:
        cv2.imwrite(str(path.with_suffix(".png")), ramp(1000, channels))
        whole = path.with_suffix(".png").read_bytes()
        path.with_suffix(".png").write_bytes(whole[:-lost])
        with refused(SampleError, "nir/a.png: not a whole PNG file ("):
            read()

    @pytest.mark.parametrize("from_end", [20, 14])  # in zlib's checksum, in the chunk's
    def test_changed_byte(self, path: Path, read: Read, from_end: int) -> None:
        cv2.imwrite(str(path.with_suffix(".png")), ramp(1000, 3))
        content = bytearray(path.with_suffix(".png").read_bytes())
        content[len(content) - from_end] ^= 1
        path.with_suffix(".png").write_bytes(content)
        with refused(SampleError, "nir/a.png: not a whole PNG file ("):
            read()

    def test_several_frames(self, path: Path, read: Read) -> None:
        frames = [Image.fromarray(ramp(start, 1, np.uint8)[..., 0]) for start in (0, 50)]
        frames[0].save(path.with_suffix(".png"), save_all=True, append_images=frames[1:])
        with refused(SampleError, "nir/a.png: holds 2 pages; save the one that is meant"):
            read()

    def test_too_large(self, path: Path, read: Read, monkeypatch: pytest.MonkeyPatch) -> None:
        cv2.imwrite(str(path.with_suffix(".png")), ramp())
        monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 20)  # 35 pixels: a warning only
        np.testing.assert_array_equal(read(), ramp())
        monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10)
        with pytest.raises(
            SampleError, match=r"nir/a.png: too large for one picture \(.*35.*; cut it into tiles"
        ):
            read()


class TestAnyFormat:
    @pytest.mark.parametrize("suffix", [".png", ".jpg", ".tiff", ".bmp", ".npy"])
    @pytest.mark.parametrize(
        ("content", "message"),
        [(b"", ": empty (0 bytes); copy or download it again"), (b"hello world", ": not a ")],
    )
    def test_not_the_format(self, path: Path, read: Read, suffix: str, content: bytes, message: str) -> None:
        path.with_suffix(suffix).write_bytes(content)
        with refused(SampleError, f"nir/a{suffix}{message}") as caught:
            read()
        assert "\n" not in str(caught.value)
        assert "0x" not in str(caught.value)

    def test_jpeg_named_png(self, path: Path, read: Read) -> None:
        Image.fromarray(ramp(0, 3, np.uint8)).save(path.with_suffix(".png"), "JPEG")
        with refused(SampleError, "nir/a.png: not a PNG file"):
            read()

    def test_unknown_suffix(self, path: Path, read: Read) -> None:
        Image.fromarray(ramp(0, 3, np.uint8)).save(path.with_suffix(".gif"))
        with refused(SampleError, "nir/a.gif: suffix '.gif' is not read; use .png"):
            read()

    def test_upper_case_suffix(self, path: Path, read: Read) -> None:
        np.save(path.with_suffix(".npy"), ramp())
        path.with_suffix(".npy").rename(path.with_suffix(".NPY"))
        np.testing.assert_array_equal(read(), ramp())


class TestBmp:
    GREY = b"".join(bytes((k, k, k, 0)) for k in range(256))

    @pytest.mark.parametrize("channels", [1, 3])
    def test_values_as_stored(self, path: Path, read: Read, channels: int) -> None:
        array = ramp(0, channels, np.uint8)
        Image.fromarray(array[..., 0] if channels == 1 else array).save(path.with_suffix(".bmp"))
        np.testing.assert_array_equal(read(), array)

    def test_runs(self, path: Path, read: Read) -> None:
        array = ramp(0, 1, np.uint8)[..., 0]
        rows = [b"".join(bytes((1, value)) for value in row) + b"\0\0" for row in array.tolist()]
        content = bmp(8, rows, palette=self.GREY, compression=1)
        path.with_suffix(".bmp").write_bytes(content + b"\0\1")
        np.testing.assert_array_equal(read()[..., 0], array)
        path.with_suffix(".bmp").write_bytes(content[:-20])
        with refused(SampleError, "nir/a.bmp: not a whole BMP file ("):
            read()

    def test_few_bits_a_colour(self, path: Path, read: Read) -> None:
        path.with_suffix(".bmp").write_bytes(bmp(16, [bytes(2 * WIDTH)] * HEIGHT))
        with refused(SampleError, "nir/a.bmp: holds 5 or 6 bits a colour, which programs stretch to 8"):
            read()

    def test_a_palette(self, path: Path, read: Read) -> None:
        row = bytes((0x12, 0x30, 0x12, 0x30))  # two pixels a byte
        colours = b"".join(bytes((10 * k, 0, 0, 0)) for k in range(16))  # blue first
        path.with_suffix(".bmp").write_bytes(bmp(4, [row] * HEIGHT, palette=colours))
        with refused(SampleError, "nir/a.bmp: a palette picture, whose numbers measure nothing"):
            read()
        picture = load_picture(path.with_suffix(".bmp"))
        assert picture.array[0, :, 0].tolist() == [1, 2, 3, 0, 1, 2, 3]
        assert picture.palette is not None
        assert picture.palette[:4].tolist() == [[0, 0, 0], [0, 0, 10], [0, 0, 20], [0, 0, 30]]


class TestJpeg:
    @pytest.mark.parametrize("channels", [1, 3])
    def test_channel_order(self, path: Path, read: Read, channels: int) -> None:
        array = np.full((HEIGHT, WIDTH, channels), [200, 120, 40][:channels], np.uint8)
        Image.fromarray(array[..., 0] if channels == 1 else array).save(path.with_suffix(".jpg"), quality=95)
        assert read().shape == array.shape
        np.testing.assert_allclose(read().astype(int), array, atol=3)  # JPEG of one flat colour

    @pytest.mark.parametrize("lost", [1, 2, 40])
    def test_cut_short(self, path: Path, read: Read, lost: int) -> None:
        Image.fromarray(ramp(0, 3, np.uint8)).save(path.with_suffix(".jpg"))
        path.with_suffix(".jpg").write_bytes(path.with_suffix(".jpg").read_bytes()[:-lost])
        with refused(SampleError, "nir/a.jpg: not a whole JPEG file ("):
            read()

    def test_turned_by_exif(self, path: Path, read: Read) -> None:
        exif = Image.Exif()
        exif[0x0112] = 6
        Image.fromarray(ramp(0, 3, np.uint8)).save(path.with_suffix(".jpg"), exif=exif)
        with refused(SampleError, "nir/a.jpg: its orientation tag is 6, so programs disagree"):
            read()

    def test_print_colours(self, path: Path, read: Read) -> None:
        Image.fromarray(ramp(0, 3, np.uint8)).convert("CMYK").save(path.with_suffix(".jpg"))
        with refused(SampleError, "nir/a.jpg: JPEG of mode CMYK is not read; save it as grey"):
            read()


class TestTiff:
    @pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int16, np.float32, np.float64])
    @pytest.mark.parametrize("channels", [1, 3, 5])
    @pytest.mark.parametrize("compression", [None, "zlib"])
    @pytest.mark.parametrize("byteorder", ["<", ">"])
    def test_values_as_stored(
        self, path: Path, read: Read, dtype: type, channels: int, compression: str | None, byteorder: str
    ) -> None:
        array = ramp(0, channels, dtype)
        tifffile.imwrite(
            path.with_suffix(".tif"),
            array[..., 0] if channels == 1 else array,
            photometric="rgb" if channels == 3 else "minisblack",
            planarconfig="contig" if channels > 1 else None,
            compression=compression,
            byteorder=byteorder,
        )
        np.testing.assert_array_equal(read(), array)
        assert read().dtype == np.dtype(dtype)
        assert read().dtype.isnative

    def test_planes_one_after_the_other(self, path: Path, read: Read) -> None:
        array = ramp(0, 3)
        planes = np.moveaxis(array, -1, 0)
        tifffile.imwrite(path.with_suffix(".tif"), planes, photometric="rgb", planarconfig="separate")
        np.testing.assert_array_equal(read(), array)

    @pytest.mark.parametrize("channels", [1, 3])
    @pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
    def test_lzw(self, path: Path, read: Read, dtype: type, channels: int) -> None:
        array = ramp(0, channels, dtype)
        write_lzw(path.with_suffix(".tif"), array)
        np.testing.assert_array_equal(read(), array)
        assert read().dtype == np.dtype(dtype)

    @pytest.mark.parametrize("tag", ["StripOffsets", "StripByteCounts"])
    def test_rows_that_are_not_there(self, path: Path, read: Read, tag: str) -> None:
        tifffile.imwrite(path.with_suffix(".tif"), ramp()[..., 0], rowsperstrip=1)
        content = bytearray(path.with_suffix(".tif").read_bytes())
        with tifffile.TiffFile(path.with_suffix(".tif")) as file:
            entry = file.pages[0].tags[tag]
        last = entry.valueoffset + (entry.valuebytecount * (HEIGHT - 1)) // HEIGHT
        size = entry.valuebytecount // HEIGHT
        wrong = len(content) - 2 if tag == "StripOffsets" else 0
        content[last : last + size] = wrong.to_bytes(size, "little")
        path.with_suffix(".tif").write_bytes(content)
        with refused(SampleError, "nir/a.tif: not a whole TIFF file (pixel data beyond its end"):
            read()

    def test_palette_is_refused(self, path: Path, read: Read) -> None:
        colours = np.arange(768, dtype=np.uint16).reshape(3, 256) * 85
        tifffile.imwrite(
            path.with_suffix(".tif"), ramp()[..., 0].astype(np.uint8), photometric="palette", colormap=colours
        )
        with refused(SampleError, "nir/a.tif: a palette picture"):
            read()

    @pytest.mark.parametrize("compression", [None, "zlib"])
    @pytest.mark.parametrize("lost", [1, 100])
    def test_cut_short(self, path: Path, read: Read, compression: str | None, lost: int) -> None:
        tifffile.imwrite(path.with_suffix(".tif"), ramp(0, 3), photometric="rgb", compression=compression)
        path.with_suffix(".tif").write_bytes(path.with_suffix(".tif").read_bytes()[:-lost])
        with refused(SampleError, "nir/a.tif: not a whole TIFF file ("):
            read()

    @pytest.mark.parametrize("lost", [1, 10, 60, 150])
    @pytest.mark.parametrize(
        "compression", [cv2.IMWRITE_TIFF_COMPRESSION_NONE, cv2.IMWRITE_TIFF_COMPRESSION_LZW]
    )
    def test_cut_in_the_tags_at_the_end(self, path: Path, read: Read, compression: int, lost: int) -> None:
        cv2.imwrite(str(path.with_suffix(".tif")), ramp(0, 3), [cv2.IMWRITE_TIFF_COMPRESSION, compression])
        path.with_suffix(".tif").write_bytes(path.with_suffix(".tif").read_bytes()[:-lost])
        with pytest.raises(SampleError, match=r"nir/a.tif: .*copy or download it again"):
            read()

    def test_damaged_width(self, path: Path, read: Read) -> None:
        tifffile.imwrite(path.with_suffix(".tif"), ramp()[..., 0], compression="zlib")
        with tifffile.TiffFile(path.with_suffix(".tif")) as file:
            place = file.pages[0].tags["ImageWidth"].valueoffset
        content = bytearray(path.with_suffix(".tif").read_bytes())
        content[place + 3] = 0x40  # 32 bits, little-endian
        path.with_suffix(".tif").write_bytes(content)
        with refused(
            SampleError, f"nir/a.tif: announces 5 x {2**30 + WIDTH} (10.0 GiB), but ", "a.png is 5 x 7"
        ):
            read()
        with refused(SampleError, f"nir/a.tif: too large for one picture (5 x {2**30 + WIDTH} pixels); cut"):
            load_picture(path.with_suffix(".tif"))

    def test_turned(self, path: Path, read: Read) -> None:
        tifffile.imwrite(path.with_suffix(".tif"), ramp()[..., 0], extratags=[(274, 3, 1, 8, True)])
        with refused(SampleError, "nir/a.tif: its orientation tag is 8"):
            read()

    def test_complex_numbers(self, path: Path, read: Read) -> None:
        tifffile.imwrite(path.with_suffix(".tif"), ramp()[..., 0].astype(np.complex64))
        with refused(SampleError, "nir/a.tif: dtype complex64 is not kept"):
            read()


def write_lzw(path: Path, array: np.ndarray) -> None:
    # OpenCV 4 does not compress floats.
    if array.dtype == np.float32:
        photometric = "rgb" if array.shape[2] == 3 else None
        tifffile.imwrite(path, array.squeeze(), compression="lzw", photometric=photometric)
    else:
        stored = array[..., ::-1] if array.shape[2] == 3 else array
        assert cv2.imwrite(str(path), stored, [cv2.IMWRITE_TIFF_COMPRESSION, 5])
    with tifffile.TiffFile(path) as file:
        assert int(file.pages[0].compression) == 5


class TestNpy:
    @pytest.mark.parametrize("dtype", ["?", "i1", "u2", ">u2", "i8", "f2", "<f4", ">f8"])
    @pytest.mark.parametrize("channels", [1, 4])
    def test_values_as_stored(self, path: Path, read: Read, dtype: str, channels: int) -> None:
        array = (ramp(0, channels, np.int64) % 60).astype(dtype)
        np.save(path.with_suffix(".npy"), np.asfortranarray(array))
        np.testing.assert_array_equal(read(), array)
        assert read().dtype.name == np.dtype(dtype).name
        assert read().flags.c_contiguous
        assert read().dtype.isnative

    def test_plane_gets_a_channel(self, path: Path, read: Read) -> None:
        np.save(path.with_suffix(".npy"), ramp()[..., 0])
        np.testing.assert_array_equal(read(), ramp())

    def test_range_is_unknown(self, make: Make, path: Path, read: Read) -> None:
        np.save(path.with_suffix(".npy"), ramp(0, 2, np.float32))
        stream = make(("nir/{id}.png", "nir/{id}.npy"), ('["b", "a"]', '["a"]')).spec().streams["nir"]
        assert (stream.channels, stream.valid_range) == (2, None)

    @pytest.mark.parametrize("lost", [1, 60])
    def test_cut_short(self, path: Path, read: Read, lost: int) -> None:
        np.save(path.with_suffix(".npy"), ramp())
        path.with_suffix(".npy").write_bytes(path.with_suffix(".npy").read_bytes()[:-lost])
        with refused(SampleError, "nir/a.npy: not a whole npy file ("):
            read()

    def test_objects_are_not_unpacked(self, path: Path, read: Read) -> None:
        np.save(path.with_suffix(".npy"), np.array([[{}]], object), allow_pickle=True)
        with refused(SampleError, "nir/a.npy: npy of Python objects, which are not unpickled; save the"):
            read()

    def test_two_arrays_one_after_the_other(self, path: Path, read: Read) -> None:
        with path.with_suffix(".npy").open("wb") as file:
            np.save(file, ramp())
            np.save(file, ramp(7))
        with refused(SampleError, "nir/a.npy: npy with 198 bytes after its array; save each array as a fi"):
            read()

    @pytest.mark.parametrize(
        ("array", "message"),
        [
            (np.zeros((2, 3), complex), "dtype complex128 is not kept"),
            (np.zeros((2, 3), "U2"), "dtype <U2 is not kept"),
            (np.zeros(5), "shape (5,) is no picture"),
            (np.zeros((1, 2, 3, 4)), "shape (1, 2, 3, 4) is no picture"),
            (np.zeros((0, 4)), "shape (0, 4) is no picture"),
        ],
    )
    def test_no_picture(self, path: Path, read: Read, array: np.ndarray, message: str) -> None:
        np.save(path.with_suffix(".npy"), array)
        with refused(SampleError, f"nir/a.npy: {message}"):
            read()

    def test_archive_named_npy(self, path: Path, read: Read) -> None:
        np.savez(path.with_suffix(".npz"), ramp())
        path.with_suffix(".npz").rename(path.with_suffix(".npy"))
        with refused(SampleError, "nir/a.npy: not a whole npy file ("):
            read()


class TestRgb:
    @pytest.fixture
    def rgb(self, make: Make, raw: Path) -> Callable[[], bytes | None]:
        converter = make(("[labels]", '[rgb]\nfiles = "{id}.*"\n\n[labels]'))
        return lambda: converter.read("train", "a").rgb

    @pytest.mark.parametrize("suffix", [".png", ".jpg", ".tif", ".bmp", ".webp"])
    def test_formats(self, rgb: Callable[[], bytes | None], raw: Path, suffix: str) -> None:
        Image.fromarray(ramp(0, 3, np.uint8)).save(raw / f"a{suffix}")
        assert rgb() == (raw / f"a{suffix}").read_bytes()

    @pytest.mark.parametrize("suffix", [".png", ".jpg", ".tif", ".bmp", ".webp"])
    def test_cut_short(self, rgb: Callable[[], bytes | None], raw: Path, suffix: str) -> None:
        Image.fromarray(ramp(0, 3, np.uint8)).save(raw / f"a{suffix}")
        content = (raw / f"a{suffix}").read_bytes()
        (raw / f"a{suffix}").write_bytes(content[: len(content) - 30])
        with pytest.raises(SampleError, match=rf"raw/a\{suffix}: not a .*copy or download it again"):
            rgb()

    def test_turned_by_exif(self, rgb: Callable[[], bytes | None], raw: Path) -> None:
        exif = Image.Exif()
        exif[0x0112] = 3
        Image.fromarray(ramp(0, 3, np.uint8)).save(raw / "a.jpg", exif=exif)
        with refused(SampleError, "raw/a.jpg: its orientation tag is 3"):
            rgb()

    def test_array_is_refused(self, rgb: Callable[[], bytes | None], raw: Path) -> None:
        np.save(raw / "a.npy", ramp(0, 3, np.uint8))
        with refused(SampleError, "raw/a.npy: an RGB picture is kept as it is; use .png"):
            rgb()
