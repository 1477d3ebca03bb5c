"""Texts in files: scripts, included and patched files (language.md 2.2)."""

from dataclasses import dataclass

UTF8, LATIN1 = "utf-8", "iso-8859-1"


@dataclass(frozen=True, slots=True)
class Text:
    """Decoded text and the encoding it was decoded with; `encode(text, encoding)` gives the bytes back, whatever they were."""

    text: str
    encoding: str


def decode(data: bytes, *, iso_latin: bool, code_page: str) -> Text:
    """UTF-8 if the bytes are valid UTF-8, else ISO-8859-1 or the code page. A byte order mark stays, as U+FEFF.

    Bytes that the code page does not define survive as lone surrogates.
    """
    try:
        return Text(data.decode(UTF8), UTF8)
    except UnicodeDecodeError:
        encoding = LATIN1 if iso_latin else code_page
        return Text(data.decode(encoding, "surrogateescape"), encoding)


def encode(text: str, encoding: str) -> bytes:
    """The bytes of a text. Raises UnicodeEncodeError for a character the encoding lacks."""
    return text.encode(encoding, "surrogateescape")
