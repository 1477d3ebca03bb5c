"""Files of a folder as answers: nothing outside of it, whatever an address looks like."""

import os
from collections.abc import Mapping
from http import HTTPStatus
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bpscript.network.http.conditions import http_date
from bpscript.network.http.files import Folder
from bpscript.network.http.message import Answer, FilePart, RefusedError, Request, RequestReader

SECRET = b"the secret outside"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "root"
    (folder / "sub").mkdir(parents=True)
    (folder / "a.txt").write_bytes(b"0123456789")
    (folder / "sub" / "räume b").write_bytes(b"inside")
    (folder / "empty").touch()
    (tmp_path / "root-secret").write_bytes(SECRET)
    (tmp_path / "secret").write_bytes(SECRET)
    (folder / "link-in").symlink_to("sub/räume b")
    (folder / "link-out").symlink_to("../secret")
    (folder / "link-absolute").symlink_to(tmp_path / "secret")
    (folder / "link-folder").symlink_to("..")
    (folder / "loop").symlink_to("loop")
    os.mkfifo(folder / "pipe")
    return folder


def body(answer: Answer) -> bytes:
    """What the answer sends; closes its file."""
    if not isinstance(answer.body, FilePart):
        return answer.body
    try:
        return os.pread(answer.body.descriptor, answer.body.length, answer.body.offset)
    finally:
        os.close(answer.body.descriptor)


def get(root: Path, path: bytes, method: str = "GET", fields: Mapping[str, str] | None = None) -> tuple[int, bytes]:
    try:
        answer = Folder(root).answer(Request(method, path, b"", fields or {}))
    except RefusedError as refused:
        return refused.status.value, b""
    return answer.status.value, body(answer)


def test_files_and_parts_of_them(root: Path) -> None:
    assert get(root, b"/a.txt") == (200, b"0123456789")
    assert get(root, b"//sub///r\xc3\xa4ume b") == (200, b"inside")
    assert get(root, b"/empty") == (200, b"")
    assert get(root, b"/a.txt", fields={"range": "bytes=2-4"}) == (206, b"234")
    assert get(root, b"/a.txt", fields={"range": "bytes=20-"})[0] == 416
    assert get(root, b"/empty", fields={"range": "bytes=0-"})[0] == 416
    assert get(root, b"/a.txt", "HEAD") == (200, b"")
    assert get(root, b"/a.txt", "POST")[0] == 405


def test_the_fields_of_an_answer(root: Path) -> None:
    os.utime(root / "a.txt", (10**9, 10**9))
    answer = Folder(root).answer(Request("HEAD", b"/a.txt", b"", {}))
    assert answer.status is HTTPStatus.OK
    assert (answer.fields["Content-Length"], answer.fields["Last-Modified"], answer.fields["Accept-Ranges"]) == ("10", http_date(10**9), "bytes")
    assert answer.fields["Content-Type"].startswith("text/plain")
    again = Folder(root).answer(Request("GET", b"/a.txt", b"", {"if-none-match": answer.fields["ETag"]}))
    assert (again.status, again.body) == (HTTPStatus.NOT_MODIFIED, b"")


@pytest.mark.parametrize(
    ("path", "status"),
    [
        pytest.param(b"/../secret", 400, id="up"), pytest.param(b"/sub/../../secret", 400, id="down-and-up"), pytest.param(b"/sub/..", 400, id="up-at-the-end"),
        pytest.param(b"/link-out", 404, id="link-out"), pytest.param(b"/link-absolute", 404, id="absolute-link"),
        pytest.param(b"/link-folder/secret", 404, id="through-a-folder"), pytest.param(b"/loop", 404, id="loop"), pytest.param(b"/pipe", 404, id="pipe"),
        pytest.param(b"/", 404, id="root"), pytest.param(b"/sub", 404, id="folder"), pytest.param(b"/sub/", 404, id="folder-with-slash"),
        pytest.param(b"/a.txt/", 404, id="file-with-slash"), pytest.param(b"/a.txt/b", 404, id="below-a-file"), pytest.param(b"/missing", 404, id="missing"),
        pytest.param(b"/" + b"n" * 300, 404, id="long-name"), pytest.param(b"/" + b"n/" * 3000, 404, id="long-path"), pytest.param(b"/a\0b", 400, id="nul"),
    ],
)
def test_addresses_that_lead_nowhere(root: Path, path: bytes, status: int) -> None:
    before = len(os.listdir("/proc/self/fd"))
    assert get(root, path) == (status, b"")
    assert len(os.listdir("/proc/self/fd")) == before


def test_links_inside_are_followed(root: Path) -> None:
    assert get(root, b"/link-in") == (200, b"inside")


def test_a_folder_whose_name_only_begins_like_the_root_is_outside(root: Path) -> None:
    (root / "sibling").symlink_to("../root-secret")
    assert get(root, b"/sibling") == (404, b"")


@given(st.lists(st.sampled_from(["..", ".", "", "sub", "secret", "root-secret", "link-folder", "link-out", "%2e%2e", "..%2f", "%2F", "a.txt", "\\", "%5c..", "räume b", "link-in"]), max_size=6))
def test_no_address_reaches_the_secret(tmp_path_factory: pytest.TempPathFactory, parts: list[str]) -> None:
    """Any address, encoded in any way, gives bytes of files in the folder or a refusal."""
    root = tmp_path_factory.getbasetemp() / "any" / "root"
    if not root.exists():
        (root / "sub").mkdir(parents=True)
        (root / "a.txt").write_bytes(b"0123456789")
        (root.parent / "secret").write_bytes(SECRET)
        (root / "link-folder").symlink_to("..")
        (root / "link-out").symlink_to("../secret")
        (root / "link-in").symlink_to("a.txt")
    reader = RequestReader()
    reader.feed(b"GET /%s HTTP/1.1\r\nHost: h\r\n\r\n" % "/".join(parts).replace(" ", "%20").encode())
    try:
        request = reader.take()
    except RefusedError:
        return
    assert request is not None
    assert get(root, request.path)[1] in {b"", b"0123456789"}
