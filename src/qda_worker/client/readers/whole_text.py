"""Read the whole text of a file: that of a text file, or what is extracted from a document."""

from model_cache.errors import UsageError
from qda_worker.client.readers.corpus import read_corpus
from qda_worker.client.readers.options import ReadingOptions, Segmentation
from qda_worker.client.readers.segment import InvalidSegment


def whole_text(path: str, encoding: str = "") -> str:
    """Return the text of a file, with LF as line end.

    Args:
        path: the file.
        encoding: of a text file; empty: that of its byte order mark, else UTF-8.

    Raises:
        UsageError: when it cannot be read.
    """
    segments = list(read_corpus([path], ReadingOptions(segment=Segmentation.FILE, encoding=encoding)))
    invalid = next((each for each in segments if isinstance(each, InvalidSegment)), None)
    if invalid is not None:
        raise UsageError(f"{path}: {invalid.error.message}", invalid.error.remedy)
    return segments[0].text if len(segments) == 1 else ""
