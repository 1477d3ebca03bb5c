"""Requests and answers as bytes, without sockets. Source: RFC 9112 (messages), RFC 9110 (fields).

    GET /images/linux.imz HTTP/1.1\\r\\n        HTTP/1.1 206 Partial Content\\r\\n
    Host: 10.0.0.1\\r\\n                        Content-Range: bytes 0-99/5000\\r\\n
    Range: bytes=0-99\\r\\n                     Content-Length: 100\\r\\n
    \\r\\n                                      \\r\\n
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from urllib.parse import unquote_to_bytes

MAX_HEAD = 16 << 10     # bytes of a request line and its fields
MAX_FIELDS = 100
MAX_BODY = 1 << 20      # bytes of a request's body: batches of events

_END = re.compile(rb"\r?\n\r?\n")
_BEGIN = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]", re.ASCII)
_REQUEST_LINE = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]{1,20}) ([\x21-\x7e]+) HTTP/1\.([0-9])", re.ASCII)
_FIELD = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*([^\x00-\x08\x0a-\x1f\x7f]*)", re.ASCII)     # no folding, no blank before the colon
_CHUNK_SIZE = re.compile(rb"([0-9A-Fa-f]{1,8})[ \t]*(?:;[^\r\n]*)?\r?\n", re.ASCII)
_LONGEST_CHUNK_LINE = 256
_ONCE = {"host", "content-length", "range", "if-range", "if-none-match", "if-modified-since", "authorization"}


class RefusedError(Exception):
    """A request that is answered by a status and a sentence; `close` where what follows on the connection cannot be told any more."""

    def __init__(self, status: HTTPStatus, sentence: str, *, close: bool = False) -> None:
        super().__init__(sentence)
        self.status = status
        self.sentence = sentence
        self.close = close


@dataclass(frozen=True, slots=True)
class Request:
    """A request with its body. `path` is decoded bytes that begin with `/`; names of fields are in small letters."""

    method: str
    path: bytes
    query: bytes
    fields: Mapping[str, str]
    minor: int = 1          # HTTP/1.minor
    body: bytes = b""

    @property
    def keeps_alive(self) -> bool:
        """Whether the connection stays open after the answer. Source: RFC 9112 9.3."""
        options = {each.strip().lower() for each in self.fields.get("connection", "").split(",")}
        return "close" not in options and (self.minor >= 1 or "keep-alive" in options)


class RequestReader:
    """Bytes of a connection in, requests out; holds at most a head and a body."""

    def __init__(self, max_body: int = MAX_BODY) -> None:
        self._max_body = max_body
        self._buffer = bytearray()
        self._looked = 0                        # up to here there is no end of a head
        self._head: Request | None = None       # waits for its body
        self._body = _Body(0)

    @property
    def is_between(self) -> bool:
        """True when nothing of a next request is there."""
        return not self._buffer and self._head is None

    @property
    def is_full(self) -> bool:
        """True when what waits should be taken before more is read."""
        return len(self._buffer) > MAX_HEAD + self._max_body

    @property
    def expects_continue(self) -> bool:
        """True when the peer waits for `100 Continue` before it sends a body."""
        return self._head is not None and not self._buffer and self._head.fields.get("expect", "").lower() == "100-continue"

    def feed(self, data: bytes) -> None:
        """Bytes as they come."""
        self._buffer += data

    def take(self) -> Request | None:
        """The next request when it is complete. Raises RefusedError."""
        if self._head is None:
            self._head = self._take_head()
            if self._head is None:
                return None
            self._body = self._body_of(self._head)
        if not self._body.take(self._buffer):
            return None
        head, self._head = self._head, None
        self._looked = 0
        return head if not self._body.data else Request(head.method, head.path, head.query, head.fields, head.minor, bytes(self._body.data))

    def _take_head(self) -> Request | None:
        if self._buffer.startswith((b"\r", b"\n")):      # RFC 9112 2.2: empty lines before a request are passed over
            del self._buffer[: len(self._buffer) - len(self._buffer.lstrip(b"\r\n"))]
        if self._buffer and not _BEGIN.match(self._buffer):       # TLS, for one, which would wait for our answer as we for its line
            raise RefusedError(HTTPStatus.BAD_REQUEST, "the first line is no request", close=True)
        end = _END.search(self._buffer, max(0, self._looked - 3))
        if (end.start() if end else len(self._buffer)) > MAX_HEAD:
            raise RefusedError(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, f"the head of a request has at most {MAX_HEAD} bytes", close=True)
        if end is None:
            self._looked = len(self._buffer)
            return None
        head = bytes(self._buffer[: end.start()])
        del self._buffer[: end.end()]
        return parse_head(head)

    def _body_of(self, head: Request) -> "_Body":
        coding, length = head.fields.get("transfer-encoding"), head.fields.get("content-length")
        if coding is not None:
            if length is not None or head.minor < 1:      # RFC 9112 6.3: an attempt to smuggle a request
                raise RefusedError(HTTPStatus.BAD_REQUEST, "a body has a length or is sent in chunks, not both", close=True)
            if coding.strip().lower() != "chunked":
                raise RefusedError(HTTPStatus.NOT_IMPLEMENTED, "a body can be sent as it is or in chunks", close=True)
            return _Body(None, self._max_body)
        if length is None:
            return _Body(0)
        if not length.isascii() or not length.isdecimal():
            raise RefusedError(HTTPStatus.BAD_REQUEST, "Content-Length is no number", close=True)
        if len(length) > 18 or int(length) > self._max_body:
            raise RefusedError(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"a body has at most {self._max_body} bytes", close=True)
        return _Body(int(length), self._max_body)


class _Body:
    """The body of a request on its way: `length` bytes, or in chunks (RFC 9112 7.1) when it is None."""

    def __init__(self, length: int | None, most: int = 0) -> None:
        self.data = bytearray()
        self._length = length
        self._most = most
        self._left = 0          # bytes of the chunk that comes
        self._state = "size"    # size → data → after → size ... → trailer

    def take(self, buffer: bytearray) -> bool:
        """Take what belongs to it out of the buffer; True when it is complete. Raises RefusedError."""
        if self._length is not None:
            step = self._length - len(self.data)
            self.data += buffer[:step]
            del buffer[:step]
            return len(self.data) == self._length
        while True:             # ends: every turn takes bytes out of the buffer, or leaves
            if self._state == "data":
                part = buffer[: self._left]
                self.data += part
                self._left -= len(part)
                del buffer[: len(part)]
                if self._left:
                    return False
                self._state = "after"
            line = buffer.find(b"\n") + 1
            if not line:
                if len(buffer) > _LONGEST_CHUNK_LINE:
                    raise _bad_chunk()
                return False
            text = bytes(buffer[:line])
            del buffer[:line]
            if self._state == "after":
                if text not in {b"\r\n", b"\n"}:
                    raise _bad_chunk()
                self._state = "size"
            elif self._state == "trailer":
                if text in {b"\r\n", b"\n"}:
                    return True
                self._left += len(text)
                if self._left > MAX_HEAD:
                    raise _bad_chunk()
            else:
                match = _CHUNK_SIZE.fullmatch(text)
                if match is None:
                    raise _bad_chunk()
                self._left = int(match[1], 16)
                if len(self.data) + self._left > self._most:
                    raise RefusedError(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"a body has at most {self._most} bytes", close=True)
                self._state = "data" if self._left else "trailer"


def _bad_chunk() -> RefusedError:
    return RefusedError(HTTPStatus.BAD_REQUEST, "the body is not what its coding in chunks says", close=True)


def parse_head(head: bytes) -> Request:
    """The request line and the fields, without the empty line. Raises RefusedError."""
    first, *lines = head.replace(b"\r\n", b"\n").split(b"\n")
    match = _REQUEST_LINE.fullmatch(first)
    if match is None:
        if re.search(rb" HTTP/[02-9]", first):
            raise RefusedError(HTTPStatus.HTTP_VERSION_NOT_SUPPORTED, "expected HTTP/1.1", close=True)
        raise RefusedError(HTTPStatus.BAD_REQUEST, "the first line is no request", close=True)
    if len(lines) > MAX_FIELDS:
        raise RefusedError(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, f"a request has at most {MAX_FIELDS} fields", close=True)
    fields: dict[str, str] = {}
    for line in lines:
        found = _FIELD.fullmatch(line)
        if found is None:
            raise RefusedError(HTTPStatus.BAD_REQUEST, "a line of the head is no field", close=True)
        name, value = found[1].decode("ascii").lower(), found[2].rstrip(b" \t").decode("latin-1")
        if name in fields:
            if name in _ONCE:
                raise RefusedError(HTTPStatus.BAD_REQUEST, f"the field {name} stands twice", close=True)
            value = f"{fields[name]}, {value}"
        fields[name] = value
    minor = int(match[3])
    if minor >= 1 and "host" not in fields:     # RFC 9112 3.2
        raise RefusedError(HTTPStatus.BAD_REQUEST, "the field Host is missing", close=True)
    path, query = _target(match[2])
    return Request(match[1].decode("ascii"), path, query, fields, minor)


def _target(target: bytes) -> tuple[bytes, bytes]:
    """The decoded path and the raw query of a request target. Source: RFC 9112 3.2."""
    if not target.startswith(b"/"):
        match = re.match(rb"https?://[^/?#]*(?=[/?]|\Z)", target, re.IGNORECASE)     # as for a proxy: must be understood, too
        if match is None:
            raise RefusedError(HTTPStatus.BAD_REQUEST, "the address of a request begins with /")
        target = target[match.end() :]
        if not target.startswith(b"/"):
            target = b"/" + target
    path, _, query = target.partition(b"?")
    if re.search(rb"%(?![0-9A-Fa-f]{2})", path) or b"#" in target:
        raise RefusedError(HTTPStatus.BAD_REQUEST, "the address of the request is not encoded as it should be")
    decoded = unquote_to_bytes(path)
    if b"\0" in decoded:
        raise RefusedError(HTTPStatus.BAD_REQUEST, "an address cannot hold the character code 0")
    return decoded, query


@dataclass(slots=True)
class FilePart:
    """Bytes of an open file, from `offset` on; the descriptor is closed by whoever has it last."""

    descriptor: int
    offset: int
    length: int


@dataclass(slots=True)
class Answer:
    """What goes back: bytes, or a part of a file. `close` ends the connection."""

    status: HTTPStatus
    fields: dict[str, str] = field(default_factory=dict)
    body: bytes | FilePart = b""
    close: bool = False

    @property
    def length(self) -> int:
        """Bytes of the body."""
        return self.body.length if isinstance(self.body, FilePart) else len(self.body)


def text_answer(status: HTTPStatus, sentence: str, fields: Mapping[str, str] | None = None, *, close: bool = False) -> Answer:
    """A sentence for people."""
    return Answer(status, {"Content-Type": "text/plain; charset=utf-8", **(fields or {})}, f"{sentence}\n".encode(), close)


def head_bytes(answer: Answer, date: str, *, keep: bool, minor: int) -> bytes:
    """The head of an answer; `date` is in the form of HTTP."""
    lines = [f"HTTP/1.1 {answer.status.value} {answer.status.phrase}", "Server: bpscript", f"Date: {date}"]
    lines += [f"{name}: {value}" for name, value in answer.fields.items()]
    # RFC 9110 8.6: no length with 304; that of a HEAD is the length that a GET would have (already among the fields).
    if answer.status is not HTTPStatus.NOT_MODIFIED and "Content-Length" not in answer.fields:
        lines.append(f"Content-Length: {answer.length}")
    if not keep:
        lines.append("Connection: close")
    elif minor == 0:
        lines.append("Connection: keep-alive")
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1", "replace")
