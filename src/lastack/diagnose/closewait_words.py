"""What is said of each cause of CLOSE_WAIT: the sentence, the advice, and what will not help."""

from __future__ import annotations

from typing import Final, NamedTuple

from lastack.model.finding import Advice


class Words(NamedTuple):
    """`summary` is a format string over `count` (`3 connections`), `are` and `who`."""

    summary: str
    advice: tuple[Advice, ...]
    useless: tuple[str, ...]


_NO_SYSCTL: Final = "any sysctl: Linux has no timer for CLOSE_WAIT; it waits for the application's close() for ever"
_KEEPALIVE: Final = (
    "tcp_keepalive_time: the peer's machine answers the probes while it runs, so the connection stays; and without "
    "SO_KEEPALIVE on the socket there are no probes at all"
)
_FIN_TIMEOUT: Final = "tcp_fin_timeout, tcp_tw_reuse: they are about FIN_WAIT_2 and TIME_WAIT, on the other side"
_USUAL: Final = (_NO_SYSCTL, _KEEPALIVE, _FIN_TIMEOUT)

_RESTART: Final = Advice(
    "Until it is mended: restart the process before its descriptors run out; or end these alone (lastack end --process "
    "NAME), which leaves their descriptors taken",
    "all of them end at once; the leak starts anew",
    "a restart cuts its other connections",
)

WORDS: Final[dict[str, Words]] = {
    "close-wait-eof-unread": Words(
        "{count} {are} in CLOSE_WAIT because {who} never read the end of file",
        (
            Advice(
                "Read from every connection until read() returns 0, also while it is idle in a pool, then close it; in "
                "an event loop keep read interest (EPOLLIN, EPOLLRDHUP) registered",
                "each ends within one round trip of its close()",
                "none",
            ),
            Advice(
                "For a client's pool: let idle connections expire sooner than the server's keep-alive time-out, or "
                "check them before use",
                "no idle connection is left for the server to close first",
                "a few more handshakes",
            ),
            _RESTART,
        ),
        _USUAL,
    ),
    "close-wait-not-closed": Words(
        "{count} {are} in CLOSE_WAIT because {who} read the end of file and never called close()",
        (
            Advice(
                "Close on every path out of the handler, errors and time-outs first: try/finally, with, defer, "
                "try-with-resources; look for a response body or a pooled connection that is not given back",
                "each ends within one round trip of its close()",
                "none",
            ),
            _RESTART,
        ),
        _USUAL,
    ),
    "close-wait-data-unread": Words(
        "{count} {are} in CLOSE_WAIT with data that {who} has not read, the end of file behind it",
        (
            Advice(
                "Find what keeps the process from reading: a blocked or exhausted worker pool, a lock, a call to a "
                "backend without a time-out; then read to the end and close",
                "each ends within one round trip of its close(); close() with unread data sends a RST instead",
                "the peer has usually given up: its requests are answered for nobody",
            ),
            _RESTART,
        ),
        (*_USUAL, "a longer backlog: these were accepted"),
    ),
    "close-wait-never-accepted": Words(
        "{count} {are} in CLOSE_WAIT in the accept queue: {who} did not call accept() before the peer gave up",
        (
            Advice(
                "Find why the accepting thread does not come round: blocked in a handler, too few workers, out of "
                "descriptors (EMFILE in accept())",
                "the queue empties as fast as it is accepted; each of these is then read as an immediate end of file",
                "none",
            ),
        ),
        (
            "a longer backlog or somaxconn: more connections would wait in vain",
            *_USUAL,
        ),
    ),
    "close-wait-inherited": Words(
        "{count} {are} in CLOSE_WAIT because a child process still holds the descriptor: {who}",
        (
            Advice(
                "Make sockets close-on-exec (SOCK_CLOEXEC, FD_CLOEXEC; Python does, unless close_fds=False or fork "
                "without exec) and close the descriptor in each forked process that does not serve it",
                "the parent's close() then sends the FIN",
                "none",
            ),
            Advice(
                "Until then: end the child, or use shutdown() in the parent, which acts on the connection itself and "
                "not on one descriptor",
                "the FIN leaves at once",
                "the child loses the connection too",
            ),
        ),
        ("closing again in the parent: its descriptor is gone, the child's is not", *_USUAL),
    ),
    "close-wait-owner-stopped": Words(
        "{count} {are} in CLOSE_WAIT because {who} is stopped and cannot close",
        (
            Advice(
                "Continue it (kill -CONT, end the debugger, thaw the cgroup) or end it",
                "it closes what it finds closed; ending it closes all",
                "it may answer peers that have long gone",
            ),
        ),
        _USUAL,
    ),
    "close-wait-busy": Words(
        "{count} {are} in CLOSE_WAIT, not leaked: {who} is still at work on them",
        (
            Advice(
                "Nothing, if the peers meant to close first; otherwise make the work faster, or give up when the peer "
                "has gone (watch for EPOLLRDHUP)",
                "fewer wait at any moment: arrivals a second times the seconds each takes",
                "none",
            ),
        ),
        ("looking for a leak: they end by themselves", *_USUAL),
    ),
}
