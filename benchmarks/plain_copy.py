"""The plain copy that `warm` is measured against: parallel ranges over HTTP into a file, synced, nothing verified.

    python -m benchmarks.plain_copy FOLDER CONNECTIONS URL...

It does what a transfer cannot do without, in as few instructions as Python has: one connection a thread, bytes from the
socket into a buffer of one MiB, from there to their place in the file, one fsync a file at the end.
"""

import http.client
import os
import queue
import sys
import threading
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

_RANGE: Final = 32 << 20
_BUFFER: Final = 1 << 20


def main() -> int:
    """Copy; return the exit code."""
    folder, connections, urls = Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3:]
    folder.mkdir(parents=True)
    pieces: queue.SimpleQueue[tuple[str, int, int, int]] = queue.SimpleQueue()
    files = []
    for url in urls:
        size = _size(url)
        files.append(os.open(folder / Path(urlsplit(url).path).name, os.O_WRONLY | os.O_CREAT, 0o644))
        for start in range(0, size, _RANGE):
            pieces.put((url, files[-1], start, min(start + _RANGE, size)))
    failed: list[BaseException] = []
    threads = [threading.Thread(target=_work, args=(pieces, failed)) for _ in range(connections)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for file in files:
        os.fsync(file)
    return 1 if failed else 0


def _size(url: str) -> int:
    connection, path = _connect(url)
    connection.request("HEAD", path)
    return int(connection.getresponse().headers["Content-Length"])


def _connect(url: str) -> tuple[http.client.HTTPConnection, str]:
    parts = urlsplit(url)
    return http.client.HTTPConnection(parts.netloc), parts.path


def _work(pieces: "queue.SimpleQueue[tuple[str, int, int, int]]", failed: list[BaseException]) -> None:
    buffer = memoryview(bytearray(_BUFFER))
    connection: http.client.HTTPConnection | None = None
    try:
        while True:
            try:
                url, file, at, end = pieces.get_nowait()
            except queue.Empty:
                return
            connection = connection or _connect(url)[0]
            connection.request("GET", urlsplit(url).path, headers={"Range": f"bytes={at}-{end - 1}"})
            answer = connection.getresponse()
            if answer.status != 206:
                raise OSError(f"{url}: {answer.status}")
            while at < end:
                count = answer.readinto(buffer)
                if not count:
                    raise OSError(f"{url}: ended at {at}")
                os.pwrite(file, buffer[:count], at)
                at += count
            answer.read()
    except BaseException as error:  # noqa: BLE001  # told by the exit code
        print(error, file=sys.stderr)
        failed.append(error)


if __name__ == "__main__":
    sys.exit(main())
