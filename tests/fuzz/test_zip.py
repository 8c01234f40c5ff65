"""Whatever a zip holds, it is listed and unpacked within bounds, into its own folder alone."""

from __future__ import annotations

import io
import tempfile
import zipfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shapenet3d_cma.core.errors import ModelError
from shapenet3d_cma.render.shapenet import archive
from shapenet3d_cma.render.shapenet.listing import fetch, list_models
from shapenet3d_cma.render.shapenet.selection import Selection
from shapenet3d_cma.tests.fuzz.bounds import bounded, corpus, fuzz
from shapenet3d_cma.tests.fuzz.models import broken, check_words

OBJ = b"v 0 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 3\n"
PARTS = [
    "03001627",
    "abc",
    "models",
    "model_normalized.obj",
    "..",
    ".",
    "",
    "C:",
    "a\\b",
    "\x1b[31m",
    "x" * 300,
    "\u202e",
    "é",
]


def made(names: list[str], method: int = zipfile.ZIP_DEFLATED, comment: bytes = b"") -> bytes:
    """Make the bytes of an archive."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", method) as file:
        for name in names:
            file.writestr(name.replace("\0", "") or "x", OBJ)
        file.comment = comment
    return stream.getvalue()


SOUND = made(
    ["03001627/abc/models/model_normalized.obj", "03001627/abd/models/model_normalized.obj"]
)
NAMES = st.lists(
    st.lists(st.sampled_from(PARTS), min_size=1, max_size=6).map("/".join),
    min_size=1,
    max_size=6,
    unique=True,
)
METHODS = st.sampled_from(
    [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA]
)


def read(root: Path, data: bytes) -> None:
    """List an archive's models and unpack each."""
    path = root / "03001627.zip"
    path.write_bytes(data)
    archive._opened.cache_clear()
    with bounded("zip", data, inside=root, mib=512):
        listing = list_models(path, Selection(layout="zip"))
        assert all(note.isprintable() for note in listing.notes)
        assert len({model.key for model in listing.models}) == len(listing.models)
        for model in listing.models:
            assert model.key.isprintable()
            with tempfile.TemporaryDirectory(dir=root) as scratch:
                try:
                    fetch(model, Path(scratch))
                except ModelError as error:
                    check_words(error)
    archive._opened.cache_clear()
    assert {entry.name for entry in root.iterdir()} == {"03001627.zip"}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "in").mkdir()
    return tmp_path / "in"


@fuzz
@given(
    data=st.one_of(
        broken(SOUND), st.builds(made, NAMES, METHODS, st.binary(max_size=30)).flatmap(broken)
    )
)
def test_any_zip(root: Path, data: bytes) -> None:
    read(root, data)


@pytest.mark.parametrize("path", corpus("zip"), ids=lambda path: path.name)
def test_past_failures(root: Path, path: Path) -> None:
    read(root, path.read_bytes())
