"""HDF5 that leads outside or declares too much, manifests of any shape: refused by all that read, believed by none."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from PIL import Image

from shapenet3d_cma.core.errors import InputError
from shapenet3d_cma.model.monitor.annotate import NetworkAnnotator
from shapenet3d_cma.pack.export.shard_export import export_shards
from shapenet3d_cma.pack.manifest import read_record
from shapenet3d_cma.pack.packing import pack_renders
from shapenet3d_cma.pack.page.inspect import ViewRequest, inspect_data
from shapenet3d_cma.pack.reader import Shards
from shapenet3d_cma.pack.verify import verdict_table, verify_shards
from shapenet3d_cma.reconstruct.clouds import CloudConfig, reconstruct_renders
from shapenet3d_cma.tests.fuzz import bounds, faults
from shapenet3d_cma.tests.fuzz.bounds import bounded
from shapenet3d_cma.tests.fuzz.made import MODELS, PACK, vouch

FIELDS = ("rgb", "synset")
refusal = partial(bounds.refusal, "hdf5")


def broken_laws(shards: Path) -> set[str]:
    return {verdict.law.name for verdict in verify_shards(shards, jobs=1) if verdict.broken}


def damage(path: Path, fault: faults.Fault, field: str, outside: Path) -> None:
    with h5py.File(path, "a", libver=faults.LIBVER) as file:
        fault(file, field, outside)


def test_the_tiny_shards_hold_every_law(tiny: Path) -> None:
    assert broken_laws(tiny / "shards") == set()


@pytest.mark.parametrize("field", FIELDS)
@pytest.mark.parametrize("name", faults.SHARD_FAULTS)
def test_a_hostile_shard_is_refused_by_reader_and_verify(
    tiny: Path, tmp_path: Path, name: str, field: str
) -> None:
    shards = tiny / "shards"
    damage(shards / "shard-00000.h5", faults.SHARD_FAULTS[name], field, tmp_path / "outside.h5")
    vouch(shards)
    assert "shard-00000.h5" in refusal(lambda: Shards(shards).read(range(6)), tiny)
    with bounded("hdf5", inside=tiny):
        verdicts = verify_shards(shards, jobs=1)
        assert "readable" in {verdict.law.name for verdict in verdicts if verdict.broken}
        assert "every law holds" not in verdict_table(verdicts)


@pytest.mark.parametrize("name", faults.LEADS_OUT)
def test_nothing_outside_is_read_by_any_command(tiny: Path, tmp_path: Path, name: str) -> None:
    """And none writes a byte of it to a picture, a page, a cloud or a shard."""
    shards, renders, outside = tiny / "shards", tiny / "renders", tmp_path / "outside.h5"
    for path in (*shards.glob("*.h5"), *renders.glob("*/*.h5")):
        damage(path, faults.LEADS_OUT[name], "rgb", outside)
    vouch(shards)
    seen = outside.stat().st_atime_ns
    out = tmp_path / "out"
    request = ViewRequest(row=0)
    for act in (
        lambda: export_shards(shards, out / "png", "png", jobs=1),
        lambda: inspect_data(shards, out / "a.html", request, NetworkAnnotator),
        lambda: inspect_data(shards, out / "a.png", request, NetworkAnnotator),
        lambda: inspect_data(renders, out / "b.html", request, NetworkAnnotator),
        lambda: pack_renders(renders, out / "shards", PACK, jobs=1),
        lambda: reconstruct_renders(renders, out / "clouds", CloudConfig(), jobs=1),
    ):
        with contextlib.suppress(InputError):
            act()
    assert outside.stat().st_atime_ns == seen
    pictures = list(out.rglob("*.png"))
    assert all(faults.SECRET not in np.unique(np.asarray(Image.open(path))) for path in pictures)
    assert not list(out.rglob("*.ply")) + list(out.rglob("shard-*.h5")) + list(out.rglob("*.html"))


def test_a_growing_virtual_dataset_is_refused_before_its_source_is_opened(
    tiny: Path, tmp_path: Path
) -> None:
    """Its source becomes a pipe, on which whoever opens it waits for ever."""
    outside = tmp_path / "outside.h5"
    damage(tiny / "shards/shard-00000.h5", faults.growing_virtual, "rgb", outside)
    vouch(tiny / "shards")
    outside.unlink()
    os.mkfifo(outside)
    refusal(lambda: Shards(tiny / "shards")[0], tiny)


@pytest.mark.parametrize("field", ["rgb", "shaded"])
@pytest.mark.parametrize("name", faults.FAULTS)
def test_a_hostile_render_is_listed_and_the_rest_is_packed(
    tiny: Path, tmp_path: Path, name: str, field: str
) -> None:
    path = tiny / "renders" / f"{MODELS[0]}.h5"
    damage(path, faults.FAULTS[name], field, tmp_path / "outside.h5")
    with bounded("hdf5", inside=tiny):
        packed = pack_renders(tiny / "renders", tiny / "packed", PACK, jobs=1)
        assert packed.rows == 4
        ((file, reason),) = [entry.values() for entry in packed.failures]
        assert file == f"{MODELS[0]}.h5"
        assert "\n" not in reason
        clouds = reconstruct_renders(tiny / "renders", tiny / "clouds", CloudConfig(), jobs=1)
        assert len(clouds.failures) == 1 or (field == "rgb" and "chunk" not in name)
    with pytest.raises(InputError):
        inspect_data(path, tiny / "a.html", ViewRequest(row=0), NetworkAnnotator)


@pytest.mark.parametrize("name", ["config", "repairs", "synset"])
@pytest.mark.parametrize("value", faults.ODD)
def test_odd_attributes_of_a_render_are_answered(tiny: Path, name: str, value: str) -> None:
    path = tiny / "renders" / f"{MODELS[0]}.h5"
    (tiny / "renders/render.json").unlink()
    with h5py.File(path, "a") as file:
        faults.attribute(name, faults.ODD[value])(file)
    with bounded("hdf5", inside=tiny):
        pack_renders(tiny / "renders", tiny / "packed", PACK, jobs=1)
        reconstruct_renders(tiny / "renders", tiny / "clouds", CloudConfig(), jobs=1)
    with bounded("hdf5", inside=tiny):
        inspect_data(path, tiny / "a.html", ViewRequest(row=0), NetworkAnnotator)


@pytest.mark.parametrize("name", ["config", "seed"])
@pytest.mark.parametrize("value", faults.ODD)
def test_odd_attributes_of_a_shard_are_a_broken_law(tiny: Path, name: str, value: str) -> None:
    with h5py.File(tiny / "shards/shard-00000.h5", "a") as file:
        faults.attribute(name, faults.ODD[value])(file)
    vouch(tiny / "shards")
    with bounded("hdf5", inside=tiny):
        assert broken_laws(tiny / "shards") == {"attributes"}


def change(folder: Path, **values: Any) -> None:
    path = folder / "manifest.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"[]",
        b"{}",
        b"null",
        b"\xff\xfe",
        b"[" * 10**6,
        b'{"shards": ' * 10**5,
        b'{"format": "shapenet3d-cma", "schema_version": 1, "shards": []}',
        b'{"format": "shapenet3d-cma", "schema_version": 1, "shards": {}}',
        b'{"format": "shapenet3d-cma", "schema_version": 1, "shards": [[]]}',
        b'{"format": "shapenet3d-cma", "schema_version": 1e999, "shards": [[]]}',
        b"9" * 5000,
    ],
)
def test_a_manifest_of_another_shape_is_refused_in_one_line(tiny: Path, content: bytes) -> None:
    (tiny / "shards/manifest.json").write_bytes(content)
    with pytest.raises(InputError, match=r"manifest\.json") as refused:
        Shards(tiny / "shards")
    assert "\n" not in str(refused.value)
    assert len(str(refused.value)) < 1000
    assert read_record(tiny / "shards") == ({}, set())


@pytest.mark.parametrize("key", ["rows", "bytes"])
@pytest.mark.parametrize(
    "value", [1e300, 1e999, float("nan"), -1, True, "4", None, [], 10**12, 2**63, 10**4000]
)
def test_impossible_counts_are_refused(tiny: Path, key: str, value: Any) -> None:
    manifest = json.loads((tiny / "shards/manifest.json").read_text())
    manifest["shards"][0][key] = value
    (tiny / "shards/manifest.json").write_text(json.dumps(manifest))
    refusal(lambda: Shards(tiny / "shards"), tiny)


@pytest.mark.parametrize(
    "name",
    [
        "",
        ".",
        "..",
        "/etc/passwd",
        "../shard-00000.h5",
        "a/b.h5",
        "x\0.h5",
        "x" * 300,
        "\ud800",
        "a\nb",
        5,
    ],
)
def test_shard_names_outside_the_folder_are_refused(tiny: Path, name: Any) -> None:
    manifest = json.loads((tiny / "shards/manifest.json").read_text())
    manifest["shards"][0]["file"] = name
    (tiny / "shards/manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(InputError) as refused:
        Shards(tiny / "shards")
    str(refused.value).encode()
    assert str(refused.value).isprintable()
    assert name not in read_record(tiny / "shards")[1], "it would be removed as one of ours"


def test_a_shard_that_is_listed_twice_is_refused(tiny: Path) -> None:
    manifest = json.loads((tiny / "shards/manifest.json").read_text())
    change(tiny / "shards", shards=[manifest["shards"][0]] * 2)
    with pytest.raises(InputError, match="twice"):
        Shards(tiny / "shards")


@pytest.mark.parametrize(
    ("stated", "law"),
    [
        ({"conventions": {}}, "manifest"),
        ({"conventions": {"camera_frame": "OpenGL"}}, "manifest"),
        ({"rows": 5}, "manifest"),
        ({"rows": None}, "manifest"),
        ({"synsets": {"02691156": 6}}, "manifest"),
        ({"synsets": {"02691156": 4, "03001627": 1}}, "manifest"),
        ({"synsets": []}, "manifest"),
        ({"config": {"points": 9}}, "attributes"),
        ({"render_config": {}}, "attributes"),
        ({"seed": 8}, "attributes"),
        ({"split": "train"}, "attributes"),
        ({"source": "elsewhere"}, "attributes"),
        ({"selection": {}}, "attributes"),
    ],
)
def test_a_manifest_that_contradicts_its_shards_breaks_a_law(
    tiny: Path, stated: dict[str, Any], law: str
) -> None:
    change(tiny / "shards", **stated)
    assert law in broken_laws(tiny / "shards")


@pytest.mark.parametrize(
    "record", [b"[" * 10**5, b"\xff", b"[]", b'{"config": [], "since": 1e999}', b'{"since": NaN}']
)
@pytest.mark.parametrize("command", ["export", "reconstruct"])
def test_a_record_of_another_shape_is_ignored(tiny: Path, record: bytes, command: str) -> None:
    out = tiny / "out"
    out.mkdir()
    act: Callable[[], object]
    if command == "export":
        name, act = "export.json", lambda: export_shards(tiny / "shards", out, "ply", jobs=1)
    else:
        name, act = (
            "clouds.json",
            lambda: reconstruct_renders(tiny / "renders", out, CloudConfig(), jobs=1),
        )
    (out / name).write_bytes(record)
    with bounded("hdf5", inside=tiny):
        act()


def test_training_refuses_links_that_lead_outside(tiny: Path, tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    from shapenet3d_cma.model.train.dataset import RowDataset

    assert isinstance(RowDataset(tiny / "shards")[0]["rgb"], torch.Tensor)
    damage(tiny / "shards/shard-00000.h5", faults.external_link, "rgb", tmp_path / "outside.h5")
    vouch(tiny / "shards")
    with pytest.raises(InputError, match="is a link that leads elsewhere"):
        RowDataset(tiny / "shards", ["rgb"])[0]
