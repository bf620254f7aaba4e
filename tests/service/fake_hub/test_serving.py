"""Responses to a plain HTTP client: ranges, wheels and redirects by Host header; and the program."""

import http.client
import json
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import pytest

from tests.service.fake_hub.conftest import CONFIG, WEIGHTS
from tests.service.fake_hub.test_faults import LARGE, SMALL, ask
from tests.support.fake_hub import FakeHub, Repository, repositories_below
from tests.support.fake_hub.server import listen_address

ROOT: Final = Path(__file__).parents[3]


@pytest.mark.parametrize(
    ("asked", "status", "body"),
    [
        ("bytes=0-9", 206, CONFIG[:10]),
        ("bytes=10-", 206, CONFIG[10:]),
        ("bytes=-5", 206, CONFIG[-5:]),
        ("bytes=5-100000", 206, CONFIG[5:]),
        ("bytes=100000-", 416, b""),
        ("bytes=9-5", 416, b""),
        ("bytes=0-1,4-5", 200, CONFIG),
        ("lines=1-2", 200, CONFIG),
    ],
)
def test_a_range_request_is_answered_as_rfc_9110_defines(
    hub: FakeHub, asked: str, status: int, body: bytes
) -> None:
    seen = ask(hub.url + SMALL, headers={"Range": asked})
    assert (seen.status, seen.body) == (status, body)
    if status == 206:
        start = CONFIG.index(body)
        assert seen.headers["Content-Range"] == f"bytes {start}-{start + len(body) - 1}/{len(CONFIG)}"
    assert hub.log.requests()[0].range == asked


def test_a_range_of_a_file_that_changed_gets_the_whole(hub: FakeHub) -> None:
    etag = ask(hub.url + SMALL).headers["ETag"]
    assert ask(hub.url + SMALL, headers={"Range": "bytes=1-", "If-Range": etag}).status == 206
    assert ask(hub.url + SMALL, headers={"Range": "bytes=1-", "If-Range": '"older"'}).status == 200


def test_a_connection_serves_several_requests(hub: FakeHub) -> None:
    connection = http.client.HTTPConnection(urlsplit(hub.url).netloc)
    connection.connect()
    socket_at_first = connection.sock
    for method in ("HEAD", "GET", "GET"):
        connection.request(method, SMALL)
        assert connection.getresponse().read() == (b"" if method == "HEAD" else CONFIG)
    assert connection.sock is socket_at_first
    connection.close()


def test_many_clients_are_served_at_once(hub: FakeHub) -> None:
    location = ask(hub.url + LARGE).headers["Location"]
    bodies: list[bytes] = []
    threads = [threading.Thread(target=lambda: bodies.append(ask(location).body)) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert bodies == [WEIGHTS] * 16
    assert hub.log.bytes_sent("/lfs/*") == 16 * len(WEIGHTS)


def test_a_wheel_is_served_at_the_base_and_by_a_release_url(hub: FakeHub, wheel: Path) -> None:
    assert ask(f"{hub.url}/wheels/{wheel.name}").body == wheel.read_bytes()
    release = f"{hub.url}/explosion/spacy-models/releases/download/de_small-3.8.0/{wheel.name}"
    redirect = ask(release)
    assert (redirect.status, redirect.headers["Location"]) == (302, f"{hub.storage_url}/wheels/{wheel.name}")
    assert ask(redirect.headers["Location"], headers={"Range": "bytes=3-"}).body == wheel.read_bytes()[3:]
    assert ask(f"{hub.url}/wheels/none.whl").status == 404
    assert ask(f"{hub.url}/a/b/releases/download/c/none.whl").status == 404


def test_the_second_host_serves_bytes_only(hub: FakeHub) -> None:
    for path in ("/api/models/qda/small", SMALL, "/__log__", "/lfs/" + "0" * 64 + "/x"):
        assert ask(hub.storage_url + path).status == 404


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("hub.models.svc:8001", "http://hub.models.svc"),
        ("10.99.0.1:80", "http://10.99.0.1"),
        ("[::1]:80", "http://[::1]"),
    ],
)
def test_redirects_go_to_the_name_by_which_the_client_called(hub: FakeHub, host: str, expected: str) -> None:
    location = ask(hub.url + LARGE, headers={"Host": host}).headers["Location"]
    assert location.startswith(f"{expected}:{urlsplit(hub.storage_url).port}/lfs/")


def test_a_path_that_leaves_the_repository_is_served_as_it_is(files: dict[str, Path]) -> None:
    with FakeHub([Repository("qda/evil", {"../../evil.json": files["config.json"]})]) as hub:
        tree = json.loads(ask(f"{hub.url}/api/models/qda/evil/tree/main?recursive=true").body)
        assert "../../evil.json" in [entry["path"] for entry in tree]
        assert ask(f"{hub.url}/qda/evil/resolve/main/..%2F..%2Fevil.json").body == CONFIG


def test_a_derived_commit_follows_the_contents(tmp_path: Path) -> None:
    folder = tmp_path / "models" / "qda" / "small"
    folder.mkdir(parents=True)
    (folder / "config.json").write_text("{}")
    first, again = (next(repositories_below(tmp_path)).commit for _ in range(2))
    (folder / "config.json").write_text("{ }")
    assert first == again != next(repositories_below(tmp_path)).commit
    (folder / "repository.json").write_text(json.dumps({"commit": "ab" * 20, "branches": ["main", "v1"]}))
    (described,) = repositories_below(tmp_path)
    assert (described.commit, described.branches) == ("ab" * 20, ("main", "v1"))
    assert set(described.files) == {"config.json"}


@pytest.mark.parametrize(
    ("text", "address"),
    [("127.0.0.1:80", ("127.0.0.1", 80)), ("[::]:80", ("::", 80)), (":80", ("0.0.0.0", 80))],
)
def test_a_listen_address_has_a_host_and_a_port(text: str, address: tuple[str, int]) -> None:
    assert listen_address(text) == address


def test_the_program_serves_a_folder_until_sigterm(
    tmp_path: Path, files: dict[str, Path], wheel: Path
) -> None:
    root, log = tmp_path / "root", tmp_path / "log.jsonl"
    for path, source in {
        **{f"models/qda/small/{p}": f for p, f in files.items()},
        f"wheels/{wheel.name}": wheel,
    }.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(source.read_bytes())
    command = [sys.executable, "-m", "tests.support.fake_hub", "--root", str(root), "--log", str(log)]
    command += ["--listen", "127.0.0.1:0", "--second-listen", "127.0.0.1:0", "--second-host", "localhost"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as program:
        try:
            assert program.stdout is not None
            _, url, _, storage = program.stdout.readline().split()
            assert ask(url + SMALL).body == CONFIG
            location = ask(url + LARGE).headers["Location"]
            assert location.startswith(storage)
            assert storage.startswith("http://localhost:")
            assert ask(location).body == WEIGHTS
            assert ask(f"{url}/wheels/{wheel.name}").status == 200
            program.send_signal(signal.SIGTERM)
            assert program.wait(20) == 0
        finally:
            program.kill()
    entries = [json.loads(line) for line in log.read_text().splitlines()]
    # Lines are written when responses end, perhaps after the client's next request.
    assert sorted((entry["path"].rpartition("/")[2], entry["host"]) for entry in entries) == sorted(
        [
            ("config.json", "hub"),
            ("model.safetensors", "hub"),
            ("model.safetensors", "storage"),
            (wheel.name, "hub"),
        ]
    )


def test_the_program_runs_with_the_standard_library_alone(tmp_path: Path) -> None:
    """-I -S: no site-packages at all. The folder is also run as a copy, under its own name."""
    (tmp_path / "fake_hub").symlink_to(ROOT / "tests/support/fake_hub")
    program = f"import sys; sys.path.insert(0, {str(tmp_path)!r})\n"
    program += "from fake_hub.program import main; main(['--help'])"
    ran = subprocess.run(
        [sys.executable, "-I", "-S", "-c", program], capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stderr
    assert "--second-listen" in ran.stdout


@pytest.mark.parametrize("arguments", [["--root", "/nowhere"], ["--root", ".", "--key", "key.pem"], []])
def test_wrong_options_of_the_program_are_refused(arguments: list[str]) -> None:
    ran = subprocess.run(
        [sys.executable, "-m", "tests.support.fake_hub", *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 2
    assert "Traceback" not in ran.stderr
