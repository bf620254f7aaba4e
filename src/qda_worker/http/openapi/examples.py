"""Example requests of the methods, for the OpenAPI document and the page that sends them. A test sends each of them."""

from collections.abc import Mapping
from typing import Any, Final

_INTERVIEW: Final = "Die Beratung war freundlich, aber ich musste drei Wochen auf einen Termin warten."
_PLACES: Final = "Anna Schmidt arbeitet seit 2019 bei Siemens in München."

EXAMPLES: Final[Mapping[str, Any]] = {
    "SentimentService/AnalyzeSentiment": {
        "texts": [
            {"id": "B1-1", "content": _INTERVIEW},
            {"id": "B1-2", "content": "Das hat mir sehr geholfen!"},
        ],
        "includeSentences": True,
        "offsetEncoding": "OFFSET_ENCODING_UTF16_UNITS",
    },
    "EntityService/RecognizeEntities": {
        "texts": [{"content": _PLACES}],
        "offsetEncoding": "OFFSET_ENCODING_UTF16_UNITS",
    },
    "SyntaxService/AnalyzeSyntax": {
        "texts": [{"content": _INTERVIEW}],
        "offsetEncoding": "OFFSET_ENCODING_UTF16_UNITS",
    },
    "EmbeddingService/Embed": {
        "texts": [{"content": _INTERVIEW}],
        "options": {"elementType": "ELEMENT_TYPE_FLOAT_LIST"},
    },
    "ParaphraseService/ScorePairs": {
        "pairs": [
            {
                "first": {"content": _INTERVIEW},
                "second": {"content": "Alle waren nett, doch es dauerte lange."},
            },
        ],
    },
    "ModelService/ListModels": {},
    "ModelService/GetCacheStatus": {},
}
