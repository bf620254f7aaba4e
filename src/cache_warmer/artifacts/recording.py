"""Record a model whose files are all in the cache: what each run that completes models does last for each of them."""

from collections.abc import Callable, Sequence

from cache_warmer.artifacts.artifact import Artifact, CacheState, Resolution
from cache_warmer.records import make_record, write_record, write_repository_bytes
from model_cache.manifest import FileRecord
from model_cache.places import Places


def record_model(
    artifact: Artifact,
    offer: Resolution,
    state: CacheState,
    placed: Sequence[FileRecord],
    places: Places,
    check_lease: Callable[[], None],
) -> list[FileRecord]:
    """Write the record of a model, and what libraries expect beside its files; return the files.

    Args:
        artifact: the model as it is stored.
        offer: what its source offers.
        state: what the cache had.
        placed: what this run put into the cache: all that `state` misses.
        places: of the cache.
        check_lease: raises `LeaseLost` if another process has the lease.

    Raises:
        LeaseLost: another process has the lease.
        OSError: the volume cannot be written.
    """
    files = [record for _, records in state.present for record in records] + list(placed)
    record = make_record(artifact.model, files, [*state.installed, *placed], places)
    artifact.update_file_list(record.files, offer)
    check_lease()
    write_repository_bytes(artifact.model, offer.whole_repository_bytes, places)
    write_record(record, places)
    return files
