"""Packages that another program installed are left alone."""

from tests.support.generations import FilledCache
from tests.unit.cache_warmer.gc.conftest import collect


def test_a_package_that_pip_installed_stays_under_its_name(host: FilledCache) -> None:
    place = host.places.spacy.path
    (place / "de_a").unlink()
    (place / "de_a").mkdir()
    (place / "de_a/meta.json").write_text("another")

    collect(host)

    assert (place / "de_a/meta.json").read_text() == "another"
