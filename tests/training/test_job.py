"""What makes two runs the same run."""

from __future__ import annotations

import hashlib
import json
from copy import deepcopy
from typing import Any

from regard.data.rows import DataSet, Report
from regard.schema import dump
from regard.training.job import _identity, _same
from regard.training.resolve import Asked, resolve


def test_a_run_stays_itself_when_options_are_added_later() -> None:
    """A run that was stopped by an older version is resumed, and its checkpoint is its own."""
    config = resolve(Asked("translation", settings=("train.seed=7",)))
    older: Any = deepcopy(dump(config))
    del older["train"]["snapshots"], older["model"]["encoder"]["norm"], older["task"]["max_length"]
    assert _same(older, config)
    dataset = DataSet("name", {}, ("a", "b"), Report(), fingerprint="f")
    content = [older, "f", "name", {"a.json": "{}"}]
    expected = hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
    assert _identity(config, dataset, {"training": older, "tokenizers": {"a.json": "{}"}}, None) == expected
    assert not _same(older | {"train": older["train"] | {"seed": 8}}, config)
    assert not _same(older | {"unheard": 1}, config)
    assert not _same(None, config)
