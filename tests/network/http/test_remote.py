"""A remote file without a network: what it asks for, and what it makes of the answers."""

from collections.abc import Callable, Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bpscript.base.errors import FormatError, NetworkError, NotFoundError
from bpscript.network.http.remote import ATTEMPTS, LATER_ATTEMPTS, PAGE, RemoteFile
from bpscript.network.http.urls import parse_url
from tests.network.http.serving import Table, TableReply

URL = parse_url("http://server/file")
DATA = bytes(range(256)) * 1500     # 384,000: several pages
TAG = '"one"'

Change = Callable[[TableReply, int], None]


def server(data: bytes = DATA, *, change: Change = lambda reply, number: None, ranges: bool = True, tag: str | None = TAG) -> Table:
    """A web server in a few lines; `change(reply, number)` spoils answers, counted from 0."""
    numbers = iter(range(10_000))

    def answer(fields: Mapping[str, str]) -> TableReply:
        found = {} if tag is None else {"ETag": tag}
        text = fields.get("Range") if ranges else None
        if text is None or fields.get("If-Range", tag) != tag:
            reply = TableReply(200, {**found, "Content-Length": str(len(data))}, data, URL)
        elif not data:
            reply = TableReply(416, {**found, "Content-Range": "bytes */0"}, b"", URL)
        else:
            first, _, last = text.removeprefix("bytes=").partition("-")
            start, end = int(first), min(int(last) + 1 if last else len(data), len(data))
            reply = TableReply(206, {**found, "Content-Range": f"bytes {start}-{end - 1}/{len(data)}"}, data[start:end], URL)
        change(reply, next(numbers))
        return reply

    return Table(answer)


def opened(table: Table, pauses: list[float] | None = None) -> RemoteFile:
    return RemoteFile(table, URL, pause=([] if pauses is None else pauses).append)


def breaking(*places: int) -> Change:
    """The first answers break after so many bytes."""

    def change(reply: TableReply, number: int) -> None:
        if number < len(places):
            reply.breaks_after = places[number]

    return change


def test_the_first_request_tells_everything_and_a_small_file_is_complete() -> None:
    table = server(b"small")
    file = opened(table)
    assert (file.size, file.reads_anywhere, file.read(), file.read(5)) == (5, True, b"small", b"")
    assert file.read_at(1, 3) == b"mal"
    assert table.asked == [{"Range": f"bytes=0-{PAGE - 1}"}]


def test_a_large_file_takes_two_requests() -> None:
    table = server()
    assert opened(table).read() == DATA
    assert table.asked[1:] == [{"Range": f"bytes={PAGE}-", "If-Range": TAG}]


@pytest.mark.parametrize("ranges", [True, False], ids=["ranges", "no-ranges"])
def test_an_empty_file(ranges: bool) -> None:
    file = opened(server(b"", ranges=ranges))
    assert (file.size, file.read()) == (0, b"")


@given(st.lists(st.tuples(st.integers(0, len(DATA)), st.integers(0, 150_000)), min_size=1, max_size=8), st.lists(st.integers(0, 90_000), max_size=6))
def test_parts_are_those_of_the_file_whatever_breaks(parts: list[tuple[int, int]], breaks: list[int]) -> None:
    """Any parts in any order, while answers break off: the bytes of the file, or an error when nothing came several times."""
    file = opened(server(change=breaking(*breaks)))
    for start, length in parts:
        end = min(start + length, len(DATA))
        try:
            assert file.read_at(start, end - start) == DATA[start:end]
        except NetworkError as error:
            assert breaks.count(0) >= LATER_ATTEMPTS, error       # noqa: PT017


@given(st.lists(st.integers(1, 90_000), max_size=ATTEMPTS), st.integers(2_000, 100_000), st.booleans())
def test_reading_in_order_goes_on_where_it_broke(breaks: list[int], step: int, ranges: bool) -> None:
    file = opened(server(change=breaking(*breaks), ranges=ranges))
    assert b"".join(iter(lambda: file.read(step), b"")) == DATA


def test_resuming_asks_for_the_rest_only() -> None:
    table = server(change=breaking(PAGE, 1000))
    assert opened(table).read() == DATA
    assert [each["Range"] for each in table.asked] == [f"bytes=0-{PAGE - 1}", f"bytes={PAGE}-", f"bytes={PAGE + 1000}-"]


def test_a_server_that_never_gets_further_is_given_up_after_growing_pauses() -> None:
    pauses: list[float] = []
    with pytest.raises(NetworkError, match=rf"it broke \(tried {LATER_ATTEMPTS} times\)"):
        opened(server(change=breaking(PAGE, *[0] * 20)), pauses).read()
    assert pauses == [0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 5.0, 5.0, 5.0, 5.0, 5.0]      # 31 s


@pytest.mark.parametrize("anywhere", [True, False], ids=["anywhere", "in-order"])
def test_a_file_replaced_in_the_middle_is_one_sentence(anywhere: bool) -> None:
    old, new = server(), server(DATA[::-1], tag='"two"')
    table = Table(lambda fields: old.answer(fields) if len(table.asked) <= 2 else new.answer(fields))
    file = opened(table)
    assert file.read_at(100_000, 40_000) == DATA[100_000:140_000]
    with pytest.raises(NetworkError, match=r'^http://server/file changed on the server while it was read: ETag was "one", now it is "two"$'):
        file.read_at(200_000, 40_000) if anywhere else file.read()


def test_a_shorter_file_is_noticed_without_any_tag() -> None:
    old, new = server(tag=None), server(DATA[:150_000], tag=None)
    table = Table(lambda fields: old.answer(fields) if len(table.asked) <= 1 else new.answer(fields))
    file = opened(table)
    with pytest.raises(NetworkError, match="size was 384000, now it is 150000"):
        file.read_at(100_000, 40_000)


def test_a_weak_tag_is_no_validator_but_is_compared() -> None:
    table = server(tag='W/"x"')
    file = opened(table)
    file.read_at(100_000, 10)
    assert "If-Range" not in table.asked[1]


@pytest.mark.parametrize("coding", ["gzip", "br"])
def test_a_packed_body_is_refused(coding: str) -> None:
    def change(reply: TableReply, number: int) -> None:
        reply.fields = {**reply.fields, "Content-Encoding": coding}

    with pytest.raises(NetworkError, match=rf"sends it packed \(Content-Encoding: {coding}\)") as caught:
        opened(server(change=change))
    assert caught.value.hint == "switch compression off for images on the server"


@pytest.mark.parametrize(
    ("status", "error", "words"),
    [(404, NotFoundError, "no such file"), (410, NotFoundError, "no such file"), (403, NetworkError, "answers 403 Reason"), (204, NetworkError, "answers 204"), (503, NetworkError, "answers 503")],
)
def test_other_answers(status: int, error: type[Exception], words: str) -> None:
    table = Table(lambda _: TableReply(status, {}, b"", URL))
    with pytest.raises(error, match=words):
        opened(table)
    assert len(table.asked) == (ATTEMPTS if status == 503 else 1)


@pytest.mark.parametrize(
    "content_range", [None, "bytes 5-10/384000", "bytes 0-65535/*", "bytes 0-9/384000", "items 0-65535/384000", "bytes 0-65535/99999999999999999999999"],
    ids=["none", "elsewhere", "no-size", "short", "unit", "huge"],
)
def test_a_wrong_part_is_refused(content_range: str | None) -> None:
    def change(reply: TableReply, number: int) -> None:
        reply.fields = {"ETag": TAG} if content_range is None else {"ETag": TAG, "Content-Range": content_range}

    with pytest.raises(NetworkError, match="expected those"):
        opened(server(change=change))


def test_a_wrong_part_later_is_refused() -> None:
    def change(reply: TableReply, number: int) -> None:
        if number:
            reply.fields = {"Content-Range": "bytes 0-39999/384000"}

    with pytest.raises(NetworkError, match="sends bytes 0 to 40000; asked for were 100000 to 140000"):
        opened(server(change=change)).read_at(100_000, 40_000)


def test_bytes_beyond_the_end_are_refused_without_asking() -> None:
    table = server()
    with pytest.raises(FormatError, match="ends at byte 384000"):
        opened(table).read_at(383_999, 2)
    assert len(table.asked) == 1


def test_memory_stays_bounded() -> None:
    """Pages all over a large file: a few are kept."""
    size = 1 << 34

    def answer(fields: Mapping[str, str]) -> TableReply:
        first, last = map(int, fields["Range"].removeprefix("bytes=").split("-"))
        return TableReply(206, {"Content-Range": f"bytes {first}-{last}/{size}"}, bytes(last - first + 1), URL)

    file = opened(Table(answer))
    for number in range(100):
        file.read_at(number * 10_000_000, 10)
    assert len(file._pages) == 16
