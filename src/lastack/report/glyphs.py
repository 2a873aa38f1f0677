"""The few signs a text page is drawn with, and what stands for them where the output cannot hold them."""

from __future__ import annotations

from typing import IO, Final, NamedTuple


class Glyphs(NamedTuple):
    """Signs of one cell each: eight heights of a bar, an empty bucket, a gauge's two parts, an elision."""

    heights: str
    nothing: str
    full: str
    empty: str
    elided: str


UNICODE: Final = Glyphs("▁▂▃▄▅▆▇█", "·", "█", "░", "…")
ASCII: Final = Glyphs(".:-=+*#@", "_", "#", ".", "~")


def glyphs_for(file: IO[str]) -> Glyphs:
    """The signs that the file's encoding can hold."""
    try:
        "".join(UNICODE).encode(getattr(file, "encoding", None) or "utf-8")
    except (UnicodeEncodeError, LookupError):
        return ASCII
    return UNICODE


def holdable(text: str, file: IO[str]) -> str:
    r"""The text with what the file's encoding cannot hold written out, as in `\xe9`."""
    encoding = getattr(file, "encoding", None) or "utf-8"
    return text if text.isascii() else text.encode(encoding, "backslashreplace").decode(encoding)
