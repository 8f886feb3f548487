"""Values: what goes in and comes out of a model, one file a kind. `docs/values.md` lists their JSON.

numpy and the standard library; what decodes files is an optional package, imported when a value is first
looked into. They know no task, no model and no data set.
"""

from regard.values.audio import Audio
from regard.values.boxes import Boxes
from regard.values.chat import Chat, Message
from regard.values.image import Image
from regard.values.items import Items
from regard.values.labels import Labels
from regard.values.mask import Mask
from regard.values.pair import Pair
from regard.values.prediction import Prediction
from regard.values.score import Score
from regard.values.spans import Span, Spans
from regard.values.text import Text
from regard.values.value import JSON, VALUES, Value, from_json
from regard.values.vector import Vector
from regard.values.video import Video

__all__ = ["JSON", "VALUES", "Audio", "Boxes", "Chat", "Image", "Items", "Labels", "Mask", "Message", "Pair"]
__all__ += ["Prediction", "Score", "Span", "Spans", "Text", "Value", "Vector", "Video", "from_json"]
