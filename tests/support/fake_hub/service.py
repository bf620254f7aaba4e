"""Handle one request: the response of the hub, the fault that applies to it, and its record in the log.

Also the two addresses by which another process controls the fake hub: `/__faults__` and `/__log__`.
"""

import dataclasses
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from .answer import Answer, Request, error_answer, json_answer
from .delivery import Delivery, plan
from .faults import FaultInvalid, Faults, fault_from_json
from .protocol import Hub
from .request_log import Host, RequestLog, RequestRecord


@dataclass(frozen=True, slots=True)
class Service:
    """State and handlers that both listeners share.

    `base_of` and `storage_base_of` turn the Host header of a request into the addresses that answers point
    to; `prefix` is the path below which the hub is served, as by some mirrors (empty, or with a leading
    slash).
    """

    hub: Hub
    base_of: Callable[[str], str]
    storage_base_of: Callable[[str], str | None]
    prefix: str = ""
    log: RequestLog = field(default_factory=RequestLog)
    faults: Faults = field(default_factory=Faults)

    def request(
        self, *, method: str, path: str, query: str, headers: Mapping[str, str], body: bytes, origin: str
    ) -> Request:
        return Request(method, path, query, headers, body, self.base_of(origin), self.storage_base_of(origin))

    def receive(self, host: Host, request: Request) -> tuple[Delivery, int | None]:
        """Return the delivery of the response, and the number of the request in the log (None: not logged)."""
        below = request.path.removeprefix(self.prefix)
        if host == "hub" and below.startswith("/__"):
            return Delivery(self._steer(dataclasses.replace(request, path=below))), None
        answer = self._answer(host, request)
        fault = self.faults.take(host, request, answer)
        delivery = plan(fault, request, answer, lambda changed: self._answer(host, changed))
        record = RequestRecord(
            host=host,
            method=request.method,
            path=request.plain_path,
            query=request.query,
            range=request.headers.get("range"),
            authorized="authorization" in request.headers,
            user_agent=request.headers.get("user-agent"),
            status=delivery.answer.status if delivery.answer is not None else None,
            bytes_sent=0,
            fault=fault.kind.value if fault is not None else None,
        )
        return delivery, self.log.begin(record)

    def _answer(self, host: Host, request: Request) -> Answer:
        if host == "storage":
            return self.hub.storage_answer(request)
        if not request.path.startswith(f"{self.prefix}/"):
            return error_answer(404, "Nothing here: the hub lies below a prefix.")
        below = request.path.removeprefix(self.prefix)
        return self.hub.answer(dataclasses.replace(request, path=below, base=request.base + self.prefix))

    def _steer(self, request: Request) -> Answer:
        match (request.path, request.method):
            case ("/__log__", "GET"):
                return json_answer([dataclasses.asdict(record) for record in self.log.requests()])
            case ("/__log__", "DELETE"):
                self.log.clear()
                return json_answer({})
            case ("/__faults__", "POST"):
                return self._add_faults(request.body)
            case ("/__faults__", "DELETE"):
                self.faults.clear()
                return json_answer({})
            case ("/__faults__", "GET"):
                waiting = self.faults.waiting()
                return json_answer([{**dataclasses.asdict(fault), "times": left} for fault, left in waiting])
        return error_answer(404, "Here are GET and DELETE /__log__, and GET, POST and DELETE /__faults__.")

    def _add_faults(self, body: bytes) -> Answer:
        """Add one fault or a list of them; all or none."""
        try:
            document = json.loads(body)
            faults = [
                fault_from_json(one) for one in (document if isinstance(document, list) else [document])
            ]
        except (FaultInvalid, json.JSONDecodeError, UnicodeDecodeError) as error:
            return error_answer(400, str(error))
        self.faults.add(*faults)
        return json_answer({"added": len(faults)})
