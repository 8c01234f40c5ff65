import dataclasses
import importlib.resources
import subprocess
import sys

import click
import pytest
from click.testing import CliRunner

from shapenet3d_cma.core.errors import InputError
from shapenet3d_cma.core.settings import identity_names, options, read_settings
from shapenet3d_cma.model.config import PretrainConfig
from shapenet3d_cma.model.tasks.config import FinetuneConfig

SHIPPED = importlib.resources.files("shapenet3d_cma.model")


def test_paper_toml_writes_out_the_defaults() -> None:
    with importlib.resources.as_file(SHIPPED / "paper.toml") as path:
        assert read_settings(PretrainConfig, path) == PretrainConfig()


def test_small_toml_is_read() -> None:
    with importlib.resources.as_file(SHIPPED / "small.toml") as path:
        config = read_settings(PretrainConfig, path)
    assert config.width < 128
    assert config.reconstructs
    assert config.contrasts


@pytest.mark.parametrize("name", ["point-mae", "contrast"])
def test_baselines_are_the_papers_recipe_but_for_their_tasks(name: str) -> None:
    with importlib.resources.as_file(SHIPPED / f"{name}.toml") as path:
        config = read_settings(PretrainConfig, path)
    changed = {
        field.name
        for field in dataclasses.fields(config)
        if getattr(config, field.name) != getattr(PretrainConfig(), field.name)
    }
    assert "tasks" in changed
    assert changed <= {"tasks", "reconstruct_from", "mask_collisions", "embedded_patches"}


def test_every_setting_is_an_option() -> None:
    @click.command()
    @options(PretrainConfig)
    def command(**given: object) -> None:
        config_file = given.pop("config_file")
        assert config_file is None
        click.echo(read_settings(PretrainConfig, None, given))

    result = CliRunner().invoke(
        command, ["--mask-strategy", "random", "--no-mask-collisions", "--epochs", "2"]
    )
    expected = dataclasses.replace(
        PretrainConfig(), mask_strategy="random", mask_collisions=False, epochs=2
    )
    assert result.output.strip() == str(expected)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"width": 100}, "width = 100 is no multiple of heads = 6"),
        ({"image_size": 100}, "image_size = 100 is no multiple of image_patch = 16"),
        ({"batch_size": 1}, "batch_size = 1 leaves the contrast no negatives"),
        ({"mask_ratio": 1.5}, "mask_ratio = 1.5"),
        ({"mask_strategy": "block"}, "mask_strategy = 'block'"),
    ],
)
def test_settings_that_do_not_fit_are_named(given: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        read_settings(PretrainConfig, None, given)


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
    free = set(PretrainConfig.__dataclass_fields__) - set(identity_names(PretrainConfig()))
    running = {"device", "compile", "threads", "data", "memory_gib", "workers"}
    watching = {"probe_epochs", "picture_epochs", "tensorboard"}
    assert free == running | watching | {"checkpoint_seconds"}
    free = set(FinetuneConfig.__dataclass_fields__) - set(identity_names(FinetuneConfig()))
    assert free == {"device", "threads", "checkpoint_seconds"}
