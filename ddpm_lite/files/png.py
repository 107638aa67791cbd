"""PNG files from arrays, with the standard library only."""

import struct
import zlib

import numpy as np

BLOCK = 65535  # the longest stored block in the deflate format


def png(pixels: np.ndarray, *, compress: bool = False) -> bytes:
    """Encode a uint8 array, (H, W) grey or (H, W, 3) coloured, as a PNG.

    Args:
        pixels: 0 is black and 255 white.
        compress: make the file smaller; its bytes then depend on the version of zlib.
    """
    height, width = pixels.shape[:2]
    rows = b"".join(b"\0" + row.tobytes() for row in np.ascontiguousarray(pixels))
    header = struct.pack(">IIBBBBB", width, height, 8, 0 if pixels.ndim == 2 else 2, 0, 0, 0)
    data = zlib.compress(rows) if compress else _store(rows)
    chunks = ((b"IHDR", header), (b"IDAT", data), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body)) for kind, body in chunks
    )


def _store(content: bytes) -> bytes:
    """Make a zlib stream without compression, which has the same bytes on every machine."""
    parts = [content[i : i + BLOCK] for i in range(0, len(content), BLOCK)]
    blocks = (struct.pack("<BHH", part is parts[-1], len(part), len(part) ^ 0xFFFF) + part for part in parts)
    return b"\x78\x01" + b"".join(blocks) + struct.pack(">I", zlib.adler32(content))
