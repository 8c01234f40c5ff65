"""Texts of others, escaped to be shown on one line."""

from __future__ import annotations

from contextlib import suppress

__all__ = ["count_text", "markdown", "one_line", "shorten", "visible"]

LONGEST = 1500
"""Characters of a line on standard error."""
_MARKUP = str.maketrans(
    {sign: f"\\{sign}" for sign in "\\`*_{}[]()#+!|~"} | {"&": "&amp;", "<": "&lt;", ">": "&gt;"}
)


def visible(text: str) -> str:
    """Escape control characters, marks of reading direction, and stray bytes.

    Line ends and tabs stay. Bytes of a file's name that Python could not decode are read as UTF-8,
    where they are that.
    """
    if text.isprintable():
        return text
    with suppress(UnicodeEncodeError):  # half a surrogate pair, which stands for no byte
        text = text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    return "".join(
        sign if sign.isprintable() or sign in "\n\t" else _escaped(sign) for sign in text
    )


def _escaped(sign: str) -> str:
    return sign.encode("unicode_escape").decode("ascii")


def shorten(text: str, most: int = 80) -> str:
    """Cut the middle out of a text longer than `most` characters."""
    if len(text) <= most:
        return text
    return f"{text[: most * 2 // 3]} … {text[len(text) - most // 4 :]}"


def one_line(text: str, most: int = LONGEST) -> str:
    """Return a text as one escaped line of bounded length."""
    return shorten(visible(" ".join(shorten(text, 4 * most).split())), most)


def markdown(text: str) -> str:
    """Escape a text for Markdown: no link, tag or table cell."""
    return one_line(text).translate(_MARKUP).replace("://", "&#58;//").replace("www.", "www&#46;")


def count_text(number: int, noun: str) -> str:
    """Return a number with its noun: 1 row, 2 rows, 2 categories."""
    plural = f"{noun[:-1]}ies" if noun.endswith("y") else f"{noun}s"
    return f"{number} {noun if number == 1 else plural}"
