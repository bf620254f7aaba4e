"""Upstream metadata of a pinned model, as a lock records it: size and hash of every selected file.

`UpstreamMetadata` queries the hub and the server of wheels. It downloads no file and writes nothing.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from cache_warmer.artifacts.hf_snapshot import select_files
from cache_warmer.hub.client import RemoteFile
from cache_warmer.hub.urls import join_file_name
from model_cache.catalog.catalog import HuggingFaceSource, Model, SpacySource
from model_cache.catalog.lock import LockedFile, LockedModel


class Upstream(Protocol):
    """The queries to the hub and to the server of wheels. `Sources` implements them."""

    def resolve_commit(self, repository: str, reference: str) -> str:
        """Return the commit that a branch, tag or commit names now.

        Raises:
            HubError: there is no such reference, or the hub cannot be reached.
        """
        ...

    def list_files(self, repository: str, revision: str) -> tuple[RemoteFile, ...]:
        """Return all files of a commit.

        Raises:
            HubError: there is no such commit, or the hub cannot be reached.
        """
        ...

    def size_of(self, url: str, label: str) -> int | None:
        """Return the size of a file in bytes; None if the server does not send it.

        Raises:
            HubError: there is no such file, or the server cannot be reached.
        """
        ...


@dataclass(frozen=True, slots=True)
class UpstreamMetadata:
    """Reads what the sources hold of models.

    Attributes:
        upstream: answers the queries.
        wheel_base: URL of the folder of the wheels; None: the catalog's own URLs.
    """

    upstream: Upstream
    wheel_base: str | None

    def locked_model(self, model: Model, known: LockedModel | None, resolved_from: str | None) -> LockedModel:
        """Return the lock's entry for a pinned model.

        Args:
            model: with its commit, or its wheel's sha256.
            known: the former lock's entry. Facts of the same revision that the source does not list are kept.
            resolved_from: the branch or tag that named the commit, if one did.

        Raises:
            HubError: a source cannot be reached, or has no such revision or file.
        """
        if known is not None and (known.source, known.revision) != (model.source_name, model.revision):
            known = None
        if isinstance(model.source, HuggingFaceSource):
            return self._locked_snapshot(model.source, known, resolved_from)
        return self._locked_wheel(model.source, known)

    def wheel_url(self, source: SpacySource) -> str:
        """Return where the wheel is."""
        return join_file_name(self.wheel_base, source.wheel_name) if self.wheel_base else source.url

    def wheel_size(self, source: SpacySource) -> int | None:
        """Return the size of the wheel in bytes; None if the server does not send it.

        Raises:
            HubError: there is no such file, or the server cannot be reached.
        """
        return self.upstream.size_of(self.wheel_url(source), wheel_label(source))

    def _locked_snapshot(
        self, source: HuggingFaceSource, known: LockedModel | None, resolved_from: str | None
    ) -> LockedModel:
        listed = self.upstream.list_files(source.repository, source.revision)
        former = known.files if known is not None else {}
        selected = select_files(listed, source.files, snapshot_label(source))
        if resolved_from is None and known is not None:
            resolved_from = known.resolved_from
        return LockedModel(
            source.repository,
            source.revision,
            {file.path: _locked_file(file, former) for file in selected},
            whole_repository_bytes=sum(file.bytes for file in listed),
            resolved_from=resolved_from,
        )

    def _locked_wheel(self, source: SpacySource, known: LockedModel | None) -> LockedModel:
        size = self.wheel_size(source)
        former = known.files.get(source.wheel_name) if known is not None else None
        is_same = former is not None and former.sha256 == source.sha256
        contents = former.contents_sha256 if former is not None and is_same else None
        files = {source.wheel_name: LockedFile(size, source.sha256, None, contents)}
        return LockedModel(source.package, source.version, files, whole_repository_bytes=size)


def snapshot_label(source: HuggingFaceSource) -> str:
    """Return what error messages call a commit of a repository."""
    return f"{source.repository} at {source.revision[:12]}"


def wheel_label(source: SpacySource) -> str:
    """Return what error messages call a wheel."""
    return f"{source.package} {source.version}: {source.wheel_name}"


def _locked_file(file: RemoteFile, former: Mapping[str, LockedFile]) -> LockedFile:
    if file.lfs_sha256 is not None:
        return LockedFile(file.bytes, file.lfs_sha256, None)
    known = former.get(file.path)
    agrees = (
        known is not None and known.bytes in (None, file.bytes) and known.git_sha1 in (None, file.blob_id)
    )
    # For a small file the hub only lists git's sha1. A sha256 in the lock is kept if the commit is the same.
    return LockedFile(file.bytes, known.sha256 if known is not None and agrees else None, file.blob_id)
