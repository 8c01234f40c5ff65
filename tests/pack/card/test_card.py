"""The card of a set of shards: true, complete, accepted by the reference validator; a user's own is left alone."""

from __future__ import annotations

import csv
import json
import re
import shutil
from pathlib import Path

import pytest

from shapenet3d_cma.core.files import sha256
from shapenet3d_cma.core.outputs import claim
from shapenet3d_cma.pack.card.card import CARD, write_card
from shapenet3d_cma.pack.config import PackConfig
from shapenet3d_cma.pack.packing import pack_renders
from shapenet3d_cma.pack.reader import Shards
from shapenet3d_cma.render.choice import Choice
from shapenet3d_cma.tests.same import content


def test_packing_writes_the_card(shards: Path) -> None:
    assert set(content(shards)) == {
        *CARD,
        "manifest.json",
        *(f"shard-0000{n}.h5" for n in range(3)),
    }
    text = (shards / "README.md").read_text()
    for words in (
        "| rows | 8 |",
        "| 03001627 | chair | 2 |",
        "| pack | `points` | 256 |",
        "| render | `size` | 80 |",
    ):
        assert words in text
    assert "(overview.png)" in text
    assert "https://shapenet.org/terms" in text
    licence = (shards / "LICENSE.txt").read_text()
    assert "https://shapenet.org/terms" in licence
    assert "Apache License 2.0. That licence covers the program\nalone." in licence


def test_the_index_names_every_row(shards: Path) -> None:
    rows = Shards(shards)
    with (shards / "index.csv").open(newline="") as file:
        lines = list(csv.DictReader(file))
    assert len(lines) == len(rows) == 8
    for number, (line, row) in enumerate(zip(lines, rows, strict=True)):
        assert int(line["row"]) == number
        assert (line["synset"], line["model_id"]) == (row["synset"], row["model_id"])
        assert line["model"] == f"{row['synset']}/{row['model_id']}"
        assert (int(line["view"]), int(line["num_points"])) == (row["view"], row["num_points"])
        file_number = [path.name for path in rows.files].index(line["shard"])
        assert rows.starts[file_number] + int(line["shard_row"]) == number


@pytest.mark.needs("mlcroissant")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_the_reference_validator_accepts_the_description_and_reads_its_records(
    shards: Path,
) -> None:
    import mlcroissant

    described = mlcroissant.Dataset(jsonld=shards / "croissant.json")
    assert described.metadata.issues.errors == set()
    (advice,) = described.metadata.issues.warnings
    assert "datePublished" in advice, "that is for who publishes to tell"
    files = {
        entry["@id"]: entry
        for entry in json.loads((shards / "croissant.json").read_text())["distribution"]
    }
    assert set(files) == {"index.csv", "shard-00000.h5", "shard-00001.h5", "shard-00002.h5"}
    for name, entry in files.items():
        assert entry["sha256"] == sha256(shards / name)
    records = list(described.records("rows"))
    assert [record["rows/row"] for record in records] == list(range(8))
    rows = Shards(shards, ["synset", "model_id", "view"])
    for record, row in zip(records, rows, strict=True):
        assert record["rows/model"].decode() == f"{row['synset']}/{row['model_id']}"
        assert record["rows/synset"].decode() == row["synset"], "its leading zero, too"
        assert record["rows/model_id"].decode() == row["model_id"]
        assert record["rows/view"] == row["view"]


@pytest.mark.needs("mlcroissant")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_the_validator_would_notice(shards: Path, tmp_path: Path) -> None:
    import mlcroissant

    described = json.loads((shards / "croissant.json").read_text())
    del described["distribution"][0]["sha256"]
    (tmp_path / "croissant.json").write_text(json.dumps(described))
    with pytest.raises(mlcroissant.ValidationError):
        mlcroissant.Dataset(jsonld=tmp_path / "croissant.json")


def test_a_readme_of_ones_own_is_left_alone(
    shards: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    copy = Path(shutil.copytree(shards, tmp_path / "shards"))
    before = {name: (copy / name).read_bytes() for name in CARD}
    (copy / "croissant.json").unlink()
    rewrite_card(copy)
    assert {name: (copy / name).read_bytes() for name in CARD} == before, (
        "the card is a function of the shards"
    )
    for name in ("README.md", "croissant.json"):
        (copy / name).write_text("# My own words\n")
        (copy / "LICENSE.txt").unlink()
        rewrite_card(copy)
        assert (copy / name).read_text() == "# My own words\n"
        assert not (copy / "LICENSE.txt").exists()
        assert f"{name} is not as cma3d wrote it and is left as it is" in capsys.readouterr().err
        (copy / name).unlink()
        rewrite_card(copy)
        assert {name: (copy / name).read_bytes() for name in CARD} == before


def rewrite_card(folder: Path) -> None:
    with claim(folder, "shards") as output:
        write_card(output)


HOSTILE = "<img src=x onerror=alert(1)>|](javascript:x)`**b**\udcff\x1b[31m.csv"


def test_names_of_files_and_splits_are_shown_not_obeyed(renders: Path, tmp_path: Path) -> None:
    table, split = tmp_path / HOSTILE, "<b>[x](http://x.org)|</b>"
    rows = [
        f"{n},{path.parent.name},0,{path.stem},{split}"
        for n, path in enumerate(sorted(renders.glob("*/*.h5")))
    ]
    table.write_text("\n".join(["id,synsetId,subSynsetId,modelId,split", *rows]) + "\n")
    out = tmp_path / "shards"
    pack_renders(renders, out, PackConfig(points=16), Choice(split_csv=table, split=split), jobs=1)
    card = (out / "README.md").read_text(encoding="utf-8")
    for words in ("<img", "<b>", "](http", "](java", "http://x", "**b**", "\x1b"):
        assert words not in card.replace("](https://", ""), words
    assert r"\[x\]\(http&#58;//x.org\)\|&lt;/b&gt;" in card
    cells = [line for line in card.splitlines() if "split" in line and line.startswith("| choice")]
    assert len(cells) == 2
    assert all(len(re.findall(r"(?<!\\)\|", line)) == 4 for line in cells)
    described = (out / "croissant.json").read_text(encoding="utf-8")
    assert "<b>" not in described
    assert "&lt;b&gt;" in described
    told = json.loads((out / "manifest.json").read_text(encoding="utf-8"))["selection"][
        "split_csv"
    ]["file"]
    assert told.isprintable()
