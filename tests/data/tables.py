"""Tables as other programs write them."""

from __future__ import annotations

import csv
import io
import json
from typing import Any

import pandas
import pyarrow
from pyarrow import parquet


def table_bytes(form: str, columns: tuple[str, ...], rows: list[tuple[str, ...]]) -> bytes:
    """A table as another program would write it."""
    if form == "tsv":
        return "".join("\t".join(row) + "\n" for row in [columns, *rows]).encode()
    if form == "csv":
        text = io.StringIO(newline="")
        csv.writer(text).writerows([columns, *rows])
        return text.getvalue().encode()
    if form == "jsonl":
        return "".join(json.dumps(dict(zip(columns, row, strict=True))) + "\n" for row in rows).encode()
    sink = io.BytesIO()
    data = dict(zip(columns, map(list, zip(*rows, strict=True)), strict=True))
    parquet.write_table(pyarrow.table(data), sink)
    return sink.getvalue()


def stored(form: str, rows: list[dict[str, Any]]) -> bytes:
    """Rows of lists and objects as another program writes them."""
    if form == "json":
        return json.dumps(rows, indent=1, ensure_ascii=False).encode()
    if form == "jsonl":
        return "".join(json.dumps(row) + "\n" for row in rows).encode()
    if form == "data":
        return json.dumps({"data": rows}).encode()
    if form in ("csv", "tsv"):
        flat = [
            {key: json.dumps(v) if isinstance(v, list | dict) else v for key, v in row.items()}
            for row in rows
        ]
        text: str = pandas.DataFrame(flat).to_csv(index=False, sep="," if form == "csv" else "\t")
        return text.encode()
    sink = io.BytesIO()
    parquet.write_table(pyarrow.Table.from_pylist(rows), sink)
    return sink.getvalue()
