"""Options: what a server answers to those of a request, and what a client accepts of an answer.

    blksize     8 to 65464 bytes of data in a block; the server may answer less     RFC 2348
    timeout     1 to 255 seconds before something is sent again; answered as asked  RFC 2349
    tsize       bytes of the file: 0 asks, a number tells                            RFC 2349
    windowsize  1 to 65535 blocks sent per acknowledgement; may be answered less     RFC 7440
    multicast   (empty) asks, "address,port,master" answers                          RFC 2090, see multicast.py

An option that cannot be understood is left out of the answer, as RFC 2347 has it: the transfer goes on without it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from ...base.errors import FormatError
from .packets import DEFAULT_BLOCK_SIZE, Request

MIN_BLOCK_SIZE, MAX_BLOCK_SIZE = 8, 65464       # RFC 2348
MAX_TIMEOUT_S = 255                             # RFC 2349
MAX_WINDOW = 65535                              # RFC 7440
FLIGHT = 4 << 20        # bytes on their way at most: a window is cut to that, whatever was asked
OCTET, NETASCII = "octet", "netascii"


@dataclass(frozen=True, slots=True)
class Agreed:
    """How a transfer goes: bytes per block, blocks per acknowledgement, seconds until a repetition if agreed on, size if told."""

    block_size: int = DEFAULT_BLOCK_SIZE
    window: int = 1
    timeout_s: int | None = None
    size: int | None = None


def negotiate(
    request: Request, size: int | None, *, block_size: int = DEFAULT_BLOCK_SIZE, max_block_size: int = MAX_BLOCK_SIZE, max_window: int = MAX_WINDOW
) -> tuple[Agreed, dict[str, str]]:
    """A server's side: how the transfer goes, and the options of the OACK (empty: none is sent).

    `size` is that of the file in bytes (None: unknown, for a write the size is the client's to tell); `block_size` holds
    where the request has none.
    """
    agreed = Agreed(block_size=block_size)
    answer: dict[str, str] = {}
    for name, text in request.options.items():
        value = _number(text)
        if value is None:
            continue
        match name:
            case "blksize" if value >= MIN_BLOCK_SIZE:
                agreed = replace(agreed, block_size=min(value, max_block_size))
                answer[name] = str(agreed.block_size)
            case "timeout" if 1 <= value <= MAX_TIMEOUT_S:
                agreed = replace(agreed, timeout_s=value)
                answer[name] = text
            case "tsize" if request.write:
                agreed = replace(agreed, size=value)
                answer[name] = text
            case "tsize" if size is not None:
                agreed = replace(agreed, size=size)
                answer[name] = str(size)
            case "windowsize" if 1 <= value <= MAX_WINDOW:
                agreed = replace(agreed, window=min(value, max_window))
                answer[name] = str(agreed.window)
            case _:
                pass
    window = max(1, min(agreed.window, FLIGHT // agreed.block_size))
    if window != agreed.window:
        agreed = replace(agreed, window=window)
        answer["windowsize"] = str(window)
    return agreed, answer


def accept(asked: Mapping[str, str], answer: Mapping[str, str]) -> Agreed:
    """A client's side: what the OACK to its request means.

    Raises FormatError for an option that was not asked for, or a value that may not be answered (RFC 2347: ERROR 8).
    """
    agreed = Agreed()
    for name, text in answer.items():
        if name not in asked:
            raise FormatError(f'option "{name[:20]}" was answered but not asked for')
        if name not in _LIMITS:
            continue
        value = _number(text)
        low, high = _LIMITS[name]
        if name in {"blksize", "windowsize"}:
            high = int(asked[name])
        if value is None or not low <= value <= high:
            raise FormatError(f'option {name} was answered with "{text[:20]}"; expected {low} to {high}')
        match name:
            case "blksize":
                agreed = replace(agreed, block_size=value)
            case "windowsize":
                agreed = replace(agreed, window=value)
            case "timeout":
                agreed = replace(agreed, timeout_s=value)
            case _:
                agreed = replace(agreed, size=value)
    return agreed


_LIMITS = {"blksize": (MIN_BLOCK_SIZE, MAX_BLOCK_SIZE), "timeout": (1, MAX_TIMEOUT_S), "tsize": (0, (1 << 63) - 1), "windowsize": (1, MAX_WINDOW)}


def _number(text: str) -> int | None:
    """A decimal number of reasonable length, or None."""
    return int(text) if text.isascii() and text.isdigit() and len(text) <= 19 else None
