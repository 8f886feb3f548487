"""Which files of tests `make check` leaves to `make test`: those that took more than 3 s of a processor.

Measured file by file (user and system time, processes they start included), by names without folders, since
files move more often than they are renamed. A new file is fast until it is added here, or says
`pytestmark = pytest.mark.slow` itself; single tests that are slow in a fast file say so with that mark.
"""

from __future__ import annotations

from pathlib import Path

FOLDERS = frozenset(
    {"benchmarks", "compat", "cuda", "docs", "foreign_device", "interop", "onepage", "program", "serve"}
)
"""Folders of which nearly every file starts programs, servers or browsers, or loads other libraries."""
FILES = frozenset(
    {
        "test_any_bytes", "test_any_question", "test_baselines", "test_batches", "test_bounds",
        "test_budget", "test_builtin", "test_bundle_refused", "test_cached", "test_chat_templates",
        "test_compiled", "test_core", "test_cross_compiled", "test_cuts", "test_dialogue", "test_doctor",
        "test_explain", "test_fail_safe", "test_fill_mask", "test_hostile_bundles", "test_image_bombs",
        "test_image_classification", "test_kernel_cache", "test_logit_sum", "test_loop", "test_numbers",
        "test_plugin", "test_processes", "test_processors", "test_prompts", "test_question_answering",
        "test_reader_splits", "test_readers", "test_registry", "test_sampling", "test_search",
        "test_sentence_similarity", "test_sight", "test_start", "test_store", "test_sums", "test_taps",
        "test_text_generation", "test_threads", "test_token_places", "test_tokenizer",
        "test_tokenizer_bounds", "test_traced", "test_traced_memory",
    }
)  # fmt: skip
"""Single files."""


def is_slow(path: Path) -> bool:
    """Whether `make check` leaves this file out."""
    return path.stem in FILES or path.parent.name in FOLDERS
