"""One exception tree: whatever lastack raises on bad input or a refusing kernel is a LastackError."""

from __future__ import annotations


class LastackError(Exception):
    """Base of every error that this package raises on purpose. Its text is fit to be shown to a user."""


class DecodeError(LastackError):
    """Bytes that do not say what they should.

    `at` is the offset, in octets from the start of what was decoded, where reading stopped making sense.
    """

    def __init__(self, message: str, at: int | None = None) -> None:
        super().__init__(message if at is None else f"{message} (at octet {at})")
        self.message = message
        self.at = at


class CaptureError(LastackError):
    """A capture file that cannot be read; the text names the file and the place."""


class RecordingError(LastackError):
    """A recording that cannot be read; the text names the file, or what it holds instead."""


class ScriptError(LastackError):
    """A script that cannot be read or did not go as it says; the text names file and line."""


class FilterError(LastackError):
    """A filter expression that cannot be understood; `at` is the offset of the offending word in `text`."""

    def __init__(self, message: str, text: str, at: int) -> None:
        super().__init__(f"{message}\n  {text}\n  {' ' * at}^")
        self.text = text
        self.at = at


class KernelError(LastackError):
    """The kernel refused, or cannot do, what was asked of it; the text says what would help."""


class CallError(LastackError):
    """Misuse by the caller: an operation that the connection's state or an argument does not allow.

    `code` is the name of the errno that a socket would have given (`EADDRNOTAVAIL`), or None.
    """

    def __init__(self, message: str, code: str | None = None) -> None:
        super().__init__(message)
        self.code = code
