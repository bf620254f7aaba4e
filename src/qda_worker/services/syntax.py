"""SyntaxService: splits texts into sentences and tokens, with lemma, part of speech, head and more of each token."""

import time

from model_cache.catalog.catalog import Task
from qda.v1 import syntax_pb2 as pb
from qda.v1 import syntax_pb2_grpc
from qda_worker.conversion.syntax import build_analyze_syntax, check_layers, parse_analyze_syntax
from qda_worker.interceptors.base import Context
from qda_worker.registry.registry import ModelRegistry
from qda_worker.services.inference import build_off_loop, infer


class SyntaxService(syntax_pb2_grpc.SyntaxServiceServicer):
    """Servicer of `qda.v1.SyntaxService`; it uses the syntax and entity models of `registry`."""

    def __init__(self, registry: ModelRegistry) -> None:
        self._registry = registry

    async def AnalyzeSyntax(
        self, request: pb.AnalyzeSyntaxRequest, context: Context
    ) -> pb.AnalyzeSyntaxResponse:
        """Return the sentences and tokens of each text."""
        started = time.monotonic()
        parsed = parse_analyze_syntax(request)
        contents = parsed.texts.contents
        selected = self._registry.select(parsed.model, Task.SYNTAX)
        check_layers(parsed.options, selected.engine.info)
        outcomes = await infer(selected, contents, parsed.options, parsed.lane, context)
        return await build_off_loop(
            contents, lambda: build_analyze_syntax(parsed, outcomes, selected, started)
        )
