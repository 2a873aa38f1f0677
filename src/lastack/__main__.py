"""`python -m lastack` is the command `lastack`."""

from __future__ import annotations

from .cli.main import main

if __name__ == "__main__":
    main()
