"""What the checks send and expect."""

import base64
import struct
import zlib

# What the scripted provider says when nothing else is asked of it.
SENTENCE = "the 関所 reads each paper, counts each toll, and opens its gates"


def png(width, height, rgb):
    """A picture of one colour."""
    def piece(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
    rows = (b"\0" + bytes(rgb) * width) * height
    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + piece(b"IHDR", head) + piece(b"IDAT", zlib.compress(rows)) + piece(b"IEND", b"")


PICTURE = base64.b64encode(png(4, 4, (180, 40, 40))).decode()


def data_url(picture):
    return f"data:image/png;base64,{picture}"
