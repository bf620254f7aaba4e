"""docs/reasons.md explains every reason, with its codes; the package has a copy of it."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from model_cache.check.types import Problem
from model_cache.explanations import explanation_hint, hint_line, read_explanations, with_help
from model_cache.reasons import Reason
from qda_worker.client.errors import ClientError
from qda_worker.errors import WorkerError

ROOT: Final = Path(__file__).parents[3]
GRPC_STATUS: Final = re.compile(r"gRPC status (\w+)")


def below(base: type[Any]) -> Iterator[type[Any]]:
    for kind in base.__subclasses__():
        yield kind
        yield from below(kind)


def reasons_of_source() -> set[str]:
    """Return the values of `reason=` in calls of the client and the worker."""
    found = set()
    for path in (ROOT / "src/qda_worker").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if (
                isinstance(node, ast.keyword)
                and node.arg == "reason"
                and isinstance(node.value, ast.Constant)
            ):
                found.add(str(node.value.value))
    return found


WORKER: Final = {kind.reason: kind.status for kind in below(WorkerError) if "reason" in vars(kind)}
CLIENT: Final = {
    kind.usual_reason: kind.exit_code for kind in below(ClientError) if "usual_reason" in vars(kind)
}


def test_the_copy_in_the_package_is_the_page() -> None:
    page = (ROOT / "docs/reasons.md").read_text("utf-8")
    assert (ROOT / "src/model_cache/data/reasons.md").read_text("utf-8") == page


def test_every_reason_has_a_section_and_no_other_word_has_one() -> None:
    known = set(Reason) | set(WORKER) | set(CLIENT) | reasons_of_source()
    assert set(read_explanations()) == {str(reason) for reason in known}


@pytest.mark.parametrize("reason", Reason)
def test_a_section_names_the_exit_code(reason: Reason) -> None:
    assert read_explanations()[reason].startswith(f"Exit code {reason.exit_code}")


@pytest.mark.parametrize("reason", sorted(WORKER))
def test_a_section_names_the_status_of_a_call(reason: str) -> None:
    found = GRPC_STATUS.search(read_explanations()[reason])
    assert found is not None
    assert found[1] == WORKER[reason]


@pytest.mark.parametrize("reason", sorted(set(CLIENT) - set(Reason)))
def test_a_section_names_the_exit_code_of_the_client(reason: str) -> None:
    assert re.search(rf"\b[Ee]xit code {CLIENT[reason]}\b", read_explanations()[reason])


@pytest.mark.parametrize("reason", sorted(set(read_explanations()) - {"OK"}))
def test_a_section_has_a_command_and_a_remedy(reason: str) -> None:
    section = read_explanations()[reason]
    assert re.search(r"^    \S", section, re.MULTILINE)
    assert "\n**Remedy:** " in section


def test_a_hint_leads_to_the_command_and_to_the_anchor() -> None:
    assert explanation_hint("NO_SPACE") == "cache-warmer explain NO_SPACE (docs/reasons.md#no_space)"
    assert hint_line(Reason.NO_SPACE) == "more: cache-warmer explain NO_SPACE (docs/reasons.md#no_space)\n"


def test_a_reason_of_another_program_has_no_hint() -> None:
    assert (explanation_hint("FLUX_CAPACITOR"), hint_line("FLUX_CAPACITOR")) == ("", "")


@pytest.mark.parametrize("reason", ["OK", "USAGE", "INTERRUPTED", "ARGUMENT_INVALID"])
def test_messages_that_say_all_have_no_second_line(reason: str) -> None:
    assert explanation_hint(reason)
    assert hint_line(reason) == ""


def test_help_follows_the_remedy_or_the_reason_at_every_depth() -> None:
    problem = Problem("/a", Reason.NO_SPACE, "is full", "make space")
    document = with_help({"models": [{"reason": Reason.CACHE_CORRUPT, "problems": (problem,)}], "ok": True})
    assert isinstance(document, dict)
    assert isinstance(document["models"], list)
    (model,) = document["models"]
    assert isinstance(model, dict)
    assert list(model.items()) == [
        ("reason", "CACHE_CORRUPT"),
        ("help", explanation_hint("CACHE_CORRUPT")),
        ("problems", [{**problem._asdict(), "help": explanation_hint("NO_SPACE")}]),
    ]
    assert document["ok"] is True


@pytest.mark.parametrize("reason", [Reason.OK, "FLUX_CAPACITOR", "", None, 7, ["NO_SPACE"]])
def test_what_is_no_reason_of_a_failure_has_no_help(reason: object) -> None:
    assert with_help({"reason": reason}) == {"reason": reason}
