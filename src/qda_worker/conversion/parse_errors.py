"""Parsing of requests: off the event loop where it may take long, bounded, and with the field at fault if it fails.

protobuf rejects a whole message for one bad byte in one string and does not name the string, but a caller with 10,000
texts needs to know. So a message that was rejected is decoded here a second time: a minimal decoder of the wire format
(`_WireWalk`) follows the descriptor and checks only the strings.

Any client can send any bytes, so three limits apply:

- gRPC runs a deserializer on the event loop. `deferring_parser` parses there only what is short and well-formed.
  Everything else it passes on as a `DeferredMessage`, which the interceptors parse in a thread.
- protobuf turns 16 MiB of empty fields into 500 MB of objects without releasing the global interpreter lock. So a
  message that is long enough for it is walked first, and refused if it has more than `MAX_FIELDS` fields.
- The explanation ends after `MAX_VIOLATIONS` strings, `MAX_FIELDS` fields or `MAX_EXPLAIN_SECONDS`.

See https://protobuf.dev/programming-guides/encoding/ for the wire format.
"""

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Final

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import DecodeError, Message

from qda_worker.errors import ArgumentInvalid, TextNotUtf8, TooManyTexts, Violation, WorkerError
from qda_worker.limits import MAX_TEXTS, MAX_VIOLATIONS

# Bytes of a message that is parsed on the event loop: at most three milliseconds, for empty texts.
MAX_BYTES_ON_LOOP: Final = 2**16
# Fields of a message, nested ones included: three times those of the largest valid request, whose 10,000 texts have an
# id and a content each. Walking them takes about a tenth of a second.
MAX_FIELDS: Final = 100_000
# Seconds that the explanation of a malformed message may take.
MAX_EXPLAIN_SECONDS: Final = 0.25

# Bytes of the shortest field: a tag and a value.
_MIN_FIELD_BYTES: Final = 2
# Fields that are walked between two checks of the time limit.
_FIELDS_PER_LOOK: Final = 1024

# Wire types.
_VARINT: Final = 0
_FIXED64: Final = 1
_LENGTH_DELIMITED: Final = 2
_FIXED32: Final = 5

_MAX_DEPTH: Final = 100  # protobuf's own limit for nested messages
_MAX_VARINT_BITS: Final = 70  # ten bytes of seven bits


class _MalformedMessage(Exception):
    """The bytes are not a message."""


class _BudgetSpent(Exception):
    """The message has more fields than may be walked, or walking them takes too long."""


class Deferred(ABC):
    """A request that is parsed after its call has begun, so that an error of it is an error of the call."""

    __slots__ = ()

    @property
    def is_quick(self) -> bool:
        """Whether it may be parsed on the event loop."""
        return False

    @abstractmethod
    def parse(self) -> Message:
        """Return the message.

        Raises:
            WorkerError: when there is none.
        """


@dataclass(frozen=True, slots=True)
class FailedMessage(Deferred):
    """In place of a request that could not be received.

    Attributes:
        error: why.
    """

    error: WorkerError

    @property
    def is_quick(self) -> bool:
        return True

    def parse(self) -> Message:
        """Raise the error."""
        raise self.error


@dataclass(frozen=True, slots=True)
class DeferredMessage(Deferred):
    """The bytes of a request that are to be parsed in a thread.

    Attributes:
        data: the bytes.
        parser: protobuf's parser of the message.
        descriptor: the type of the message.
    """

    data: bytes
    parser: Callable[[bytes], Message]
    descriptor: Descriptor

    def parse(self) -> Message:
        """Parse the message. Call this in a thread: it may take some tenths of a second.

        Raises:
            TooManyTexts: when it has more than `MAX_FIELDS` fields.
            TextNotUtf8: when a string in it is not UTF-8.
            ArgumentInvalid: when the bytes are not such a message.
        """
        if len(self.data) > MAX_FIELDS * _MIN_FIELD_BYTES:
            _check_field_count(self.data, self.descriptor)
        try:
            return self.parser(self.data)
        except DecodeError:
            pass
        # Raised outside of the handler, so that protobuf's error does not become its context.
        raise explain_parse_error(self.data, self.descriptor)


def deferring_parser(
    parser: Callable[[bytes], Message], descriptor: Descriptor
) -> Callable[[bytes], Message | DeferredMessage]:
    """Return a parser for the event loop. It never raises and is never slow.

    gRPC ends a call whose parser raises with INTERNAL, before any handler runs. So what is long or malformed is
    returned as a DeferredMessage, which the interceptors parse before they run the handler.
    """

    def parse_or_defer(data: bytes) -> Message | DeferredMessage:
        if len(data) <= MAX_BYTES_ON_LOOP:
            try:
                return parser(data)
            except DecodeError:
                pass  # explained in a thread
        return DeferredMessage(data, parser, descriptor)

    return parse_or_defer


def explain_parse_error(
    data: bytes, descriptor: Descriptor, clock: Callable[[], float] = time.monotonic
) -> WorkerError:
    """Return the error for bytes that protobuf refused as a message of `descriptor`.

    Returns:
        TextNotUtf8, whose violations name the first `MAX_VIOLATIONS` strings that are not UTF-8, or ArgumentInvalid
        where the bytes are not a message or none was found within the bounds.
    """
    walk = _WireWalk(data, clock)
    violations, seen_all = [], True
    try:
        # Collected one by one: they are kept if a limit stops the walk, and dropped if the bytes are not a message.
        for path in islice(walk.bad_strings(0, len(data), descriptor, "", 0), MAX_VIOLATIONS):
            violations.append(Violation(path, "holds bytes that are not UTF-8"))  # noqa: PERF401
    except _MalformedMessage:
        violations = []
    except _BudgetSpent:
        seen_all = False
    if violations:
        return TextNotUtf8(f"{violations[0].field} holds bytes that are not UTF-8", violations=violations)
    if seen_all:
        return ArgumentInvalid(
            f"the bytes sent are not a {descriptor.full_name}",
            "build the message with stubs generated from the worker's proto",
        )
    return ArgumentInvalid(
        f"the bytes sent are not a {descriptor.full_name}, or a string in them is not UTF-8; the first "
        f"{walk.fields} fields are well-formed",
        "build the message with stubs generated from the worker's proto, and encode every string as UTF-8",
    )


def is_repeated(field: FieldDescriptor) -> bool:
    """Return whether a field is repeated, with any supported protobuf.

    protobuf before 6.31 has only `label`, which protobuf 7 removed.
    """
    if hasattr(field, "is_repeated"):
        return bool(field.is_repeated)
    return bool(field.label == FieldDescriptor.LABEL_REPEATED)  # type: ignore[attr-defined]  # gone in protobuf 7


def _check_field_count(data: bytes, descriptor: Descriptor) -> None:
    """Refuse a message of more than `MAX_FIELDS` fields. Bytes that are not a message pass: the parser refuses them.

    Raises:
        TooManyTexts: when there are more.
    """
    # Without a limit of time: a busy machine must not refuse a valid request.
    walk = _WireWalk(data, clock=None)
    try:
        walk.skip_all(0, len(data), descriptor, 0)
    except _MalformedMessage:
        return
    except _BudgetSpent:
        raise TooManyTexts(
            f"the message has more than {MAX_FIELDS} fields; a request has at most {MAX_TEXTS} texts"
        ) from None


class _WireWalk:
    """One pass over the fields of a message and of the messages in it, with a limit of fields and of time.

    Attributes:
        fields: number of fields walked so far.
    """

    def __init__(self, data: bytes, clock: Callable[[], float] | None) -> None:
        """Create a walk.

        Args:
            data: the message.
            clock: monotonic seconds; None for no limit of time.
        """
        self.fields = 0
        self._data = data
        self._clock = clock
        self._end = 0.0 if clock is None else clock() + MAX_EXPLAIN_SECONDS

    def bad_strings(
        self, start: int, end: int, descriptor: Descriptor, prefix: str, depth: int
    ) -> Iterator[str]:
        """Yield the paths of the strings in `data[start:end]`, a message of `descriptor`, that are not UTF-8.

        Raises:
            _MalformedMessage: when it is not a message.
            _BudgetSpent: when it has more fields than may be walked, or that takes too long.
        """
        seen: dict[int, int] = {}
        for number, first, last in self._fields(start, end, depth):
            field = descriptor.fields_by_number.get(number)
            if field is None:
                continue
            index = seen.get(number, 0)
            seen[number] = index + 1
            if field.type == FieldDescriptor.TYPE_STRING:
                if not _is_utf8(self._data[first:last]):
                    yield _path(prefix, field, index)
            elif field.type == FieldDescriptor.TYPE_MESSAGE and field.message_type is not None:
                inner = _path(prefix, field, index) + "."
                yield from self.bad_strings(first, last, field.message_type, inner, depth + 1)

    def skip_all(self, start: int, end: int, descriptor: Descriptor, depth: int) -> None:
        """Walk over all fields of `data[start:end]`, a message of `descriptor`, without looking at them.

        Raises:
            _MalformedMessage: when it is not a message.
            _BudgetSpent: when it has more fields than may be walked.
        """
        messages = {field.number: field.message_type for field in descriptor.fields if field.message_type}
        for number, first, last in self._fields(start, end, depth):
            if number in messages:
                self.skip_all(first, last, messages[number], depth + 1)

    def _fields(self, position: int, end: int, depth: int) -> Iterator[tuple[int, int, int]]:
        """Yield the number of each length-delimited field, and where its bytes start and end."""
        if depth > _MAX_DEPTH:
            raise _MalformedMessage
        data = self._data
        while position < end:
            self._spend()
            tag, position = _varint(data, position, end)
            number, wire_type = tag >> 3, tag & 7
            if number == 0:
                raise _MalformedMessage
            if wire_type == _VARINT:
                _, position = _varint(data, position, end)
                continue
            if wire_type == _LENGTH_DELIMITED:
                length, position = _varint(data, position, end)
            elif wire_type == _FIXED64:
                length = 8
            elif wire_type == _FIXED32:
                length = 4
            else:
                raise _MalformedMessage
            if position + length > end:
                raise _MalformedMessage
            if wire_type == _LENGTH_DELIMITED:
                yield number, position, position + length
            position += length

    def _spend(self) -> None:
        if self.fields == MAX_FIELDS:
            raise _BudgetSpent
        self.fields += 1
        if self._clock is not None and self.fields % _FIELDS_PER_LOOK == 0 and self._clock() > self._end:
            raise _BudgetSpent


def _path(prefix: str, field: FieldDescriptor, index: int) -> str:
    return f"{prefix}{field.name}[{index}]" if is_repeated(field) else prefix + field.name


def _varint(data: bytes, position: int, end: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, _MAX_VARINT_BITS, 7):
        if position >= end:
            raise _MalformedMessage
        byte = data[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if not byte & 0x80:
            return value, position
    raise _MalformedMessage


def _is_utf8(data: bytes) -> bool:
    try:
        data.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True
