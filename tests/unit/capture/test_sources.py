"""Several captures are one stream in the order of time; frames can be had again; a growing file is followed."""

from __future__ import annotations

import os
from itertools import pairwise
from pathlib import Path
from random import Random
from threading import Thread

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lastack.capture.packets import FILE_SHIFT, FRAME_MASK, packet_at
from lastack.capture.sources import open_captures, together
from lastack.errors import CaptureError

from .made import START, enhanced, ethernet, interface, ip, ipv4, pcap, read, rows, section, statistics, udp

OTHER = ethernet(ipv4(17, udp(53, b"?")))


def numbered(first: int, count: int, step: int = 1) -> list[tuple[int, bytes]]:
    """Frames whose times and sequence numbers count up."""
    return [(START + i * 1_000, ethernet(ip(seq=i))) for i in range(first, first + count * step, step)]


def test_captures_are_merged_in_the_order_of_time(tmp_path: Path) -> None:
    found = rows(read(tmp_path, pcap(numbered(1, 500, 2)), pcap(numbered(0, 500, 2))))
    assert [one.seq for one in found] == list(range(1000))
    assert {(one.number >> FILE_SHIFT, one.seq % 2) for one in found} == {(0, 1), (1, 0)}
    assert [one.number & FRAME_MASK for one in found if one.seq % 2] == list(range(1, 501))


def test_a_ring_of_files_is_read_in_the_order_of_time_whatever_the_order_of_names(tmp_path: Path) -> None:
    order = list(range(12))
    Random(1).shuffle(order)
    found = rows(read(tmp_path, *(pcap(numbered(part * 1000, 1000)) for part in order)))
    assert [one.seq for one in found] == list(range(12_000))


@given(st.lists(st.lists(st.integers(0, 50), max_size=30), min_size=2, max_size=4), st.integers(1, 5))
def test_no_packet_is_lost_or_made_in_a_merge(
    tmp_path_factory: pytest.TempPathFactory, times: list[list[int]], room: int
) -> None:
    directory = tmp_path_factory.mktemp("merge")
    paths = []
    for i, of_one in enumerate(times):
        paths.append(directory / str(i))
        paths[-1].write_bytes(pcap([(at, ethernet(ip(seq=j))) for j, at in enumerate(of_one)]))
    found = rows(open_captures(paths, fast=False, room=room))
    for i, of_one in enumerate(times):
        mine = [one for one in found if one.number >> FILE_SHIFT == i]
        assert [(one.time, one.seq) for one in mine] == [(at, j) for j, at in enumerate(of_one)]
    if all(of_one == sorted(of_one) for of_one in times):
        turns = [(one.time, one.number) for one in found]
        assert turns == sorted(turns)


def test_one_bad_file_among_good_ones_is_told_and_the_others_read(tmp_path: Path) -> None:
    captures = read(tmp_path, pcap(numbered(0, 5)), b"no capture", pcap(numbered(5, 5))[:-3])
    assert len(rows(captures)) == 9
    assert ["1.pcap" in captures.summary().broken[0], "2.pcap" in captures.summary().broken[1]] == [True, True]


@pytest.mark.parametrize("name", ["missing", "directory"])
def test_what_cannot_be_opened_raises_with_its_name(name: str, tmp_path: Path) -> None:
    (tmp_path / "directory").mkdir()
    with pytest.raises(CaptureError, match=name):
        rows(open_captures([tmp_path / name]))
    with pytest.raises(CaptureError, match=name):
        rows(open_captures([tmp_path / name, tmp_path / name]))


def test_no_capture_at_all_raises() -> None:
    with pytest.raises(CaptureError, match="no capture named"):
        open_captures([])


def test_the_summary_says_what_there_was(tmp_path: Path) -> None:
    captures = read(tmp_path, pcap([*numbered(0, 3), (START + 9_000, OTHER)]))
    rows(captures)
    found = captures.summary()
    assert (found.frames, found.packets, found.not_tcp) == (4, 3, {"UDP": 1})
    assert (found.first_time, found.last_time) == (START, START + 9_000)
    assert [(one.link, one.frames, one.snap_length) for one in found.interfaces] == [(1, 4, 0xFFFF)]
    assert captures.progress() == (captures.progress()[1], captures.progress()[1])


def test_the_summary_grows_while_the_captures_are_read(tmp_path: Path) -> None:
    path = tmp_path / "one"
    path.write_bytes(pcap(numbered(0, 10)))
    captures = open_captures([path], fast=False, room=4)
    batches = captures.batches()
    next(batches)
    assert (captures.summary().frames, captures.summary().packets) == (4, 4)


@pytest.mark.parametrize("count", [2, 3, 7])
@pytest.mark.parametrize("broken", [False, True])
def test_the_parts_of_a_capture_are_the_whole(count: int, broken: bool, tmp_path: Path) -> None:
    frames = [frame for i in range(400) for frame in (*numbered(i, 1), (START + i, OTHER))]
    ng = section() + interface() + b"".join(enhanced(at // 1_000, octets) for at, octets in frames[:500])
    ng += statistics(0, (5, (3).to_bytes(8, "little"))) + interface(101)
    ng += b"".join(enhanced(at // 1_000, octets[14:], of=1) for at, octets in frames[500:])
    for octets in (pcap(frames), ng):
        whole = read(tmp_path, octets[: len(octets) // 3] + b"\xff" * 99 + octets if broken else octets)
        expected = rows(whole)
        parts = whole.parts(count)
        assert len(parts) == count
        assert [one for part in parts for one in rows(part)] == expected
        assert together([part.summary() for part in parts]) == whole.summary()


def test_the_packets_between_two_ports_are_found_among_all(tmp_path: Path) -> None:
    def frame(client: int, i: int) -> bytes:
        ports = (client, 443) if i % 2 else (443, client)
        return ethernet(ip(seq=i, src_port=ports[0], dst_port=ports[1]))

    captures = read(tmp_path, pcap([(START, frame(1000 + i % 3, i)) for i in range(300)]))
    found = [packet_at(packets, i) for packets, count in captures.between(443, 1001) for i in range(count)]
    assert [one.seq for one in found] == list(range(1, 300, 3))
    assert captures.summary().packets == 300


def test_without_numba_a_large_capture_is_read_slowly_and_it_says_so_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from lastack.capture.kernels import build

    monkeypatch.setattr(build, "available", lambda: False)
    (tmp_path / "large").write_bytes(pcap([(START, OTHER)] * 30_000))
    assert not any(open_captures([tmp_path / "large"]).fast for _ in range(2))
    assert capsys.readouterr().err.count("lastack[captures]") == 1


def test_a_file_that_grows_comes_after_the_others_and_may_be_empty_yet(tmp_path: Path) -> None:
    paths = [tmp_path / "1", tmp_path / "0", tmp_path / "2"]
    paths[0].write_bytes(pcap(numbered(5, 5)))
    paths[1].write_bytes(pcap(numbered(0, 5)))
    paths[2].write_bytes(b"")

    parts = [pcap(numbered(10, 5)), pcap(numbered(15, 2))[24:], pcap(numbered(17, 1))[24:]]
    given: list[int] = []

    def wait() -> bool:
        if not parts:
            return False
        with paths[2].open("ab") as file:
            file.write(parts.pop(0))
        # All there was before has been given: nobody waits for what is still to come.
        assert len(given) == (10, 15, 17)[2 - len(parts)]
        return True

    captures = open_captures(paths, fast=False, follow=wait)
    for packets, count in captures.batches():
        given += [packet_at(packets, i).seq for i in range(count)]
    assert given == list(range(18))
    assert captures.summary().broken == []


def test_compiled_kernels_merge_choose_and_find_as_plain_ones_do(tmp_path: Path) -> None:
    pytest.importorskip("numba")
    files = [pcap(numbered(0, 900, 2)), pcap(numbered(1, 300, 3)), pcap(numbered(2000, 5))]
    plain, fast = (read(tmp_path, *files, fast=fast) for fast in (False, True))
    assert rows(plain) == rows(fast)
    assert plain.summary() == fast.summary()
    wanted = [5, 899, 2 << FILE_SHIFT | 3]
    assert list(plain.frames(wanted)) == list(fast.frames(wanted))
    assert [count for _, count in plain.between(443, 40000)] == [count for _, count in fast.between(443, 40000)]
    assert list(fast.between(443, 40001)) == []


def test_captures_can_be_read_again(tmp_path: Path) -> None:
    captures = read(tmp_path, pcap(numbered(0, 5)))
    assert rows(captures) == rows(captures)
    assert captures.summary().frames == 5


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_pipes_among_files_are_merged_and_not_read_twice(tmp_path: Path) -> None:
    paths = [tmp_path / "0", tmp_path / "1", tmp_path / "2"]
    writers = []
    for i, path in enumerate(paths[:2]):
        os.mkfifo(path)
        writers.append(Thread(target=path.write_bytes, args=(pcap(numbered(i, 50, 3)),)))
        writers[-1].start()
    paths[2].write_bytes(pcap(numbered(2, 50, 3)))
    captures = open_captures(paths, fast=False)
    assert [one.seq for one in rows(captures)] == list(range(150))
    for writer in writers:
        writer.join()
    with pytest.raises(CaptureError, match="cannot be read twice"):
        list(captures.frames([1]))


def test_what_cannot_be_cut_is_one_part(tmp_path: Path) -> None:
    import gzip

    whole = pcap(numbered(0, 100))
    assert len(read(tmp_path, gzip.compress(whole)).parts(2)) == 1
    assert len(read(tmp_path, whole, whole).parts(2)) == 1
    assert len(read(tmp_path, whole, follow=lambda: False).parts(2)) == 1
    assert len(open_captures([tmp_path / "missing"]).parts(2)) == 1


def test_frames_can_be_had_again_by_number(tmp_path: Path) -> None:
    frames = [frame for i in range(50) for frame in (*numbered(i, 1), (START, OTHER))]
    ng = section() + interface() + b"".join(enhanced(at // 1_000, octets) for at, octets in frames)
    captures = read(tmp_path, pcap(frames, snap=[60] * 100), ng)
    found = rows(captures)
    wanted = [one.number for one in found if one.seq in (7, 30, 49)]
    again = list(captures.frames(wanted[::-1]))
    assert [one.number for one in again] == sorted(wanted)
    assert [one.octets[42:] for one in again[3:]] == [frames[2 * seq][1][42:] for seq in (7, 30, 49)]
    assert [(len(one.octets), one.length) for one in again[:3]] == [(60, 75)] * 3
    assert [one.time for one in again[:3]] == [frames[2 * seq][0] for seq in (7, 30, 49)]
    assert {one.link for one in again} == {1}


def test_frames_that_are_not_there_are_left_out(tmp_path: Path) -> None:
    captures = read(tmp_path, pcap(numbered(0, 5)))
    assert [one.number for one in captures.frames([2, 5, 6, 1000])] == [2, 5]


def test_a_file_is_followed_as_it_grows(tmp_path: Path) -> None:
    path = tmp_path / "growing"
    whole = pcap(numbered(0, 20))
    # First not even the header, then half a record, and so on.
    cuts = [0, 10, 24, 100, 300, 301, 1000, len(whole)]
    path.write_bytes(b"")
    left = pairwise(cuts)

    def wait() -> bool:
        part = next(left, None)
        if part is None:
            return False
        with path.open("ab") as file:
            file.write(whole[slice(*part)])
        return True

    captures = open_captures([path], fast=False, follow=wait)
    counts = [count for _, count in captures.batches()]
    assert counts == [3, 7, 10]
    assert captures.summary().broken == []


def test_a_growing_file_that_stops_in_a_record_says_so(tmp_path: Path) -> None:
    captures = read(tmp_path, pcap(numbered(0, 3))[:-1], follow=lambda: False)
    assert len(rows(captures)) == 2
    assert "cut short" in captures.summary().broken[0]


@pytest.mark.parametrize(("frames", "length", "fast"), [(1000, 100, False), (1000, 20_000, False), (25_000, 60, True)])
def test_captures_of_few_frames_are_read_without_numba_however_long(
    frames: int, length: int, fast: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from lastack.capture.kernels import build

    monkeypatch.setattr(build, "available", lambda: True)
    frame = ethernet(ip(payload=bytes(length)))
    path = tmp_path / "capture"
    path.write_bytes(pcap([(START, frame)] * frames))
    assert open_captures([path]).fast == fast
    assert open_captures([path], follow=True).fast


def test_reading_a_small_capture_loads_neither_numpy_nor_numba(tmp_path: Path) -> None:
    import subprocess
    import sys

    path = tmp_path / "small"
    path.write_bytes(pcap(numbered(0, 3)))
    code = (
        "import sys; from lastack.capture.sources import open_captures\n"
        f"assert sum(count for _, count in open_captures([{str(path)!r}]).batches()) == 3\n"
        "print(sorted({'numpy', 'numba', 'zstandard', 'lz4'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
