"""Connection to a Hugging Face hub: listings and addresses by the hub's own library, bodies by our HTTP client.

`connect` is the only place that imports `huggingface_hub`: it is slow to import and reads its environment variables at
that moment. It sets them first, installs our `RetryingClient` as the library's HTTP session, and returns both. So
listings and bodies share proxies, CA bundle, token, retries and timeouts. There is one connection per process, because
the library keeps its session in a global.

Exceptions of the library and of the HTTP client become our errors by the table in `hub.errors`.
"""

import re
from collections.abc import Callable, Mapping, MutableMapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, Protocol, TypeVar, cast

from cache_warmer.errors import HubError, HubUnreachable
from cache_warmer.hub.environment import PROXY_SCHEMES, PROXY_VARIABLES, clean_token_file, clean_tokens
from cache_warmer.hub.retry import Retry
from model_cache.cli.options import offline_variables
from model_cache.errors import UsageError

if TYPE_CHECKING:
    from huggingface_hub import HfApi, RepoFile

    from cache_warmer.hub.http_client import RetryingClient

_Result = TypeVar("_Result")
# Sent as a part of the User-Agent header.
_LIBRARY_NAME: Final = "qda-cache-warmer"
# Xet and shared blobs store files in another layout than the one that other projects mount; telemetry would ask the
# hub for a list of agents and write it into HF_HOME.
_SWITCHES: Final = ("HF_HUB_DISABLE_XET", "HF_HUB_DISABLE_SHARED_BLOBS", "HF_HUB_DISABLE_TELEMETRY")
_COMMIT: Final = re.compile("[0-9a-f]{40}")
# Characters of a reference, and of a commit, that messages show.
_SHOWN_REFERENCE, _SHOWN_COMMIT = 80, 12


@dataclass(frozen=True, slots=True)
class RemoteFile:
    """A file of a commit, as the hub lists it.

    Attributes:
        path: the path in the repository.
        bytes: its size.
        blob_id: git's sha1 of what the repository stores: the content, or the pointer of a big file.
        lfs_sha256: sha256 of the content of a big file; None for a small one.
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

    def resolve_commit(self, repository: str, reference: str) -> str:
        """Return the commit that a branch, tag or commit refers to now.

        Raises:
            HubError: the hub cannot be reached, or has no such repository or reference.
        """
        ...

    def list_files(self, repository: str, revision: str) -> tuple[RemoteFile, ...]:
        """Return all files of a commit.

        Raises:
            HubError: the hub cannot be reached, or has no such repository or commit.
        """
        ...

    def file_url(self, repository: str, revision: str, path: str) -> tuple[str, Mapping[str, str]]:
        """Return the URL of a file and the headers to request it with."""
        ...


@dataclass(frozen=True, slots=True)
class HubConnection:
    """A hub, and the HTTP client for bodies. One per process."""

    hub: Hub
    http: "RetryingClient"


def connect(
    endpoint: str | None,
    environ: MutableMapping[str, str],
    retry: Retry,
    stall: float,
    ca_bundle: Path | None = None,
) -> HubConnection:
    """Import the hub library and return the connection. Sends no request.

    Args:
        endpoint: address of the hub (`--hub`); None for the library's default.
        environ: the environment of the process, which the library reads when it is imported. Set here: the
            library's switches and the endpoint.
        retry: limits of the retries.
        stall: seconds without a byte after which a request is aborted.
        ca_bundle: see `hub.certificates`.

    Raises:
        UsageError: `HF_HUB_OFFLINE` is set, the extra `warmer` is not installed, the token is none, or a proxy cannot
            be used.
        HubUntrusted: the CA bundle cannot be read.
    """
    for variable in offline_variables(environ):
        raise UsageError(
            f"there are models to fetch, but {variable} is set",
            f"unset {variable} for the warmer; it belongs to programs that only read the cache",
        )
    clean_tokens(environ)
    for switch in _SWITCHES:
        environ[switch] = "1"
    if endpoint is not None:
        environ["HF_ENDPOINT"] = endpoint
    try:
        import huggingface_hub
        from huggingface_hub.constants import HF_TOKEN_PATH
    except ImportError as error:
        raise UsageError(
            f"the hub client is not installed ({error.name})", "install it: pip install 'qda-worker[warmer]'"
        ) from error
    from cache_warmer.hub.certificates import make_tls_context
    from cache_warmer.hub.http_client import RetryingClient

    tls = make_tls_context(environ, ca_bundle)
    clean_token_file(Path(HF_TOKEN_PATH), environ)
    api = huggingface_hub.HfApi(endpoint=endpoint, library_name=_LIBRARY_NAME)
    huggingface_hub.set_client_factory(lambda: RetryingClient(api.endpoint, retry, stall, tls))
    http = _open_session(cast("Callable[[], RetryingClient]", huggingface_hub.get_session), environ)
    return HubConnection(_LibraryHub(api, http), http)


def _open_session(
    get_session: "Callable[[], RetryingClient]", environ: Mapping[str, str]
) -> "RetryingClient":
    """Create the HTTP client, which reads the addresses of the proxies."""
    from httpx2 import InvalidURL

    try:
        return get_session()
    except ImportError as error:
        raise UsageError(
            f"the proxy cannot be used: {error.name} is not installed",
            f"install it, or give http://HOST:PORT instead of a socks address in {_proxies(environ)}",
        ) from error
    except (ValueError, InvalidURL) as error:
        # without the library's text: it quotes the part of a password that it takes for a port
        raise UsageError(
            f"the proxy cannot be used: {_proxies(environ)} is not an address of one",
            "give http://HOST:PORT (a password in it percent-encoded), or unset the variable",
        ) from error


def _proxies(environ: Mapping[str, str]) -> str:
    """Return the names of the variables that set proxies and cannot be parsed; if all can, of all that are set."""
    from httpx2 import URL, InvalidURL

    variables = [name for name in environ if name.upper() in PROXY_VARIABLES and environ[name]]
    wrong = []
    for name in variables:
        value = environ[name]
        try:
            scheme = URL(value if "://" in value else f"http://{value}").scheme
        except (InvalidURL, ValueError):
            scheme = ""
        if scheme not in PROXY_SCHEMES:
            wrong.append(name)
    return ", ".join(sorted(wrong or variables)) or "the proxy of this system"


@dataclass(frozen=True, slots=True)
class _LibraryHub:
    """`Hub` by the library `huggingface_hub`."""

    api: "HfApi"
    http: "RetryingClient"

    def resolve_commit(self, repository: str, reference: str) -> str:
        label = f"{repository} at {reference[:_SHOWN_REFERENCE]}"
        commit = _call_library(label, lambda: self.api.model_info(repository, revision=reference).sha)
        if commit is None or not _COMMIT.fullmatch(commit):
            raise HubUnreachable(
                f"{label}: the hub names no commit",
                "check the address (--hub, HF_ENDPOINT): some mirrors do not support this request",
            )
        return commit

    def list_files(self, repository: str, revision: str) -> tuple[RemoteFile, ...]:
        label = f"{repository} at {revision[:_SHOWN_COMMIT]}"
        return _call_library(label, lambda: self._list_files(repository, revision))

    def file_url(self, repository: str, revision: str, path: str) -> tuple[str, Mapping[str, str]]:
        from huggingface_hub import hf_hub_url
        from huggingface_hub.utils import build_hf_headers  # type: ignore[attr-defined]  # documented there

        url = hf_hub_url(repository, path, revision=revision, endpoint=self.api.endpoint)
        return url, build_hf_headers(library_name=_LIBRARY_NAME)

    def _list_files(self, repository: str, revision: str) -> tuple[RemoteFile, ...]:
        from huggingface_hub import RepoFile

        with self.http.limit_pages():
            entries = self.api.list_repo_tree(repository, revision=revision, recursive=True)
            return tuple(_remote_file(entry) for entry in entries if isinstance(entry, RepoFile))


def _remote_file(entry: "RepoFile") -> RemoteFile:
    """Return an entry of a listing, whose types the library does not check.

    Raises:
        ValueError: its size is not a size.
    """
    size: object = entry.size
    if not isinstance(size, int) or size < 0:
        raise ValueError("a file without a valid size")
    return RemoteFile(entry.path, size, entry.blob_id, entry.lfs.sha256 if entry.lfs is not None else None)


def _call_library(label: str, call: Callable[[], _Result]) -> _Result:
    """Return the result of a call of the hub library; its exceptions become our errors."""
    from cache_warmer.hub import errors

    try:
        return call()
    except HubError as error:
        error.message = f"{label}: {error.message}"
        raise
    except Exception as error:
        hub_error = errors.from_exception(error, label)
        if hub_error is None:
            raise
        raise hub_error from error
