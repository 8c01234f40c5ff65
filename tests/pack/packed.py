"""Settings, comparisons and a made-up full disk for the tests of shards."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from shapenet3d_cma.core.schema import Row
from shapenet3d_cma.pack.config import PackConfig
from shapenet3d_cma.pack.reader import Shards

PACK = PackConfig(points=256, shard_rows=3)


def everything(folder: Path) -> Row:
    shards = Shards(folder)
    return shards.read(range(len(shards)))


def assert_same(one: Row, two: Row) -> None:
    assert set(one) == set(two)
    for name, array in one.items():
        assert np.array_equal(array, two[name]), name


FULL_DISK = """
import resource, sys
from shapenet3d_cma.cli import main
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[1]), int(sys.argv.pop(1))))
main()
"""
