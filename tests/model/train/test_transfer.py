"""Batches that a worker sends arrive as they were sent, on memory of their own."""

from __future__ import annotations

import copy
import io
import os
import pickle
from multiprocessing.reduction import ForkingPickler
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from shapenet3d_cma.model.train import transfer as passing
from shapenet3d_cma.model.train.transfer import pack_for_worker

pytestmark = pytest.mark.skipif(
    not hasattr(os, "memfd_create"), reason="elsewhere torch passes batches itself"
)

ARRAYS = hnp.arrays(
    st.sampled_from([np.uint8, np.int32, np.int64, np.float32, np.float64, np.bool_]),
    hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=5),
    elements=st.sampled_from([0, 1]),
)


def sent(batch: dict[str, Any]) -> dict[str, Any]:
    """Send a batch as a worker's queue does, and receive it."""
    with mock.patch.object(passing, "get_worker_info", return_value=object()):
        arrived = pickle.load(io.BytesIO(ForkingPickler.dumps(pack_for_worker(batch))))
    assert type(arrived) is dict
    return dict(arrived)


@given(st.lists(ARRAYS, max_size=4))
def test_what_arrives_is_what_was_sent(arrays: list[np.ndarray[Any, Any]]) -> None:
    batch: dict[str, Any] = {"names": ["a", "b"]} | {
        str(place): torch.from_numpy(array) for place, array in enumerate(arrays)
    }
    batch["turned"] = torch.arange(6).view(2, 3).T  # not contiguous
    arrived = sent(batch)
    assert list(arrived) == list(batch)
    assert arrived["names"] == ["a", "b"]
    for name, value in batch.items():
        if isinstance(value, torch.Tensor):
            assert arrived[name].dtype == value.dtype
            assert arrived[name].shape == value.shape
            assert torch.equal(arrived[name], value)


def test_the_receiver_may_write_and_neither_the_sender_nor_another_field_sees_it() -> None:
    batch = {"a": torch.zeros(3), "b": torch.zeros(3)}
    arrived = sent(batch)
    arrived["a"] += 1
    assert arrived["a"].tolist() == [1, 1, 1]
    assert arrived["b"].tolist() == batch["a"].tolist() == [0, 0, 0]


def test_batches_that_are_kept_hold_no_file_open() -> None:
    descriptors = Path("/proc/self/fd")
    sent({"a": torch.zeros(3)})  # starts what the sender keeps
    before = len(list(descriptors.iterdir()))
    kept = [sent({"a": torch.full((3,), number)}) for number in range(20)]
    assert len(list(descriptors.iterdir())) <= before
    assert [int(batch["a"][0]) for batch in kept] == list(range(20))


def test_without_a_worker_a_batch_is_itself() -> None:
    batch = {"a": torch.zeros(3)}
    assert pack_for_worker(batch) is batch
    with mock.patch.object(passing, "get_worker_info", return_value=object()):
        again = copy.copy(pack_for_worker(batch))
    assert again["a"] is batch["a"], (
        "torch's default_convert copies batches in the worker: they are not sent by that"
    )
