"""AnalysisService: several tasks on a stream of documents. In the contract, and not served in this release."""

from __future__ import annotations

from collections.abc import AsyncIterator

from qda.v1 import analysis_pb2 as pb
from qda.v1 import analysis_pb2_grpc
from qda_worker.errors import NotServedYet
from qda_worker.services.boundary import Context


class AnalysisService(analysis_pb2_grpc.AnalysisServiceServicer):
    """Refuses every call with the reason and what to do instead."""

    async def AnalyzeDocuments(
        self, request_iterator: AsyncIterator[pb.AnalyzeDocumentsRequest], context: Context
    ) -> AsyncIterator[pb.AnalyzeDocumentsResponse]:
        """UNIMPLEMENTED."""
        raise NotServedYet(
            "AnalyzeDocuments is not served in this release",
            "call the service of each task with lists of texts",
        )
        yield pb.AnalyzeDocumentsResponse()  # what makes this a stream
