"""Baseline of the benchmark `warm`: parallel range requests over HTTPS into files, synced, without any hash.

    python -m benchmarks.plain_copy FOLDER CONNECTIONS URL...

The minimum of a transfer in Python: one connection per thread, bytes from the socket into a buffer of one MiB and from
there to their offset in the file, and one fsync per file at the end. A CA
bundle comes from SSL_CERT_FILE.
"""

import http.client
import os
import queue
import ssl
import sys
import threading
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

_RANGE_BYTES: Final = 32 << 20
_BUFFER_BYTES: Final = 1 << 20

# URL, descriptor of the file, first byte, and the byte after the last.
_Range = tuple[str, int, int, int]


def main() -> int:
    """Copy; return the exit code."""
    folder, connections, urls = Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3:]
    folder.mkdir(parents=True)
    context = ssl.create_default_context()
    ranges: queue.SimpleQueue[_Range] = queue.SimpleQueue()
    files = []
    for url in urls:
        size = _size(url, context)
        files.append(os.open(folder / Path(urlsplit(url).path).name, os.O_WRONLY | os.O_CREAT, 0o644))
        for start in range(0, size, _RANGE_BYTES):
            ranges.put((url, files[-1], start, min(start + _RANGE_BYTES, size)))
    failures: list[BaseException] = []
    threads = [threading.Thread(target=_copy, args=(ranges, context, failures)) for _ in range(connections)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for file in files:
        os.fsync(file)
    return 1 if failures else 0


def _size(url: str, context: ssl.SSLContext) -> int:
    connection = _connect(url, context)
    connection.request("HEAD", urlsplit(url).path)
    return int(connection.getresponse().headers["Content-Length"])


def _connect(url: str, context: ssl.SSLContext) -> http.client.HTTPSConnection:
    return http.client.HTTPSConnection(urlsplit(url).netloc, context=context)


def _copy(
    ranges: "queue.SimpleQueue[_Range]", context: ssl.SSLContext, failures: list[BaseException]
) -> None:
    """Copy ranges until none is left. The target of each thread."""
    buffer = memoryview(bytearray(_BUFFER_BYTES))
    connection: http.client.HTTPSConnection | None = None
    try:
        while True:
            try:
                url, file, at, end = ranges.get_nowait()
            except queue.Empty:
                return
            connection = connection or _connect(url, context)
            connection.request("GET", urlsplit(url).path, headers={"Range": f"bytes={at}-{end - 1}"})
            response = connection.getresponse()
            if response.status != 206:
                raise OSError(f"{url}: {response.status}")
            while at < end:
                count = response.readinto(buffer)
                if not count:
                    raise OSError(f"{url}: ended at {at}")
                os.pwrite(file, buffer[:count], at)
                at += count
            response.read()
    except BaseException as error:  # noqa: BLE001  # reported by the exit code
        print(error, file=sys.stderr)
        failures.append(error)


if __name__ == "__main__":
    sys.exit(main())
