"""The sysctls that the machine's configuration files ask for, whether or not the kernel has them: sysctl.d(5)."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from lastack.model.host import Configured

_DIRECTORIES: Final = ("usr/lib/sysctl.d", "lib/sysctl.d", "run/sysctl.d", "etc/sysctl.d")
_LAST: Final = "etc/sysctl.conf"


def configured(root: Path = Path("/")) -> dict[str, Configured]:
    """Settings by their dotted name, from files under `root`; what is read later wins. Unreadable files are passed by.

    Files of one name override each other in the order of the directories; then all are read in the order of their
    names, and sysctl.conf last.
    """
    files: dict[str, Path] = {}
    for directory in _DIRECTORIES:
        files.update({path.name: path for path in (root / directory).glob("*.conf")})
    found: dict[str, Configured] = {}
    for path in (*(files[name] for name in sorted(files)), root / _LAST):
        try:
            text = path.read_text(errors="replace")
        except OSError:
            continue
        for line in text.splitlines():
            name, equals, value = line.strip().lstrip("-").partition("=")
            if equals and not line.lstrip().startswith(("#", ";")):
                found[name.strip().replace("/", ".")] = Configured(value.strip(), str(path))
    return found
