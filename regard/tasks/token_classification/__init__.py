"""Token classification: named entities, parts of speech, and whatever else words are tagged with."""

from regard.tasks.token_classification.task import TokenClassification, TokenClassificationConfig

__all__ = ["TokenClassification", "TokenClassificationConfig"]
