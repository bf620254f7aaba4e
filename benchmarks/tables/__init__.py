"""The tables of the benchmark, by name, in the order of the run and of the page.

The module of a table is imported when it is measured, because it needs torch; the page needs only what is here.
"""

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import Any, Final


@dataclass(frozen=True, slots=True)
class TableInfo:
    """A table.

    Attributes:
        title: heading of its section.
        description: what is measured and how.
        function: `MODULE:FUNCTION` below this package, which takes a session and returns rows.
        by_default: whether a run without `--table` measures it.
    """

    title: str
    description: str
    function: str
    by_default: bool = True

    def load(self) -> Callable[[Any], Any]:
        """Import the module and return the function that measures."""
        module, _, name = self.function.partition(":")
        function: Callable[[Any], Any] = getattr(import_module(f"benchmarks.tables.{module}"), name)
        return function


TABLES: Final = {
    "throughput": TableInfo(
        "Throughput",
        "Texts per second of a list, as its users compute it: the worker and Infinity get 4 requests of "
        "32 texts at a time, libraries the whole list in batches of 32. Bare is the forward pass alone: "
        "texts are tokenized before the time is taken, and sorted by length into batches of at most 1,024 "
        "padded tokens. In bf16 and int8 it is the same prepared form, computed without a server.",
        "throughput:rows",
    ),
    "latency": TableInfo(
        "Latency",
        "Milliseconds for one text of 16 to 31 tokens, by the number of callers that send one text after "
        "the other without a pause. A library has no callers: it is measured alone. Bare is the forward "
        "pass alone. The goal for one caller is 2 ms more than it. Before, each side has computed one text "
        "of each length: some engines compile kernels for every new shape.",
        "latency:rows",
    ),
    "interactive": TableInfo(
        "An interactive caller beside a bulk job",
        "Milliseconds for one text of 16 to 31 tokens from one caller: idle, and while another caller "
        "sends a list of 100,000 texts of 40 to 70 tokens as a stream.",
        "latency:interactive_rows",
    ),
    "overload": TableInfo(
        "Overload",
        "Texts per second that are answered within their deadline: by as many callers as keep the worker "
        "busy (capacity), and while ten times as many texts arrive in calls of 4 texts, without any retry. "
        "The deadline is 1.5 times as long as a call takes at capacity, and at most 15 seconds.",
        "overload:rows",
    ),
    "streams": TableInfo(
        "Stream against unary calls",
        "Texts per second of `embed_stream`, which needs constant memory, and of `embed` with 4 requests "
        "of 32 texts at a time.",
        "streams:rows",
    ),
    "cold-start": TableInfo(
        "Cold start",
        "Seconds from the start of a process until it is ready: for the worker until health says so, "
        "which includes a self-test and up to two seconds in which the engines are measured; for a library "
        "until a bare script has imported it, loaded the model and computed one text; for Infinity until "
        "its first answer. The goal is a bare script and these two seconds. The files are in the page cache.",
        "cold_start:rows",
    ),
    "memory": TableInfo(
        "Memory of several workers",
        "MiB of all processes of 1, 2 and 4 workers after some texts: PSS counts a page that n processes "
        "share as an n-th for each, so it is what the workers take on the node; private are the pages "
        "that no other process has. The goal is private memory of a quarter of the weights in fp32, with "
        "torch.",
        "memory:rows",
    ),
    "growth": TableInfo(
        "A corpus ten times as large",
        "Processor time for one item of a corpus and of one ten times as large, which would grow if "
        "anything were kept, copied or searched once for each item. The texts go through a worker with a "
        "tiny model as a stream, so that the cost is the worker's; pairs are those of the paraphrase "
        "search over random vectors.",
        "growth:rows",
    ),
    "warm": TableInfo(
        "Fetching",
        "Seconds of `cache-warmer warm` against a parallel copy over TLS of the same bytes from the same "
        "server on this machine, with the same number of connections and without any hash, both until "
        "their bytes are on disk. The goal is 1.1 where the line is the limit, and 1.3 without a limit, "
        "where the processors are.",
        "cache:warm_rows",
    ),
    "check": TableInfo(
        "cache-check",
        "Processor milliseconds of `cache-check` against those of the bare interpreter for the default "
        "catalog, and against `find -type f -size` for caches of one model with many files.",
        "cache:check_rows",
    ),
    "deep": TableInfo(
        "cache-check --deep",
        "Seconds in which every file is hashed, against `sha256sum` of the same files on all cores, the "
        "largest first.",
        "cache:deep_rows",
    ),
    "cuda": TableInfo(
        "CUDA",
        "Texts per second of a list of texts of 40 to 70 tokens, and milliseconds for one text of 16 to 31 "
        "tokens. The worker gets 8 requests of 512 texts at a time; the library, in the worker's "
        "environment, gets the whole list in batches of 32. Bare is the forward pass alone, of texts that "
        "are on the device already, sorted by length into batches of at most 16,384 padded tokens.",
        "cuda:rows",
        by_default=False,
    ),
}
