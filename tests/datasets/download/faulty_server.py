"""A real HTTP server on 127.0.0.1 that can be told to fail, once or always, and keeps a log."""

import hashlib
import re
import threading
import time
from collections import defaultdict
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

PIECE = 1 << 14


@dataclass(frozen=True)
class Fault:
    """How one answer differs from a good one."""

    status: int = 0  # answer this instead
    retry_after: str = ""
    cut_after: int | None = None  # close the connection after so many bytes of the body
    stall_after: int | None = None  # send nothing more after so many bytes, until the test ends
    body: bytes | None = None  # send this instead of the file
    more_announced: int = 0  # Content-Length too long (or too short) by so much
    no_length: bool = False  # end the body by closing, announce nothing
    ranges: bool = True
    shift: int = 0  # answer a range that begins elsewhere
    pause: float = 0.0  # seconds after each piece
    etag: str | None = '"one"'


GOOD = Fault()


@dataclass
class FaultyServer:
    """Files by name, faults by name in the order of the answers, and what was asked."""

    files: dict[str, bytes]
    faults: dict[str, list[Fault]] = field(default_factory=lambda: defaultdict(list))
    always: dict[str, Fault] = field(default_factory=dict)
    log: list[tuple[str, str | None, str | None]] = field(default_factory=list)
    times: list[float] = field(default_factory=list)
    most_at_once: int = 0

    def __enter__(self):
        self.lock, self.ended, self.now = threading.Lock(), threading.Event(), 0
        handler = type("Handler", (_Handler,), {"server_state": self})
        self.http = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self.http.daemon_threads = True
        threading.Thread(target=self.http.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, *_):
        self.ended.set()
        self.http.shutdown()
        self.http.server_close()

    @property
    def base(self) -> str:
        return f"http://127.0.0.1:{self.http.server_port}"

    def ranges(self, name: str) -> list[str | None]:
        """The Range headers that came for a file, in order."""
        return [asked for path, asked, _ in self.log if path == name]

    def entry(self, name: str, **changes) -> dict[str, object]:
        """The catalogue's line of a file."""
        content = self.files[name]
        md5 = hashlib.md5(content).hexdigest()
        line = {"name": name, "url": f"{self.base}/{name}", "bytes": len(content), "md5": md5}
        return line | changes


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_state: FaultyServer

    def log_message(self, *_):
        pass

    def do_GET(self):
        state, name = self.server_state, self.path.split("/")[-1]
        with state.lock:
            state.log.append((name, self.headers["Range"], self.headers["If-Range"]))
            state.times.append(time.monotonic())
            queue = state.faults[name]
            fault = queue.pop(0) if queue else state.always.get(name, GOOD)
            state.now += 1
            self.open = 1
            state.most_at_once = max(state.most_at_once, state.now)
        try:
            self._answer(state.files.get(name), fault)
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True  # the client was killed, or had enough
        finally:
            self._end()

    def _end(self):
        """Count the answer as given: before its last bytes, at which the client may ask again."""
        with self.server_state.lock:
            self.server_state.now -= self.open
            self.open = 0

    def _answer(self, content, fault):
        if content is None or fault.status:
            self.send_response(fault.status or 404)
            if fault.retry_after:
                self.send_header("Retry-After", fault.retry_after)
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        content = content if fault.body is None else fault.body
        start = self._start(content, fault)
        if start is None:
            self.send_response(416)
            self.send_header("Content-Range", f"bytes */{len(content)}")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        self._send_head(content, start, fault)
        self._send_body(content[start:], fault)

    def _start(self, content, fault):
        found = re.fullmatch(r"bytes=(\d+)-", self.headers["Range"] or "")
        condition = self.headers["If-Range"]
        if not (found and fault.ranges and (condition is None or condition == fault.etag)):
            return 0
        start = int(found[1]) + fault.shift
        return start if start < len(content) else None

    def _send_head(self, content, start, fault):
        self.send_response(206 if start else 200)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        if fault.etag:
            self.send_header("ETag", fault.etag)
        if fault.no_length:
            self.send_header("Connection", "close")
            self.close_connection = True
        else:
            self.send_header("Content-Length", str(len(content) - start + fault.more_announced))
        self.end_headers()

    def _send_body(self, body, fault):
        ends = [end for end in (fault.cut_after, fault.stall_after) if end is not None]
        for at in range(0, min([len(body), *ends]), PIECE):
            if at + PIECE >= len(body):
                self._end()
            self.wfile.write(body[at : min([at + PIECE, *ends])])
            self.server_state.ended.wait(fault.pause)
        self.wfile.flush()
        if fault.stall_after is not None:
            self.server_state.ended.wait()
        if ends or fault.more_announced:
            self.close_connection = True
