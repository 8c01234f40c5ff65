import importlib.resources
import subprocess
import sys
from pathlib import Path

import click
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from shapenet3d_cma.core.errors import InputError
from shapenet3d_cma.core.settings import (
    as_toml,
    by_name,
    identity_names,
    options,
    read_settings,
    setting_names,
)
from shapenet3d_cma.model.config import PretrainConfig
from shapenet3d_cma.model.tasks.config import FinetuneConfig

SHIPPED = importlib.resources.files("shapenet3d_cma.model")


def test_paper_toml_writes_out_the_defaults() -> None:
    with importlib.resources.as_file(SHIPPED / "paper.toml") as path:
        assert read_settings(PretrainConfig, path) == PretrainConfig()


def test_small_toml_is_read() -> None:
    with importlib.resources.as_file(SHIPPED / "small.toml") as path:
        config = read_settings(PretrainConfig, path)
    assert config.network.width < 128
    assert config.losses.reconstructs
    assert config.losses.contrasts


@pytest.mark.parametrize("name", ["point-mae", "contrast"])
def test_baselines_are_the_papers_recipe_but_for_their_tasks(name: str) -> None:
    with importlib.resources.as_file(SHIPPED / f"{name}.toml") as path:
        config = read_settings(PretrainConfig, path)
    defaults = by_name(PretrainConfig())
    changed = {name for name, value in by_name(config).items() if value != defaults[name]}
    assert "tasks" in changed
    assert changed <= {"tasks", "reconstruct_from", "mask_collisions", "embedded_patches"}


def test_every_setting_is_an_option() -> None:
    @click.command()
    @options(PretrainConfig)
    def command(**values: object) -> None:
        config_file = values.pop("config_file")
        assert config_file is None
        click.echo(read_settings(PretrainConfig, None, values))

    result = CliRunner().invoke(
        command, ["--mask-strategy", "random", "--no-mask-collisions", "--epochs", "2"]
    )
    expected = PretrainConfig().replace(mask_strategy="random", mask_collisions=False, epochs=2)
    assert result.output.strip() == str(expected)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"width": 100}, "width = 100 is no multiple of heads = 6"),
        ({"image_size": 100}, "image_size = 100 is no multiple of image_patch = 16"),
        ({"batch_size": 1}, "batch_size = 1 leaves the contrast no negatives"),
        ({"mask_ratio": 1.5}, "mask_ratio = 1.5"),
        ({"mask_strategy": "block"}, "mask_strategy = 'block'"),
    ],
)
def test_settings_that_do_not_fit_are_named(values: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        read_settings(PretrainConfig, None, values)


def test_without_torch_settings_import_and_training_says_what_to_install() -> None:
    program = """
import sys
sys.modules["torch"] = None
from shapenet3d_cma.core.errors import InputError
import shapenet3d_cma.model.config
try:
    import shapenet3d_cma.model.train.pretraining
except InputError as error:
    print(error)
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert "torch is not installed: pip install 'shapenet3d-cma[train]'" in done.stdout


def test_a_run_may_go_on_with_what_decides_no_result() -> None:
    """Precision decides one: bfloat16 rounds to eight binary digits."""
    free = set(setting_names(PretrainConfig)) - set(identity_names(PretrainConfig()))
    running = {"device", "compile", "threads", "data", "memory_gib", "workers"}
    watching = {"probe_epochs", "picture_epochs", "tensorboard"}
    assert free == running | watching | {"checkpoint_seconds"}
    free = set(setting_names(FinetuneConfig)) - set(identity_names(FinetuneConfig()))
    assert free == {"device", "threads", "checkpoint_seconds"}


VALUES = {
    "width": st.integers(1, 8).map(lambda n: 6 * n),
    "patches": st.integers(2, 512),
    "mask_ratio": st.floats(0.05, 0.95),
    "mask_collisions": st.booleans(),
    "tasks": st.sampled_from(["both", "reconstruction", "contrast"]),
    "temperature": st.floats(1e-4, 10),
    "epochs": st.integers(1, 10**6),
    "init": st.text(st.characters(min_codepoint=32, max_codepoint=0xD7FF), max_size=20),
    "threads": st.integers(0, 64),
    "tensorboard": st.booleans(),
}
settings_of_each_part = st.fixed_dictionaries({}, optional=VALUES).map(
    lambda values: PretrainConfig.of(**values)
)


@given(config=settings_of_each_part, tables=st.booleans())
def test_settings_written_and_read_are_the_same(
    tmp_path_factory: pytest.TempPathFactory, config: PretrainConfig, tables: bool
) -> None:
    """In the tables of today, and by name alone, as runs of earlier versions have them."""
    lines = as_toml(config).splitlines()
    if not tables:
        lines = [line for line in lines if not line.startswith("[")]
    path = tmp_path_factory.getbasetemp() / "written.toml"
    path.write_text("\n".join(lines), encoding="utf-8")
    assert read_settings(PretrainConfig, path) == config


@given(config=settings_of_each_part, changes=st.fixed_dictionaries({}, optional=VALUES))
def test_replaced_settings_change_by_name_and_no_others(
    config: PretrainConfig, changes: dict
) -> None:
    assert by_name(config.replace(changes)) == by_name(config) | changes
    assert PretrainConfig.of(**by_name(config)) == config


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[optimiser]\nwidth = 8", r"width belongs in \[network\]"),
        ("width = 12\n[network]\nwidth = 12", r"width stands at the top and in \[network\]"),
        ("network = 3", r"network is a table of settings: write \[network\]"),
        ("[masks]\nratio = 0.5", r"\[masks\] unknown setting 'ratio'"),
        ("[optimizer]\nepochs = 3", r"unknown setting 'optimizer'"),
    ],
)
def test_a_setting_in_the_wrong_table_is_named(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "settings.toml"
    path.write_text(text)
    with pytest.raises(InputError, match=message):
        read_settings(PretrainConfig, path)
