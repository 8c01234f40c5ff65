from __future__ import annotations

import hashlib
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from shapenet3d_cma.core.errors import needs
from shapenet3d_cma.core.files import hash_text, hash_to_fraction, random_stream, sha256


def test_sha256(tmp_path: Path) -> None:
    (tmp_path / "abc").write_bytes(b"abc")
    assert (
        sha256(tmp_path / "abc")
        == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    )


def test_a_missing_library_is_told_apart_from_a_missing_package() -> None:
    library = ImportError(
        "libusb-1.0.so.0: cannot open shared object file: No such file or directory"
    )
    assert "system library libusb-1.0.so.0 is missing or broken; `make libraries`" in str(
        needs("open3d", "reconstruct", library)
    )
    package = ImportError("No module named 'open3d'")
    assert "pip install 'shapenet3d-cma[reconstruct]'" in str(
        needs("open3d", "reconstruct", package)
    )


@given(st.text(st.characters(codec="utf-8")))
def test_a_text_alone_decides(text: str) -> None:
    digest = hashlib.sha256(text.encode()).digest()
    assert hash_text(text) == digest
    assert 0 <= hash_to_fraction(text) <= 1
    assert random_stream(text).random() == random_stream(text).random()


def test_numbers_stay_those_of_earlier_versions() -> None:
    """Cameras, splits and samples of old runs can be drawn again."""
    assert hash_to_fraction("0 split 03001627/abc") == NUMBERS[0]
    assert random_stream("0 03001627/abc").random() == NUMBERS[1]


NUMBERS = (0.2310952957595392, 0.1260404036553754)
