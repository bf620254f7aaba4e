"""The HTTP port of a real worker: every method gives what gRPC gives, and the examples of the documentation work."""

import json
import re
import subprocess
import urllib.request
from pathlib import Path
from typing import Any, Final

import grpc
import pytest
from google.protobuf import descriptor_pool, json_format, message_factory

from qda_worker.services import ANALYSIS, SERVICES
from tests.service.worker.calls import TIMEOUT
from tests.service.worker.process import ServeProcess

DOCS: Final = Path(__file__).parents[3] / "docs" / "http.md"
EXAMPLES: Final = re.findall(r"```sh\n(curl .*?)```", DOCS.read_text("utf-8"), re.DOTALL)
# What differs from call to call.
CHANGING: Final = ("timings",)
REQUESTS: Final[dict[str, dict[str, Any]]] = {
    "AnalyzeSentiment": {
        "texts": [{"id": "a", "content": "Gut. Schlecht."}, {"content": ""}],
        "includeSentences": True,
        "offsetEncoding": "OFFSET_ENCODING_UTF16_UNITS",
    },
    "RecognizeEntities": {
        "texts": [{"content": "Merkel war in Köln."}],
        "offsetEncoding": "OFFSET_ENCODING_CODE_POINTS",
    },
    "AnalyzeSyntax": {
        "texts": [{"content": "Merkel war in Köln."}],
        "offsetEncoding": "OFFSET_ENCODING_CODE_POINTS",
    },
    "Embed": {
        "texts": [{"content": "Ein Satz."}],
        "options": {"elementType": "ELEMENT_TYPE_FLOAT_LIST"},
    },
    "ScorePairs": {"pairs": [{"first": {"content": "Ein Satz."}, "second": {"content": "Zwei Sätze."}}]},
    "ListModels": {},
    "GetCacheStatus": {},
}


@pytest.fixture(scope="module")
def url(worker: ServeProcess) -> str:
    return f"http://127.0.0.1:{worker.wait_for_event('http.listening')['port']}"


def unary_methods() -> list[Any]:
    pool = descriptor_pool.Default()
    methods = [
        method for name in SERVICES if name != ANALYSIS for method in pool.FindServiceByName(name).methods
    ]
    return [method for method in methods if not (method.client_streaming or method.server_streaming)]


def post(url: str, body: dict[str, Any]) -> Any:
    sent = urllib.request.Request(url, json.dumps(body).encode(), {"Content-Type": "application/json"})
    with urllib.request.urlopen(sent, timeout=TIMEOUT) as answer:
        return json.loads(answer.read())


def test_every_unary_method_gives_what_grpc_gives(channel: grpc.Channel, url: str) -> None:
    for method in unary_methods():
        body = REQUESTS[method.name]
        path = f"/{method.containing_service.full_name}/{method.name}"
        response_type = message_factory.GetMessageClass(method.output_type)
        request = json_format.ParseDict(body, message_factory.GetMessageClass(method.input_type)())
        by_grpc = channel.unary_unary(
            path,
            type(request).SerializeToString,
            response_type.FromString,
        )(request, timeout=TIMEOUT)
        by_http = json_format.ParseDict(post(url + path, body), response_type())
        for name in CHANGING:
            if name in method.output_type.fields_by_name:
                by_grpc.ClearField(name)
                by_http.ClearField(name)
        assert by_http == by_grpc, path


@pytest.mark.parametrize("example", EXAMPLES)
def test_an_example_of_the_documentation_is_answered(url: str, example: str) -> None:
    command = example.replace("http://127.0.0.1:8080", url).replace("curl ", "curl --fail --max-time 60 ", 1)
    done = subprocess.run(["sh", "-c", command], capture_output=True, timeout=TIMEOUT, check=False)
    assert done.returncode == 0, done
    answer = json.loads(done.stdout)
    assert answer.get("results") or answer.get("models") or answer.get("status") == "SERVING"


def test_calls_by_http_are_in_log_and_metrics(worker: ServeProcess, url: str) -> None:
    post(
        url + "/qda.v1.SentimentService/AnalyzeSentiment", {"texts": [{"content": "Geheimnis im Protokoll."}]}
    )
    worker.wait_for("call", lambda: any(line["items"] == 1 for line in worker.events("call.ended")))
    assert "Geheimnis" not in worker.log
    port = worker.wait_for_event("metrics.listening")["port"]
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=TIMEOUT) as answer:
        assert 'grpc_method="qda.v1.SentimentService/AnalyzeSentiment"' in answer.read().decode()
