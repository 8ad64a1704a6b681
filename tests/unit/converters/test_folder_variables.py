"""npz, .mat and HDF5 files, which hold arrays by name, as streams and labels of the folder converter."""

from __future__ import annotations

import io
import struct
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import scipy.io
import scipy.sparse
from PIL import Image
from raw_folder import HEIGHT, WIDTH, Make, label_map, ramp
from refusals import refused

from aims.core.remarks import collect_remarks
from aims.core.schema import SampleError, SemanticMap
from aims.reading.pictures import load_picture

Read = Callable[..., np.ndarray]


@pytest.fixture
def read(make: Make, path: Path) -> Read:
    """Reads a variable of the one image's file."""

    def of(suffix: str, variable: str = "depth") -> np.ndarray:
        converter = make(
            ("nir/{id}.png", f"nir/{{id}}{suffix}"),
            ("unit =", f'variable = "{variable}"\nunit ='),
            ('train = ["b", "a"]\ntest = ["c"]', 'train = ["a"]'),
        )
        return converter.read("train", "a").streams["nir"]

    return of


def matlab73(path: Path, *, user_block: bool = True) -> h5py.File:
    """An HDF5 file as MATLAB begins it."""
    path.write_bytes(b"")
    return h5py.File(path, "w", userblock_size=512 if user_block else 0)


def as_matlab(group: h5py.Group, name: str, stored: np.ndarray, kind: str) -> h5py.Dataset:
    item = group.create_dataset(name, data=stored)
    item.attrs["MATLAB_class"] = np.bytes_(kind)
    return item


def element(kind: int, content: bytes, order: str = "<") -> bytes:
    """One element of a version 5 file, padded to eight bytes."""
    return struct.pack(f"{order}II", kind, len(content)) + content + bytes(-len(content) % 8)


def matlab5(
    name: str, kind: int, shape: tuple[int, ...], stored: tuple[int, bytes], order: str = "<"
) -> bytes:
    """A version 5 file by hand: one matrix of class `kind`, whose numbers are stored as `stored` says."""
    flags = struct.pack(f"{order}II", kind, 0)
    parts = [(6, flags), (5, struct.pack(f"{order}{len(shape)}i", *shape)), (1, name.encode()), stored]
    matrix = element(14, b"".join(element(code, content, order) for code, content in parts), order)
    mark = struct.pack(f"{order}H", 0x0100) + (b"IM" if order == "<" else b"MI")
    return b"MATLAB 5.0 MAT-file, by hand".ljust(116) + bytes(8) + mark + matrix


class TestNpz:
    @pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
    @pytest.mark.parametrize("dtype", ["?", "u1", ">u2", "i8", "f2", "f4", "f8"])
    def test_values_as_stored(self, path: Path, read: Read, save: Any, dtype: str) -> None:
        array = (ramp(0, 3, np.int64) % 60).astype(dtype)
        save(path.with_suffix(".npz"), other=ramp(7), depth=array)
        np.testing.assert_array_equal(read(".npz"), array)
        assert read(".npz").dtype.name == np.dtype(dtype).name

    def test_plane_gets_a_channel(self, path: Path, read: Read) -> None:
        np.savez(path.with_suffix(".npz"), depth=ramp()[..., 0])
        np.testing.assert_array_equal(read(".npz"), ramp())

    def test_dots_are_part_of_a_name(self, path: Path, read: Read) -> None:
        np.savez(path.with_suffix(".npz"), **{"a.b/c": ramp()})
        np.testing.assert_array_equal(read(".npz", "a.b/c"), ramp())

    def test_unknown_variable(self, path: Path, read: Read) -> None:
        np.savez(path.with_suffix(".npz"), dept=ramp(), thermal=ramp())
        with refused(
            SampleError, "nir/a.npz: unknown variable 'depth'; did you mean 'dept'? (known: dept, thermal)"
        ):
            read(".npz")

    def test_objects_are_not_unpacked(self, path: Path, read: Read) -> None:
        np.savez(path.with_suffix(".npz"), depth=np.array([[{}]], object))
        with refused(
            SampleError, "nir/a.npz: npz ('depth') of Python objects, which are not unpickled; save"
        ):
            read(".npz")

    def test_changed_byte(self, path: Path, read: Read) -> None:
        np.savez(path.with_suffix(".npz"), depth=ramp(40_000))
        content = bytearray(path.with_suffix(".npz").read_bytes())
        content[content.index(np.uint16(40_003).tobytes())] ^= 1
        path.with_suffix(".npz").write_bytes(content)
        with refused(SampleError, "nir/a.npz: not a whole npz file (Bad CRC-32"):
            read(".npz")

    @pytest.mark.parametrize("lost", [1, 30, 200])
    def test_cut_short(self, path: Path, read: Read, lost: int) -> None:
        np.savez(path.with_suffix(".npz"), depth=ramp())
        path.with_suffix(".npz").write_bytes(path.with_suffix(".npz").read_bytes()[:-lost])
        with refused(SampleError, "nir/a.npz: not a whole npz file ("):
            read(".npz")

    def test_longer_than_its_header_says(self, path: Path, read: Read) -> None:
        content = io.BytesIO()
        np.save(content, ramp())
        with zipfile.ZipFile(path.with_suffix(".npz"), "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("depth.npy", content.getvalue() + bytes(1000))
        with refused(SampleError, "nir/a.npz: variable 'depth' is longer than its header says; save it"):
            read(".npz")

    def test_array_cut_short_inside(self, path: Path, read: Read) -> None:
        plain = io.BytesIO()
        np.save(plain, ramp())
        with zipfile.ZipFile(path.with_suffix(".npz"), "w") as archive:
            archive.writestr("depth.npy", plain.getvalue()[:-1])
        with refused(SampleError, "nir/a.npz: not a whole npz ('depth') file ("):
            read(".npz")

    def test_name_twice(self, path: Path, read: Read) -> None:
        plain = io.BytesIO()
        np.save(plain, ramp())
        with zipfile.ZipFile(path.with_suffix(".npz"), "w") as archive, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            for _ in range(2):
                archive.writestr("depth.npy", plain.getvalue())
        with refused(SampleError, "nir/a.npz: holds variable 'depth' twice; save it again"):
            read(".npz")

    @pytest.mark.parametrize(
        ("array", "message"),
        [
            (np.zeros(5), "shape (5,) is no picture"),
            (np.zeros((2, 3), complex), "dtype complex128 is not kept"),
        ],
    )
    def test_no_picture(self, path: Path, read: Read, array: np.ndarray, message: str) -> None:
        np.savez(path.with_suffix(".npz"), depth=array)
        with refused(SampleError, f"nir/a.npz: {message}"):
            read(".npz")


class TestMatlab5:
    @pytest.mark.parametrize("compressed", [True, False])
    @pytest.mark.parametrize("channels", [1, 3])
    @pytest.mark.parametrize("dtype", ["?", "u1", "i1", "u2", "i2", "u4", "i8", "u8", "f4", "f8"])
    def test_values_as_stored(
        self, path: Path, read: Read, dtype: str, channels: int, compressed: bool
    ) -> None:
        array = (ramp(0, channels, np.int64) % 100).astype(dtype)
        plane = array[..., 0] if channels == 1 else array
        variables = {"other": ramp(9), "depth": plane, "last": np.zeros((3, 3))}
        scipy.io.savemat(path.with_suffix(".mat"), variables, do_compression=compressed)
        np.testing.assert_array_equal(read(".mat"), array)
        assert read(".mat").dtype == array.dtype

    @pytest.mark.parametrize("order", ["<", ">"])
    def test_doubles_in_few_bits_are_doubles(self, raw: Path, path: Path, read: Read, order: str) -> None:
        # MATLAB stores whole doubles as bytes where they fit (mxDOUBLE 6, miUINT8 2), columns first.
        Image.fromarray(np.zeros((2, 3), np.uint8)).save(raw / "labels" / "a.png")
        content = matlab5("depth", 6, (2, 3), (2, bytes([11, 21, 12, 22, 13, 23])), order)
        path.with_suffix(".mat").write_bytes(content)
        np.testing.assert_array_equal(read(".mat")[..., 0], [[11, 12, 13], [21, 22, 23]])
        assert read(".mat").dtype == np.float64

    def test_field_of_a_struct(self, path: Path, read: Read) -> None:
        scene = {"depth": {"raw": ramp(5)[..., 0], "unit": "m"}}
        scipy.io.savemat(path.with_suffix(".mat"), {"scene": scene})
        np.testing.assert_array_equal(read(".mat", "scene.depth.raw"), ramp(5))

    @pytest.mark.parametrize(
        ("variable", "parts"),
        [
            ("dept", "unknown variable 'dept'; did you mean 'depth'? (known: c, depth, n, s, sp, t, two)"),
            ("c", "variable 'c' is of class cell; name a numeric or logical array"),
            ("t", "variable 't' is of class char"),
            ("s", "variable 's' is of class struct"),
            ("sp", "variable 'sp' is of class sparse"),
            ("s.b", ("unknown variable 's.b'", "(known: s.t, s.x)")),
            ("s.t", "variable 's.t' is no array of numbers"),
            ("s.x.y", "variable 's.x' is no single struct"),
            ("depth.x", "variable 'depth' is no single struct"),
            ("two.x", "variable 'two' is no single struct"),
            ("n", "variable 'n' is complex"),
        ],
    )
    def test_refused(self, path: Path, read: Read, variable: str, parts: object) -> None:
        two = np.zeros((1, 2), [("x", object)])
        variables = {
            "depth": ramp()[..., 0],
            "c": np.array([["a", 1]], object),
            "t": "text",
            "s": {"x": ramp()[..., 0], "t": "text"},
            "sp": scipy.sparse.eye(3).tocsc(),
            "n": np.ones((HEIGHT, WIDTH)) * 1j,
            "two": two,
        }
        scipy.io.savemat(path.with_suffix(".mat"), variables)
        with refused(SampleError, "nir/a.mat: ", parts):
            read(".mat", variable)

    @pytest.mark.filterwarnings("ignore")
    @pytest.mark.parametrize("variable", ["depth", "scene.depth"])
    def test_imaginary_parts_are_not_lost(self, path: Path, read: Read, variable: str) -> None:
        array = ramp()[..., 0] + 1j
        scipy.io.savemat(path.with_suffix(".mat"), {"depth": array, "scene": {"depth": array}})
        with refused(SampleError, f"nir/a.mat: variable {variable!r} is complex"):
            read(".mat", variable)

    @pytest.mark.parametrize("compressed", [True, False])
    @pytest.mark.parametrize("lost", [1, 4, 9, 100])
    def test_cut_short(self, path: Path, read: Read, lost: int, compressed: bool) -> None:
        variables = {"depth": ramp(), "last": ramp(3)}
        scipy.io.savemat(path.with_suffix(".mat"), variables, do_compression=compressed)
        path.with_suffix(".mat").write_bytes(path.with_suffix(".mat").read_bytes()[:-lost])
        with refused(SampleError, "nir/a.mat: not a whole MATLAB 5 file ("):
            read(".mat")

    @pytest.mark.parametrize("from_end", [1, 3, 30])
    def test_changed_byte(self, path: Path, read: Read, from_end: int) -> None:
        scipy.io.savemat(path.with_suffix(".mat"), {"depth": ramp()}, do_compression=True)
        content = bytearray(path.with_suffix(".mat").read_bytes())
        content[-from_end] ^= 1
        path.with_suffix(".mat").write_bytes(content)
        with refused(SampleError, "nir/a.mat: not a whole MATLAB 5 file ("):
            read(".mat")

    def test_a_crash_of_the_reader_is_one_line(self, path: Path, read: Read) -> None:
        scipy.io.savemat(path.with_suffix(".mat"), {"depth": ramp()[..., 0].astype(float), "other": 1})
        content = bytearray(path.with_suffix(".mat").read_bytes())
        whole = bytes(content)
        content[184] = 255  # the type of the element with the numbers, an index into a table of scipy's
        path.with_suffix(".mat").write_bytes(content)
        with refused(SampleError, "nir/a.mat: not a whole MATLAB", "copy or download it again"):
            read(".mat")
        path.with_suffix(".mat").write_bytes(whole)
        np.testing.assert_array_equal(read(".mat")[..., 0], ramp()[..., 0])

    def test_version_4(self, path: Path, read: Read) -> None:
        scipy.io.savemat(path.with_suffix(".mat"), {"depth": ramp()[..., 0]}, format="4")
        with refused(SampleError, "nir/a.mat: not a MATLAB file of version 5 to 7.3, or cut"):
            read(".mat")

    def test_name_twice(self, path: Path, read: Read) -> None:
        content = matlab5("depth", 6, (2, 3), (2, bytes(6)))
        path.with_suffix(".mat").write_bytes(content + content[128:])
        with refused(SampleError, "nir/a.mat: holds variable 'depth' twice; save it again"):
            read(".mat")


class TestMatlab73:
    @pytest.mark.parametrize("user_block", [True, False])
    def test_axes_are_reversed(self, path: Path, read: Read, user_block: bool) -> None:
        # MATLAB's depth(row, column, channel) lies in HDF5 as [channel, column, row].
        stored = np.zeros((2, WIDTH, HEIGHT), np.uint16)
        for channel, column, row in np.ndindex(stored.shape):
            stored[channel, column, row] = 100 * channel + 10 * column + row
        with matlab73(path.with_suffix(".mat"), user_block=user_block) as file:
            as_matlab(file, "depth", stored, "uint16")
            as_matlab(file, "plane", stored[1], "uint16")
        array = read(".mat")
        assert (array.shape, array.dtype) == ((HEIGHT, WIDTH, 2), np.uint16)
        for row, column, channel in np.ndindex(array.shape):
            assert array[row, column, channel] == 100 * channel + 10 * column + row
        plane = read(".mat", "plane")
        assert plane[3, 5, 0] == 153
        assert plane.flags.c_contiguous

    @pytest.mark.parametrize(
        ("dtype", "kind"), [("f4", "single"), ("f8", "double"), ("i2", "int16"), ("u8", "uint64")]
    )
    def test_values_as_stored(self, path: Path, read: Read, dtype: str, kind: str) -> None:
        array = ramp(0, 1, dtype)
        with matlab73(path.with_suffix(".mat")) as file:
            as_matlab(file, "depth", array[..., 0].T, kind)
        np.testing.assert_array_equal(read(".mat"), array)
        assert read(".mat").dtype == np.dtype(dtype)

    def test_logical(self, path: Path, read: Read) -> None:
        array = ramp()[..., 0] % 3 == 0
        with matlab73(path.with_suffix(".mat")) as file:
            as_matlab(file, "depth", array.T.astype(np.uint8), "logical").attrs["MATLAB_int_decode"] = 1
        np.testing.assert_array_equal(read(".mat")[..., 0], array)
        assert read(".mat").dtype == bool

    def test_field_of_a_struct(self, path: Path, read: Read) -> None:
        with matlab73(path.with_suffix(".mat")) as file:
            scene = file.create_group("scene")
            scene.attrs["MATLAB_class"] = np.bytes_("struct")
            as_matlab(scene, "raw", ramp()[..., 0].T, "uint16")
        np.testing.assert_array_equal(read(".mat", "scene.raw"), ramp())

    @pytest.mark.parametrize(
        ("variable", "parts"),
        [
            ("dept", ("unknown variable 'dept'; did you mean 'depth'? (known: ", "depth, ")),
            ("text", "variable 'text' is of class char; name a numeric or logical array"),
            ("cell", "variable 'cell' is of class cell"),
            ("scene", "variable 'scene' is of class struct"),
            ("scene.b", ("unknown variable 'scene.b'", "(known: scene.raw)")),
            ("scene.raw.x", "variable 'scene.raw' is of class uint16, no single struct"),
            ("sparse", "variable 'sparse' is of class sparse"),
            ("sparse.data", "variable 'sparse' is of class sparse, no single struct"),
            ("empty", "variable 'empty' is empty"),
            ("plain", "variable 'plain' is of class unknown (no MATLAB_class"),
            ("soft", "variable 'soft' is a link"),
            ("far", "variable 'far' is a link"),
            ("outside", "variable 'outside' is stored in other files"),
            ("virtual", "variable 'virtual' is stored in other files"),
            ("complex", "dtype [('real', '<f8'), ('imag', '<f8')] is not kept"),
            ("#refs#", "unknown variable '#refs#'"),
        ],
    )
    def test_refused(self, path: Path, read: Read, variable: str, parts: object) -> None:
        plane = np.ascontiguousarray(ramp()[..., 0].T)
        (path.parent / "raw.bin").write_bytes(plane.tobytes())
        with matlab73(path.with_suffix(".mat")) as file:
            as_matlab(file, "depth", plane, "uint16")
            as_matlab(file, "text", plane, "char")
            refs = file.create_group("#refs#")
            cell = file.create_dataset("cell", (1, 1), h5py.ref_dtype)
            cell[0, 0] = refs.ref
            cell.attrs["MATLAB_class"] = np.bytes_("cell")
            for name, mark in (("scene", None), ("sparse", np.uint64(7))):
                group = file.create_group(name)
                group.attrs["MATLAB_class"] = np.bytes_("struct" if mark is None else "double")
                if mark is not None:
                    group.attrs["MATLAB_sparse"] = mark
                as_matlab(group, "raw" if mark is None else "data", plane, "uint16")
            as_matlab(file, "empty", np.zeros(2, np.uint64), "double").attrs["MATLAB_empty"] = np.uint8(1)
            file.create_dataset("plain", data=plane)
            file["soft"] = h5py.SoftLink("/depth")
            file["far"] = h5py.ExternalLink("other.mat", "/depth")
            raw_bytes = [(str(path.parent / "raw.bin"), 0, plane.nbytes)]
            outside = file.create_dataset("outside", plane.shape, plane.dtype, external=raw_bytes)
            outside.attrs["MATLAB_class"] = np.bytes_("uint16")
            view = h5py.VirtualLayout(plane.shape, plane.dtype)
            view[:] = h5py.VirtualSource("other.mat", "depth", plane.shape)
            file.create_virtual_dataset("virtual", view).attrs["MATLAB_class"] = np.bytes_("uint16")
            number = np.zeros((2, 3), [("real", "<f8"), ("imag", "<f8")])
            as_matlab(file, "complex", number, "double")
        with refused(SampleError, "nir/a.mat: ", parts):
            read(".mat", variable)

    @pytest.mark.parametrize("lost", [1, 100, 2000])
    def test_cut_short(self, path: Path, read: Read, lost: int) -> None:
        with matlab73(path.with_suffix(".mat")) as file:
            as_matlab(file, "depth", np.zeros((50, 60)), "double")
        path.with_suffix(".mat").write_bytes(path.with_suffix(".mat").read_bytes()[:-lost])
        with refused(SampleError, "nir/a.mat: not a whole MATLAB 7.3 file ("):
            read(".mat")


class TestHdf5:
    @pytest.mark.parametrize("suffix", [".h5", ".hdf5"])
    @pytest.mark.parametrize("dtype", ["u1", "<i2", ">u2", "<f2", ">f4", "<f8", "?"])
    def test_values_as_stored(self, path: Path, read: Read, suffix: str, dtype: str) -> None:
        array = ramp(0, 3, np.dtype(dtype).newbyteorder("=").type)
        with h5py.File(path.with_suffix(suffix), "w") as file:
            file.create_dataset("depth", data=array.astype(dtype), compression="gzip", chunks=(2, 2, 3))
        found = read(suffix)
        assert found.dtype == array.dtype
        np.testing.assert_array_equal(found, array)

    @pytest.mark.parametrize("variable", ["camera/depth", "/camera/depth", "camera/a.b"])
    def test_in_a_group(self, path: Path, read: Read, variable: str) -> None:
        with h5py.File(path.with_suffix(".h5"), "w") as file:
            file[variable] = ramp()[..., 0]
        np.testing.assert_array_equal(read(".h5", variable), ramp())

    def test_what_attributes_say(self, make: Make, path: Path) -> None:
        with h5py.File(path.with_suffix(".h5"), "w") as file:
            depth = file.create_dataset("depth", data=ramp()[..., 0])
            depth.attrs["_FillValue"] = ramp()[:1, 0, 0]
            depth.attrs.update({"scale_factor": np.float64(0.01), "add_offset": 0.0, "units": "K"})
        with collect_remarks() as found:
            picture = load_picture(path.with_suffix(".h5"), variable="depth")
        assert picture.missing == ramp()[0, 0, 0]
        assert list(found) == ["its attributes give scale_factor 0.01, units K"]
        edits = (("nir/{id}.png", "nir/{id}.h5"), ("unit =", 'variable = "depth"\nunit ='))
        converter = make(*edits, ('train = ["b", "a"]\ntest = ["c"]', 'train = ["a"]'))
        assert converter.spec().streams["nir"].missing == ramp()[0, 0, 0]

    @pytest.mark.parametrize(
        ("variable", "parts"),
        [
            ("dept", "unknown variable 'dept'; did you mean 'depth'? (known: camera, depth, "),
            ("camera", "variable 'camera' is a group; name a numeric or logical array, one in another as"),
            ("camera/b", ("unknown variable 'camera/b'", "(known: camera/depth)")),
            ("depth/x", "variable 'depth' is an array, and holds no others"),
            ("soft", "variable 'soft' is a link"),
            ("far", "variable 'far' is a link"),
            ("outside", "variable 'outside' is stored in other files"),
            ("virtual", "variable 'virtual' is stored in other files"),
            ("records", "dtype [('x', '<f4'), ('y', '<f4')] is not kept"),
            ("words", "dtype object is not kept"),
            ("number", "shape () is no picture"),
            ("line", "shape (9,) is no picture"),
        ],
    )
    def test_refused(self, path: Path, read: Read, variable: str, parts: object) -> None:
        plane = ramp()[..., 0]
        (path.parent / "raw.bin").write_bytes(plane.tobytes())
        with h5py.File(path.with_suffix(".h5"), "w") as file:
            file["depth"] = file["camera/depth"] = plane
            file["soft"] = h5py.SoftLink("/depth")
            file["far"] = h5py.ExternalLink("other.h5", "/depth")
            raw_bytes = [(str(path.parent / "raw.bin"), 0, plane.nbytes)]
            file.create_dataset("outside", plane.shape, plane.dtype, external=raw_bytes)
            view = h5py.VirtualLayout(plane.shape, plane.dtype)
            view[:] = h5py.VirtualSource("other.h5", "depth", plane.shape)
            file.create_virtual_dataset("virtual", view)
            file["records"] = np.zeros((2, 3), [("x", "<f4"), ("y", "<f4")])
            file["words"], file["number"], file["line"] = ["a", "b"], 3.0, np.zeros(9)
        with refused(SampleError, "nir/a.h5: ", parts):
            read(".h5", variable)

    @pytest.mark.parametrize("lost", [1, 100, 2000])
    def test_cut_short(self, path: Path, read: Read, lost: int) -> None:
        with h5py.File(path.with_suffix(".h5"), "w") as file:
            file["depth"] = np.zeros((50, 60))
        path.with_suffix(".h5").write_bytes(path.with_suffix(".h5").read_bytes()[:-lost])
        with refused(SampleError, "nir/a.h5: not a whole HDF5 file ("):
            read(".h5")


@pytest.mark.parametrize("content", [b"", b"hello world", b"MATLAB 5.0 MAT-file".ljust(200)])
@pytest.mark.parametrize("suffix", [".npz", ".mat", ".h5"])
def test_not_the_format(path: Path, read: Read, suffix: str, content: bytes) -> None:
    path.with_suffix(suffix).write_bytes(content)
    expected = f"nir/a{suffix}: not a " if content else f"nir/a{suffix}: empty (0 bytes)"
    with refused(SampleError, expected) as caught:
        read(suffix)
    assert "\n" not in str(caught.value)


class TestDescription:
    def test_wildcard_suffix(self, make: Make, path: Path) -> None:
        np.savez(path.with_suffix(".npz"), depth=ramp())
        edits = (("nir/{id}.png", "nir/{id}.*"), ('train = ["b", "a"]', 'train = ["a"]'))
        with refused(SampleError, "nir/a.npz: holds arrays by name; say which one with"):
            make(*edits).read("train", "a")
        path.with_suffix(".npz").unlink()
        np.save(path.with_suffix(".npy"), ramp())
        parts = "nir/a.npy: holds one picture and no variable 'depth'; leave 'variable' out"
        with refused(SampleError, parts):
            make(*edits, ("unit =", 'variable = "depth"\nunit =')).read("train", "a")


class TestLabels:
    @pytest.fixture
    def labels(self, make: Make, raw: Path) -> Callable[[np.ndarray], np.ndarray]:
        converter = make(("labels/{id}.png", "labels/{id}.mat"), ("kind =", 'variable = "gt"\nkind ='))

        def written(array: np.ndarray) -> np.ndarray:
            scipy.io.savemat(raw / "labels" / "a.mat", {"gt": array})
            found = converter.read("train", "a").labels
            assert isinstance(found, SemanticMap)
            return found.class_map

        return written

    @pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.float64])
    def test_numbers(self, labels: Callable[[np.ndarray], np.ndarray], dtype: type) -> None:
        np.testing.assert_array_equal(labels(label_map().astype(dtype)), label_map())

    @pytest.mark.parametrize("odd", [0.5, np.nan, np.inf, 2.0**53])
    def test_fractions(self, labels: Callable[[np.ndarray], np.ndarray], odd: float) -> None:
        array = label_map().astype(np.float64)
        array[0, 0] = odd
        with refused(SampleError, "labels/a.mat: float64 values; labels are whole numbers"):
            labels(array)


class TestHeaders:
    """A large array whose size is not the labels' is refused before it is unpacked."""

    @pytest.fixture(autouse=True)
    def small(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("aims.reading.headers._LARGE_BYTES", 1000)

    def write(self, path: Path, array: np.ndarray, suffix: str) -> None:
        if suffix == ".npz":
            np.savez_compressed(path.with_suffix(".npz"), depth=array)
        elif suffix == ".h5":
            with h5py.File(path.with_suffix(suffix), "w") as file:
                file["depth"] = array
        elif suffix == "5.mat":
            scipy.io.savemat(path.with_suffix(".mat"), {"depth": array}, do_compression=True)
        else:
            with matlab73(path.with_suffix(".mat")) as file:
                as_matlab(file, "depth", array.T, "uint16")

    @pytest.mark.parametrize("suffix", [".npz", ".h5", "5.mat", "7.3.mat"])
    def test_another_size(self, path: Path, read: Read, suffix: str, monkeypatch: pytest.MonkeyPatch) -> None:
        self.write(path, np.zeros((HEIGHT + 1, 300), np.uint16), suffix)
        monkeypatch.setattr("aims.converters.folder.files.load_picture", None)
        with refused(
            SampleError,
            f"nir/a{Path(suffix).suffix or suffix}: announces {HEIGHT + 1} x 300 (",
            "labels/a.png is",
        ):
            read(Path(suffix).suffix or suffix)

    @pytest.mark.parametrize("suffix", [".npz", ".h5", "5.mat", "7.3.mat"])
    def test_the_same_size(self, path: Path, read: Read, suffix: str) -> None:
        array = np.ones((HEIGHT, WIDTH, 300), np.uint16)
        self.write(path, array, suffix)
        np.testing.assert_array_equal(read(Path(suffix).suffix or suffix), array)

    @pytest.mark.parametrize("suffix", [".h5", ".mat"])
    def test_a_link_to_another_file_is_not_followed(self, path: Path, read: Read, suffix: str) -> None:
        """Not even for the size that the other file announces."""
        with h5py.File(path.with_name("other.h5"), "w") as file:
            file["depth"] = np.zeros((HEIGHT + 1, 300), np.uint16)
        with h5py.File(path.with_suffix(suffix), "w") as file:
            file["depth"] = h5py.ExternalLink("other.h5", "/depth")
        with refused(SampleError, f"nir/a{suffix}: variable 'depth' is a link"):
            read(suffix)
