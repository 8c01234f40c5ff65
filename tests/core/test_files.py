from __future__ import annotations

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shapenet3d_cma.core.errors import needs
from shapenet3d_cma.core.files import hash_text, hash_to_fraction, random_stream, sha256


@given(piece=st.binary(max_size=40), repeats=st.integers(1, 20_000))
def test_the_hash_of_a_file_is_that_of_its_bytes(
    tmp_path_factory: pytest.TempPathFactory, piece: bytes, repeats: int
) -> None:
    content = piece * repeats
    path = tmp_path_factory.getbasetemp() / "hashed"
    path.write_bytes(content)
    assert sha256(path) == hashlib.sha256(content).hexdigest()


def test_a_missing_library_and_a_missing_package_have_different_remedies() -> None:
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
def test_hashes_and_random_numbers_depend_on_the_text_alone(text: str) -> None:
    digest = hashlib.sha256(text.encode()).digest()
    assert hash_text(text) == digest
    assert 0 <= hash_to_fraction(text) <= 1
    assert random_stream(text).random() == random_stream(text).random()


def test_random_numbers_are_those_of_earlier_versions() -> None:
    """Cameras, splits and samples of old runs can be drawn again."""
    assert hash_to_fraction("0 split 03001627/abc") == NUMBERS[0]
    assert random_stream("0 03001627/abc").random() == NUMBERS[1]


NUMBERS = (0.2310952957595392, 0.1260404036553754)
