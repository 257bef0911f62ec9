"""Project files as text: UTF-8, with or without BOM, any line ends; everything else is refused with its line."""

from __future__ import annotations

import codecs
from pathlib import Path

from remint.errors import ProjectError

_UTF16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


def read_text(path: Path, shown: str) -> str:
    r"""Return the text of a project file, without BOM and with ``\n`` line ends.

    Args:
        path: the file.
        shown: its name in messages, relative to the project.

    Raises:
        ProjectError: it cannot be read, or is not UTF-8.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ProjectError(f"cannot be read: {error.strerror or error}", file=shown) from None
    if data.startswith(_UTF16) or b"\x00" in data:
        raise ProjectError(
            "is UTF-16 or binary; project files are UTF-8", file=shown, line=1, hint="save the file as UTF-8"
        )
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise ProjectError(
            f"byte 0x{data[error.start]:02x} is not UTF-8 (Latin-1?); project files are UTF-8",
            file=shown,
            line=line,
            hint="save the file as UTF-8",
        ) from None
    return text.replace("\r\n", "\n").replace("\r", "\n")
