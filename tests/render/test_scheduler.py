"""A scheduler that is not there, is silent, or is something else: one line, soon, and nothing written."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from shapenet3d_cma.build import build_dataset
from shapenet3d_cma.core.errors import InputError
from shapenet3d_cma.pack.config import PackConfig
from shapenet3d_cma.render import cluster
from shapenet3d_cma.render.config import RenderConfig
from shapenet3d_cma.render.rendering import render_models

pytest.importorskip("distributed")
SPEECH = {
    "silent": None,
    "closing": b"",
    "web server": b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n\x1b[31m",
    "noise": bytes(range(256)) * 64,
    "huge length": b"\xff" * 8 + b"\x00" * 64,
    "no frames": b"\x00" * 64,
}


@pytest.fixture
def address(request: pytest.FixtureRequest) -> Iterator[str]:
    """Listen at a port of this machine, and say to whoever comes what the test asks for."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        come: list[socket.socket] = []

        def serve() -> None:
            with suppress(OSError):
                while True:
                    come.append(server.accept()[0])
                    if request.param is not None:
                        come[-1].sendall(request.param)
                        come[-1].shutdown(socket.SHUT_WR)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield f"tcp://127.0.0.1:{server.getsockname()[1]}"
        server.shutdown(socket.SHUT_RDWR)
        thread.join(5)
        for one in come:
            one.close()


@pytest.mark.filterwarnings(
    "ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning"
)
@pytest.mark.parametrize("address", SPEECH.values(), ids=SPEECH, indirect=True)
def test_a_scheduler_that_does_not_answer_leaves_nothing_behind(
    address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(cluster, "WAIT", 2.0)
    begin = time.monotonic()
    with pytest.raises(
        InputError, match=r"no Dask scheduler answers at tcp://127\.0\.0\.1"
    ) as caught:
        render_models([], tmp_path / "out", RenderConfig(), scheduler=address)
    assert "start one with `dask scheduler`" in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1
    assert time.monotonic() - begin < 30
    assert list(tmp_path.iterdir()) == []
    assert capfd.readouterr() == ("", ""), "what Dask has to say of it is not for the user"


@pytest.mark.parametrize(
    "address",
    [
        "",
        "x",
        "tcp://",
        "tcp://host",
        "tcp://host:x",
        "tcp://host:99999999",
        "tcp://[::1",
        "http://host:1",
        "tcp://h\x1b:1",
    ],
)
def test_an_invalid_address_is_refused(tmp_path: Path, address: str) -> None:
    with pytest.raises(InputError, match="is not the address of a Dask scheduler"):
        build_dataset([], tmp_path / "out", RenderConfig(), PackConfig(), scheduler=address)
    assert list(tmp_path.iterdir()) == []
