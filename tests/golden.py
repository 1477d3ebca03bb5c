"""Golden files: what a test should get, kept beside it. `pytest --update-golden` writes them anew; look at the difference before you commit."""

import io
from pathlib import Path

from PIL import Image


class Golden:
    """The golden files of a folder."""

    def __init__(self, folder: Path, *, update: bool) -> None:
        self._folder = folder
        self._update = update

    def text(self, name: str, actual: str) -> None:
        """Compare a text with the file of that name."""
        path = self._folder / name
        if self._update:
            path.parent.mkdir(exist_ok=True)
            path.write_text(actual + "\n", encoding="utf-8")
        assert path.read_text(encoding="utf-8") == actual + "\n", f"{name} differs"

    def png(self, name: str, actual: bytes) -> None:
        """Compare a picture with the file of that name, pixel by pixel: the bytes depend on the version of zlib."""
        path = self._folder / name
        if self._update:
            path.parent.mkdir(exist_ok=True)
            if not path.exists() or rgb(path.read_bytes()) != rgb(actual):
                path.write_bytes(actual)
        expected, found = rgb(path.read_bytes()), rgb(actual)
        if expected != found:
            shown = Path(path.parent, f"{path.stem}.actual.png")
            shown.write_bytes(actual)
            raise AssertionError(f"{name} differs: compare it with {shown}")


def rgb(png: bytes) -> tuple[tuple[int, int], bytes]:
    """Size and pixels of a picture."""
    with Image.open(io.BytesIO(png)) as image:
        return image.size, image.convert("RGB").tobytes()
