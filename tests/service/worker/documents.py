"""Helpers for `AnalyzeDocuments` streams."""

from collections.abc import Iterable, Iterator
from typing import Any, Final

import grpc

from qda.v1 import analysis_pb2 as pb
from qda.v1 import analysis_pb2_grpc, text_pb2
from tests.service.worker.calls import TIMEOUT

CODE_POINTS: Final = text_pb2.OFFSET_ENCODING_CODE_POINTS


def settings(*, sentiment: bool = False, entities: bool = False, **more: Any) -> pb.AnalyzeDocumentsSettings:
    """Return settings for the default models of these tasks."""
    return pb.AnalyzeDocumentsSettings(
        sentiment=pb.SentimentTask() if sentiment else None,
        entities=pb.EntityTask() if entities else None,
        offset_encoding=CODE_POINTS if entities else text_pb2.OFFSET_ENCODING_UNSPECIFIED,
        **more,
    )


def parts(
    first: pb.AnalyzeDocumentsSettings, documents: Iterable[text_pb2.Text]
) -> Iterator[pb.AnalyzeDocumentsRequest]:
    """Yield the settings, then the documents, as requests."""
    yield pb.AnalyzeDocumentsRequest(settings=first)
    for document in documents:
        yield pb.AnalyzeDocumentsRequest(document=document)


def start_stream(channel: grpc.Channel, requests: Iterable[Any], **options: Any) -> Any:
    """Start the call and return gRPC's iterator of responses."""
    stub = analysis_pb2_grpc.AnalysisServiceStub(channel)
    return stub.AnalyzeDocuments(iter(requests), **{"timeout": TIMEOUT, **options})


def analyze_documents(
    channel: grpc.Channel, first: pb.AnalyzeDocumentsSettings, documents: Iterable[text_pb2.Text]
) -> tuple[pb.AnalyzeDocumentsHeader, list[pb.DocumentResult]]:
    """Return the header and the results; fail if they are out of order."""
    header, *results = start_stream(channel, parts(first, documents))
    assert header.WhichOneof("part") == "header"
    assert {part.WhichOneof("part") for part in results} <= {"result"}
    assert [part.result.index for part in results] == list(range(len(results)))
    return header.header, [part.result for part in results]


def results_until_error(call: Any) -> tuple[list[pb.DocumentResult], grpc.RpcError]:
    """Return the results of a stream that ends with an error, and the error."""
    results = []
    try:
        for part in call:
            results += [part.result] if part.HasField("result") else []
    except grpc.RpcError as error:
        return results, error
    raise AssertionError(f"the stream ended without an error, after {len(results)} results")
