"""Readers of compressed streams: gzip, bzip2 and xz, of any number of streams in a file.

The modules gzip, bz2 and lzma fail before the last good bytes or hide data after the end of a
stream, so :class:`Inflated` drives their decoders itself.
"""

import bz2
import lzma
from collections.abc import Callable
from typing import IO, Any, cast

from isal import igzip_lib

MAGIC = {"gz": b"\x1f\x8b", "bz2": b"BZh", "xz": b"\xfd7zXZ\0"}
STEP = 128 * 2**10
"""Packed bytes read at a time."""

XZ_MEMORY = 256 * 2**20
"""Memory limit of the xz decoder in bytes; `xz -9` needs 65 MiB."""

_igzip = cast(Any, igzip_lib)
_DECODERS: dict[str, Callable[[], Any]] = {
    "gz": lambda: _igzip.IgzipDecompressor(flag=_igzip.DECOMP_GZIP),
    "bz2": bz2.BZ2Decompressor,
    "xz": lambda: lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=XZ_MEMORY),
}
_DAMAGE = (_igzip.IsalError, lzma.LZMAError, OSError, ValueError, EOFError)


class StreamError(Exception):
    """Error of a compressed stream that is damaged or truncated."""


class Inflated:
    """File-like reader of the content of a compressed file, of all its streams.

    Attributes:
        compression: gz, bz2 or xz.
        trailing: packed bytes after the last stream, set when the end is reached. Zeros do not
            count, since some programs pad blocks with them.
    """

    def __init__(self, file: IO[bytes], size: int, compression: str) -> None:
        self.compression = compression
        self._file, self._size = file, size
        self._decoder = _DECODERS[compression]()
        self._packed = b""
        self._ended = False
        self._position = self.trailing = 0

    def read(self, size: int) -> bytes:
        """Return `size` bytes, fewer only at the end.

        Raises:
            StreamError: the stream is damaged or truncated.
        """
        parts: list[bytes] = []
        left = size
        while left > 0 and not self._at_end():
            parts.append(self._decode(left))
            left -= len(parts[-1])
        self._position += size - left
        return b"".join(parts)

    def seek(self, position: int) -> int:
        """Read forward to a later position; return the position reached."""
        while self._position < position:
            if not self.read(min(position - self._position, STEP)):
                break
        return self._position

    def _decode(self, most: int) -> bytes:
        packed, self._packed = self._packed, b""
        if not packed and self._decoder.needs_input:
            packed = self._file.read(STEP)
            if not packed:
                raise StreamError("the compressed data breaks off")
        try:
            part = cast(bytes, self._decoder.decompress(packed, most))
        except _DAMAGE as error:
            raise StreamError(f"the compressed data is damaged ({error})") from None
        # A decoder that reached `most` exactly notices only now that it needs input.
        if not (part or packed or self._decoder.eof or self._decoder.needs_input):
            raise StreamError("the compressed data breaks off")  # avoids an endless loop
        return part

    def _at_end(self) -> bool:
        """Start the next stream after an ended one; return True at the end or before other data."""
        if self._ended or not self._decoder.eof:
            return self._ended
        rest = self._decoder.unused_data.lstrip(b"\0")
        while not rest and (packed := self._file.read(STEP)):
            rest = packed.lstrip(b"\0")
        magic = MAGIC[self.compression]
        if len(rest) < len(magic):
            rest += self._file.read(STEP)
        if rest.startswith(magic):
            self._decoder, self._packed = _DECODERS[self.compression](), rest
        else:
            self._ended = True
            self.trailing = len(rest) and len(rest) + self._size - self._file.tell()
        return self._ended
