"""PNG and BMP files by hand, for kinds that no library here writes."""

from __future__ import annotations

import struct
import zlib

from raw_folder import WIDTH


def png(bits: int, colour: int, rows: list[bytes], *, chunks: bytes = b"", width: int = WIDTH) -> bytes:
    """A PNG by hand, for kinds that no library here writes."""
    header = struct.pack(">IIBBBBB", width, len(rows), bits, colour, 0, 0, 0)
    data = zlib.compress(b"".join(b"\0" + row for row in rows))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunks + chunk(b"IDAT", data) + chunk(b"IEND", b"")


def chunk(name: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))


def bmp(bits: int, rows: list[bytes], *, palette: bytes = b"", compression: int = 0) -> bytes:
    """A BMP by hand, with rows from the top; those that are compressed end by themselves."""
    pixels = b"".join(row if compression else row + bytes(-len(row) % 4) for row in reversed(rows))
    header = struct.pack("<IiiHHIIiiII", 40, WIDTH, len(rows), 1, bits, compression, len(pixels), 0, 0, 0, 0)
    at = 14 + len(header) + len(palette)
    return b"BM" + struct.pack("<IHHI", at + len(pixels), 0, 0, at) + header + palette + pixels
