"""What a report shows of where its statements are from."""

import pytest

from qda_worker.client.readers.segment import Segment
from qda_worker.client.report.statements import Statement
from tests.support.result_records import make_report


@pytest.mark.parametrize(
    ("sources", "names"),
    [
        (["/home/anna/a.txt"], ["a.txt"]),
        (["/home/anna/1/a.txt", "/home/anna/2/a.txt"], ["1/a.txt", "2/a.txt"]),
        (["corpus/a.txt", "b.txt"], ["corpus/a.txt", "b.txt"]),
        (["stdin"], ["stdin"]),
        (["/home/anna/a.txt", "b.txt"], ["/home/anna/a.txt", "b.txt"]),
    ],
)
def test_sources_are_named_below_their_common_folder(sources: list[str], names: list[str]) -> None:
    report = make_report([], statements=[Statement(Segment("Text", "1", source)) for source in sources])
    assert list(report.source_names.values()) == names
