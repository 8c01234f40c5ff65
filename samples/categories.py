"""The categories that the samples cover, under ShapeNet's own synset ids."""

from __future__ import annotations

from collections.abc import Callable

from .palette import Part, Rng
from .shapes import (
    aircraft,
    beds,
    cabinets,
    cars,
    clocks,
    guitars,
    lamps,
    laptops,
    seats,
    ships,
    tables,
    tableware,
)

__all__ = ["BUILDERS", "CATEGORIES", "NAMES", "PARENTS"]

CATEGORIES: dict[str, str] = {
    "airplane": "02691156",
    "bed": "02818832",
    "bench": "02828884",
    "bookshelf": "02871439",
    "bottle": "02876657",
    "cabinet": "02933112",
    "car": "02958343",
    "chair": "03001627",
    "clock": "03046257",
    "guitar": "03467517",
    "lamp": "03636649",
    "laptop": "03642806",
    "mug": "03797390",
    "sofa": "04256520",
    "table": "04379243",
    "vessel": "04530566",
}
"""Category -> synset id."""

BUILDERS: dict[str, Callable[[Rng, int], list[Part]]] = {
    "airplane": aircraft.airplane,
    "bed": beds.bed,
    "bench": seats.bench,
    "bookshelf": cabinets.bookshelf,
    "bottle": tableware.bottle,
    "cabinet": cabinets.cabinet,
    "car": cars.car,
    "chair": seats.chair,
    "clock": clocks.clock,
    "guitar": guitars.guitar,
    "lamp": lamps.lamp,
    "laptop": laptops.laptop,
    "mug": tableware.mug,
    "sofa": seats.sofa,
    "table": tables.table,
    "vessel": ships.vessel,
}
"""Category -> function of a random generator and the model's number that gives its parts."""

NAMES: dict[str, str] = {
    "02691156": "airplane,aeroplane,plane",
    "02818832": "bed",
    "02828884": "bench",
    "02871439": "bookshelf",
    "02876657": "bottle",
    "02933112": "cabinet",
    "02958343": "car,auto,automobile,machine,motorcar",
    "03001627": "chair",
    "03046257": "clock",
    "03467517": "guitar",
    "03636649": "lamp",
    "03642806": "laptop,laptop computer",
    "03797390": "mug",
    "04256520": "sofa,couch,lounge",
    "04379243": "table",
    "04530566": "vessel,watercraft",
}
"""Synset id -> its lemmas, as ShapeNet's taxonomy.json writes them."""

PARENTS: list[tuple[str, str, tuple[str, ...]]] = [
    (
        "03405725",
        "furniture,piece of furniture,article of furniture",
        ("02818832", "02828884", "03001627", "04256520", "04379243"),
    ),
    ("04524313", "vehicle", ("02691156", "02958343", "04530566")),
]
"""Synsets of the taxonomy that have no folder of their own: id, lemmas, children."""
