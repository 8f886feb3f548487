"""Files with a word a line: what is a sentence, which columns there are, and what is no word of it."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from regard.data.readers import columns_of, open_data
from regard.data.readers.conll import ConllTable
from regard.data.readers.forms import AsJson
from regard.data.readers.lines import Problem
from regard.errors import DataError

UNIVERSAL = """# sent_id = 1
# text = Vámonos al mar, y él.
1-2\tVámonos\t_\t_\t_\t_\t_\t_\t_\t_
1\tVamos\tir\tVERB\t_\t_\t0\troot\t_\t_
2\tnos\tnosotros\tPRON\t_\t_\t1\tobj\t_\t_
3\tmar\tmar\tNOUN\t_\t_\t1\tobl\t_\t_
3.1\tva\tir\tVERB\t_\t_\t_\t_\t1:conj\t_

# sent_id = 2
1\tél\tél\tPRON\t_\t_\t0\troot\t_\t_
"""
CELLS = st.text(
    st.characters(codec="utf-8", exclude_categories=["Cc", "Zs", "Zl", "Zp"], exclude_characters="\ufeff"),
    min_size=1,
    max_size=5,
)


def sentences(path: Path, *columns: str) -> list[tuple[object, ...]]:
    table = ConllTable.open(path)
    picked = tuple(table.columns.index(column) for column in columns)
    return [values for _, values in table.records(picked) if not isinstance(values, Problem)]


@pytest.fixture
def write(tmp_path: Path):
    def made(text: str, name: str = "some.conll") -> Path:
        path = tmp_path / name
        path.write_bytes(text.encode() if not name.endswith(".gz") else gzip.compress(text.encode()))
        return path

    return made


@pytest.mark.parametrize(
    "name", ["some.conll", "some.conll.gz", "some.conllu", "some.bio", "some.iob2", "some.bioes"]
)
def test_every_ending_is_read(write, name: str) -> None:
    path = write("Ada B-person\nsmiled O\n\nYes O\n", name)
    dataset = open_data(path, ("tokens", "tags"), whole=True, forms=(AsJson(), AsJson()))
    assert [row.values for row in dataset.splits["all"]] == [
        ('["Ada", "smiled"]', '["B-person", "O"]'),
        ('["Yes"]', '["O"]'),
    ]


def test_ranges_and_empty_nodes_are_no_words(write) -> None:
    path = write(UNIVERSAL, "some.conllu")
    assert columns_of(path)[:4] == ("id", "form", "lemma", "upos")
    assert sentences(path, "form", "upos") == [
        (["Vamos", "nos", "mar"], ["VERB", "PRON", "NOUN"]),
        (["él"], ["PRON"]),
    ]


def test_a_file_may_say_what_its_columns_are(write) -> None:
    path = write("# global.columns = ID FORM PARSEME:MWE\n1\ta\t*\n2\tb\t1:LVC\n")
    assert columns_of(path) == ("id", "form", "parseme:mwe")
    assert sentences(path, "form", "parseme:mwe") == [(["a", "b"], ["*", "1:LVC"])]


@pytest.mark.parametrize(
    ("text", "columns"),
    [
        ("EU NNP B-NP B-ORG\nrejects VBZ B-VP O\n", ("tokens", "column2", "column3", "tags")),
        ("1 EU B-ORG\n2 rejects O\n", ("id", "tokens", "tags")),
        ("1 7\n2 7\n", ("tokens", "tags")),
        ("a\tx y\tO\n", ("tokens", "column2", "tags")),
    ],
)
def test_columns_have_the_usual_names(write, text: str, columns: tuple[str, ...]) -> None:
    assert columns_of(write(text)) == columns


def test_documents_and_comments_are_no_words(write) -> None:
    path = write("-DOCSTART- -X- O\n\n# of another number\nEU NNP B-ORG\n#1 NN O\n \n\n-DOCSTART- O\n. . O\n")
    assert sentences(path, "tokens", "tags") == [(["EU", "#1"], ["B-ORG", "O"]), (["."], ["O"])]


def test_a_broken_line_is_refused_with_its_place_or_costs_its_sentence(write) -> None:
    path = write("a O\nb\nc O\n\nd O\n\n\te\n")
    forms = (AsJson(), AsJson())
    with pytest.raises(DataError) as refused:
        list(open_data(path, ("tokens", "tags"), whole=True, forms=forms).splits["all"])
    assert refused.value.where == f"{path}:2"
    rows = open_data(path, ("tokens", "tags"), whole=True, forms=forms, on_error="skip").splits["all"]
    assert [row.values[0] for row in rows] == ['["d"]']


@pytest.mark.parametrize("text", ["\n \n", "-DOCSTART- O\n\n", "# only this\n"])
def test_a_file_without_a_sentence_is_refused(write, text: str) -> None:
    with pytest.raises(DataError) as refused:
        columns_of(path := write(text))
    assert refused.value.where == path


def test_a_file_without_blank_lines_is_not_kept_whole(write) -> None:
    table = ConllTable.open(write("word O\n" * 30_000))
    (record,) = table.records((0, 1))
    assert isinstance(record[1], Problem)


@given(st.lists(st.lists(st.tuples(CELLS, CELLS), min_size=1, max_size=4), min_size=1, max_size=4))
def test_what_was_written_is_read(tmp_path_factory: pytest.TempPathFactory, rows: list) -> None:
    path = tmp_path_factory.mktemp("conll") / "some.conll"
    path.write_text("\n\n".join("\n".join("\t".join(cells) for cells in one) for one in rows), "utf-8")
    told = [tuple(map(list, zip(*one, strict=True))) for one in rows]
    assert sentences(path, "tokens", "tags") == told
