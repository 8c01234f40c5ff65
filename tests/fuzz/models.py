"""Hostile text and bytes for the readers of models: valid structure with drawn faults."""

from __future__ import annotations

from hypothesis import strategies as st

from shapenet3d_cma.core.errors import ModelError

__all__ = ["broken", "check_words", "lines", "text"]

LIBRARY = {
    "trimesh",
    "numpy",
    "dtype",
    "reshape",
    "ndarray",
    "Traceback",
    "NoneType",
    "codec",
    "KeyError",
    "ValueError",
}
"""Words that a user should not meet."""

NUMBERS = st.one_of(
    st.sampled_from(
        [
            "0",
            "1",
            "-1",
            "3",
            "-3",
            "0.5",
            "1e9",
            "1e10",
            "1e308",
            "-1e308",
            "1e999",
            "1e-308",
            "5e-324",
            "nan",
            "inf",
        ]
    ),
    st.sampled_from(
        [
            "",
            "x",
            "1e",
            "0x10",
            "1_0",
            "--1",
            "1/2",
            "1//2",
            "1/2/3",
            "/",
            "9" * 40,
            str(2**63),
            "\u0663",
        ]
    ),
    st.integers(-10, 10).map(str),
    st.floats(width=32).map(str),
)
"""Text in the place of a number."""
WORDS = st.one_of(
    NUMBERS,
    st.text(max_size=6),
    st.sampled_from(["../../x", "/etc/passwd", "a\\b", "\x1b[31m", "\0"]),
)


FOURS = [b"\xff" * 4, b"\0" * 4, b"\xff\xff\xff\x7f", b"\0\0\0\x80"]
"""Bounds of binary counts."""


def lines(keywords: list[str], *, most: int = 30) -> st.SearchStrategy[bytes]:
    """Draw text of lines that begin with a keyword, most of them right."""
    line = st.tuples(st.sampled_from(keywords), st.lists(WORDS, max_size=6)).map(
        lambda parts: " ".join([parts[0], *parts[1]])
    )
    ends = st.sampled_from(["\n", "\n", "\n", "\r\n", "\r", "\\\n", "", " \n"])
    return st.lists(st.tuples(line, ends), max_size=most).map(
        lambda drawn: "".join(text + end for text, end in drawn).encode(errors="surrogatepass")
    )


def text(keywords: list[str], sound: bytes) -> st.SearchStrategy[bytes]:
    """Draw text of lines, alone or behind what is sound, the sound with faults in it, or any bytes."""
    return st.one_of(
        lines(keywords),
        broken(sound),
        lines(keywords).map(lambda drawn: sound + drawn),
        st.binary(),
    )


@st.composite
def broken(draw: st.DrawFn, whole: bytes) -> bytes:
    """Draw faults into bytes that are right: cut, flipped, doubled, filled in, numbers taken by others."""
    data = bytearray(whole)
    for _ in range(draw(st.integers(0, 4))):
        place = draw(st.integers(0, max(0, len(data) - 1)))
        match draw(st.sampled_from(["cut", "flip", "double", "insert", "set", "digit"])):
            case "cut":
                del data[place:]
            case "flip" if data:
                data[place] ^= 1 << draw(st.integers(0, 7))
            case "double":
                data[place:place] = data[place : place + draw(st.integers(1, 60))]
            case "insert":
                data[place:place] = draw(NUMBERS).encode()
            case "set":
                data[place : place + 4] = draw(st.sampled_from(FOURS))
            case "digit":
                found = [index for index, letter in enumerate(data) if chr(letter).isdigit()]
                if found:
                    index = draw(st.sampled_from(found))
                    data[index : index + 1] = draw(NUMBERS).encode()
    return bytes(data)


def check_words(error: ModelError) -> None:
    """Hold a reason to plain words on one line."""
    told = str(error)
    assert told.isprintable(), told
    assert not LIBRARY & set(told.replace(":", " ").split()), told
