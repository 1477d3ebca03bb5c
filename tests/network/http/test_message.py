"""Requests as bytes: what is understood, what is refused, and that nothing else happens."""

from http import HTTPStatus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bpscript.network.http.message import MAX_BODY, MAX_HEAD, Answer, RefusedError, Request, RequestReader, head_bytes

GET = b"GET /a/b%20c?x=1 HTTP/1.1\r\nHost: h\r\nRange:  bytes=0-1 \r\n\r\n"


def parsed(data: bytes) -> list[Request]:
    """All requests in some bytes."""
    reader = RequestReader()
    reader.feed(data)
    found = []
    while (request := reader.take()) is not None:
        found.append(request)
    return found


def refused(data: bytes) -> tuple[int, str]:
    with pytest.raises(RefusedError) as caught:
        parsed(data)
    return caught.value.status.value, caught.value.sentence


def test_a_request_is_taken_apart() -> None:
    assert parsed(GET) == [Request("GET", b"/a/b c", b"x=1", {"host": "h", "range": "bytes=0-1"})]


def test_several_requests_may_come_at_once_and_byte_by_byte() -> None:
    post = b"POST /p HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhello"
    chunks = b"POST /q HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3;x=y\r\nabc\r\n2\r\nde\r\n0\r\nTrailer: z\r\n\r\n"
    whole = parsed(GET + post + chunks + b"\r\n" + GET)
    assert [(each.method, each.path, each.body) for each in whole] == [
        ("GET", b"/a/b c", b""), ("POST", b"/p", b"hello"), ("POST", b"/q", b"abcde"), ("GET", b"/a/b c", b""),
    ]
    reader, found = RequestReader(), []
    for byte in GET + post + chunks + b"\r\n" + GET:
        reader.feed(bytes([byte]))
        if (request := reader.take()) is not None:
            found.append(request)
    assert found == whole
    assert reader.is_between


def test_lines_may_end_without_a_return() -> None:
    assert parsed(GET.replace(b"\r\n", b"\n"))[0].path == b"/a/b c"


def test_the_form_for_proxies_is_understood() -> None:
    assert parsed(b"GET http://somewhere:80/x HTTP/1.1\r\nHost: h\r\n\r\n")[0].path == b"/x"
    assert parsed(b"GET http://somewhere HTTP/1.1\r\nHost: h\r\n\r\n")[0].path == b"/"


@pytest.mark.parametrize(
    ("minor", "connection", "keeps"),
    [(b"1", b"", True), (b"1", b"close", False), (b"0", b"", False), (b"0", b"Keep-Alive", True), (b"1", b"x, CLOSE", False)],
)
def test_a_connection_is_kept_as_the_peer_asks(minor: bytes, connection: bytes, keeps: bool) -> None:
    assert parsed(b"GET / HTTP/1.%s\r\nHost: h\r\nConnection: %s\r\n\r\n" % (minor, connection))[0].keeps_alive is keeps


HEAD = b"GET / HTTP/1.1\r\nHost: h\r\n"


@pytest.mark.parametrize(
    ("data", "status", "words"),
    [
        pytest.param(b"hello\r\n\r\n", 400, "no request", id="nonsense"),
        pytest.param(b"GET /\r\n\r\n", 400, "no request", id="http-0.9"),
        pytest.param(b"GET / HTTP/2.0\r\nHost: h\r\n\r\n", 505, "HTTP/1.1", id="http-2"),
        pytest.param(b"GET / HTTP/1.1\r\n\r\n", 400, "Host is missing", id="no-host"),
        pytest.param(HEAD + b"Host: g\r\n\r\n", 400, "host stands twice", id="two-hosts"),
        pytest.param(HEAD + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\n", 400, "stands twice", id="two-lengths"),
        pytest.param(HEAD + b"X : y\r\n\r\n", 400, "no field", id="blank-before-colon"),
        pytest.param(HEAD + b" folded\r\n\r\n", 400, "no field", id="folded"),
        pytest.param(HEAD + b"X: a\0b\r\n\r\n", 400, "no field", id="nul-in-field"),
        pytest.param(HEAD + b"X: a\rb\r\n\r\n", 400, "no field", id="return-in-field"),
        pytest.param(b"GET /%zz HTTP/1.1\r\nHost: h\r\n\r\n", 400, "not encoded", id="bad-percent"),
        pytest.param(b"GET /%00 HTTP/1.1\r\nHost: h\r\n\r\n", 400, "character code 0", id="nul-in-path"),
        pytest.param(b"GET * HTTP/1.1\r\nHost: h\r\n\r\n", 400, "begins with /", id="asterisk"),
        pytest.param(b"GET /a b HTTP/1.1\r\nHost: h\r\n\r\n", 400, "no request", id="blank-in-path"),
        pytest.param(HEAD + b"X: y\r\n" * 101 + b"\r\n", 431, "at most 100 fields", id="many-fields"),
        pytest.param(b"GET /" + b"a" * MAX_HEAD + b" HTTP/1.1\r\n", 431, "at most 16384 bytes", id="long-head"),
        pytest.param(HEAD + b"Content-Length: -1\r\n\r\n", 400, "no number", id="negative-length"),
        pytest.param(HEAD + b"Content-Length: %d\r\n\r\n" % (MAX_BODY + 1), 413, "at most 1048576", id="long-body"),
        pytest.param(HEAD + b"Content-Length: " + b"9" * 30 + b"\r\n\r\n", 413, "at most 1048576", id="huge-length"),
        pytest.param(HEAD + b"Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", 400, "not both", id="smuggling"),
        pytest.param(HEAD + b"Transfer-Encoding: gzip, chunked\r\n\r\n", 501, "in chunks", id="coded-body"),
        pytest.param(HEAD + b"Transfer-Encoding: chunked\r\n\r\nxyz\r\n", 400, "in chunks", id="bad-chunk-size"),
        pytest.param(HEAD + b"Transfer-Encoding: chunked\r\n\r\n1\r\nab\r\n", 400, "in chunks", id="bad-chunk-end"),
        pytest.param(HEAD + b"Transfer-Encoding: chunked\r\n\r\nfffffff\r\n", 413, "at most", id="large-chunk"),
        pytest.param(HEAD + b"Transfer-Encoding: chunked\r\n\r\n1" + b" " * 300, 400, "in chunks", id="endless-chunk-line"),
        pytest.param(HEAD + b"Transfer-Encoding: chunked\r\n\r\n0\r\n" + b"T: x\r\n" * 4000, 400, "in chunks", id="endless-trailer"),
    ],
)
def test_refusals(data: bytes, status: int, words: str) -> None:
    found, sentence = refused(data)
    assert (found, words in sentence) == (status, True), (found, sentence)


@given(st.lists(st.one_of(st.binary(max_size=60), st.sampled_from([GET, HEAD, b"\r\n\r\n", b"\r\n", b"Transfer-Encoding: chunked\r\n", b"5\r\n", b"0\r\n\r\n"])), max_size=8))
def test_any_bytes_are_requests_or_refused(pieces: list[bytes]) -> None:
    """Any bytes in any pieces give requests, wait for more, or are refused; the same in one piece and in many."""

    def outcome(parts: list[bytes]) -> list[object]:
        reader, found = RequestReader(), list[object]()
        try:
            for part in parts:
                reader.feed(part)
                while (request := reader.take()) is not None:
                    found.append(request)
        except RefusedError as refused:
            found.append(refused.status)
        return found

    whole = outcome([b"".join(pieces)])
    assert outcome([bytes([byte]) for byte in b"".join(pieces)]) == whole
    assert outcome(pieces) == whole


def test_the_head_of_an_answer() -> None:
    answer = Answer(HTTPStatus.PARTIAL_CONTENT, {"Content-Range": "bytes 0-1/5"}, b"ab")
    assert head_bytes(answer, "DATE", keep=False, minor=1) == (
        b"HTTP/1.1 206 Partial Content\r\nServer: bpscript\r\nDate: DATE\r\nContent-Range: bytes 0-1/5\r\nContent-Length: 2\r\nConnection: close\r\n\r\n"
    )
    assert b"Connection: keep-alive" in head_bytes(answer, "DATE", keep=True, minor=0)
    assert b"Content-Length" not in head_bytes(Answer(HTTPStatus.NOT_MODIFIED), "DATE", keep=True, minor=1)
