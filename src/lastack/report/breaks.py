"""Where lines of text may end: at blanks, and beside Chinese characters, which have none."""

from __future__ import annotations

import re
from typing import Final

_WIDE: Final = "\u2e80-\u303e\u3041-\ua4cf\uac00-\ud7a3\uf900-\ufaff\uff01-\uff60"
"""Ideographs, kana, hangul and their punctuation."""
_CLOSING: Final = "、。，．：；！？）】》」』”…～"
"""Never at the beginning of a line."""
_OPENING: Final = "（【《「『“"
"""Never at the end of one."""
_PIECE: Final = re.compile(
    rf"\s*[{_OPENING}]*(?:[{_WIDE}]|[^\s{_WIDE}{_OPENING}{_CLOSING}]+)?[{_CLOSING}]*"
    rf"(?:\s+|$|(?=[{_WIDE}{_OPENING}])|(?<=[{_WIDE}{_CLOSING}]))"
)
"""What stays together, with the blanks after it."""


def breaks(text: str, width: int) -> list[int]:
    """Where in a line of text the lines begin that it is broken into, the first left out; none is wider than `width`.

    Blanks at the end of a line count for nothing. What has no place to break at is cut.
    """
    from rich.cells import cell_len, get_character_cell_size

    found = []
    column = 0
    for match in _PIECE.finditer(text):
        piece = match.group()
        cells = cell_len(piece.rstrip())
        if column and cells and column + cells > width:
            found.append(match.start())
            column = 0
        if cells <= width:
            column += cell_len(piece)
            continue
        for at, sign in enumerate(piece, match.start()):
            cells = get_character_cell_size(sign)
            if column + cells > width and not sign.isspace():
                found.append(at)
                column = 0
            column += cells
    return found
