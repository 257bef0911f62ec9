"""Regular expressions of the kind that RE2 and Java read alike, spelled for Java."""

from __future__ import annotations

import re

_TOKEN = re.compile(
    r"(?P<class>\[\^?(?:\\[dwsDWS.\-\]\[\\^$|?*+(){}/]|[A-Za-z0-9_ .,:;/@#%=!<>~'\"+*?(){}$|-])+\])"
    r"|(?P<escape>\\[dwsDWS.\-\]\[\\^$|?*+(){}/])"
    r"|(?P<repeat>(?:[*+?]|\{\d{1,3}(?:,\d{0,3})?\})\??)"
    r"|(?P<group>\((?:\?:)?|\)|\|)"
    r"|(?P<begin>\^)|(?P<end>\$)|(?P<any>\.)"
    r"|(?P<plain>[A-Za-z0-9_ ,:;/@#%=!<>~'\"&-]|[^\x00-\x7f])"
)
_SPELLED = {"begin": r"\A", "end": r"\z", "any": r"[^\n]"}
# In Java $ also matches before a last line break, and . does not match any other line break.
_SPACES = {r"\s": r"[\t\n\f\r ]", r"\S": r"[^\t\n\f\r ]"}
# In Java \s also matches a vertical tab.


def java_pattern(pattern: str) -> str | None:
    """Return ``pattern``, which RE2 searches for, as Java must be given it; None where they may read it differently."""
    parts: list[str] = []
    position, before = 0, ""
    while position < len(pattern):
        found = _TOKEN.match(pattern, position)
        if found is None or (found.lastgroup == "repeat" and before in ("", "repeat", "begin")):
            return None
        kind, text = str(found.lastgroup), found[0]
        if kind == "class" and (r"\s" in text or r"\S" in text):
            text = text.replace(r"\s", r"\t\n\f\r ")
            if r"\S" in text:
                return None
        parts.append(_SPACES.get(text, _SPELLED.get(kind, text)))
        position, before = found.end(), kind if text not in ("(", "(?:", "|") else ""
    try:
        re.compile(pattern)
    except re.error:
        return None
    return "".join(parts)
