"""The Chinese of what the lab says: words of its pages, scenes, facts and knobs of its experiments.

Claims and lessons have theirs beside them, in the experiments; these are short, and many are said again and again.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from .experiments import SCENES_AND_FACTS
from .knobs import KNOBS
from .pages import PAGES

PHRASES: Final[Mapping[str, str]] = {**PAGES, **SCENES_AND_FACTS, **KNOBS}
"""By the English; a `#` stands for a number."""
_NUMBER: Final = re.compile(r"(?<![\w.])\d+(?:[.,]\d+)*(?!\w)")
_ENGLISH: Final = re.compile(r"(?<![\w.])(?!(?:s|ms|client|server)\b)[a-z]+(?![\w(.])")
"""A word that is no unit, no host's name as ladders have it, and no name of the system's (`close()`, tcp_fin_timeout)."""
_BETWEEN: Final = {
    " as given, where this scene has ": "（给定），本场景原为 ",
    ": engine ": "：引擎 ",
    ", kernel ": "，内核 ",
    ": ": "：",
    "; ": "；",
    ", ": "，",
}
"""What phrases are put together with; the first of it that there is parts them."""


def chinese(text: str) -> str | None:
    """The Chinese of a phrase, or of phrases put together; None where one of them is not known.

    What has no English word in it is the same in both languages.
    """
    numbers = _NUMBER.findall(text)
    found = PHRASES.get(_NUMBER.sub("#", text))
    if found is not None:
        for number in numbers:
            found = found.replace("#", number, 1)
        return found
    if not _ENGLISH.search(text):
        return text
    for mark, theirs in _BETWEEN.items():
        if mark in text:
            parts = [chinese(part) for part in text.split(mark)]
            return None if None in parts else theirs.join(filter(None, parts))
    return None
