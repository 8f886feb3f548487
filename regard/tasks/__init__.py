"""Kinds of task, one file each. `TASKS` is the registry: a task's options by its name."""

from __future__ import annotations

from regard.decode.sampling import Sampling
from regard.tasks.fill_mask import FillMask, FillMaskConfig
from regard.tasks.image_classification import ImageClassification, ImageClassificationConfig
from regard.tasks.question_answering import QuestionAnswering, QuestionAnsweringConfig
from regard.tasks.sentence_similarity import SentenceSimilarity, SentenceSimilarityConfig
from regard.tasks.task import Batch, Decoding, Evaluation, InputSpec, Prediction, Task
from regard.tasks.text_classification import TextClassification, TextClassificationConfig
from regard.tasks.text_generation import TextGeneration, TextGenerationConfig
from regard.tasks.translation import Translation, TranslationConfig

TaskConfig = (
    TranslationConfig
    | TextGenerationConfig
    | FillMaskConfig
    | TextClassificationConfig
    | ImageClassificationConfig
    | QuestionAnsweringConfig
    | SentenceSimilarityConfig
)

_ALL = (
    Translation,
    TextGeneration,
    FillMask,
    TextClassification,
    QuestionAnswering,
    SentenceSimilarity,
    ImageClassification,
)
TASKS: dict[str, type[Task]] = {task.name: task for task in _ALL}

__all__ = [
    "TASKS",
    "Batch",
    "Decoding",
    "Evaluation",
    "FillMask",
    "FillMaskConfig",
    "ImageClassification",
    "ImageClassificationConfig",
    "InputSpec",
    "Prediction",
    "QuestionAnswering",
    "QuestionAnsweringConfig",
    "Sampling",
    "SentenceSimilarity",
    "SentenceSimilarityConfig",
    "Task",
    "TaskConfig",
    "TextClassification",
    "TextClassificationConfig",
    "TextGeneration",
    "TextGenerationConfig",
    "Translation",
    "TranslationConfig",
]
