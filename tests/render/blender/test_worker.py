from __future__ import annotations

import os
import sys
import threading

import pytest

from shapenet3d_cma.render.blender.worker import few_cores


# the call that keeps a process to some cores is Linux's; elsewhere `few_cores` does nothing
@pytest.mark.skipif(
    sys.platform != "linux", reason="other systems cannot keep a process to some cores"
)
def test_threads_started_on_few_cores_may_later_use_all() -> None:
    allowed, go = os.sched_getaffinity(0), threading.Event()
    with few_cores(1):
        assert len(os.sched_getaffinity(0)) == 1
        thread = threading.Thread(target=go.wait)
        thread.start()
        assert len(os.sched_getaffinity(thread.native_id)) == 1
    assert os.sched_getaffinity(0) == os.sched_getaffinity(thread.native_id) == allowed
    go.set()
    thread.join()
