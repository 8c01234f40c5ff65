import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from shapenet3d_cma.core.errors import InputError
from shapenet3d_cma.model.config import PretrainConfig
from shapenet3d_cma.model.distributed import ProcessGroup
from shapenet3d_cma.model.train.data import BatchSource, EpochPlan, ShardRows, choose_place

CPU = torch.device("cpu")
ALONE = ProcessGroup(0, 1, CPU)


@given(st.integers(1, 40), st.integers(1, 40), st.integers(1, 5), st.integers(0, 100))
def test_each_epoch_takes_each_row_once_but_for_a_short_batch(
    rows: int, batch: int, epochs: int, seed: int
) -> None:
    plan = EpochPlan(rows, min(batch, rows), epochs, seed)
    for epoch in range(epochs):
        steps = range(epoch * plan.steps_per_epoch, (epoch + 1) * plan.steps_per_epoch)
        assert {plan.epoch(step) for step in steps} == {epoch}
        taken = [row for step in steps for row in plan.step_rows(step)]
        assert len(set(taken)) == len(taken) == rows - rows % plan.batch
        assert set(taken) <= set(range(rows))
    assert plan.steps == epochs * plan.steps_per_epoch


def test_epochs_and_seeds_shuffle_differently() -> None:
    orders = [
        tuple(EpochPlan(50, 50, 3, seed).step_rows(step)) for seed in range(3) for step in range(3)
    ]
    assert len(set(orders)) == 9


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("number", [1, 2])
def test_batches_from_memory_and_from_files_are_equal(
    toy_shards: Path, tiny: PretrainConfig, workers: int, number: int
) -> None:
    data = ShardRows(toy_shards, tiny)
    plan = EpochPlan(len(data), 4, 3, 0)
    for rank in range(number):
        mine = ProcessGroup(rank, number, CPU)
        held = list(BatchSource(data, plan, tiny.replace(data="memory").run, mine).steps(1))
        files = BatchSource(data, plan, tiny.replace(data="files", workers=workers).run, mine)
        read = list(files.steps(1))
        assert files.held() is None
        assert len(held) == len(read) == 8
        share = 4 // number
        for step, (a, b) in enumerate(zip(held, read, strict=True), 1):
            assert a["rows"].tolist() == plan.step_rows(step)[rank * share : (rank + 1) * share]
            assert a.keys() == b.keys()
            assert all(torch.equal(a[name], b[name]) for name in a)


def test_rows_are_taken_alike_from_memory_and_from_files(
    toy_shards: Path, tiny: PretrainConfig
) -> None:
    data = ShardRows(toy_shards, tiny)
    plan = EpochPlan(len(data), 4, 3, 0)
    feeds = [
        BatchSource(data, plan, tiny.replace(data=place).run, ALONE)
        for place in ("memory", "files")
    ]
    held, read = (feed.take([7, 2]) for feed in feeds)
    assert all(torch.equal(held[name], read[name]) for name in read)


def test_where_rows_are_held(tiny: PretrainConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    cuda = ProcessGroup(0, 1, torch.device("cuda", 0))
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda _: (80 * 2**30, 80 * 2**30))

    def place(gib: float, mine: ProcessGroup = ALONE, **changes: object) -> str:
        return choose_place(gib, tiny.replace(changes, memory_gib=0.5).run, mine)  # type: ignore[arg-type]

    assert place(0.1) == "memory"
    assert place(0.6) == "files"
    assert place(7.4, cuda) == "device"
    assert place(30, cuda) == "files"
    assert place(7.4, cuda, data="files") == "files"
    assert place(0.1, data="device") == "memory"  # on a CPU it is the same
    with pytest.raises(
        InputError,
        match=r"data = device, but the rows take 300\.0 GiB and cuda:0 has 80\.0 GiB free",
    ):
        place(300, cuda, data="device")


def test_the_choice_is_said(toy_shards: Path, tiny: PretrainConfig) -> None:
    data = ShardRows(toy_shards, tiny)
    plan = EpochPlan(len(data), 4, 3, 0)
    assert (
        BatchSource(data, plan, tiny.run, ALONE).description == "12 rows, 0.00 GiB: held in memory"
    )
    read = BatchSource(data, plan, tiny.replace(data="files", workers=3).run, ALONE)
    assert (
        read.description == "12 rows, 0.00 GiB: read from the files by 3 processes beside this one"
    )


def test_a_batch_holds_the_rows_of_the_shards(toy_shards: Path, tiny: PretrainConfig) -> None:
    data = ShardRows(toy_shards, tiny)
    batch = data.__getitems__([7, 2])
    assert batch["points"].shape == (2, 128, 3)
    assert batch["pixels"].shape == (2, 16, 2)
    assert batch["rgb"].shape == (2, 64, 64, 3)
    assert np.array_equal(batch["points"][1], data.shards[2]["points"])
    assert np.array_equal(batch["pixels"][0], data.shards[7]["pixels"][:16])
    assert torch.equal(data[2]["rgb"], batch["rgb"][1])


def not_finite(rows: list[dict]) -> None:
    rows[2]["points"][5, 1] = np.nan


def outside(rows: list[dict]) -> None:
    rows[1]["pixels"][3] = [10, 64]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            not_finite,
            r"row 2 \(03001627/model2, view 0\) has points that are not finite: pack again",
        ),
        (outside, r"row 1 \(03001627/model1, view 0\) has pixels outside the image: pack again"),
    ],
)
def test_rows_that_no_shard_should_hold_are_named(make_shards, tiny, change, message) -> None:  # type: ignore[no-untyped-def]
    data = ShardRows(make_shards(rows=3, change=change), tiny)
    with pytest.raises(InputError, match=message):
        data.load(CPU)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (
            {"patches": 200},
            "rows of 128 points cannot be cut into 200 patches of 8: pack with more --points",
        ),
        ({"patch_points": 200}, "rows of 128 points cannot be cut into 16 patches of 200"),
        (
            {"image_patch": 24},
            "images of 64 x 64 pixels cannot be cut into patches of 24 x 24: give --image-size",
        ),
    ],
)
def test_shards_that_do_not_suit_the_settings(
    toy_shards: Path, tiny: PretrainConfig, given, message
) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(InputError, match=message):
        ShardRows(toy_shards, tiny.replace(**given))


def test_one_row_is_too_few_for_the_contrast(make_shards, tiny: PretrainConfig) -> None:  # type: ignore[no-untyped-def]
    shards = make_shards(rows=1)
    with pytest.raises(InputError, match="holds 1 rows; the contrast needs at least 2"):
        ShardRows(shards, tiny)
    assert len(ShardRows(shards, tiny.replace(tasks="reconstruction"))) == 1


def test_the_fingerprint_follows_the_content_not_the_place(
    toy_shards: Path, make_shards, tiny, tmp_path
) -> None:  # type: ignore[no-untyped-def]
    copy = shutil.copytree(toy_shards, tmp_path / "elsewhere")
    assert ShardRows(copy, tiny).fingerprint == ShardRows(toy_shards, tiny).fingerprint
    assert (
        ShardRows(make_shards(rows=12), tiny).fingerprint != ShardRows(toy_shards, tiny).fingerprint
    )
