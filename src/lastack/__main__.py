"""`lastack` and `python -m lastack`: the command line, which Ctrl-C ends without a word from here on."""

from __future__ import annotations

import signal
import sys

TYPE_CHECKING = False

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType, TracebackType

    Handler = Callable[[int, FrameType | None], object] | int


def main() -> None:
    """Run the command line; statuses as `cli.main` says. By Ctrl-C it ends as shells expect: SIGINT ends it (130)."""
    sys.excepthook = _last_words
    # An import that is interrupted tells of it, and so do the threads at the end: there SIGINT simply ends the process.
    # Where it is ignored (nohup) it stays so.
    _turn(signal.default_int_handler, signal.SIG_DFL)
    from .cli.main import main as run

    _turn(signal.SIG_DFL, signal.default_int_handler)
    try:
        run()
    finally:
        _turn(signal.default_int_handler, signal.SIG_DFL)


def _turn(former: Handler, handler: Handler) -> None:
    if signal.getsignal(signal.SIGINT) is former:
        signal.signal(signal.SIGINT, handler)


def _last_words(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """What is said of an error that nobody has caught: of Ctrl-C nothing, and it is by that that the process ends."""
    if not issubclass(kind, KeyboardInterrupt):
        sys.__excepthook__(kind, error, trace)
    elif sys.platform != "win32":
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        signal.raise_signal(signal.SIGINT)


if __name__ == "__main__":
    main()
