"""The header of Prophesee's files: ASCII lines of `% key value` at the head of the file."""

from __future__ import annotations

import re
from pathlib import Path


def read_percent_header(head: bytes) -> tuple[dict[str, str], int]:
    """The fields, keys in lower case, and the offset of the first byte after them. No such header: ({}, 0).

    A header ends with `% end`, or where no printable line begins with a percent sign.

    >>> read_percent_header(b"% evt 3.0\\n% geometry 1280x720\\n\\xae\\x8a")
    ({'evt': '3.0', 'geometry': '1280x720'}, 30)
    """
    fields: dict[str, str] = {}
    offset = 0
    while match := _LINE.match(head, offset):
        offset = match.end()
        key, _, value = match[1].decode("ascii").strip().partition(" ")
        if key.lower() == "end":
            break
        if key:
            fields.setdefault(key.lower(), value.strip())
    return fields, offset


def whole_number(path: Path, name: str, text: str) -> int:
    """The number that a header's field holds."""
    if not re.fullmatch(r"[0-9]{1,9}", text.strip()):
        raise ValueError(f"{path}: the header's {name} must be a whole number, got {text!r}")
    return int(text)


_LINE = re.compile(rb"%([ -~\t]{0,4096})\r?\n")
