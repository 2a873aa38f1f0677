"""What interpreters run, from their command lines."""

from __future__ import annotations

import pytest

from lastack.live.programs import program
from lastack.model.host import Process


@pytest.mark.parametrize(
    ("line", "runs"),
    [
        ("/usr/bin/python3.11 -X dev -W error /srv/feed.py --port 80", "feed.py"),
        ("python -m http.server", "http.server"),
        ("python3 -c import_socket", None),
        ("python3", None),
        (
            "java -Xmx2g -cp a.jar:b.jar org.apache.catalina.startup.Bootstrap start",
            "org.apache.catalina.startup.Bootstrap",
        ),
        ("/opt/jdk/bin/java -jar /srv/app.jar", "app.jar"),
        ("node --require ts-node/register server.js", "server.js"),
        ("ruby -I lib bin/puma", "puma"),
        ("nginx -g daemon", None),
        ("", None),
    ],
)
def test_the_program_of_an_interpreter_is_named_and_of_nothing_else(line: str, runs: str | None) -> None:
    assert program(Process(1, 0, "x", 0, arguments=tuple(line.split()))) == runs


def test_an_option_at_the_end_of_the_line_names_nothing() -> None:
    assert program(Process(1, 0, "python", 0, arguments=("python", "-m"))) is None
