"""AnalyzeSyntax: the request as a value, the check of its layers, and sentences and tokens as messages."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

import numpy as np

from qda.v1 import syntax_pb2 as pb
from qda.v1 import text_pb2
from qda_worker.conversion.metadata import build_provenance, build_timings
from qda_worker.conversion.request_fields import (
    TextBatch,
    parse_enums,
    parse_long_text_policy,
    parse_offset_encoding,
    parse_priority,
    parse_texts,
)
from qda_worker.conversion.results import fill_results
from qda_worker.errors import ArgumentInvalid, Violation
from qda_worker.limits import MAX_RESPONSE_BYTES
from qda_worker.models.base import ModelInfo
from qda_worker.models.offsets import OffsetEncoding, convert_positions
from qda_worker.models.spacy_components import SyntaxLayer
from qda_worker.models.syntax import SyntaxOptions, TokenTable
from qda_worker.models.token_columns import STRING_COLUMNS, Column, Flag
from qda_worker.registry.registry import SelectedModel
from qda_worker.scheduling.jobs import Lane, Outcome

SYNTAX_LAYERS: Final[Mapping[SyntaxLayer, pb.SyntaxLayer.ValueType]] = {
    SyntaxLayer.SENTENCES: pb.SYNTAX_LAYER_SENTENCES,
    SyntaxLayer.LEMMA: pb.SYNTAX_LAYER_LEMMA,
    SyntaxLayer.UNIVERSAL_PART_OF_SPEECH: pb.SYNTAX_LAYER_UNIVERSAL_PART_OF_SPEECH,
    SyntaxLayer.FINE_PART_OF_SPEECH: pb.SYNTAX_LAYER_FINE_PART_OF_SPEECH,
    SyntaxLayer.MORPHOLOGY: pb.SYNTAX_LAYER_MORPHOLOGY,
    SyntaxLayer.DEPENDENCY: pb.SYNTAX_LAYER_DEPENDENCY,
    SyntaxLayer.ENTITIES: pb.SYNTAX_LAYER_ENTITIES,
}
_LAYERS: Final = {int(number): layer for layer, number in SYNTAX_LAYERS.items()}

# Bytes of a response beside its results: provenance, timings, and the status of each text that does not fit.
_RESPONSE_OVERHEAD_BYTES: Final = 16_384
_STATUS_BYTES: Final = 512
# Bytes of a field of less than 128 bytes beside its content: number and length.
_FIELD_BYTES: Final = 2
# Bytes of a token beside its text and labels, at least: the fields of the token, its text and its span, and the end.
_TOKEN_BYTES: Final = 4 * _FIELD_BYTES


@dataclass(frozen=True, slots=True)
class SyntaxRequest:
    """A parsed AnalyzeSyntaxRequest.

    Attributes:
        texts: the texts to analyze.
        model: the key of the model; empty for the default.
        options: for the model, with the layers.
        lane: the lane of the queue; None: by the size of the call.
        span_encoding: the unit of the spans.
        offset_encoding: the field as sent, which the response repeats.
    """

    texts: TextBatch
    model: str
    options: SyntaxOptions
    lane: Lane | None
    span_encoding: OffsetEncoding
    offset_encoding: text_pb2.OffsetEncoding.ValueType


def parse_analyze_syntax(request: pb.AnalyzeSyntaxRequest) -> SyntaxRequest:
    """Parse an AnalyzeSyntaxRequest.

    Raises:
        InvalidRequest: when a field is missing or out of range.
    """
    return SyntaxRequest(
        texts=parse_texts(request.texts),
        model=request.model,
        span_encoding=parse_offset_encoding(request.offset_encoding),
        options=SyntaxOptions(
            parse_long_text_policy(request.long_text_policy), layers=parse_layers(request.layers)
        ),
        lane=parse_priority(request.priority, None),
        offset_encoding=request.offset_encoding,
    )


def parse_layers(numbers: Iterable[int]) -> frozenset[SyntaxLayer]:
    """Parse the layers of a request. Which of them a model has is checked by `check_layers`.

    Raises:
        ArgumentInvalid: when a number is not a layer.
    """
    names = ", ".join(pb.SyntaxLayer.Name(each) for each in SYNTAX_LAYERS.values())
    remedy = f"use {names}, or leave the list empty for all layers of the model"
    return parse_enums(_LAYERS, numbers, "layers", "a layer", remedy)


def check_layers(options: SyntaxOptions, info: ModelInfo) -> None:
    """Check that the model has the layers that were asked for.

    Raises:
        ArgumentInvalid: when it does not.
    """
    missing = [layer for layer in SYNTAX_LAYERS if layer in options.layers - info.syntax_layers.keys()]
    if missing:
        names = [pb.SyntaxLayer.Name(SYNTAX_LAYERS[layer]) for layer in missing]
        supported = ", ".join(pb.SyntaxLayer.Name(SYNTAX_LAYERS[layer]) for layer in info.syntax_layers)
        components = ", ".join(info.components) or "none"
        raise ArgumentInvalid(
            f'the model "{info.key}" has no component for {", ".join(names)}; its components: {components}',
            f"ask for its layers ({supported or 'none'}), leave the list empty, or name another model",
            violations=[Violation("layers", f"{name} is not supported by this model") for name in names],
        )


def build_analyze_syntax(
    request: SyntaxRequest, outcomes: Sequence[Outcome[Any]], selected: SelectedModel, started: float
) -> pb.AnalyzeSyntaxResponse:
    """Build the response from the outcome of each text; `started` as in `build_timings`.

    A text whose tokens do not fit into the message gets an error in their place; the texts before it keep theirs.
    """
    info = selected.engine.info
    layers = request.options.returned_layers(info)
    response = pb.AnalyzeSyntaxResponse(
        provenance=build_provenance(selected, request.options),
        offset_encoding=request.offset_encoding,
        layers=[SYNTAX_LAYERS[layer] for layer in layers],
    )
    reserved = request.texts.id_bytes + len(outcomes) * _STATUS_BYTES + _RESPONSE_OVERHEAD_BYTES
    budget = ByteBudget(MAX_RESPONSE_BYTES - reserved)
    fill_answer = partial(fill_syntax, span_encoding=request.span_encoding, budget=budget)
    fill_results(response.results.add, request.texts, outcomes, info, fill_answer)
    response.timings.CopyFrom(build_timings((outcome.timings for outcome in outcomes), started))
    return response


class ByteBudget:
    """The bytes of a message that are left for results."""

    def __init__(self, left: int) -> None:
        self.left = left

    def check(self, size: int, *, at_least: bool = False) -> None:
        """Check that some bytes are left.

        Args:
            size: the size of the tokens of a text.
            at_least: whether they may take more.

        Raises:
            ArgumentInvalid: when fewer are left.
        """
        if size > self.left:
            raise ArgumentInvalid(
                f"the tokens of this text take {'at least ' * at_least}{size} bytes, and {max(0, self.left)} of "
                f"{MAX_RESPONSE_BYTES} bytes of a message are left",
                "send fewer or shorter texts at a time, or ask for fewer layers",
            )

    def take(self, size: int) -> None:
        """Take some bytes.

        Raises:
            ArgumentInvalid: when fewer are left.
        """
        self.check(size)
        self.left -= size


def fill_syntax(
    result: pb.SyntaxResult,
    content: str,
    answer: TokenTable,
    *,
    span_encoding: OffsetEncoding,
    budget: ByteBudget,
) -> None:
    """Fill sentences and tokens, with spans in `span_encoding`.

    Raises:
        ArgumentInvalid: when they exceed the budget. If it is far exceeded, nothing is built.
    """
    budget.check(_least_size(answer), at_least=True)
    table, strings = answer.table, answer.strings
    starts = table[Column.START]
    ends = starts + table[Column.LENGTH]
    flags = table[Column.FLAGS]
    shown_starts, shown_ends = convert_positions(content, np.stack([starts, ends]), span_encoding).tolist()
    has_heads = SyntaxLayer.DEPENDENCY in answer.layers
    heads = (table[Column.HEAD] + range(table.shape[1])).tolist() if has_heads else [None] * table.shape[1]
    add = result.tokens.add
    for start, end, shown_start, shown_end, space, begins, head, lemma, pos, tag, morph, label, entity in zip(
        starts.tolist(), ends.tolist(), shown_starts, shown_ends,
        *((flags & int(flag)).astype(bool).tolist() for flag in (Flag.SPACE_AFTER, Flag.ENTITY_BEGIN)),
        heads,
        *(table[column].tolist() for column in range(Column.LEMMA, Column.ENTITY + 1)),
        strict=True,
    ):  # fmt: skip
        add(
            text=content[start:end],
            span={"start": shown_start, "end": shown_end},
            space_after=space,
            lemma=strings[lemma],
            universal_part_of_speech=strings[pos],
            fine_part_of_speech=strings[tag],
            morphology=strings[morph],
            head_index=head,
            dependency_label=strings[label],
            entity_label=strings[entity],
            entity_begins=begins,
        )
    if SyntaxLayer.SENTENCES in answer.layers:
        firsts = np.flatnonzero(flags & int(Flag.SENTENCE_START)).tolist()
        for first, after in zip(firsts, [*firsts[1:], len(heads)], strict=True):
            result.sentences.add(
                span=text_pb2.Span(start=shown_starts[first], end=shown_ends[after - 1]),
                first_token_index=first,
                token_count=after - first,
            )
    budget.take(result.ByteSize())


def _least_size(answer: TokenTable) -> int:
    """Return a number of bytes that the tokens take at least."""
    counts = np.bincount(answer.table[list(STRING_COLUMNS)].ravel())
    used = np.flatnonzero(counts)  # the texts of a batch share their strings, and most do not occur here
    labels = sum(
        (len(text.encode()) + _FIELD_BYTES * bool(text)) * count
        for text, count in zip(
            map(answer.strings.__getitem__, used.tolist()), counts[used].tolist(), strict=True
        )
    )
    words = answer.table[Column.LENGTH].sum(dtype=np.int64)  # code points, each of a byte or more
    return int(labels + words + answer.table.shape[1] * _TOKEN_BYTES)
