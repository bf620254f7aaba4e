"""What the sources say of a model now, as a lock keeps it: size and hash of every selected file."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from cache_warmer.artifacts.hf_snapshot import select
from cache_warmer.hub.client import RemoteFile
from cache_warmer.hub.urls import join_file_name
from model_cache.catalog.catalog import HuggingFaceSource, Model, SpacySource
from model_cache.catalog.lock import LockedFile, LockedModel


class Upstream(Protocol):
    """What is asked of the hub and of the wheels' server. `Sources` answers."""

    def commit_of(self, repository: str, reference: str) -> str:
        """Return the commit that a branch, tag or commit names now. Raises `HubError`."""
        ...

    def list_files(self, repository: str, revision: str) -> tuple[RemoteFile, ...]:
        """Return all files of a commit. Raises `HubError`."""
        ...

    def size_of(self, url: str, label: str) -> int | None:
        """Return the size of a body; None if the server does not say. Raises `HubError`."""
        ...


@dataclass(frozen=True, slots=True)
class Facts:
    """Asks for the facts of models. `wheel_base`: folder URL of the wheels; None: the catalog's own URLs."""

    upstream: Upstream
    wheel_base: str | None

    def of(self, model: Model, known: LockedModel | None, resolved_from: str | None) -> LockedModel:
        """Return the facts of a pinned model.

        Args:
            model: with its commit, or its wheel's sha256.
            known: what the former lock says of the same revision: what the source does not say now is kept.
            resolved_from: the branch or tag that named the commit, if one did.
        """
        if known is not None and (known.source, known.revision) != (model.source_name, model.revision):
            known = None
        if isinstance(model.source, HuggingFaceSource):
            return self._snapshot(model.source, known, resolved_from)
        return self._package(model.source)

    def wheel_url(self, source: SpacySource) -> str:
        """Return where the wheel is."""
        return join_file_name(self.wheel_base, source.wheel_name) if self.wheel_base else source.url

    def _snapshot(
        self, source: HuggingFaceSource, known: LockedModel | None, resolved_from: str | None
    ) -> LockedModel:
        label = f"{source.repository} at {source.revision[:12]}"
        listed = self.upstream.list_files(source.repository, source.revision)
        before = known.files if known is not None else {}
        files = {file.path: _file(file, before) for file in select(listed, source.files, label)}
        if resolved_from is None and known is not None:
            resolved_from = known.resolved_from
        return LockedModel(
            source.repository,
            source.revision,
            files,
            whole_repository_bytes=sum(file.bytes for file in listed),
            resolved_from=resolved_from,
        )

    def _package(self, source: SpacySource) -> LockedModel:
        label = f"{source.package} {source.version}: {source.wheel_name}"
        size = self.upstream.size_of(self.wheel_url(source), label)
        files = {source.wheel_name: LockedFile(size, source.sha256, None)}
        return LockedModel(source.package, source.version, files, whole_repository_bytes=size)


def _file(file: RemoteFile, before: Mapping[str, LockedFile]) -> LockedFile:
    if file.lfs_sha256 is not None:
        return LockedFile(file.bytes, file.lfs_sha256, None)
    known = before.get(file.path)
    agrees = (
        known is not None and known.bytes in (None, file.bytes) and known.git_sha1 in (None, file.blob_id)
    )
    # of a small file the hub says git's sha1 alone; a sha256 that somebody found out stays, as the commit does
    return LockedFile(file.bytes, known.sha256 if known is not None and agrees else None, file.blob_id)
