"""Whether the sentences of a request's texts are few enough to be answered.

A text of 16 MB may have millions, whose results would pass no message limit: that is told before anything is computed.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from qda_worker.errors import TooManyTexts, Violation
from qda_worker.limits import MAX_SENTENCES
from qda_worker.models.sentences import sentence_spans

_ENDS: Final = ".!?…\n\r\v\f\x1c\x1d\x1e\x85\u2028\u2029"
"""Each sentence but the last holds one of these or is followed by one."""


def check_sentences(contents: Sequence[str], most: int = MAX_SENTENCES) -> None:
    """Raises TooManyTexts. May take a second for each MB of texts that come near the limit."""
    if sum(1 + sum(map(content.count, _ENDS)) for content in contents) <= most:
        return
    count = sum(len(sentence_spans(content)) for content in contents)
    if count > most:
        raise TooManyTexts(
            f"the texts have {count} sentences, and at most {most} are answered at once",
            "send the texts in several requests, or leave include_sentences out",
            violations=[Violation("texts", f"hold {count} sentences; at most {most}")],
        )
