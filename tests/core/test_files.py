from __future__ import annotations

from pathlib import Path

from shapenet3d_cma.core.errors import needs
from shapenet3d_cma.core.files import sha256


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
