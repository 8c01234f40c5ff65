"""The settings of `cma3d samples`."""

from __future__ import annotations

from dataclasses import dataclass

from ..core.settings import setting
from .categories import CATEGORIES

__all__ = ["SamplesConfig"]


@dataclass(frozen=True)
class SamplesConfig:
    """Settings of the samples.

    A model depends on the seed, its category and its number alone.

    Raises
    ------
    ValueError : an unknown category, a count below one
    """

    per_category: int = setting(4, "Models in each category.", low=1, high=10000)
    seed: int = setting(0, "Another seed gives other models.", low=0)
    pathologies: bool = setting(
        False, "Add one model for each known fault of ShapeNet's files, and pathologies.json."
    )
    categories: str = setting("all", "Categories by name, separated by commas, or `all`.")

    def __post_init__(self) -> None:
        if self.per_category < 1 or self.seed < 0:
            raise ValueError(
                f"per_category must be at least 1 and seed at least 0, got {self.per_category}, "
                f"{self.seed}"
            )
        unknown = [name for name in self.chosen if name not in CATEGORIES]
        if unknown:
            raise ValueError(
                f"categories: {unknown[0]!r} is unknown; the names are {', '.join(CATEGORIES)}"
            )

    @property
    def chosen(self) -> tuple[str, ...]:
        """The names of the categories, in alphabetical order, each once."""
        if self.categories == "all":
            return tuple(CATEGORIES)
        return tuple(sorted({name.strip() for name in self.categories.split(",")}))
