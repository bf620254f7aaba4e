"""The typed Python client of `qda-worker`, sync and async: sentiment, entities, embeddings and paraphrases of texts.

>>> from qda_worker.client import Client
>>> with Client("127.0.0.1:50051") as client:
...     client.sentiment(["Ich war froh."])[0].label
<SentimentLabel.POSITIVE: 'positive'>

Needs only the base install. The public names are imported from their modules when they are first used (PEP 562), so
that `qda-client --help` answers without importing gRPC. A test compares the imports for type checkers with the table
of the lazy ones.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from qda_worker.client.analysis_tasks import (
        AnalysisTask,
        EmbeddingTask,
        EntityTask,
        SentimentTask,
        SyntaxTask,
    )
    from qda_worker.client.async_client import AsyncClient
    from qda_worker.client.channel import DEFAULT_TARGET, Settings, Tls
    from qda_worker.client.enums import (
        EmbeddingKind,
        Health,
        LabelScheme,
        LimitUnit,
        LongTextOutcome,
        LongTexts,
        ModelState,
        Numbers,
        Offsets,
        Priority,
        SentimentLabel,
        SyntaxLayer,
        Task,
    )
    from qda_worker.client.errors import (
        CallCancelled,
        ClientError,
        DeadlineExceeded,
        InvalidRequest,
        InvalidSettings,
        NotReachable,
        NotReady,
        NotServed,
        Overloaded,
        Refused,
        ServerFailed,
        TlsFailed,
        Violation,
    )
    from qda_worker.client.readers.corpus import read_corpus
    from qda_worker.client.readers.options import InputFormat, ReadingOptions, Segmentation
    from qda_worker.client.readers.segment import InvalidSegment, Place, PlaceUnit, Segment
    from qda_worker.client.requests import OnResults, Progress
    from qda_worker.client.results import (
        AnalysisProvenance,
        Answer,
        DocumentAnalysis,
        Embedding,
        Entities,
        Entity,
        ItemError,
        Matrix,
        PairScore,
        Paraphrase,
        Paraphrases,
        Probabilities,
        Provenance,
        Sentence,
        Sentiment,
        SparseVector,
        Syntax,
        TextProblem,
        Timings,
        Usage,
        Vector,
    )
    from qda_worker.client.status import (
        CacheProblem,
        CacheStatus,
        DeepCheck,
        Limits,
        Model,
        ModelCache,
        Models,
    )
    from qda_worker.client.sync_client import Client
    from qda_worker.client.tables.data_frame import to_dataframe, to_dataframe_async
    from qda_worker.client.texts import InvalidText, Pair, Text
    from qda_worker.client.tokens import Token, TokenRange

# The public names of each module.
_MODULES: Final = {
    "analysis_tasks": (
        "AnalysisTask",
        "EmbeddingTask",
        "EntityTask",
        "SentimentTask",
        "SyntaxTask",
    ),
    "async_client": ("AsyncClient",),
    "channel": (
        "DEFAULT_TARGET",
        "Settings",
        "Tls",
    ),
    "enums": (
        "EmbeddingKind",
        "Health",
        "LabelScheme",
        "LimitUnit",
        "LongTextOutcome",
        "LongTexts",
        "ModelState",
        "Numbers",
        "Offsets",
        "Priority",
        "SentimentLabel",
        "SyntaxLayer",
        "Task",
    ),
    "errors": (
        "CallCancelled",
        "ClientError",
        "DeadlineExceeded",
        "InvalidRequest",
        "InvalidSettings",
        "NotReachable",
        "NotReady",
        "NotServed",
        "Overloaded",
        "Refused",
        "ServerFailed",
        "TlsFailed",
        "Violation",
    ),
    "readers.corpus": ("read_corpus",),
    "readers.options": ("InputFormat", "ReadingOptions", "Segmentation"),
    "readers.segment": ("InvalidSegment", "Place", "PlaceUnit", "Segment"),
    "requests": ("OnResults", "Progress"),
    "results": (
        "AnalysisProvenance",
        "Answer",
        "DocumentAnalysis",
        "Embedding",
        "Entities",
        "Entity",
        "ItemError",
        "Matrix",
        "PairScore",
        "Paraphrase",
        "Paraphrases",
        "Probabilities",
        "Provenance",
        "Sentence",
        "Sentiment",
        "SparseVector",
        "Syntax",
        "TextProblem",
        "Timings",
        "Usage",
        "Vector",
    ),
    "status": (
        "CacheProblem",
        "CacheStatus",
        "DeepCheck",
        "Limits",
        "Model",
        "ModelCache",
        "Models",
    ),
    "sync_client": ("Client",),
    "tables.data_frame": ("to_dataframe", "to_dataframe_async"),
    "texts": (
        "InvalidText",
        "Pair",
        "Text",
    ),
    "tokens": ("Token", "TokenRange"),
}
_MODULE_BY_NAME: Final = {name: module for module, names in _MODULES.items() for name in names}

__all__ = [
    "DEFAULT_TARGET",
    "AnalysisProvenance",
    "AnalysisTask",
    "Answer",
    "AsyncClient",
    "CacheProblem",
    "CacheStatus",
    "CallCancelled",
    "Client",
    "ClientError",
    "DeadlineExceeded",
    "DeepCheck",
    "DocumentAnalysis",
    "Embedding",
    "EmbeddingKind",
    "EmbeddingTask",
    "Entities",
    "Entity",
    "EntityTask",
    "Health",
    "InputFormat",
    "InvalidRequest",
    "InvalidSegment",
    "InvalidSettings",
    "InvalidText",
    "ItemError",
    "LabelScheme",
    "LimitUnit",
    "Limits",
    "LongTextOutcome",
    "LongTexts",
    "Matrix",
    "Model",
    "ModelCache",
    "ModelState",
    "Models",
    "NotReachable",
    "NotReady",
    "NotServed",
    "Numbers",
    "Offsets",
    "OnResults",
    "Overloaded",
    "Pair",
    "PairScore",
    "Paraphrase",
    "Paraphrases",
    "Place",
    "PlaceUnit",
    "Priority",
    "Probabilities",
    "Progress",
    "Provenance",
    "ReadingOptions",
    "Refused",
    "Segment",
    "Segmentation",
    "Sentence",
    "Sentiment",
    "SentimentLabel",
    "SentimentTask",
    "ServerFailed",
    "Settings",
    "SparseVector",
    "Syntax",
    "SyntaxLayer",
    "SyntaxTask",
    "Task",
    "Text",
    "TextProblem",
    "Timings",
    "Tls",
    "TlsFailed",
    "Token",
    "TokenRange",
    "Usage",
    "Vector",
    "Violation",
    "read_corpus",
    "to_dataframe",
    "to_dataframe_async",
]


def __getattr__(name: str) -> object:
    """Import a public name from its module."""
    if name not in _MODULE_BY_NAME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value: object = getattr(import_module(f"{__name__}.{_MODULE_BY_NAME[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
