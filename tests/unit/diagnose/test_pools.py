"""What a program is made with, and what its idle connections lead to."""

from __future__ import annotations

import numpy as np
import pytest

from lastack.diagnose.pools import made_with, pool
from lastack.model.host import Process, Runtime
from lastack.model.record import ConnectionTable, text_values


@pytest.mark.parametrize(
    ("runtime", "line", "found"),
    [
        (Runtime.JAVA, "java -Dspring.profiles.active=prod -jar shop.jar", "Spring"),
        (Runtime.JAVA, "java -cp lib/HikariCP-5.0.jar Main", "HikariCP"),
        (Runtime.JAVA, "java -Dcatalina.base=/srv org.apache.catalina.startup.Bootstrap", "Tomcat"),
        (Runtime.PYTHON, "/usr/bin/python3 /usr/bin/gunicorn shop:app", "gunicorn"),
        (Runtime.PYTHON, "gunicorn: worker [shop]", "gunicorn"),
        (Runtime.PYTHON, "python manage.py runserver", "Django"),
        (Runtime.PYTHON, "python /srv/springs/app.py", None),
        (Runtime.NODE, "node server.js", None),
        (Runtime.GO, "spring", None),
    ],
)
def test_the_command_line_tells_what_a_program_is_made_with(runtime: Runtime, line: str, found: str | None) -> None:
    told = made_with(runtime, Process(1, 0, "x", 0, arguments=tuple(line.split())))
    assert told is None if found is None else told is not None and told.startswith(found)


def rows(*ports: int, listener: str | None = None) -> ConnectionTable:
    count = len(ports)
    return ConnectionTable(
        count, {"remote_port": np.array(ports, np.uint16), "listener": text_values([listener] * count)}
    )


def test_connections_that_went_out_to_one_service_are_a_pool() -> None:
    assert pool(rows(5432, 5432)) == "connections to PostgreSQL (port 5432)"


@pytest.mark.parametrize(
    "table", [rows(5432), rows(5432, 6379), rows(8080, 8080), rows(5432, 5432, listener=":1"), rows()]
)
def test_others_are_not_called_one(table: ConnectionTable) -> None:
    assert pool(table) is None
