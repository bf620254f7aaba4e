"""The texts of a call that the client could not send, and the errors that their results get.

An empty text is sent in the place of each (`texts`), so that results, retries and continued streams count the texts as
the caller does. The worker answers it with an error of its own, which is replaced here.
"""

from dataclasses import dataclass, replace
from typing import TypeAlias, TypeVar

from qda_worker.client.results import (
    DocumentAnalysis,
    Embedding,
    Entities,
    ItemError,
    PairScore,
    Sentiment,
    Syntax,
    TextProblem,
)


@dataclass(frozen=True, slots=True)
class ItemProblem:
    """A text, or a pair, that could not be sent.

    Attributes:
        id: the caller's id for it.
        error: why it could not be sent.
    """

    id: str
    error: ItemError


# The texts of a list that are not sent, by their position.
Problems: TypeAlias = dict[int, ItemProblem]

_Result = TypeVar(
    "_Result", bound=Sentiment | Entities | Syntax | Embedding | PairScore | DocumentAnalysis | TextProblem
)


def with_problem(result: _Result, problem: ItemProblem | None) -> _Result:
    """Return the result of a text that was not sent: its own error instead of that of the empty text.

    Args:
        result: the worker's, for the empty text.
        problem: None if the text was sent; its result is returned unchanged.
    """
    if problem is None:
        return result
    if isinstance(result, DocumentAnalysis):
        return replace(
            result,
            id=problem.id,
            error=problem.error,
            sentiment=None,
            entities=None,
            syntax=None,
            embeddings=(),
        )
    if isinstance(result, PairScore):
        return replace(result, id=problem.id, error=problem.error, first_usage=None, second_usage=None)
    if isinstance(result, TextProblem):
        return replace(result, id=problem.id, error=problem.error)
    return replace(result, id=problem.id, error=problem.error, usage=None)
