"""A capture may be compressed, from a pipe or in a file; bombs are stopped, damage is told with what was readable."""

from __future__ import annotations

import gzip
import io
import sys
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lastack.capture import compressed
from lastack.capture.sources import open_captures
from lastack.errors import CaptureError

from .made import START, ethernet, ip, pcap, read, rows

FRAMES = [(START + i * 1_000, ethernet(ip(seq=i, ident=i))) for i in range(3000)]
PLAIN = pcap(FRAMES)


def zstd(octets: bytes) -> bytes:
    made: bytes = pytest.importorskip("zstandard").ZstdCompressor().compress(octets)
    return made


def lz4(octets: bytes) -> bytes:
    made: bytes = pytest.importorskip("lz4.frame").compress(octets)
    return made


FORMS: list[Callable[[bytes], bytes]] = [gzip.compress, zstd, lz4]


@pytest.mark.parametrize("form", FORMS)
def test_a_compressed_capture_is_read_as_it_is(form: Callable[[bytes], bytes], tmp_path: Path) -> None:
    assert rows(read(tmp_path, form(PLAIN))) == rows(read(tmp_path, PLAIN))


@pytest.mark.parametrize("form", FORMS)
def test_several_compressed_pieces_in_a_file_are_one_capture(form: Callable[[bytes], bytes], tmp_path: Path) -> None:
    made = form(PLAIN[:100_000]) + form(PLAIN[100_000:100_001]) + form(PLAIN[100_001:])
    assert len(rows(read(tmp_path, made))) == len(FRAMES)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("share", [3, 2])
def test_of_one_cut_short_what_was_readable_is_kept(form: Callable[[bytes], bytes], share: int, tmp_path: Path) -> None:
    # Octets that do not compress, so that the cut is somewhere in the middle.
    noise = [(at, octets[:-9] + zlib.compress(octets)[:9]) for at, octets in FRAMES]
    made = form(pcap(noise)[:-7])
    captures = read(tmp_path, made[: len(made) // share] if form is gzip.compress else made)
    found = rows(captures)
    assert 0 < len(found) < len(FRAMES)
    assert len(captures.summary().broken) == 1


@pytest.mark.parametrize("form", FORMS)
def test_damage_is_told_and_nothing_raises_once_something_was_read(
    form: Callable[[bytes], bytes], tmp_path: Path
) -> None:
    made = bytearray(form(PLAIN))
    for at in range(len(made) // 2, len(made) // 2 + 40):
        made[at] ^= 0x5A
    try:
        captures = read(tmp_path, bytes(made))
        found = rows(captures)
        assert len(found) <= len(FRAMES)
        assert captures.summary().broken or len(found) == len(FRAMES)
    except CaptureError as error:
        assert "damaged" in str(error)


@pytest.mark.parametrize("form", FORMS)
def test_a_bomb_is_stopped(form: Callable[[bytes], bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compressed, "FREE", 1 << 20)
    path = tmp_path / "bomb"
    path.write_bytes(form(PLAIN + bytes(1 << 26)))
    captures = open_captures([path], fast=False, expansion=20)
    assert len(rows(captures)) == len(FRAMES)
    assert "expands more than 20 times" in captures.summary().broken[0]


def test_no_window_is_believed_that_takes_all_memory(tmp_path: Path) -> None:
    zstandard = pytest.importorskip("zstandard")
    parameters = zstandard.ZstdCompressionParameters(window_log=28, write_content_size=False)
    made = zstandard.ZstdCompressor(compression_params=parameters).compressobj()
    with pytest.raises(CaptureError, match="damaged zstd"):
        rows(read(tmp_path, made.compress(PLAIN) + made.flush()))


def test_a_library_that_is_not_there_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = zstd(PLAIN)
    monkeypatch.setitem(sys.modules, "zstandard", None)
    with pytest.raises(CaptureError, match=r"zstd: pip install 'lastack\[captures\]'"):
        rows(read(tmp_path, made))


@pytest.mark.parametrize("form", [bytes, gzip.compress])
def test_standard_input_is_a_capture_too(
    form: Callable[[bytes], bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "in").write_bytes(form(PLAIN))
    with (tmp_path / "in").open("rb") as file:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(file))
        captures = open_captures(["-"], fast=False)
        assert len(rows(captures)) == len(FRAMES)
        with pytest.raises(CaptureError, match="cannot be read twice"):
            list(captures.frames([1]))


def test_what_comes_through_a_pipe_is_given_before_the_pipe_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    import os

    reading, writing = os.pipe()
    with os.fdopen(reading, "rb") as file, os.fdopen(writing, "wb", buffering=0) as out:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(file))
        batches = open_captures(["-"], fast=False).batches()
        out.write(pcap(FRAMES[:3]))
        assert next(batches)[1] == 3
        out.write(pcap(FRAMES[3:5])[24:])
        assert next(batches)[1] == 2
        out.close()
        assert list(batches) == []


def test_a_pipe_that_somebody_made_non_blocking_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    import os
    import select

    reading, writing = os.pipe()
    os.set_blocking(reading, False)
    left = [pcap(FRAMES[:3]), pcap(FRAMES[3:5])[24:]]
    look = select.select

    def wait(*arguments: Any) -> object:
        if len(arguments) == 4:
            return look(*arguments)
        if left:
            os.write(writing, left.pop(0))
        else:
            os.close(writing)
        return None

    monkeypatch.setattr(select, "select", wait)
    with os.fdopen(reading, "rb") as file:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(file))
        assert len(rows(open_captures(["-"], fast=False))) == 5
    assert left == []
