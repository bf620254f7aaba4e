"""The end of a process whose threads may still run native code."""

import threading
from pathlib import Path

from qda_worker.addresses import Address
from qda_worker.server.lifecycle import exit_if_busy, write_port_file


def test_a_process_that_still_loads_exits_at_once_with_its_code() -> None:
    exits: list[int] = []
    assert exit_if_busy(0, exits.append) == 0
    assert exits == []
    release = threading.Event()
    thread = threading.Thread(target=release.wait, args=(30,), name="load-slow", daemon=True)
    thread.start()
    try:
        exit_if_busy(7, exits.append)
        assert exits == [7]
    finally:
        release.set()
        thread.join(30)


def test_the_port_file_is_replaced_as_a_whole(tmp_path: Path) -> None:
    folder = tmp_path / "ports"
    folder.mkdir()
    file = folder / "port"
    file.write_text("a former port, which was longer\n")
    write_port_file(file, Address("127.0.0.1", 50051))
    assert file.read_text() == "50051\n"
    assert list(folder.iterdir()) == [file]


def test_a_unix_socket_has_no_port_file(tmp_path: Path) -> None:
    file = tmp_path / "port"
    write_port_file(file, Address("unix:/run/qda.sock", None))
    assert not file.exists()
