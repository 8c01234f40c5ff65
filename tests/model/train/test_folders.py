"""What training writes, and what it leaves alone: claimed folders, stamped files, inputs that stay as they are."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from shapenet3d_cma.core.errors import InputError
from shapenet3d_cma.core.settings import by_name
from shapenet3d_cma.model.config import PretrainConfig
from shapenet3d_cma.model.encoders import PointEncoder
from shapenet3d_cma.model.tasks.ablate import ablate
from shapenet3d_cma.model.tasks.config import (
    FewShotConfig,
    FinetuneConfig,
    ProbeConfig,
    SegmentConfig,
)
from shapenet3d_cma.model.tasks.evaluate import evaluate
from shapenet3d_cma.model.tasks.fewshot import fewshot
from shapenet3d_cma.model.tasks.finetune import finetune
from shapenet3d_cma.model.tasks.probe import probe
from shapenet3d_cma.model.tasks.results import claim_results, describe, write_results
from shapenet3d_cma.model.tasks.segment import segment
from shapenet3d_cma.model.train.pretraining import export_encoder, pretrain
from shapenet3d_cma.model.train.run_folder import RunFolder
from shapenet3d_cma.model.weights.encoder import encoder_bytes, load_encoder
from shapenet3d_cma.samples.miniatures import MARK, write_miniature


def content_of(folder: Path) -> dict[str, str]:
    """Return the digest of each file in a folder."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*")
        if path.is_file() and ".cma3d" not in path.parts
    }


def quiet(_: str) -> None: ...


@pytest.fixture
def encoder(tiny: PretrainConfig, tmp_path: Path) -> Path:
    """A folder with an encoder in it, as a finished run has one."""
    folder = tmp_path / "trained"
    folder.mkdir()
    (folder / "encoder.safetensors").write_bytes(encoder_bytes(PointEncoder(tiny.network), tiny))
    return folder


# ---- inputs ----

Call = Callable[[Path, Path, Path, PretrainConfig], object]
"""Calls a command with where it writes, what it reads, an encoder, and settings."""
COMMANDS: dict[str, Call] = {
    "pretrain": lambda out, data, _, config: pretrain(data, out, config, quiet),
    "finetune": lambda out, data, init, _: finetune(
        out, "modelnet40", data, FinetuneConfig(), init=init, report=quiet
    ),
    "fewshot": lambda out, data, init, _: fewshot(
        out, data, FewShotConfig(), init=init, report=quiet
    ),
    "segment": lambda out, data, init, _: segment(
        out, data, SegmentConfig(), init=init, report=quiet
    ),
    "evaluate": lambda out, data, init, _: evaluate(
        init / "encoder.safetensors", out, data=data, report=quiet
    ),
    "probe": lambda out, data, init, _: probe(
        data, ProbeConfig(), shards=True, init=init, out=out, report=quiet
    ),
    "ablate": lambda out, data, _, config: ablate(
        data, out, 6, "modelnet40", data, config, FinetuneConfig(), report=quiet
    ),
}
PLACES: dict[str, Callable[[Path, Path], Path]] = {
    "the same": lambda data, _: data,
    "inside": lambda data, _: data / "new" / "run",
    "around": lambda data, _: data.parent,
    "dots": lambda data, _: data / ".." / data.name / "run",
    "link": lambda data, link: link / "run",
}


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("command", COMMANDS)
def test_no_command_writes_to_what_it_reads(
    command: str,
    place: str,
    make_shards: Callable[..., Path],
    encoder: Path,
    tiny: PretrainConfig,
    tmp_path: Path,
) -> None:
    data = make_shards(rows=4)
    (tmp_path / "in").mkdir()
    data = data.rename(tmp_path / "in" / "shards")  # so that what is around it holds nothing else
    link = tmp_path / "link"
    link.symlink_to(data)
    before = content_of(tmp_path)
    with pytest.raises(InputError, match=r"which is read|is what is read"):
        COMMANDS[command](PLACES[place](data, link), data, encoder, tiny)
    assert content_of(tmp_path) == before
    assert not list(tmp_path.rglob(".cma3d*"))


@pytest.mark.parametrize("command", ["finetune", "fewshot", "segment", "evaluate", "probe"])
def test_no_command_writes_to_the_run_it_starts_from(
    command: str, toy_shards: Path, encoder: Path, tiny: PretrainConfig
) -> None:
    before = content_of(encoder)
    given = encoder / "encoder.safetensors" if command == "evaluate" else encoder / "look"
    with pytest.raises(InputError, match=r"which is read|is what is read"):
        COMMANDS[command](given, toy_shards, encoder, tiny)
    assert content_of(encoder) == before
    assert not list(encoder.rglob(".cma3d*"))


def test_pretraining_does_not_write_to_what_it_starts_from(
    toy_shards: Path, encoder: Path, tiny: PretrainConfig
) -> None:
    config = tiny.replace(init=str(encoder / "encoder.safetensors"))
    with pytest.raises(InputError, match="which is read, lies in"):
        pretrain(toy_shards, encoder, config, quiet)
    assert [path.name for path in encoder.iterdir()] == ["encoder.safetensors"]


# ---- single files ----


def test_a_probe_replaces_no_file_but_a_probe(
    make_shards: Callable[..., Path], encoder: Path, tmp_path: Path
) -> None:
    shards = make_shards(rows=4)
    before = content_of(shards)
    for name in ("manifest.json", "new.json"):
        with pytest.raises(InputError, match=r"lies in .*, which is read"):
            probe(shards, ProbeConfig(), shards=True, init=encoder, out=shards / name, report=quiet)
    elsewhere = tmp_path / "shards-of-others" / "manifest.json"
    elsewhere.parent.mkdir()
    elsewhere.write_text("{}")
    with pytest.raises(
        InputError, match="is there and is not a probe that cma3d wrote: move it away"
    ):
        probe(shards, ProbeConfig(), shards=True, init=encoder, out=elsewhere, report=quiet)
    assert elsewhere.read_text() == "{}"
    assert content_of(shards) == before


def test_a_probe_is_written_over_a_probe(
    make_shards: Callable[..., Path], encoder: Path, tmp_path: Path
) -> None:
    def of_two(rows: list[dict]) -> None:
        for i, row in enumerate(rows):
            row.update(synset=f"0{i % 2}")

    shards, out = make_shards(rows=8, change=of_two), tmp_path / "new" / "probe.json"
    config = ProbeConfig(points=32, patches=4, c=1.0, test_share=0.5, device="cpu", threads=1)
    for _ in range(2):
        probe(shards, config, shards=True, init=encoder, out=out, report=quiet)
    told = json.loads(out.read_text())
    assert next(iter(told)) == "generator"
    assert told["task"] == "probe"


def test_an_encoder_is_exported_over_an_exported_one_alone(
    make_shards: Callable[..., Path], encoder: Path, tmp_path: Path
) -> None:
    shards, own = make_shards(rows=4), encoder / "encoder.safetensors"
    before = content_of(shards) | content_of(encoder)
    with pytest.raises(
        InputError, match=r"shard-00000\.h5 is there and is not an encoder that cma3d wrote"
    ):
        export_encoder(encoder, shards / "shard-00000.h5")
    for out in (own, encoder / "new.safetensors"):
        with pytest.raises(InputError, match="which is read"):
            export_encoder(encoder, out)
    out = tmp_path / "out.safetensors"
    export_encoder(encoder, out)
    first = out.read_bytes()
    export_encoder(encoder, out)
    assert out.read_bytes() == first  # to the byte
    with pytest.raises(InputError, match="is there and is not an encoder"):
        export_encoder(out, own)  # a run's own is not replaced
    assert content_of(shards) | content_of(encoder) == before
    weights = load_encoder(out)[0].state_dict()
    assert all(
        torch.equal(value, weights[name])
        for name, value in load_encoder(own)[0].state_dict().items()
    )


# ---- the folder of a run ----


def test_what_others_put_in_a_run_is_left_alone(tiny: PretrainConfig, tmp_path: Path) -> None:
    run = tmp_path / "run"
    with RunFolder(run, tiny, "data") as folder:
        folder.save(1, {})
        folder.write("reconstructions/epoch-00009.npz", b"ours")
    (run / "notes.txt").write_text("mine")
    (run / "reconstructions" / "epoch-best.npz").write_text("mine")
    with RunFolder(run, tiny, "data") as folder:
        folder.truncate(0, 1)
        folder.save(2, {})
    assert (run / "notes.txt").read_text() == "mine"
    assert [path.name for path in (run / "reconstructions").iterdir()] == ["epoch-best.npz"]
    (run / "curves.png").symlink_to(tmp_path / "elsewhere.png")
    with (
        pytest.raises(InputError, match=r"curves\.png is not as cma3d wrote it"),
        RunFolder(run, tiny, "data"),
    ):
        pass
    (run / "curves.png").unlink()
    (run / "run.html").write_text("mine")
    with (
        pytest.raises(InputError, match=r"run\.html is not as cma3d wrote it"),
        RunFolder(run, tiny, "data"),
    ):
        pass
    assert (run / "run.html").read_text() == "mine"


def test_a_snapshot_of_others_is_not_removed(tiny: PretrainConfig, tmp_path: Path) -> None:
    with RunFolder(tmp_path / "run", tiny, "data") as folder:
        (tmp_path / "run" / "reconstructions").mkdir()
        (tmp_path / "run" / "reconstructions" / "epoch-00007.npz").write_text("mine")
        with pytest.raises(InputError, match=r"epoch-00007\.npz is there, not written by cma3d"):
            folder.truncate(0, 1)
    assert (tmp_path / "run" / "reconstructions" / "epoch-00007.npz").read_text() == "mine"


def test_folders_of_other_kinds_are_refused(tiny: PretrainConfig, tmp_path: Path) -> None:
    with RunFolder(tmp_path / "run", tiny, "data"):
        pass
    message = "holds pretraining of cma3d, not finetune results: choose another output folder"
    with (
        pytest.raises(InputError, match=message),
        claim_results(tmp_path / "run", "finetune", [], []),
    ):
        pass
    with claim_results(tmp_path / "results", "segment", [], []) as output:
        describe(output, {"verb": "segment"})
    with (
        pytest.raises(InputError, match="holds segment results of cma3d, not finetune results"),
        claim_results(tmp_path / "results", "finetune", [], []),
    ):
        pass


def test_results_that_a_user_changed_are_kept(tmp_path: Path) -> None:
    run = tmp_path / "run"
    for _ in range(2):
        with claim_results(run, "finetune", [], ["results.md"]) as output:
            write_results(output, "results", "a table", {"a": 1})
    (run / "results.md").write_text("a table, and my thoughts")
    with (
        pytest.raises(InputError, match=r"results\.md is not as cma3d wrote it"),
        claim_results(run, "finetune", [], ["results.md"]),
    ):
        pass
    assert (run / "results.md").read_text() == "a table, and my thoughts"


def test_two_do_not_train_in_one_folder(tiny: PretrainConfig, tmp_path: Path) -> None:
    with RunFolder(tmp_path, tiny, "data"):
        message = "is being written by another process .*: wait for it, or stop it"
        with pytest.raises(InputError, match=message), RunFolder(tmp_path, tiny, "data"):
            pass


def test_a_kill_while_writing_leaves_nothing_that_blocks(
    tiny: PretrainConfig, tmp_path: Path
) -> None:
    program = (
        "import os, signal, sys; from pathlib import Path; from shapenet3d_cma.model.config import PretrainConfig;"
        "from shapenet3d_cma.model.train.run_folder import RunFolder\n"
        "def write(path):\n path.write_bytes(b'half'); os.kill(os.getpid(), signal.SIGKILL)\n"
        "with RunFolder(Path(sys.argv[1]), PretrainConfig(), 'data') as folder:\n"
        " folder.save(1, {})\n folder.write('checkpoint.pt', write, live=True)\n"
    )
    run = tmp_path / "run"
    done = subprocess.run([sys.executable, "-c", program, str(run)], check=False, timeout=120)
    assert done.returncode == -signal.SIGKILL
    assert list((run / ".cma3d" / "tmp").iterdir())
    with RunFolder(run, PretrainConfig(), "data") as folder:
        state = folder.load(10)
        assert state is not None
        assert state["step"] == 1
        folder.save(2, {})
    assert not list((run / ".cma3d" / "tmp").iterdir())


LINES = [json.dumps({"step": step, "epoch": 1, "loss": 1.0}) + "\n" for step in (1, 2)]


def test_a_run_of_the_version_before_goes_on(tiny: PretrainConfig, tmp_path: Path) -> None:
    run = tmp_path / "run"
    run.mkdir()
    (run / "run.json").write_text(json.dumps({"config": by_name(tiny), "fingerprint": "data"}))
    (run / "log.jsonl").write_text(LINES[0] + LINES[1])
    (run / "curves.png").write_bytes(b"\x89PNG\r\n")
    (run / "encoder.safetensors").write_bytes(encoder_bytes(PointEncoder(tiny.network), tiny))
    (run / "notes.txt").write_text("mine")
    (run / ".lock").touch()
    with RunFolder(run, tiny, "data") as folder:
        folder.truncate(1, 1)
        folder.write("curves.png", b"new", live=True)
        folder.write("encoder.safetensors", b"new")
        with pytest.raises(InputError, match=r"notes\.txt is there, not written by cma3d"):
            folder.write("notes.txt", "ours")
    assert (run / "log.jsonl").read_text() == LINES[0]
    with (
        pytest.raises(InputError, match="is a run on other shards"),
        RunFolder(run, tiny, "others"),
    ):
        pass
    other = tmp_path / "finetuning"
    other.mkdir()
    about = {"config": dataclasses.asdict(FinetuneConfig()), "fingerprint": "data"}
    (other / "run.json").write_text(json.dumps(about))
    with (
        pytest.raises(InputError, match="no pretraining that cma3d made"),
        RunFolder(other, tiny, "data"),
    ):
        pass
    assert os.listdir(other) == ["run.json"]  # noqa: PTH208 - with hidden names


def test_a_full_disk_is_told_in_a_line(
    tiny: PretrainConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise RuntimeError(
            "[enforce fail at inline_container.cc:672] . unexpected pos 64 vs 0\nmore"
        )

    with RunFolder(tmp_path / "run", tiny, "data") as folder:
        monkeypatch.setattr(torch, "save", full)
        with pytest.raises(
            InputError, match=r"checkpoint\.pt cannot be written: .* free some space"
        ) as caught:
            folder.save(1, {})
        assert "\n" not in str(caught.value)
        folder.log.mkdir()
        with pytest.raises(InputError, match=r"log\.jsonl is a folder"):
            folder.append(folder.log, {"step": 1})


# ---- miniatures ----


def test_miniatures_go_to_a_folder_of_their_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from shapenet3d_cma.samples import miniatures

    def write(folder: Path, _: object) -> None:
        (folder / "a.txt").write_text("a")

    monkeypatch.setattr(miniatures, "MINIATURES", {"shapenetpart": {"shapenetpart-h5": write}})
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").write_text("precious")
    with pytest.raises(
        InputError, match=r"holds 'thesis\.tex'.* and no benchmarks that cma3d made"
    ):
        write_miniature(tmp_path / "mine", "shapenetpart")
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["thesis.tex"]
    earlier = tmp_path / "earlier" / "ModelNet40"
    earlier.mkdir(parents=True)
    (earlier / MARK).touch()
    for out in (tmp_path / "new", earlier.parent):
        write_miniature(out, "shapenetpart")
        assert sorted(path.name for path in (out / "hdf5_data").iterdir()) == [MARK, "a.txt"]
        with pytest.raises(
            InputError, match="hdf5_data exists already: remove it, or give another OUT"
        ):
            write_miniature(out, "shapenetpart")
