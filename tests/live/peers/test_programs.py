"""Real programs at the other end: web clients and servers, Redis, iperf3; each closes first in its turn."""

from __future__ import annotations

import http.client
import json
import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from lastack.drive.services import Fetch, Files, FileServer, Relay
from lastack.drive.services.client import Address
from lastack.model.state import State

from .line import KERNEL, OURS, Line

pytestmark = pytest.mark.root

PORT = 8080
FILE = os.urandom(2_000_000)


@pytest.fixture
def site(tmp_path: Path) -> Path:
    root = tmp_path / "site"
    (root / "below").mkdir(parents=True)
    (root / "file.bin").write_bytes(FILE)
    (root / "small.txt").write_text("small\n")
    (root / "index.html").write_text('<a href="file.bin">file</a> <a href="below/">below</a>')
    (root / "below" / "other.bin").write_bytes(FILE[:50_000])
    return root


def serve(line: Line, site: Path) -> str:
    files = Files(site)
    line.driver.serve(PORT, lambda: FileServer(files))
    return f"http://{OURS[4]}:{PORT}"


# -- web clients, our server


@pytest.mark.tool("curl")
def test_curl_fetches_whole_files_and_parts_of_them(any_line: Line, site: Path, tmp_path: Path) -> None:
    url = serve(any_line, site)
    got = tmp_path / "got"
    any_line.run("curl", "-sS", "--fail", "-o", str(got), f"{url}/file.bin")
    assert got.read_bytes() == FILE
    got.write_bytes(FILE[:1_234_567])
    any_line.run("curl", "-sS", "--fail", "-C", "-", "-o", str(got), f"{url}/file.bin")
    assert got.read_bytes() == FILE
    six = url.replace(OURS[4], f"[{OURS[6]}]")
    said = any_line.run("curl", "-sS", "-I", f"{six}/file.bin", f"{six}/missing", f"{six}/below")
    assert re.findall("HTTP/1.1 ([0-9]+)", said) == ["200", "404", "301"]


@pytest.mark.tool("curl")
def test_curl_uses_one_connection_for_many_files(line: Line, site: Path) -> None:
    url = serve(line, site)
    line.run("curl", "-sS", "--fail", *[f"{url}/small.txt"] * 30)
    assert line.stack.counters.TcpPassiveOpens == 1


@pytest.mark.tool("curl")
def test_whoever_closes_the_web_connection_first_waits(line: Line, site: Path) -> None:
    url = serve(line, site)
    line.run("curl", "-sS", f"{url}/small.txt")
    line.until(lambda: (line.our_states(), line.kernel_states(PORT)) == ([], [State.TIME_WAIT]))
    line.run("curl", "-sS", "-H", "Connection: close", f"{url}/small.txt")
    line.until(lambda: (line.our_states(), line.kernel_states(PORT)) == ([State.TIME_WAIT], [State.TIME_WAIT]))


@pytest.mark.tool("wget")
def test_wget_mirrors_the_site(any_line: Line, site: Path, tmp_path: Path) -> None:
    url = serve(any_line, site)
    any_line.run("wget", "-q", "--mirror", "-nH", "-P", str(tmp_path / "copy"), f"{url}/")
    for name in ("file.bin", "below/other.bin", "index.html"):
        assert (tmp_path / "copy" / name).read_bytes() == (site / name).read_bytes()


@pytest.mark.tool("wrk")
def test_wrk_finds_every_answer_right(line: Line, site: Path) -> None:
    said = line.run("wrk", "-t1", "-c50", "-d1s", "--latency", f"{serve(line, site)}/small.txt")
    assert int(re.search("([0-9]+) requests in", said)[1]) > 100  # type: ignore[index]
    assert "Non-2xx" not in said
    assert "Socket errors" not in said


@pytest.mark.tool("ab")
@pytest.mark.parametrize("keep", [(), ("-k",)])
def test_ab_finds_every_answer_right(line: Line, site: Path, keep: tuple[str, ...]) -> None:
    said = line.run("ab", "-q", *keep, "-n", "500", "-c", "20", f"{serve(line, site)}/small.txt")
    assert re.search("Complete requests: +500\n", said)
    assert re.search("Failed requests: +0\n", said)
    # It opens a few more than it uses.
    assert line.stack.counters.TcpPassiveOpens in (range(20, 21) if keep else range(500, 521))


def test_pythons_http_client_speaks_with_our_server(any_line: Line, site: Path) -> None:
    serve(any_line, site)

    def talk() -> list[bytes]:
        client = http.client.HTTPConnection(OURS[4], PORT, timeout=30)
        bodies = []
        for name in ("/file.bin", "/small.txt", "/below/other.bin"):
            client.request("GET", name)
            bodies.append(client.getresponse().read())
        client.close()
        return bodies

    assert any_line.beside(talk) == [FILE, b"small\n", FILE[:50_000]]


# -- web servers, our client


@contextmanager
def nginx(line: Line, site: Path, keepalive: int = 65) -> Iterator[str]:
    place = site.parent
    (place / "nginx.conf").write_text(
        f"""daemon off; user root; worker_processes 1; pid {place}/pid; error_log stderr; events {{ }}
        http {{ access_log off; keepalive_timeout {keepalive}; client_body_temp_path {place}/1;
          proxy_temp_path {place}/2; fastcgi_temp_path {place}/3; uwsgi_temp_path {place}/4; scgi_temp_path {place}/5;
          server {{ listen {PORT}; listen [::]:{PORT}; root {site}; }} }}"""
    )
    with line.server("nginx", "-c", str(place / "nginx.conf"), "-e", "stderr", port=PORT):
        yield f"http://{KERNEL[4]}:{PORT}"


def fetch(line: Line, url: str) -> bytes:
    heard = bytearray()
    address = Address(url)
    asking = Fetch(address, heard.extend)
    line.stack.connect((address.host, address.port), line.driver.now()).owner = asking
    line.driver.flush()
    line.until(lambda: asking.done)
    assert asking.error is None
    return bytes(heard)


@pytest.mark.tool("nginx")
def test_nginx_is_fetched_from(any_line: Line, site: Path) -> None:
    with nginx(any_line, site) as url:
        assert fetch(any_line, f"{url}/file.bin") == FILE
        assert fetch(any_line, f"{url.replace(KERNEL[4], f'[{KERNEL[6]}]')}/below/other.bin") == FILE[:50_000]


@pytest.mark.tool("nginx")
def test_nginx_and_http_client_close_first_in_turn(line: Line, site: Path) -> None:
    from .adapters import OurHttp

    with nginx(line, site, keepalive=1) as url:
        client = OurHttp(line.driver, KERNEL[4], PORT)
        for name in ("/file.bin", "/small.txt"):
            client.request("GET", name)
            assert client.getresponse().read() == (site / name[1:]).read_bytes()
        # nginx has had enough after a second.
        line.until(lambda: line.our_states() == [State.CLOSE_WAIT])
        client.close()
        line.until(lambda: line.our_states() == [])
        client.request("GET", "/small.txt")
        assert client.getresponse().read() == b"small\n"
        client.close()
        line.until(lambda: line.our_states() == [State.TIME_WAIT])
        assert url


def test_pythons_http_server_is_fetched_from(any_line: Line, site: Path) -> None:
    command = (sys.executable, "-m", "http.server", str(PORT), "--directory", str(site))
    with any_line.server(*command, port=PORT):
        assert fetch(any_line, f"http://{KERNEL[4]}:{PORT}/file.bin") == FILE


@pytest.mark.tool("nginx", "wrk")
def test_a_relay_on_our_tcp_stands_between_wrk_and_nginx(line: Line, site: Path) -> None:
    with nginx(line, site):
        line.driver.serve(PORT, lambda: Relay(line.stack, (KERNEL[4], PORT)))
        said = line.run("wrk", "-t1", "-c20", "-d1s", f"http://{OURS[4]}:{PORT}/small.txt")
        assert int(re.search("([0-9]+) requests in", said)[1]) > 100  # type: ignore[index]
        assert "Non-2xx" not in said
        assert "Socket errors" not in said


# -- Redis


@contextmanager
def redis_server(line: Line, place: Path) -> Iterator[None]:
    options = ("--save", "", "--appendonly", "no", "--protected-mode", "no", "--port", "6379")
    with line.server("redis-server", *options, "--dir", str(place), port=6379, cwd=place):
        yield


@pytest.mark.tool("redis-server")
def test_redis_is_spoken_to_by_its_library_over_our_tcp(any_line: Line, tmp_path: Path) -> None:
    redis = pytest.importorskip("redis")
    from .adapters import OurRedis

    with redis_server(any_line, tmp_path):
        pool = redis.ConnectionPool(OurRedis, driver=any_line.driver, host=KERNEL[4], port=6379)
        with redis.Redis(connection_pool=pool) as client:
            assert client.ping()
            client.set("large", FILE)
            assert client.get("large") == FILE
            with client.pipeline() as pipeline:
                for number in range(1000):
                    pipeline.rpush("list", number)
                assert pipeline.execute()[-1] == 1000
            assert client.lrange("list", 0, -1) == [str(number).encode() for number in range(1000)]
        pool.disconnect()
        any_line.until(lambda: any_line.our_states() == [State.TIME_WAIT])


@pytest.mark.tool("redis-server", "redis-benchmark")
def test_redis_benchmark_runs_through_a_relay_on_our_tcp(line: Line, tmp_path: Path) -> None:
    with redis_server(line, tmp_path):
        line.driver.serve(6379, lambda: Relay(line.stack, (KERNEL[4], 6379)))
        said = line.run(
            "redis-benchmark", "-h", OURS[4], "-n", "1000", "-c", "20", "-P", "4", "-t", "set,get,lpush", "--csv"
        )
    assert {line_.split(",")[0] for line_ in said.splitlines()[-3:]} == {'"SET"', '"GET"', '"LPUSH"'}


# -- iperf3


@pytest.mark.tool("iperf3")
@pytest.mark.parametrize("way", [(), ("-R",), ("-P", "4")], ids=["forward", "back", "four"])
def test_iperf3_runs_through_a_relay_on_our_tcp(any_line: Line, way: tuple[str, ...]) -> None:
    with any_line.server("iperf3", "-s", "-p", "5201", port=5201):
        any_line.driver.serve(5201, lambda: Relay(any_line.stack, (KERNEL[4], 5201)))
        said = json.loads(any_line.run("iperf3", "-c", OURS[4], "-p", "5201", "-t", "1", "-J", *way, check=False))
    assert "error" not in said, said["error"]
    assert said["end"]["sum_received"]["bytes"] > (100_000 if any_line.bad else 5_000_000)
