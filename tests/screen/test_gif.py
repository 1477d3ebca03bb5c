"""GIF pictures: Pillow writes them and is the judge of what we read; hostile files are refused, and soon."""

import io
import struct
import time
import tracemalloc

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from PIL import Image

from bpscript.base.errors import FormatError
from bpscript.screen.gif import read_gif
from bpscript.screen.screen import Mode, Picture
from tests.screen.gifs import gif

LARGEST = Mode(1280, 1024)
RED, GREEN, BLUE, WHITE = (255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255)


def shown(picture: Picture) -> bytes:
    """Red, green and blue of each pixel."""
    return b"".join(bytes(picture.colors[pixel]) for pixel in picture.pixels)


def judged(data: bytes) -> bytes:
    """What Pillow says the pixels are."""
    with Image.open(io.BytesIO(data)) as image:
        return image.convert("RGB").tobytes()


@given(st.integers(1, 40), st.integers(1, 40), st.integers(2, 256), st.booleans(), st.data())
def test_every_picture_is_read_as_pillow_reads_it(width: int, height: int, count: int, interlaced: bool, data: st.DataObject) -> None:
    levels = data.draw(st.binary(min_size=3 * count, max_size=3 * count))
    colors = list(zip(levels[0::3], levels[1::3], levels[2::3], strict=True))
    row = data.draw(st.binary(min_size=width, max_size=width))
    pixels = bytes((byte + y) % count for y in range(height) for byte in row)
    file = gif(width, height, pixels, colors, interlaced=interlaced)
    picture = read_gif(file, "x", LARGEST)
    assert (picture.width, picture.height) == (width, height)
    assert shown(picture) == judged(file)


def test_a_large_noisy_picture_fills_the_code_table_many_times() -> None:
    pixels = bytes((x * x + 7 * y * y + x * y) % 251 for y in range(300) for x in range(400))
    file = gif(400, 300, pixels, [(i, 255 - i, i * 7 % 256) for i in range(256)])
    assert shown(read_gif(file, "x", LARGEST)) == judged(file)


def test_the_transparent_color_is_known() -> None:
    assert read_gif(gif(2, 1, b"\0\1", [RED, GREEN], transparent=1), "x", LARGEST).transparent == 1
    assert read_gif(gif(2, 1, b"\0\1", [RED, GREEN]), "x", LARGEST).transparent is None


def test_an_animation_shows_its_first_picture() -> None:
    frames = [Image.new("RGB", (4, 4), color) for color in (RED, GREEN)]
    out = io.BytesIO()
    frames[0].save(out, "GIF", save_all=True, append_images=frames[1:])
    assert set(shown(read_gif(out.getvalue(), "x", LARGEST))) == {255, 0}
    assert shown(read_gif(out.getvalue(), "x", LARGEST)) == bytes(RED) * 16


def test_a_picture_may_lie_away_from_the_corner_and_have_its_own_colors() -> None:
    """What Pillow does not write: 10 x 8 screen, picture of 2 x 1 at 3, 4, with a local table."""
    file = b"GIF89a" + struct.pack("<HHBBB", 10, 8, 0, 0, 0) + b"\x21\xfe\x02hi\0"
    file += b"," + struct.pack("<HHHHB", 3, 4, 2, 1, 0x80) + bytes(BLUE + WHITE)
    file += b"\x02\x02\x44\x0a\0;"      # codes of 3 bits, from the lowest: clear 4, 0, 1, end 5
    picture = read_gif(file, "x", LARGEST)
    assert (picture.left, picture.top, picture.width, picture.height) == (3, 4, 2, 1)
    assert shown(picture) == bytes(BLUE + WHITE)


GOOD = gif(16, 16, bytes(range(256)), [(i, i, i) for i in range(256)])


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "it does not begin with GIF87a or GIF89a"),
        (b"GIF88a" + GOOD[6:], "it does not begin with GIF87a or GIF89a"),
        (GOOD[:10], "it ends too early, after 10 bytes"),
        (GOOD[:100], "it ends too early, after 100 bytes"),
        (GOOD[:900], "of 256 pixels"),
        (b"GIF89a" + bytes(7) + b";", "there is no picture in it"),
        (b"GIF89a" + bytes(7) + b"x", "there is no block of kind 0x78, found at byte 13"),
        (b"GIF89a" + bytes(7) + b"," + struct.pack("<HHHHB", 0, 0, 1, 1, 0) + b"\2\2\x44\x0a\0;", "it has no colours"),
        (b"GIF89a" + bytes(7) + b"," + struct.pack("<HHHHB", 0, 0, 0, 9, 0x80) + bytes(6) + b"\2\0;", "a picture of 0 x 9 pixels"),
        (b"GIF89a" + bytes(7) + b"," + struct.pack("<HHHHB", 0, 0, 1, 1, 0x80) + bytes(6) + b"\x0c\0;", "its pixels have 12 bits, expected 1 to 8"),
        (b"GIF89a" + bytes(7) + b"," + struct.pack("<HHHHB", 0, 0, 3, 1, 0x80) + bytes(6) + b"\2\2\x44\x0a\0;", "its pixels end after 2 of 3"),
        (b"GIF89a" + bytes(7) + b"," + struct.pack("<HHHHB", 0, 0, 3, 1, 0x80) + bytes(6) + b"\2\1\x3c\0;", "code 7 after 0 of 3 pixels means nothing"),
    ],
)  # fmt: skip
def test_a_damaged_file_is_refused_with_what_is_wrong(data: bytes, message: str) -> None:
    with pytest.raises(FormatError) as caught:
        read_gif(data, "logo.gif", LARGEST)
    assert str(caught.value).startswith('"logo.gif" is no GIF picture: ')
    assert message in str(caught.value)


def test_a_picture_larger_than_the_mode_is_refused_before_it_is_decoded() -> None:
    huge = b"GIF89a" + struct.pack("<HHBBB", 1, 1, 0x80, 0, 0) + bytes(6) + b"," + struct.pack("<HHHHB", 65535, 65535, 65535, 65535, 0) + b"\x08"
    tracemalloc.start()
    with pytest.raises(FormatError, match=r'"logo.gif" does not fit on the screen: it has 131070 x 131070 pixels, the mode 800 x 600'):
        read_gif(huge, "logo.gif", Mode(800, 600))
    assert tracemalloc.get_traced_memory()[1] < 100_000
    tracemalloc.stop()


def test_strings_that_grow_stay_within_bounds() -> None:
    """The worst that LZW can do: each code is the string before it and one pixel more."""
    width, height = 1280, 1024
    bits, size, known = [], 3, 6
    for place, code in enumerate([4, 0, *range(6, 4096)]):
        bits += [code >> bit & 1 for bit in range(size)]
        if place > 1:
            known += 1
            if known == 1 << size and size < 12:
                size += 1
    packed = bytes(sum(bit << at for at, bit in enumerate(bits[start : start + 8])) for start in range(0, len(bits), 8))
    chain = b"".join(bytes([len(packed[at : at + 255])]) + packed[at : at + 255] for at in range(0, len(packed), 255))
    file = b"GIF89a" + bytes(7) + b"," + struct.pack("<HHHHB", 0, 0, width, height, 0x80) + bytes(6) + b"\2" + chain + b"\0;"
    tracemalloc.start()
    picture = read_gif(file, "x", LARGEST)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert picture.pixels == bytes(width * height)
    assert peak < 12 * width * height


def test_a_table_that_is_thrown_away_again_and_again_takes_no_time() -> None:
    """16 MB of nothing but the code 4, which clears the table: 44 million of them."""
    clears = bytes([0x24, 0x49, 0x92]) * 85
    chain = (b"\xff" + clears) * (1 << 16)
    file = b"GIF89a" + bytes(7) + b"," + struct.pack("<HHHHB", 0, 0, 100, 100, 0x80) + bytes(6) + b"\2" + chain + b"\0;"
    started = time.process_time()
    with pytest.raises(FormatError, match="it ends after 0 of 10000 pixels"):
        read_gif(file, "x", LARGEST)
    assert time.process_time() - started < 1


@given(st.binary(max_size=300), st.booleans())
@example(GOOD[13:], True)
def test_any_bytes_are_a_picture_or_an_error(data: bytes, with_start: bool) -> None:
    """Any bytes give a picture of the size they say, or FormatError; nothing else, and never a loop."""
    start = b"GIF89a" + struct.pack("<HHBBB", 9, 9, 0x80, 0, 0) + bytes(6) if with_start else b""
    try:
        picture = read_gif(start + data, "x", LARGEST)
    except FormatError:
        return
    assert len(picture.pixels) == picture.width * picture.height


@given(st.integers(0, len(GOOD) - 1), st.integers(1, 255))
def test_any_wrong_byte_gives_a_picture_or_an_error(position: int, change: int) -> None:
    damaged = bytearray(GOOD)
    damaged[position] ^= change
    try:
        picture = read_gif(bytes(damaged), "x", LARGEST)
    except FormatError:
        return
    assert len(picture.pixels) == picture.width * picture.height
