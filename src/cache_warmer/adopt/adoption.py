"""Adopt models from a folder: compare what was found with what each model lacks, and put it into the cache.

The sequence for each model is that of a warm run (`warm`), with a found file in place of a download: what the source
offers, by the lock or the hub; what the cache has; what was found of the rest; then the body gets its final name by
the same `Artifact.install`, and a model whose files are all there gets its record. The manifest is not written here:
the command runs a warm for that, which then has nothing to fetch.

A model that cannot be compared (no lock that knows its files, and no hub) does not hold up the others. A failure of the
volume ends the run; models that were complete by then keep their records, and of the others the verified files stay.
"""

import logging
import os
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from cache_warmer.adopt.layouts import Layout
from cache_warmer.adopt.match import FileMatch, FileMiss, Matcher, models_of, wheels_of
from cache_warmer.adopt.placement import Method, expected_method, is_own, readers_of, stage, staging_path
from cache_warmer.adopt.report import AdoptedFile, MissingFile, ModelAdoption
from cache_warmer.adopt.scan import Findings
from cache_warmer.artifacts.artifact import Artifact, CacheState, Resolution, UnderLease, record_model
from cache_warmer.artifacts.hf_snapshot import HuggingFaceSnapshot
from cache_warmer.artifacts.installed_package import InstalledPackage
from cache_warmer.artifacts.sources import Sources
from cache_warmer.artifacts.spacy_package import SpacyPackage
from cache_warmer.disk import atomic
from cache_warmer.disk.preflight import SpaceNeeded, preflight
from cache_warmer.disk.probe import write_probe
from cache_warmer.disk.volume import explain_os_errors, nearest_folder
from cache_warmer.errors import ContentMismatch, HubError
from cache_warmer.lease.base import Lease
from cache_warmer.records import read_records
from cache_warmer.reference import ReferenceWriter
from cache_warmer.survey import bad_files
from cache_warmer.transfer.download import Download, StagedBody
from cache_warmer.transfer.hashing import hash_file
from cache_warmer.transfer.pool import Stop
from model_cache.catalog.catalog import Model
from model_cache.catalog.lock import Lock
from model_cache.check.check import check
from model_cache.errors import UsageError
from model_cache.manifest import FileRecord
from model_cache.places import HOST, PlaceName, Places
from model_cache.reasons import Reason

_LOG: Final = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Adoption:
    """One run of `adopt`.

    Attributes:
        models: the models to complete.
        generation: of the whole catalog.
        lock: of the catalog.
        places: where the cache is.
        sources: what the files are compared with.
        lease: held while anything is written.
        reference: keeps `collect` from deleting what has no record yet.
        stop: stops the run.
    """

    models: Sequence[Model]
    generation: str
    lock: Lock | None
    places: Places
    sources: Sources
    lease: Lease
    reference: ReferenceWriter
    stop: Stop

    def plan(self, findings: Findings) -> tuple[ModelAdoption, ...]:
        """Return what would be adopted. Only reads.

        Raises:
            VolumeError: the cache cannot be read.
        """
        with explain_os_errors(self.places):
            return tuple(self._adopt_models(Matcher(findings), findings, apply=False))

    def apply(self, findings: Findings) -> tuple[ModelAdoption, ...]:
        """Put what was found into the cache, under the lease.

        Raises:
            ModelCacheError: the volume fails or is full, or another writer has the lease.
        """
        with explain_os_errors(self.places), self.lease.held():
            return tuple(self._adopt_models(Matcher(findings), findings, apply=True))

    def _adopt_models(self, matcher: Matcher, findings: Findings, *, apply: bool) -> Iterable[ModelAdoption]:
        report = check(self.models, self.places, whole_catalog=False, lock=self.lock)
        bad = bad_files(report)
        records = read_records(self.models, self.places, self.lock)
        for model in self.models:
            result = ModelAdoption(model.key, model.source_name, model.revision, "", True, (), (), Reason.OK)
            if model.key in bad or model.key not in records:
                one = _ModelRun(self, self.sources.artifact(model), matcher, findings, apply)
                record = records.get(model.key)
                try:
                    offer = one.resolve()
                except (HubError, UsageError) as error:
                    reason = Reason.HUB_UNREACHABLE if isinstance(error, UsageError) else error.reason
                    detail = f"its files cannot be compared: {error.message}"
                    yield replace(result, cached=False, reason=reason, detail=detail)
                    continue
                damaged = bad.get(model.key, frozenset())
                state = one.artifact.inspect_cache(offer, record, hash_file if apply else None, damaged)
                result = one.run(offer, state)
            yield result


@dataclass(frozen=True, slots=True)
class _ModelRun:
    """The adoption of one model."""

    run_of: Adoption
    artifact: Artifact
    matcher: Matcher
    findings: Findings
    is_applied: bool

    def resolve(self) -> Resolution:
        """Return what the model needs; a wheel is known by the catalog alone, so no server is needed for its size."""
        try:
            return self.artifact.resolve()
        except (HubError, UsageError) as error:
            if isinstance(error, ContentMismatch) or not isinstance(self.artifact, SpacyPackage):
                raise
            return replace(self.artifact, size_of=lambda _url, _label: None).resolve()

    def run(self, offer: Resolution, state: CacheState) -> ModelAdoption:
        """Adopt what the cache lacks, and record the model if it is complete then."""
        model = self.artifact.model
        found = [self.matcher.find(download, self._name) for download in state.missing]
        matches = [one for one in found if isinstance(one, FileMatch)]
        misses = [one for one in found if isinstance(one, FileMiss)]
        placed: tuple[FileRecord, ...] = ()
        installed = None
        if misses and isinstance(self.artifact, SpacyPackage):
            installed, misses = self._find_installed(self.artifact, misses)
        if self.is_applied and (matches or installed is not None):
            self._prepare(matches)
            if installed is not None:
                assert isinstance(self.artifact, SpacyPackage)
                placed = self.artifact.take_over(installed, self._right)
            adopted, records = self._place(matches)
            placed += records
        else:
            adopted = tuple(self._adopted(one, self._expected_method(one)) for one in matches)
        if installed is not None:
            adopted += (self._adopted_package(installed, placed),)
        if self.is_applied and not misses:
            run = self.run_of
            record_model(self.artifact, offer, state, placed, run.places, run.lease.check)
        missing = tuple(
            MissingFile(one.download.name, one.download.expected.bytes, one.detail) for one in misses
        )
        return ModelAdoption(
            model.key,
            model.source_name,
            model.revision,
            offer.compared_with,
            not state.missing,
            adopted,
            missing,
            _reason(misses),
        )

    @property
    def _name(self) -> str:
        return self.artifact.model.source_name

    @property
    def _right(self) -> UnderLease:
        return UnderLease(self.run_of.stop, self.run_of.lease.check)

    @property
    def _fixed_method(self) -> Method | None:
        """How every file gets into the cache; None if that depends on the file."""
        if isinstance(self.artifact, SpacyPackage):
            return Method.UNPACK
        if isinstance(self.artifact, HuggingFaceSnapshot) and not self.artifact.links:
            return Method.COPY
        return None

    def _expected_method(self, match: FileMatch) -> Method:
        if self._fixed_method is not None:
            return self._fixed_method
        folder = match.download.staging.parent
        return expected_method(match, folder, self._readers(folder))

    def _readers(self, folder: Path) -> int:
        return readers_of(folder, on_host=self.run_of.places.label == HOST)

    def _find_installed(
        self, artifact: SpacyPackage, misses: list[FileMiss]
    ) -> tuple[InstalledPackage | None, list[FileMiss]]:
        """Return the installed package and no miss, or the miss with why no package can be used."""
        why = misses[0].detail
        is_wrong = misses[0].is_wrong
        for one in models_of(self.findings, artifact.source.package):
            if one.name != f"{artifact.source.package}-{artifact.source.version}":
                why, is_wrong = f"{one.path} is of another version, {one.name}", True
                continue
            verified = artifact.verify_installed(one.path.parent, hash_file)
            if isinstance(verified, InstalledPackage):
                return verified, []
            why, is_wrong = f"{one.path} cannot be used: {verified}", True
        if not why and (wheels := wheels_of(self.findings, artifact.source.package)):
            why, is_wrong = f"{wheels[0].path} is another wheel than the catalog pins", True
        if not why and any(one.layout is Layout.EXPORT for one in self.findings.models):
            why = "an export has its files unpacked: `cache-warmer import FILE` takes them"
        return None, [replace(misses[0], detail=why, is_wrong=is_wrong)]

    def _prepare(self, matches: Sequence[FileMatch]) -> None:
        """Require a volume that can take the files, and keep `collect` from deleting them meanwhile."""
        run, downloads = self.run_of, tuple(match.download for match in matches)
        space = self.artifact.space_needed(downloads)
        if not isinstance(self.artifact, SpacyPackage):
            copied = {
                match.download.staging: match.candidate.bytes
                for match in matches
                if self._expected_method(match) is Method.COPY
            }
            space = SpaceNeeded(PlaceName.HUB, sum(copied.values()), space.inodes, space.linked)
        folders = self.artifact.target_folders(downloads) | self.artifact.name_folders()
        probe = None if run.places.label == HOST else write_probe
        verdict = preflight([space], run.places, probe=probe, folders=folders)
        if verdict.error is not None:
            raise verdict.error
        run.lease.check()
        run.reference.record_pending(run.generation, run.models)

    def _place(self, matches: Sequence[FileMatch]) -> tuple[tuple[AdoptedFile, ...], tuple[FileRecord, ...]]:
        bodies: dict[Path, list[FileMatch]] = {}
        for match in matches:
            bodies.setdefault(match.download.staging, []).append(match)
        adopted: list[AdoptedFile] = []
        records: list[FileRecord] = []
        for same in bodies.values():
            self.run_of.stop.check()
            method, files = self._place_body(same[0], tuple(match.download for match in same))
            records += files
            adopted += [self._adopted(match, method) for match in same]
        return tuple(adopted), tuple(records)

    def _place_body(
        self, match: FileMatch, same: tuple[Download, ...]
    ) -> tuple[Method, tuple[FileRecord, ...]]:
        staging = staging_path(match.download.staging)
        atomic.make_folders(staging.parent, match.download.boundary)
        try:
            method = stage(match, staging, self._readers(staging.parent))
            records = self.artifact.install(
                same, StagedBody(staging, match.candidate.bytes, match.sha256), self._right
            )
        finally:
            # there still after a failure, and where it was another name of the very file that it replaced
            with suppress(OSError):
                os.unlink(staging)
        method = self._fixed_method or method
        _LOG.debug("%s: %s from %s", match.download.label, method, match.candidate.label)
        return method, records

    def _adopted(self, match: FileMatch, method: Method) -> AdoptedFile:
        return AdoptedFile(
            match.download.name,
            match.candidate.bytes,
            match.sha256,
            match.candidate.label,
            match.verified,
            method,
        )

    def _adopted_package(self, installed: InstalledPackage, placed: tuple[FileRecord, ...]) -> AdoptedFile:
        first, place = installed.files[0], self.run_of.places.spacy.path
        written = next((place / one.path for one in placed if one.path.endswith(f"/{first.path}")), None)
        if written is not None:
            is_linked = os.path.samefile(first.source, written)
        else:  # a plan
            state = first.source.stat()
            is_linked = is_own(state) and state.st_dev == nearest_folder(place).stat().st_dev
        return AdoptedFile(
            installed.dist_info.removesuffix(".dist-info"),
            installed.bytes,
            "",
            str(installed.folder),
            "RECORD",
            Method.LINK if is_linked else Method.COPY,
        )


def _reason(misses: Sequence[FileMiss]) -> Reason:
    """Return why a model is not complete: what could not be read first, then what is wrong."""
    if not misses:
        return Reason.OK
    if any(one.is_unreadable for one in misses):
        return Reason.NO_PERMISSION
    return Reason.CONTENT_MISMATCH if any(one.is_wrong for one in misses) else Reason.CACHE_INCOMPLETE
