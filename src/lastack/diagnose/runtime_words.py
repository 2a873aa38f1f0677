"""What is advised where it is known what runs a program: the same cure in the words of Python, Java, Go and others."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, NamedTuple

import numpy as np

from lastack.model.finding import Advice
from lastack.model.host import Runtime
from lastack.model.record import ConnectionTable


class _Words(NamedTuple):
    """`close`: it was read to its end and not closed; `pool`: an idle connection of a client's; `read`: no reading."""

    close: Advice
    pool: Advice
    read: Advice


_WITH_ITS_CLOSE: Final = "each ends with its close()"
_SOONER: Final = "the client lets go of an idle connection before its server does"
_HANDSHAKES: Final = "a few more handshakes"
_SHOWS: Final = "shows what keeps it from reading; with a time-out it comes back to reading by itself"

_WORDS: Final[dict[Runtime, _Words]] = {
    Runtime.PYTHON: _Words(
        Advice(
            "In Python: with, or contextlib.closing, around every socket and response (requests with stream=True, "
            "http.client, urllib3: close() or read to the end, also after an exception); in asyncio writer.close() in"
            " a finally. A traceback or a cycle that is kept, keeps the socket too",
            _WITH_ITS_CLOSE,
            "none",
        ),
        Advice(
            "In Python: keep one Session or Client and close it; let idle connections expire below the server's time-"
            "out (httpx keepalive_expiry, aiohttp TCPConnector(keepalive_timeout=)). SQLAlchemy's pool_pre_ping and "
            "pool_recycle look at a connection when it is next taken from the pool, not before",
            _SOONER,
            _HANDSHAKES,
        ),
        Advice(
            "In Python: see where its threads are (py-spy dump --pid PID), and give every call a time-out: requests "
            "and socket have none of their own; under gunicorn or uwsgi, more workers or threads than slow calls",
            _SHOWS,
            "what takes longer fails",
        ),
    ),
    Runtime.JAVA: _Words(
        Advice(
            "In Java: try-with-resources around sockets, streams, JDBC objects and the body of every HTTP response "
            "(OkHttp response.close(), Apache EntityUtils.consume), also where an exception is thrown",
            _WITH_ITS_CLOSE,
            "none",
        ),
        Advice(
            "In Java: a pool keeps what its server has closed until it looks. HikariCP: maxLifetime some seconds "
            "below the server's or the firewall's limit, and keepaliveTime; Apache HttpClient: "
            "evictExpiredConnections and evictIdleConnections; OkHttp: ConnectionPool's keep-alive below the server's",
            _SOONER,
            _HANDSHAKES,
        ),
        Advice(
            "In Java: jcmd PID Thread.print shows what its threads wait for; give every call a time-out "
            "(setSoTimeout, JDBC socketTimeout, the HTTP client's read time-out)",
            _SHOWS,
            "what takes longer fails",
        ),
    ),
    Runtime.GO: _Words(
        Advice(
            "In Go: defer resp.Body.Close() right after the error of every request was looked at, and read the body "
            "to its end; defer rows.Close(), defer conn.Close()",
            _WITH_ITS_CLOSE,
            "none",
        ),
        Advice(
            "In Go: one http.Transport for all requests, with IdleConnTimeout below the server's (0, its default, is "
            "for ever); db.SetConnMaxIdleTime and SetConnMaxLifetime",
            _SOONER,
            _HANDSHAKES,
        ),
        Advice(
            "In Go: /debug/pprof/goroutine?debug=2 (net/http/pprof) shows what its goroutines wait for; give requests"
            " a context with a deadline, and http.Server its ReadTimeout and WriteTimeout, which are none by default",
            _SHOWS,
            "what takes longer fails",
        ),
    ),
    Runtime.NODE: _Words(
        Advice(
            "In Node.js: with allowHalfOpen each socket has to be ended by the program: end() on 'end', destroy() on "
            "'error' and 'timeout' (socket.setTimeout)",
            _WITH_ITS_CLOSE,
            "none",
        ),
        Advice(
            "In Node.js: an http.Agent with keepAlive and a timeout below the server's; idleTimeoutMillis for the "
            "pools of pg and its like",
            _SOONER,
            _HANDSHAKES,
        ),
        Advice(
            "In Node.js: a stream that nobody consumes never says 'end': resume() or destroy() responses and sockets "
            "that are not read; a blocked event loop (perf_hooks.monitorEventLoopDelay) reads nothing at all",
            "the end of file is read, and the socket closed by Node.js itself",
            "none",
        ),
    ),
    Runtime.NGINX: _Words(
        Advice(
            "In nginx: proxy_ignore_client_abort off (its default) gives a request up when its client has; after a "
            "reload old workers stay until their last connection ends: worker_shutdown_timeout",
            "a request whose client has gone ends at once",
            "the backend's work on it is lost",
        ),
        Advice(
            "In nginx: keepalive_timeout of the upstream block below the idle time-out of its servers",
            _SOONER,
            _HANDSHAKES,
        ),
        Advice(
            "In nginx: with proxy_ignore_client_abort on, a client is not read while its backend works, which "
            "proxy_read_timeout bounds. A worker that is blocked on a disk or in a module reads nobody: aio threads, "
            "no blocking Lua or Perl",
            _SHOWS,
            "what takes longer fails",
        ),
    ),
    Runtime.PHP_FPM: _Words(
        Advice(
            "In PHP: what is persistent (pfsockopen, PDO::ATTR_PERSISTENT, mysqli's p:, Redis pconnect) lives as long"
            " as its worker: do without, or let workers end (pm.max_requests, pm.process_idle_timeout)",
            "each ends with its worker, or with its request",
            _HANDSHAKES,
        ),
        Advice(
            "In PHP: persistent connections outlive their server's patience: its wait_timeout or timeout above, or "
            "pm.max_requests and pm.process_idle_timeout so that workers do not outlive it",
            "workers end, and their idle connections with them",
            _HANDSHAKES,
        ),
        Advice(
            "In PHP-FPM: request_slowlog_timeout shows where scripts are, request_terminate_timeout ends them; "
            "default_socket_timeout (60 s) bounds calls to others; pm.max_children above the number of slow ones",
            _SHOWS,
            "what takes longer fails",
        ),
    ),
}

_WHICH: Final = {"close-wait-not-closed": "close", "close-wait-eof-unread": "read", "close-wait-data-unread": "read"}


def runtime_advice(cause: str, runtimes: Iterable[Runtime], rows: ConnectionTable) -> tuple[Advice, ...]:
    """The cure of a cause of CLOSE_WAIT in the words of the runtimes that have the rows; none for other causes.

    What went out, is idle and not read, is a client's pool.
    """
    which = _WHICH.get(cause)
    if which is None:
        return ()
    went_out = not np.any(rows.valid("listener"))
    if cause == "close-wait-eof-unread" and went_out:
        which = "pool"
    return tuple(getattr(_WORDS[runtime], which) for runtime in runtimes)
