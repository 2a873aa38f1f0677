r"""Text from the system made safe to show: what a terminal or a browser would obey is written out visibly.

A process may name itself anything, a cgroup may hold any octets. What would move a cursor, turn the reading direction
or hide itself is shown as Python would write it (`\x1b`, `\u202e`), so that nobody is deceived and nothing is lost.
"""

from __future__ import annotations

import re
from typing import Final

_UNSAFE: Final = re.compile(
    "[\x00-\x1f\x7f-\x9f\xad"  # C0, DEL, C1, soft hyphen
    "\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb"  # bidi, zero width, line separators
    "\ud800-\udfff"  # lone surrogates
    "\U000e0000-\U000e0fff]"  # tags and variation selectors
)


def visible(text: str) -> str:
    r"""The text with every control, formatting or surrogate character written out, as in `\x1b[31m`.

    A surrogate that stands for an undecodable octet (`surrogateescape`) is written as that octet. The result is
    valid Unicode on a single line and says nothing to a terminal. Text without such characters comes back as it is.
    """
    return text if text.isascii() and text.isprintable() else _UNSAFE.sub(_written_out, text)


def _written_out(match: re.Match[str]) -> str:
    code = ord(match.group())
    if 0xDC80 <= code <= 0xDCFF:
        code -= 0xDC00
    if code <= 0xFF:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code <= 0xFFFF else f"\\U{code:08x}"
