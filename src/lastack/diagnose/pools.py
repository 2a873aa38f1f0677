"""What a program is made with, by its command line, and what its idle connections lead to, by their port."""

from __future__ import annotations

import re
from typing import Final

from lastack.model.host import Process, Runtime
from lastack.model.record import ConnectionTable

_MADE_WITH: Final = (
    (Runtime.JAVA, re.compile(r"hikari"), "HikariCP"),
    (
        Runtime.JAVA,
        re.compile(r"spring"),
        "Spring, whose pool of database connections is HikariCP unless set otherwise",
    ),
    (Runtime.JAVA, re.compile(r"catalina|tomcat"), "Tomcat"),
    (Runtime.JAVA, re.compile(r"jboss|wildfly"), "WildFly"),
    (Runtime.JAVA, re.compile(r"jetty"), "Jetty"),
    *(
        (Runtime.PYTHON, re.compile(rf"\b{name}\b"), name)
        for name in ("gunicorn", "uvicorn", "hypercorn", "daphne", "uwsgi", "celery")
    ),
    (Runtime.PYTHON, re.compile(r"\bmanage\.py\b"), "Django"),
    (Runtime.NODE, re.compile(r"\bnext\b"), "Next.js"),
)

_SERVICES: Final = {
    1433: "SQL Server",
    1521: "Oracle",
    3306: "MySQL",
    5432: "PostgreSQL",
    5672: "RabbitMQ",
    6379: "Redis",
    6432: "PgBouncer",
    9042: "Cassandra",
    9092: "Kafka",
    9200: "Elasticsearch",
    11211: "memcached",
    27017: "MongoDB",
}
"""What usually listens on a port, of what programs keep pools of connections to."""

_MOST: Final = 8_192
_POOL: Final = 2  # connections to one service from which they are called a pool


def made_with(runtime: Runtime, process: Process) -> str | None:
    """The server or framework that a command line names, or None."""
    line = " ".join(process.arguments)[:_MOST].lower()
    found = (name for its, pattern, name in _MADE_WITH if its is runtime and pattern.search(line))
    return next(found, None)


def pool(rows: ConnectionTable) -> str | None:
    """`connections to PostgreSQL (port 5432)`, where rows that went out lead to one service; None otherwise."""
    if len(rows) < _POOL or rows.valid("listener").any():
        return None
    ports = {int(port) for port in rows.values("remote_port")}
    service = _SERVICES.get(min(ports)) if len(ports) == 1 else None
    return None if service is None else f"connections to {service} (port {min(ports)})"
