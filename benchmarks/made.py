"""A large set of shards from a small one: rows repeated under other names, for benchmarks of reading.

python benchmarks/made.py SHARDS OUT [ROWS] [SHARD_ROWS]
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np

from shapenet3d_cma.files import sha256
from shapenet3d_cma.pack.reader import Shards
from shapenet3d_cma.pack.writer import ShardWriter, encode_row


def repeat_rows(shards: Path, out: Path, rows: int, shard_rows: int = 512) -> Path:
    """Write `rows` rows to `out`, as those of `shards` over and over; every model id is new."""
    source = Shards(shards)
    encoded = [encode_row(row) for row in source]
    attributes = {name: source.manifest[name] for name in ("config", "render_config", "seed", "source")}
    out.mkdir(parents=True)
    with ShardWriter(out / "shard-00000.h5", attributes, max_rows=shard_rows) as shard:
        for number in range(rows):
            row = encoded[number % len(encoded)]
            row.values["model_id"] = f"{number:032x}"
            shard.append(row)
    sizes = [min(shard_rows, rows - begin) for begin in range(0, rows, shard_rows)]
    entries = [
        {"file": file.name, "rows": size, "bytes": file.stat().st_size, "sha256": sha256(file)}
        for file, size in zip(shard.files, sizes, strict=True)
    ]
    (out / "manifest.json").write_text(json.dumps(source.manifest | {"shards": entries, "rows": rows}))
    return out


def raw_bytes(shards: Path) -> int:
    """Give the bytes that the arrays of all rows take uncompressed."""
    reader = Shards(shards)
    return sum(np.asarray(values).nbytes for row in reader for values in row.values())


if __name__ == "__main__":
    made = repeat_rows(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3] if len(sys.argv) > 3 else 2000))
    print(f"{len(Shards(made))} rows in {made}")
