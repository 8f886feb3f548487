"""From a checkpoint's folder to a bundle.

Order matters: the configuration is believed only as far as the weights' headers bear it out, and the weights
are read only when each of them has found its place.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from regard import bundle as bundles
from regard.bundle import JSON, Bundle, software_versions
from regard.data.remote import Progress
from regard.errors import BundleError, CheckpointError, TokenizerError
from regard.interop.checkpoint import CONFIG, Checkpoint, open_checkpoint
from regard.interop.family import FAMILIES, Family, Plan, Source
from regard.interop.hub import fetched, is_hub_name
from regard.interop.keys import Keys, refusal
from regard.interop.labels import label_file
from regard.interop.origin import collect_origin
from regard.interop.sentences import MODULES
from regard.locks import check_unlocked
from regard.weights import most_blocks


@dataclass(frozen=True)
class Imported:
    """What came of a checkpoint."""

    folder: Path
    family: str
    architecture: str
    task: str
    parameters: int
    notes: tuple[str, ...]
    """What was left out, and what a user should know."""
    difference: float | None
    """The largest difference of any output from the reference library's; None where it was not compared."""
    largest: float | None
    """The largest of those outputs."""
    source: str | None = None
    """Where it was fetched from, to the commit: `hf:owner/name@…`."""


def import_checkpoint(
    folder: str | Path,
    out: str | Path,
    *,
    overwrite: bool = False,
    compare: bool = True,
    progress: Progress | None = None,
) -> Imported:
    """Make a bundle in `out` of the checkpoint in `folder`, or of a name of the Hub such as `hf:owner/name`.

    `compare`: whether its outputs are compared with those of transformers, where that is installed.
    `progress`: told of the bytes that arrive, where they have to be fetched.

    Raises: CheckpointError for what cannot be imported, for outputs that differ from the library's, and
    when `out` holds a bundle already; as `hub.fetched`.
    """
    place = Path(out)
    if bundles.is_bundle(place) and not overwrite:
        raise CheckpointError("{where} holds a model already; give another folder, or --overwrite", place)
    check_unlocked(place)  # before the work; it is asked again before anything is written
    source: str | None = None
    if is_hub_name(str(folder)):
        hub = fetched(str(folder), progress)
        folder, source = hub.folder, hub.source
    checkpoint, family, architecture, plan, notes = read_checkpoint(folder)
    bundle = _bundle(checkpoint, family, architecture, plan, source)
    difference = largest = None
    if compare:
        from regard.interop.reference import compare_outputs

        seen = compare_outputs(bundle, checkpoint, architecture)
        if not seen.equal:
            sentence = (
                "{where}: outputs differ from those of transformers by {value:.1e}, where the largest is"
                " {largest:.1e}, so that nothing was written; --no-compare imports it all the same"
            )
            raise CheckpointError(sentence, checkpoint.folder, seen.difference, seen.largest)
        difference, largest = seen.difference, seen.largest
        notes += [] if seen.why is None else [f"not compared with transformers: {seen.why}"]
    bundles.save(bundle, place)
    count = bundle.parameters
    return Imported(
        place, family.name, architecture, plan.task, count, tuple(notes), difference, largest, source
    )


def read_checkpoint(folder: str | Path) -> tuple[Checkpoint, Family, str, Plan, list[str]]:
    """What the checkpoint becomes, its weights checked but not read; notes for people.

    Raises: CheckpointError.
    """
    checkpoint = open_checkpoint(folder)
    family = _family(checkpoint)
    fits: CheckpointError | None = None
    for architecture in _architectures(checkpoint, family):
        try:
            plan, notes = _planned(checkpoint, family, architecture)
        except CheckpointError as error:
            fits = fits or error
        else:
            return checkpoint, family, architecture, plan, notes
    assert fits is not None
    try:
        raise fits
    finally:
        del fits  # a frame that holds its own error holds whatever was read, until somebody collects cycles


def _planned(checkpoint: Checkpoint, family: Family, architecture: str) -> tuple[Plan, list[str]]:
    """What it becomes as one class of its family, and notes."""
    where = checkpoint.folder / CONFIG
    sizes = (size for entry in checkpoint.entries.values() for size in entry.shape)
    limit = max([len(checkpoint.entries), *sizes])
    keys = Keys(checkpoint.config, where, limit, most_blocks(checkpoint.entries), family.defaults)
    keys.ignore(*family.ignored, *family.kept_keys)
    try:
        plan = family.plan(Source(checkpoint, family, architecture, keys))
        keys.finish()
    except (BundleError, TokenizerError, ValueError) as error:
        raise CheckpointError.of(error, where=where) from error
    notes = plan.table.check(checkpoint.entries, str(checkpoint.folder))
    return plan, [*plan.notes, *notes]


def _bundle(
    checkpoint: Checkpoint, family: Family, architecture: str, plan: Plan, source: str | None
) -> Bundle:
    texts = {name: tokenizer.to_json() for name, tokenizer in plan.tokenizers.items()} | dict(plan.files)
    texts |= label_file(plan.labels)
    origin: dict[str, JSON] = {"family": family.name, "architecture": architecture}
    if source is not None:
        origin["source"] = source
    weights = checkpoint.weights()
    kept = collect_origin(checkpoint, weights, plan.table.kept, family, len(plan.labels))
    return Bundle(
        task=plan.task,
        model=plan.model,
        weights=plan.table.to_ours(weights, str(checkpoint.folder)),
        tokenizers=texts | kept.file(),
        training={"task": dict(plan.options)},
        data={"imported": origin},
        metrics={},
        versions=software_versions(),
    )


def _family(checkpoint: Checkpoint) -> Family:
    settings = checkpoint.config.get("model_type")
    if not isinstance(settings, str) or settings not in FAMILIES:
        where = checkpoint.folder / CONFIG
        raise refusal(where, "model_type", settings, "known are {limit}", ", ".join(FAMILIES))
    return FAMILIES[settings]()


def _architectures(checkpoint: Checkpoint, family: Family) -> list[str]:
    """The classes that it may be of: those that it names, or else all, of which the first counts whose
    weights are there. A folder of sentence-transformers holds a body, also where its
    configuration still names the class that it was trained from."""
    settings = checkpoint.config.get("architectures")
    headed = isinstance(settings, list) and str(settings[:1]).endswith(("Classification']", "Answering']"))
    if family.body is not None and not headed and (checkpoint.folder / MODULES).is_file():
        return [family.body]
    if settings is None or settings == []:
        return sorted(family.architectures, key=lambda name: name == family.body)
    names = [name for name in settings if isinstance(name, str)] if isinstance(settings, list) else []
    known = dict.fromkeys(family.aliases.get(name, name) for name in names)
    found = [name for name in known if name in family.architectures]
    if not found:
        why, limit = "of {family}, these can be imported: {limit}", ", ".join(family.architectures)
        raise refusal(checkpoint.folder / CONFIG, "architectures", settings, why, family.name, limit)
    return found
