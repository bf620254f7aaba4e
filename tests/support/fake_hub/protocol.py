"""The protocol of the hub as `huggingface_hub` uses it: turns a request into a response, without sockets and clocks.

Paths, headers and JSON keys are those that the client (1.22 and later, 2.x) reads. Xet hashes are
never sent, because a client that gets one fetches the bytes from another service.
"""

import json
import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Final
from urllib.parse import parse_qs, quote, unquote, urlencode

from .answer import Answer, Request, error_answer, file_answer, json_answer
from .documents import entries_at, entries_below, model_info
from .repository import Repository, RepositoryFile

# A repository's id is `name` or `organization/name`; a revision is one quoted segment, slashes included.
_ID: Final = r"(?P<id>[^/]+(?:/[^/]+)??)"
_API: Final = re.compile(
    rf"/api/models/{_ID}(?:/(?P<verb>revision|tree|paths-info)/(?P<rev>[^/]+)(?:/(?P<path>.*))?)?"
)
_OWNER: Final = re.compile(r"/api/whoami-v2")
_RESOLVE: Final = re.compile(rf"/{_ID}/resolve/(?P<rev>[^/]+)/(?P<path>.+)")
_STORED: Final = re.compile(r"/lfs/(?P<sha256>[0-9a-f]{64})/.+")
_RELEASE: Final = re.compile(r"/[^/]+/[^/]+/releases/download/[^/]+/(?P<name>[^/]+)")
_WHEEL: Final = re.compile(r"/wheels/(?P<name>[^/]+)")


class _Refused(Exception):
    """Ends the handling of a request with an error answer."""

    def __init__(self, answer: Answer) -> None:
        super().__init__(answer.status)
        self.answer = answer


class Hub:
    """The repositories and wheels that are served. `page_size` is how many entries a page of a tree holds."""

    def __init__(
        self, repositories: Iterable[Repository], wheels: Iterable[Path], page_size: int = 1000
    ) -> None:
        self._revisions: dict[str, dict[str, Repository]] = {}
        self._files: list[RepositoryFile] = []
        self._wheels: Mapping[str, Path] = {wheel.name: wheel for wheel in wheels}
        self._page_size = page_size
        for repository in repositories:
            self.add(repository)

    def add(self, repository: Repository) -> None:
        """Serve one more revision; the branches that it names move to it."""
        revisions = self._revisions.setdefault(repository.id, {})
        for name in (repository.commit, *repository.branches):
            revisions[name] = repository
        self._files += repository.files.values()

    def answer(self, request: Request) -> Answer:
        """Return the response of the hub itself: API, resolve, and wheels at both kinds of URL."""
        routes: tuple[tuple[re.Pattern[str], Callable[[Request, re.Match[str]], Answer]], ...] = (
            (_API, self._api),
            (_OWNER, self._owner),
            (_WHEEL, self._wheel),
            (_RELEASE, self._release),
            (_RESOLVE, self._resolve),
        )
        return _first(routes, request)

    def storage_answer(self, request: Request) -> Answer:
        """Return the response of the second host: the bytes of LFS files and of wheels."""
        return _first(((_STORED, self._stored), (_WHEEL, self._wheel)), request)

    def _api(self, request: Request, match: re.Match[str]) -> Answer:
        repository = self._revision(request, match)
        if match["verb"] == "tree":
            folder = unquote(match["path"] or "").rstrip("/")  # mirrors such as olah ask for `tree/COMMIT/`
            return self._tree(request, repository, folder)
        if match["verb"] == "paths-info":
            return _paths_info(request, repository)
        return json_answer(model_info(repository, with_blobs=_is_true(request.parameters.get("blobs"))))

    def _owner(self, request: Request, match: re.Match[str]) -> Answer:
        """Return the owner of a token; that of any gated repository is valid."""
        tokens = {repository.token for names in self._revisions.values() for repository in names.values()}
        given = request.headers.get("authorization", "").removeprefix("Bearer ")
        if given not in tokens - {None}:
            raise _Refused(error_answer(401, "Invalid username or password."))
        return json_answer({"type": "user", "name": "owner-of-the-token"})

    def _tree(self, request: Request, repository: Repository, folder: str) -> Answer:
        if folder and folder not in repository.folders:
            raise _Refused(_no_entry(repository, folder))
        recursive = _is_true(request.parameters.get("recursive"))
        entries = entries_below(repository, folder, recursive)
        start = int(request.parameters.get("cursor", 0))
        size = min(int(request.parameters.get("limit", self._page_size)), self._page_size)
        headers = {}
        if start + size < len(entries):
            query = urlencode({**request.parameters, "cursor": start + size})
            headers["Link"] = f'<{request.base}{request.path}?{query}>; rel="next"'
        return json_answer(entries[start : start + size], headers)

    def _resolve(self, request: Request, match: re.Match[str]) -> Answer:
        repository = self._revision(request, match)
        path = unquote(match["path"])
        file = repository.files.get(path)
        if file is None:
            raise _Refused(_no_entry(repository, path))
        headers = {"X-Repo-Commit": repository.commit, "ETag": f'"{file.etag}"'}
        if file.is_lfs:
            headers |= {"X-Linked-ETag": f'"{file.sha256}"', "X-Linked-Size": str(file.size)}
            if request.storage_base is not None:
                # The path is for logs and for the selection of faults; the hash alone identifies the content.
                target = f"{request.storage_base}/lfs/{file.sha256}/{quote(repository.id)}/{quote(path)}"
                return Answer(302, {**headers, "Location": target}, (b"Found. Redirecting to the storage.",))
        return file_answer(request, file.source, headers)

    def _stored(self, request: Request, match: re.Match[str]) -> Answer:
        for file in self._files:
            if file.is_lfs and file.sha256 == match["sha256"]:
                return file_answer(request, file.source, {"ETag": f'"{file.sha256}"'})
        raise _Refused(error_answer(404, "no such object"))

    def _release(self, request: Request, match: re.Match[str]) -> Answer:
        """Return a release asset by a redirect to another host, as GitHub does."""
        if request.storage_base is None or unquote(match["name"]) not in self._wheels:
            return self._wheel(request, match)
        return Answer(302, {"Location": f"{request.storage_base}/wheels/{match['name']}"})

    def _wheel(self, request: Request, match: re.Match[str]) -> Answer:
        wheel = self._wheels.get(unquote(match["name"]))
        if wheel is None:
            raise _Refused(error_answer(404, "Not Found"))
        return file_answer(
            request, wheel, {"ETag": f'"{wheel.stat().st_size:x}-{wheel.stat().st_mtime_ns:x}"'}
        )

    def _revision(self, request: Request, match: re.Match[str]) -> Repository:
        """Return the repository at the revision in the request, or the hub's refusal."""
        revisions = self._revisions.get(unquote(match["id"]))
        if revisions is None:
            raise _Refused(error_answer(404, "Repository not found", "RepoNotFound"))
        revision = unquote(match["rev"] or "main")
        repository = revisions.get(revision)
        if repository is None:
            raise _Refused(error_answer(404, f"Invalid rev id: {revision}", "RevisionNotFound"))
        if repository.token is not None:
            authorization = request.headers.get("authorization")
            if authorization != f"Bearer {repository.token}":
                status = 401 if authorization is None else 403
                raise _Refused(
                    error_answer(status, f"Access to model {repository.id} is restricted.", "GatedRepo")
                )
        return repository


def _first(
    routes: Iterable[tuple[re.Pattern[str], Callable[[Request, re.Match[str]], Answer]]], request: Request
) -> Answer:
    try:
        for pattern, handle in routes:
            if match := pattern.fullmatch(request.path):
                return handle(request, match)
    except _Refused as refused:
        return refused.answer
    return error_answer(404, "Sorry, we can't find the page you are looking for.")


def _no_entry(repository: Repository, path: str) -> Answer:
    """Include the commit, by which the client remembers that an optional file does not exist."""
    return error_answer(
        404, f"Entry not found: {path}", "EntryNotFound", {"X-Repo-Commit": repository.commit}
    )


def _is_true(text: str | None) -> bool:
    return text is not None and text.lower() in ("1", "true")


def _paths_info(request: Request, repository: Repository) -> Answer:
    """Those of the asked paths that exist, from a form or from JSON."""
    if request.method != "POST":
        raise _Refused(error_answer(405, "Method Not Allowed"))
    if request.headers.get("content-type", "").startswith("application/json"):
        paths = json.loads(request.body)["paths"]
    else:
        paths = parse_qs(request.body.decode()).get("paths", [])
    return json_answer(entries_at(repository, paths))
