"""The log of the services: one line for each event, with the time in front."""

from collections.abc import Callable
from functools import lru_cache
from time import localtime, strftime, time

from ..base.events import Event, Kind
from ..base.units import format_size


def line_of(event: Event) -> str | None:
    """What is written of an event; None for those that are no news."""
    data = event.data
    if event.kind is Kind.TRANSFER:
        return _transfer(event)
    if event.kind in {Kind.LEASE, Kind.BOOT_PROGRAM}:
        return f"dhcp {data.get('text', '')}"
    if event.kind in {Kind.NOTE, Kind.WARNING, Kind.ERROR}:
        return f"{event.kind} {data.get('text', '')}"
    return None


def stamped(text: str, clock: Callable[[], float] = time) -> str:
    """A line as it is written: local time, then the text in one line whatever a peer put into it."""
    shown = text if text.isprintable() else "".join(each if each.isprintable() else "\ufffd" for each in text)
    return f"{_moment(int(clock()))} {shown}"


@lru_cache(4)
def _moment(seconds: int) -> str:
    return strftime("%Y-%m-%d %H:%M:%S", localtime(seconds))


def _transfer(event: Event) -> str:
    data = event.data
    what = f"{data['protocol']} {data['client']} "
    if data["protocol"] == "http":
        what += f"{data.get('method')} {data['path']} {data.get('status')}"
    else:
        what += f"{'write' if data.get('write') else 'read'} {data['path']} {data['outcome']}"
    size, seconds, parts = data.get("size"), data.get("seconds"), data.get("parts")
    words = []
    if isinstance(size, int) and size:
        words.append(format_size(size))
        if isinstance(parts, int) and parts > 1:
            words.append(f"in {parts} parts")
        if data.get("multicast"):
            words.append("by multicast")
        if isinstance(seconds, float) and seconds >= 0.001:
            words.append(f"in {seconds:.3f} s ({format_size(round(size / seconds))}/s)")
    if data["protocol"] == "http" and data["outcome"] == "aborted":
        words.append("the client went away")
    if data.get("text"):
        words.append(f"({data['text']})")
    return " ".join([what, *words])
