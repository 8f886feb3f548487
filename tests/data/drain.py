"""Reads data to their end, each in a process of its own, and says what that took.

Each argument is a path, a colon and the columns that are wanted, with commas between. For each a line of
JSON: `seconds` of a processor, which other programs do not change, the most `memory` in bytes, how many
`rows`, and what was `said` against the data.
"""

from __future__ import annotations

import json
import os
import sys

import pyarrow.parquet  # noqa: F401  (what takes long to load is loaded once)

from regard.data.readers import columns_of, open_data
from regard.errors import RegardError


def drain(path: str, columns: str) -> dict[str, object]:
    rows = 0
    try:
        if "image" not in columns:
            columns_of(path)
        for split in open_data(path, tuple(columns.split(",")), on_error="refuse").splits.values():
            rows += sum(1 for _ in split)
    except RegardError as problem:
        return {"rows": rows, "said": str(problem)}
    return {"rows": rows, "said": ""}


def main() -> None:
    unit = 1 if sys.platform == "darwin" else 1024
    for asked in sys.argv[1:]:
        reader, writer = os.pipe()
        if not (pid := os.fork()):
            os.write(writer, json.dumps(drain(*asked.rsplit(":", 1))).encode())
            os._exit(0)
        os.close(writer)
        with open(reader, "rb") as file:  # noqa: PTH123
            found = json.loads(file.read())
        *_, used = os.wait4(pid, 0)
        took = {"seconds": used.ru_utime + used.ru_stime, "memory": used.ru_maxrss * unit}
        print(json.dumps({**found, **took}), flush=True)


if __name__ == "__main__":
    main()
