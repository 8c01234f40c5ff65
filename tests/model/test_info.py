import pytest

from shapenet3d_cma.core.errors import InputError
from shapenet3d_cma.model.config import PretrainConfig
from shapenet3d_cma.model.info import ModelInfo, info_table, model_info


@pytest.fixture(scope="module")
def paper() -> ModelInfo:
    return model_info(PretrainConfig())


def test_the_papers_network(paper: ModelInfo) -> None:
    assert paper.parameters == 57_694_432
    assert paper.classifier_parameters == 22_099_752
    assert sum(part.parameters for part in paper.parts) == paper.parameters
    assert paper.state_bytes == 16 * paper.parameters


def test_operations_are_those_of_a_count_by_hand(paper: ModelInfo) -> None:
    """Products of twelve blocks over 79 visible image tokens, by the sizes of their matrices; and all parts' sum."""
    tokens, width = 79, 384
    block = 2 * tokens * (4 * width * width + 2 * 4 * width * width) + 2 * 2 * tokens**2 * width
    embedding = 2 * tokens * width * 16 * 16 * 3
    image = next(part.forward for part in paper.parts if part.name == "image encoder")
    assert image == 12 * block + embedding
    assert sum(part.forward for part in paper.parts) == pytest.approx(paper.forward, rel=1e-3)
    assert 2.9 < paper.step / paper.forward <= 3


def test_what_is_not_built_is_not_counted(tiny: PretrainConfig) -> None:
    names = [
        part.name
        for part in model_info(
            PretrainConfig.of(tasks="contrast", width=96, point_depth=1, image_depth=1)
        ).parts
    ]
    assert not any("reconstruction" in name for name in names)


def test_memory_grows_with_precision_and_batch(paper: ModelInfo) -> None:
    exact = model_info(PretrainConfig.of(precision="float32"))
    assert exact.activation_bytes > paper.activation_bytes > 2**20


def test_images_that_cannot_be_cut_are_named() -> None:
    with pytest.raises(
        InputError, match="images of 100 x 100 pixels cannot be cut into patches of 16"
    ):
        model_info(PretrainConfig.of(image_size=0), shard_size=100)


def test_the_table_says_it(paper: ModelInfo) -> None:
    table = info_table(paper)
    assert "57,694,432" in table
    assert "22,099,752" in table
    assert "12,556,800 samples" in table  # 300 epochs of 327 steps of 128 rows
