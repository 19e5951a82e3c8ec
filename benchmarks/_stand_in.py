"""HTTP server that generates archives like NIH's twelve without storing them; used by scale.py.

Every archive has the true names and layout. Its images are a few hundred PNGs in turn, each made
unique by a text chunk with its name. Each image is compressed once: gzip files may consist of many
members, so an archive is concatenated from compressed pieces.
"""

import hashlib
import json
import struct
import tarfile
import threading
import zlib
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

PER_ARCHIVE = (4_999, *[10_000] * 10, 7_121)
"""Images in images_001.tar.gz to images_012.tar.gz, 112,120 in all."""

END = 12  # bytes of a PNG's last chunk, IEND


def gzipped(content: bytes, level: int = 1) -> bytes:
    """Compress into one gzip member without a time stamp."""
    packer = zlib.compressobj(level, zlib.DEFLATED, 31)
    return packer.compress(content) + packer.flush()


class Archive:
    """One archive: its image names, and the PNGs that they repeat in turn."""

    def __init__(
        self, name: str, images: list[str], lengths: list[int], bodies: list[bytes], end: bytes
    ) -> None:
        """Store lengths and compressed bodies of the PNGs, both without their last chunk."""
        self.name, self.images = name, images
        self.lengths, self.bodies, self.end = lengths, bodies, end

    def pieces(self) -> Iterator[bytes]:
        """Yield the bytes of the tar.gz."""
        for index, image in enumerate(self.images):
            kind = index % len(self.bodies)
            text = b"tEXtTitle\0" + image.encode()
            chunk = struct.pack(">I", len(text) - 4) + text + struct.pack(">I", zlib.crc32(text))
            entry = tarfile.TarInfo(f"images/{image}")
            entry.size = self.lengths[kind] + len(chunk) + END
            padding = bytes(-entry.size % tarfile.BLOCKSIZE)
            yield gzipped(entry.tobuf())
            yield self.bodies[kind]
            yield gzipped(chunk + self.end + padding)
        yield gzipped(bytes(tarfile.RECORDSIZE))

    def measure(self) -> tuple[int, str]:
        """Return its size and MD5."""
        size, digest = 0, hashlib.md5(usedforsecurity=False)
        for piece in self.pieces():
            size += len(piece)
            digest.update(piece)
        return size, digest.hexdigest()


def make_archives(names: list[str], pictures: list[bytes], scale: float) -> list[Archive]:
    """Split the sorted names as NIH does, and keep the first share `scale` of each archive."""
    archives, start = [], 0
    shared = (
        [len(picture) - END for picture in pictures],
        [gzipped(picture[:-END]) for picture in pictures],
        pictures[0][-END:],
    )
    for number, count in enumerate(PER_ARCHIVE, 1):
        archive_names = names[start : start + round(count * scale)]
        archives.append(Archive(f"images_{number:03d}.tar.gz", archive_names, *shared))
        start += count
    return archives


class StandIn:
    """An HTTP server on this machine; `lists` are files that it sends as they are."""

    def __init__(self, archives: list[Archive], lists: dict[str, bytes]) -> None:
        with ProcessPoolExecutor() as pool:
            measured = list(pool.map(Archive.measure, archives))
        self.archives = {archive.name: archive for archive in archives}
        self.lists = lists
        self.sizes = {name: size for name, (size, _) in zip(self.archives, measured, strict=True)}
        self.sums = {name: md5 for name, (_, md5) in zip(self.archives, measured, strict=True)}
        for name, content in lists.items():
            self.sizes[name] = len(content)
            self.sums[name] = hashlib.md5(content, usedforsecurity=False).hexdigest()
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def write_catalogue(self, path: Path) -> None:
        """Write the catalogue for `stages.download --catalogue`."""
        base = f"http://127.0.0.1:{self.server.server_port}"
        lines = [
            {"name": name, "url": f"{base}/{name}", "bytes": size, "md5": self.sums[name]}
            for name, size in self.sizes.items()
        ]
        path.write_text(json.dumps(lines))

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        served = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                name = self.path.removeprefix("/")
                self.send_response(200 if name in served.sizes else 404)
                self.send_header("Content-Length", str(served.sizes.get(name, 0)))
                self.end_headers()
                if name in served.lists:
                    self.wfile.write(served.lists[name])
                elif name in served.archives:
                    for piece in served.archives[name].pieces():
                        self.wfile.write(piece)

            def log_message(self, *_: object) -> None:
                """Stay silent."""

        return Handler
