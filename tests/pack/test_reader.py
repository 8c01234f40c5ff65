"""The reader as a sequence: slices, batches, other processes, files that go missing or change under it."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path
from unittest import mock

import h5py
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shapenet3d_cma.core.errors import InputError
from shapenet3d_cma.core.outputs import claim
from shapenet3d_cma.core.schema import SHARD_FIELDS, Opened
from shapenet3d_cma.pack.card.card import write_card
from shapenet3d_cma.pack.export.shard_export import export_shards
from shapenet3d_cma.pack.reader import Shards
from shapenet3d_cma.pack.verify import verify_shards
from shapenet3d_cma.render.render_file import find_renders
from shapenet3d_cma.tests.fuzz.made import vouch
from shapenet3d_cma.tests.waiting import PATIENCE

ALL = [field.name for field in SHARD_FIELDS]


@given(st.slices(8), st.lists(st.integers(-8, 7), max_size=9))
def test_slices_and_lists_are_batches_of_the_rows_they_name(
    shards: Path, cut: slice, several: list[int]
) -> None:
    reader = Shards(shards, ["points", "model_id", "view"])
    rows = list(reader)
    for batch, expected in (
        (reader[cut], rows[cut]),
        (reader[several], [rows[row] for row in several]),
    ):
        assert list(batch) == ["points", "model_id", "view"]
        for name, values in batch.items():
            assert len(values) == len(expected)
            for value, row in zip(values, expected, strict=True):
                assert np.array_equal(value, row[name])
    if several:
        array = np.asarray(several)
        assert np.array_equal(reader[array]["points"], reader[several]["points"])
        assert np.array_equal(reader[array[0]]["points"], reader[several[0]]["points"])


def calls(reader: Shards, rows: object) -> int:
    """Count how often HDF5 is asked for the field rgb."""
    with mock.patch.object(Shards, "_slice", autospec=True, side_effect=Shards._slice) as spy:
        reader[rows]  # type: ignore[index]
    return spy.call_count


def test_neighbours_are_read_together(shards: Path) -> None:
    reader = Shards(shards, ["rgb"])
    assert [entry["rows"] for entry in reader.manifest["shards"]] == [3, 3, 2]
    assert calls(reader, slice(0, 3)) == 1
    assert calls(reader, slice(None)) == 3
    assert calls(reader, [5, 3, 4]) == 1
    assert calls(reader, [0, 2, 4, 5]) == 3


def test_only_the_requested_fields_are_read(shards: Path) -> None:
    reader = Shards(shards, ["points"])
    with mock.patch.object(Shards, "_slice", autospec=True, side_effect=Shards._slice) as spy:
        reader[0], reader[1:3], reader.read([4], ["view"])
    assert [call.args[2].name for call in spy.call_args_list] == ["points", "points", "view"]
    for wrong in (lambda: Shards(shards, ["colour"]), lambda: reader.read([0], ["colour"])):
        with pytest.raises(InputError, match="shards have no field 'colour'; they have rgb, depth"):
            wrong()


@pytest.mark.parametrize("most", [1, 2])
def test_few_files_are_open_at_a_time(shards: Path, most: int) -> None:
    reader = Shards(shards, most_open=most)
    whole = Shards(shards)
    for row in (0, 3, 6, 1, 7, 4, 4, 0):
        assert np.array_equal(reader[row]["points"], whole[row]["points"])
        assert len(reader._datasets) <= most
    reader.close()
    assert not reader._datasets
    assert np.array_equal(reader[5]["points"], whole[5]["points"])


def rewrite_card(folder: Path) -> None:
    with claim(folder, "shards", earlier=lambda _: True) as output:
        write_card(output)


@pytest.mark.parametrize(
    "act",
    [
        lambda folder: verify_shards(folder, jobs=1),
        rewrite_card,
        lambda folder: export_shards(folder, folder.with_name("out"), "ply", jobs=1),
    ],
)
def test_sequential_readers_keep_one_file_open(
    copy: Path, monkeypatch: pytest.MonkeyPatch, act: Callable[[Path], object]
) -> None:
    open_files = []
    check = Shards.check

    def counted(self: Shards, index: int) -> Opened:
        file = check(self, index)
        open_files.append(len(self._datasets))  # beside this one
        return file

    monkeypatch.setattr(Shards, "check", counted)
    act(copy)
    assert len(open_files) >= 3
    assert max(open_files) <= 1


@pytest.mark.parametrize("through", ["the same reader", "a pickle of it"])
def test_a_missing_or_changed_shard_is_refused_when_it_is_opened(copy: Path, through: str) -> None:
    for damage, message in (
        (
            lambda path: path.unlink(),
            "cannot be read: No such file or directory, though the manifest lists it",
        ),
        (
            lambda path: path.write_bytes(path.read_bytes() + b"\0"),
            "was changed while it was in use",
        ),
        (os.utime, "was changed while it was in use"),
    ):
        reader = Shards(copy)
        reader[0]
        shard = copy / "shard-00001.h5"
        whole = shard.read_bytes()
        damage(shard)
        with pytest.raises(InputError, match=rf"shard-00001\.h5 {message}"):
            (reader if through == "the same reader" else pickle.loads(pickle.dumps(reader)))[4]
        shard.write_bytes(whole)


def test_checksums_are_compared_on_request(copy: Path) -> None:
    shard = copy / "shard-00001.h5"
    data = bytearray(shard.read_bytes())
    version = data.find(b"shapenet3d-cma 0.")  # in an attribute that no reader looks at
    assert version > 0
    data[version + 15] ^= 1
    shard.write_bytes(data)
    reader = Shards(copy, checksums=True)
    assert reader[0]["view"] >= 0
    with pytest.raises(
        InputError, match=r"shard-00001\.h5 does not have the checksum in the manifest"
    ):
        reader[3]
    assert reader.checksums == pickle.loads(pickle.dumps(reader)).checksums


def test_a_pickle_holds_no_open_file(shards: Path) -> None:
    reader = Shards(shards, ["view"])
    views = [int(row["view"]) for row in reader]
    again = pickle.loads(pickle.dumps(reader))
    assert again._datasets == {}
    assert [int(row["view"]) for row in again] == views
    assert reader._datasets, "and leaves the reader as it was"


@pytest.mark.parametrize("row", ["0", 1.5, None, [0.5], ["0"], [[0]], [True, False]])
def test_values_that_are_not_indices_are_refused(shards: Path, row: object) -> None:
    with pytest.raises(TypeError):
        Shards(shards)[row]  # type: ignore[index]


@given(
    st.lists(st.integers(0, 7), max_size=12),
    st.permutations([field.name for field in SHARD_FIELDS]),
    st.data(),
)
def test_rows_are_read_in_the_requested_order(
    shards: Path, rows: list[int], names: list[str], data: st.DataObject
) -> None:
    fields = names[: data.draw(st.integers(1, len(names)))]
    reader = Shards(shards)
    batch = reader.read(rows, fields)
    assert list(batch) == fields
    for name in fields:
        assert len(batch[name]) == len(rows)
        for position, row in enumerate(rows):
            assert np.array_equal(batch[name][position], reader[row][name])


def test_a_reader_is_a_sequence(shards: Path) -> None:
    reader = Shards(shards)
    assert np.array_equal(reader[-1]["points"], reader[7]["points"])
    assert len(list(reader)) == 8
    for row in (8, -9):
        with pytest.raises(IndexError, match="of 8 rows"):
            reader[row]
    with pytest.raises(IndexError, match="of 8 rows"):
        reader.read([0, 8])
    assert (
        reader.find(reader[4]["model_id"])
        == reader.find(f"{reader[4]['synset']}/{reader[4]['model_id']}")
        == [4]
    )
    with pytest.raises(InputError, match="no row of the model 'zebra'; it has 8 rows"):
        reader.find("zebra")


def first_depth(reader: Shards, answers: multiprocessing.Queue) -> None:  # type: ignore[type-arg]
    answers.put(reader[0]["depth"].tobytes())


@pytest.mark.parametrize("method", ["fork", "spawn"])
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_a_reader_in_use_may_be_handed_to_another_process(shards: Path, method: str) -> None:
    reader = Shards(shards)
    mine = reader[0]["depth"].tobytes()
    context = multiprocessing.get_context(method)
    answers = context.Queue()
    process = context.Process(target=first_depth, args=(reader, answers))
    process.start()
    assert answers.get(timeout=PATIENCE) == mine
    process.join()
    assert pickle.loads(pickle.dumps(reader))[0]["depth"].tobytes() == mine


def reshape(file: h5py.File, name: str, shape: tuple[int, ...]) -> None:
    dtype = file[name].dtype
    del file[name]
    file.create_dataset(name, shape, dtype)


@pytest.mark.parametrize(
    ("name", "shape"),
    [
        ("pixels", (3, 255, 2)),
        ("pixels", (3, 256, 3)),
        ("rgb", (3, 80, 79, 3)),
        ("rgb", (3, 81, 80, 3)),
        ("rgb", (3, 80, 80, 4)),
        ("intrinsics", (3, 4, 4)),
        ("view", (2,)),
    ],
)
def test_fields_whose_sizes_differ_are_refused(
    copy: Path, name: str, shape: tuple[int, ...]
) -> None:
    with h5py.File(copy / "shard-00000.h5", "a") as file:
        reshape(file, name, shape)
    vouch(copy)
    with pytest.raises(
        InputError, match=r"shard-00000\.h5: \w+ has the shape .*; the other fields call for"
    ):
        Shards(copy)[0]


def test_a_name_that_is_not_utf8_counts_as_damage(copy: Path) -> None:
    with h5py.File(copy / "shard-00000.h5", "a") as file:
        file["synset"][1] = b"\xff\xfe"
    vouch(copy)
    with pytest.raises(InputError, match="rows 1 to 1 cannot be read"):
        Shards(copy)[1]


def test_another_schema_version_in_a_shard_is_refused(copy: Path) -> None:
    shard = copy / "shard-00000.h5"
    with h5py.File(shard, "a") as file:
        file.attrs["schema_version"] = 7
    vouch(copy)
    with pytest.raises(
        InputError, match=r"shard-00000\.h5 has schema version 7; this program reads version 1"
    ):
        Shards(copy)[0]


def test_a_render_file_instead_of_a_shard_is_refused(renders: Path, copy: Path) -> None:
    shutil.copy(find_renders(renders)[0], copy / "shard-00000.h5")
    vouch(copy)
    with pytest.raises(InputError, match="is a render file; a shard file is needed"):
        Shards(copy)[0]
