"""Properties of damaged recordings: whatever happened to a file, what is read was written, and nothing else."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("pyarrow")

from lastack.archive.reader import Recording
from lastack.errors import RecordingError

from ..unit.archive.recorded import MINUTE, NOON, look, recorder

LOOKS = {0: [1, 2, 3], 10: [4, 5, 6], 70: [7, 8, 9], 80: [10, 11, 12]}


@pytest.fixture(scope="module")
def whole() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as place:
        with recorder(Path(place)) as into:
            for minute, cookies in LOOKS.items():
                into.add(look(cookies), NOON + minute * MINUTE)
        yield Path(place)


@given(which=st.integers(0, 5), at=st.floats(0, 1, exclude_max=True), cut=st.booleans(), octet=st.integers(1, 255))
def test_what_is_read_was_written(whole: Path, which: int, at: float, cut: bool, octet: int) -> None:
    with tempfile.TemporaryDirectory() as place:
        copy = Path(shutil.copytree(whole, Path(place) / "copy"))
        files = sorted(copy.iterdir())
        assert len(files) == 6
        octets = bytearray(files[which].read_bytes())
        where = int(at * len(octets))
        if cut:
            del octets[where:]
        else:
            octets[where] ^= octet
        files[which].write_bytes(octets)
        written = {cookie for cookies in LOOKS.values() for cookie in cookies}
        seen = set(Recording(copy).between(None, None).connections.values("cookie").tolist())
        assert seen <= written and len(seen) >= 6
        for minute, cookies in LOOKS.items():
            try:
                found = Recording(copy).at(NOON + minute * MINUTE)
            except RecordingError:
                continue
            told = found.look[0][0].values("cookie").tolist()
            assert found.at != NOON + minute * MINUTE or told == cookies
            assert found.at == NOON + minute * MINUTE or found.unseen
