"""What we ask the Hugging Face hub: which files a commit has, and where one is. The hub's own client answers.

`connect` is the only door to the hub library, which is slow to import and reads its variables then.
"""

import os
import re
from collections.abc import Callable, Mapping, MutableMapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, TypeVar

from cache_warmer.errors import HubError, HubUnreachable, HubUntrusted
from cache_warmer.hub.retry import Retry
from model_cache.cli.options import offline_variables
from model_cache.errors import UsageError

if TYPE_CHECKING:
    import httpx2
    from huggingface_hub import HfApi, RepoFile

_Answer = TypeVar("_Answer")


@dataclass(frozen=True, slots=True)
class RemoteFile:
    """A file of a commit, as the hub lists it.

    Attributes:
        path: in the repository.
        bytes: its size.
        blob_id: git's sha1 of what the repository stores: the content, or the pointer of a big file.
        lfs_sha256: of the content of a big file; None for a small one.
    """

    path: str
    bytes: int
    blob_id: str
    lfs_sha256: str | None

    @property
    def etag(self) -> str:
        """The name of its blob in the hub's cache layout."""
        return self.lfs_sha256 or self.blob_id


class Hub(Protocol):
    """What a Hugging Face artifact needs of a hub."""

    def commit_of(self, repository: str, reference: str) -> str:
        """Return the commit that a branch, tag or commit names now. Raises `HubError`."""
        ...

    def list_files(self, repository: str, revision: str) -> tuple[RemoteFile, ...]:
        """Return all files of a commit. Raises `HubError`."""
        ...

    def address(self, repository: str, revision: str, path: str) -> tuple[str, Mapping[str, str]]:
        """Return the URL of a file and the headers to ask for it with."""
        ...


@dataclass(frozen=True, slots=True)
class Connection:
    """A hub and the HTTP client for the bodies; of both, one a process."""

    hub: Hub
    http: "httpx2.Client"


def connect(
    endpoint: str | None, environ: MutableMapping[str, str], retry: Retry, stall: float
) -> Connection:
    """Import the hub library and return the connection. Makes no request.

    Args:
        endpoint: of `--hub`; None: the library's default.
        environ: the process's environment, which the library reads when it is imported. Set here: no Xet
            and no shared blobs (their files are not the layout that other projects mount), no telemetry
            (it would ask the hub for a list of agents and write it into `HF_HOME`), and the CA bundle.
        retry: limits of the retries.
        stall: seconds without a byte.

    Raises:
        UsageError: `HF_HUB_OFFLINE` is set, the extra `warmer` is not installed, or a proxy cannot be used.
        HubUntrusted: the CA bundle cannot be read.
    """
    for variable in offline_variables(environ):
        raise UsageError(
            f"there are models to fetch, but {variable} is set",
            f"unset {variable} for the warmer; it belongs to programs that only read the cache",
        )
    _take_bundle(environ)
    for switch in ("HF_HUB_DISABLE_XET", "HF_HUB_DISABLE_SHARED_BLOBS", "HF_HUB_DISABLE_TELEMETRY"):
        environ[switch] = "1"
    if endpoint is not None:
        environ["HF_ENDPOINT"] = endpoint
    try:
        import huggingface_hub
    except ImportError as error:
        raise UsageError(
            f"the hub client is not installed ({error.name})", "install it: pip install 'qda-worker[warmer]'"
        ) from error
    from cache_warmer.hub.http_client import RetryingClient

    api = huggingface_hub.HfApi(endpoint=endpoint, library_name="qda-cache-warmer")
    huggingface_hub.set_client_factory(lambda: RetryingClient(api.endpoint, retry, stall))
    return Connection(_ClientHub(api), _opened(huggingface_hub.get_session, environ))


def _take_bundle(environ: MutableMapping[str, str]) -> None:
    """Let the HTTP library, which knows only OpenSSL's own variables, heed the usual other ones."""
    if environ.get("SSL_CERT_FILE") or environ.get("SSL_CERT_DIR"):
        return
    bundle = environ.get("REQUESTS_CA_BUNDLE") or environ.get("CURL_CA_BUNDLE")
    if bundle:
        environ["SSL_CERT_DIR" if os.path.isdir(bundle) else "SSL_CERT_FILE"] = bundle


def _opened(get_session: "Callable[[], httpx2.Client]", environ: Mapping[str, str]) -> "httpx2.Client":
    """Make the client, which reads the CA bundle and the proxies' addresses."""
    from httpx2 import InvalidURL

    try:
        return get_session()
    except OSError as error:  # of ssl, too
        bundle = environ.get("SSL_CERT_FILE") or environ.get("SSL_CERT_DIR", "")
        raise HubUntrusted(
            f"the CA bundle {bundle} cannot be read: {error.strerror or error}",
            "name a file of PEM certificates in SSL_CERT_FILE, or unset it",
        ) from error
    except (ValueError, ImportError, InvalidURL) as error:
        raise UsageError(
            f"the proxy cannot be used: {error}",
            "give http://HOST:PORT in HTTPS_PROXY and HTTP_PROXY, or unset them (ALL_PROXY, too)",
        ) from error


@dataclass(frozen=True, slots=True)
class _ClientHub:
    api: "HfApi"

    def commit_of(self, repository: str, reference: str) -> str:
        commit = _asked(
            f"{repository} at {reference[:80]}",
            lambda: self.api.model_info(repository, revision=reference).sha,
        )
        if commit is None or not re.fullmatch("[0-9a-f]{40}", commit):
            raise HubUnreachable(
                f"{repository} at {reference[:80]}: the hub names no commit",
                "check the address (--hub, HF_ENDPOINT): a mirror may not know this question",
            )
        return commit

    def list_files(self, repository: str, revision: str) -> tuple[RemoteFile, ...]:
        return _asked(f"{repository} at {revision[:12]}", lambda: self._listed(repository, revision))

    def address(self, repository: str, revision: str, path: str) -> tuple[str, Mapping[str, str]]:
        from huggingface_hub import hf_hub_url
        from huggingface_hub.utils import build_hf_headers  # type: ignore[attr-defined]  # documented there

        url = hf_hub_url(repository, path, revision=revision, endpoint=self.api.endpoint)
        return url, build_hf_headers(library_name="qda-cache-warmer")

    def _listed(self, repository: str, revision: str) -> tuple[RemoteFile, ...]:
        from huggingface_hub import RepoFile

        entries = self.api.list_repo_tree(repository, revision=revision, recursive=True)
        return tuple(_remote_file(entry) for entry in entries if isinstance(entry, RepoFile))


def _remote_file(entry: "RepoFile") -> RemoteFile:
    """Return an entry of a listing, which the client does not judge. Raises `ValueError`."""
    size: object = entry.size
    if not isinstance(size, int) or size < 0:
        raise ValueError("a size that is none")
    return RemoteFile(entry.path, size, entry.blob_id, entry.lfs.sha256 if entry.lfs is not None else None)


def _asked(label: str, ask: Callable[[], _Answer]) -> _Answer:
    """Return the hub client's answer, with whatever it raises as an error of ours."""
    from cache_warmer.hub import errors

    try:
        return ask()
    except HubError as error:
        error.message = f"{label}: {error.message}"
        raise
    except Exception as error:
        ours = errors.of_exception(error, label)
        if ours is None:
            raise
        raise ours from error
