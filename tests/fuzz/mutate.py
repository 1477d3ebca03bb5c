"""Inputs made of good ones: what hypothesis tries in every test run. `python -m tests.fuzz` looks for more, guided by coverage."""

from hypothesis import strategies as st

_HARMFUL = st.sampled_from([b"\0", b"\xff", b"\x80", b"\x7f", b"\0\0\0\0", b"\xff\xff\xff\xff", b"\xff\xff\xff\x7f", b"\x01\0\0\0", b"-1", b"99999999999999999999", b"{", b"(", b'"', b"\n", b"%s", b"../"])
_PIECE = st.one_of(_HARMFUL, st.binary(min_size=1, max_size=8))


@st.composite
def mutated(draw: st.DrawFn, seeds: tuple[bytes, ...]) -> bytes:
    """A seed with some pieces overwritten, put in, cut out or doubled; sometimes cut short, rarely no seed at all."""
    if draw(st.integers(0, 19)) == 0:
        return draw(st.binary(max_size=300))
    data = bytearray(draw(st.sampled_from(seeds)))
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, len(data)))
        kind = draw(st.integers(0, 5))
        if kind <= 1:       # most often, because it keeps what follows in place
            piece = draw(_PIECE)
            data[at : at + len(piece)] = piece
        elif kind == 2:
            data[at:at] = draw(_PIECE)
        elif kind == 3:
            del data[at : at + draw(st.integers(1, 64))]
        elif kind == 4:
            end = at + draw(st.integers(1, 64))
            data[at:at] = data[at:end]
        else:
            del data[at:]
    return bytes(data)
