"""Run in a namespace: one client of a carousel; prints what happened as JSON.

    python -m tests.network.carousel.room URL PATH SHA256 [wait]

With `wait` it prints a line when all is loaded, and begins when a line comes.
"""

import hashlib
import json
import sys
from contextlib import closing
from time import perf_counter

from bpscript.base.events import Event, Kind
from bpscript.network.carousel.source import CarouselSource
from bpscript.network.http.source import HttpSource


def main(url: str, path: str, digest: str, wait: str = "") -> None:
    """Receive a file by carousel or, without `carousel+`, by HTTP."""
    warnings: list[str] = []

    def hear(event: Event) -> None:
        if event.kind is Kind.WARNING:
            warnings.append(str(event.data["text"]))

    if wait:
        print("ready", flush=True)
        sys.stdin.readline()
    started = perf_counter()
    client = CarouselSource(url, events=hear) if url.startswith("carousel+") else HttpSource(url)
    found = hashlib.sha256()
    with closing(client), closing(client.open(path)) as file:
        while part := file.read(1 << 20):
            found.update(part)
    print(json.dumps({"same": found.hexdigest() == digest, "seconds": perf_counter() - started, "warnings": warnings}), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
