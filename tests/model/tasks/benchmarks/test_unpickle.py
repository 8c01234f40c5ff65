import collections
import os
import pickle
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from shapenet3d_cma.core.errors import InputError
from shapenet3d_cma.model.tasks.benchmarks.unpickle import read_pickle

PLAIN = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text()
    | st.binary(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.tuples(inner, inner)
        | st.dictionaries(st.text(), inner, max_size=3)
    ),
    max_leaves=8,
)
DTYPES = st.sampled_from(["f4", ">f8", "i4", "u1", "i8", "U3", "S2", "?"])


def roundtrip(folder: Path, content: object, protocol: int) -> object:
    path = folder / "file.pkl"
    path.write_bytes(pickle.dumps(content, protocol=protocol))
    return read_pickle(path)


@given(content=PLAIN, protocol=st.integers(0, 5))
def test_plain_containers_come_back(
    tmp_path_factory: pytest.TempPathFactory, content: object, protocol: int
) -> None:
    assert roundtrip(tmp_path_factory.getbasetemp(), content, protocol) == content


@given(data=st.data(), protocol=st.integers(0, 5))
def test_arrays_come_back(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject, protocol: int
) -> None:
    array = data.draw(
        arrays.arrays(data.draw(DTYPES), arrays.array_shapes(min_dims=0, max_dims=3, min_side=0))
    )
    content = [array, {"a": np.asfortranarray(array)}]
    back = roundtrip(tmp_path_factory.getbasetemp(), content, protocol)
    # numpy turns the bytes of some protocols to the machine's order as it loads them
    expected = pickle.loads(pickle.dumps(array, protocol=protocol)).dtype
    for each in (back[0], back[1]["a"]):
        assert each.dtype == expected
        np.testing.assert_array_equal(each, array)


@pytest.mark.parametrize("protocol", [0, 2])
def test_pickles_of_numpy_1_and_2_are_read_alike(tmp_path: Path, protocol: int) -> None:
    content = [
        np.arange(6, dtype=np.float32).reshape(2, 3),
        np.int64(7),
        collections.OrderedDict(a=np.array([1])),
    ]
    made = pickle.dumps(content, protocol=protocol)
    names = (b"numpy._core.", b"numpy.core.")
    mine = names[0] if names[0] in made else names[1]
    other = names[1] if mine == names[0] else names[0]
    renamed = made.replace(mine, other)
    assert other in renamed
    (tmp_path / "file.pkl").write_bytes(renamed)
    back = read_pickle(tmp_path / "file.pkl")
    np.testing.assert_array_equal(back[0], content[0])
    assert back[1] == 7
    assert back[2]["a"] == [1]


class Runs:
    """Runs a command when it is unpickled by pickle itself."""

    def __init__(self, function: object, *arguments: object) -> None:
        self.call = function, arguments

    def __reduce__(self) -> tuple:
        return self.call


@pytest.mark.parametrize(
    ("evil", "name"),
    [
        (Runs(os.system, "touch MARK"), "system"),
        (Runs(eval, "1"), "eval"),
        (Runs(getattr, "a", "upper"), "getattr"),
        (Runs(np.load, "file"), "load"),
        (Runs(np.dtype, np.float32), "float32"),
        (Path("/etc"), "Path"),
        (Runs(collections.Counter, "a"), "Counter"),
    ],
)
@pytest.mark.parametrize("protocol", [0, 2, 4])
def test_code_is_refused_by_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, evil: object, name: str, protocol: int
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=rf"file\.pkl is refused: it asks for .*{name}"):
        roundtrip(tmp_path, [np.zeros(3), evil], protocol)
    assert not (tmp_path / "MARK").exists()


@pytest.mark.parametrize(
    ("array", "says"),
    [
        (
            np.array([None, "a"], dtype=object),
            "numpy.dtype of 'O8', whose values are no numbers and no text",
        ),
        (np.zeros(2, dtype=[("a", "f4")]), "numpy.dtype of 'V4'"),
        (np.array(["2020-01-01"], dtype="M8[D]"), "numpy.dtype of 'M8'"),
    ],
)
def test_arrays_of_other_things_are_refused(tmp_path: Path, array: np.ndarray, says: str) -> None:
    with pytest.raises(InputError, match=f"is refused: it asks for {says}"):
        roundtrip(tmp_path, [array], 2)


def test_a_type_cannot_be_turned_into_pointers(tmp_path: Path) -> None:
    """A dtype's pickled state may claim that its values are objects: numpy itself would believe it."""
    made = pickle.dumps(np.arange(2, dtype="f8"), protocol=2)
    sizes = b"J\xff\xff\xff\xff" * 2
    changed = made.replace(sizes + b"K\x00t", sizes + b"K?t")  # all flags
    assert changed != made
    (tmp_path / "a.pkl").write_bytes(changed)
    assert read_pickle(tmp_path / "a.pkl").tolist() == [0.0, 1.0]


def test_codecs_are_for_latin1_alone(tmp_path: Path) -> None:
    (tmp_path / "a.pkl").write_bytes(b"c_codecs\nencode\n(Vabc\nVzip\ntR.")
    with pytest.raises(InputError, match=r"refused: it asks for _codecs\.encode to 'zip'"):
        read_pickle(tmp_path / "a.pkl")


@pytest.mark.parametrize(
    "content", [b"", b"\x80", b"not a pickle", pickle.dumps([np.zeros(1000)])[:-300]]
)
def test_damage_is_told(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.dat").write_bytes(content)
    with pytest.raises(InputError, match=r"a\.dat is damaged or no pickle .*: download it again"):
        read_pickle(tmp_path / "a.dat")
    with pytest.raises(InputError, match="cannot be read: No such file"):
        read_pickle(tmp_path / "b.dat")
