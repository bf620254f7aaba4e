"""`cache-warmer doctor`: show what is wrong with machine, environment and caches, worst first, with remedies.

Each check runs by itself: one that fails is a finding, and the others go on. So are options that a variable sets
wrongly, a missing home folder, and a catalog that cannot be read. Nothing is changed, except that the probe of each
volume makes and removes a folder, unless `--no-probe` is given. Only `--online` sends requests.

The exit code is that of the worst error; warnings and notes do not change it.
"""

import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Final

from cache_warmer.commands.command import Invocation
from cache_warmer.disk.probe import write_probe
from cache_warmer.doctor import duplicates, hub, libraries, machine, repositories, variables, volumes
from cache_warmer.doctor.diagnosis import (
    Finding,
    Severity,
    from_error,
    hide,
    secrets_of,
    sort_findings,
    without_secrets,
)
from cache_warmer.doctor.report import Diagnosis, to_json, to_text
from cache_warmer.hub.environment import read_token_file
from cache_warmer.options import CA_BUNDLE, HUB
from model_cache.catalog.catalog import Catalog, HuggingFaceSource
from model_cache.catalog.lock import load_lock
from model_cache.catalog.parse import load_catalog
from model_cache.cli.options import (
    CACHE,
    CATALOG,
    FORMAT,
    LogLevel,
    Option,
    OutputFormat,
    SharedOptions,
    find_places,
    home_folder,
    warmer_command,
)
from model_cache.cli.parser import OptionParser
from model_cache.errors import ModelCacheError, UsageError
from model_cache.explanations import with_help
from model_cache.json_values import to_json_text
from model_cache.places import Places
from model_cache.reasons import Reason

DOCTOR_OPTIONS: Final[tuple[Option[Any], ...]] = (CATALOG, CACHE, FORMAT, HUB, CA_BUNDLE)


def add_doctor_arguments(parser: OptionParser) -> None:
    """Add --online and --no-probe to a parser."""
    parser.add_argument(
        "--online",
        action="store_true",
        help="also ask the hub: address, proxy, certificate, token, clock (default: send no request)",
    )
    parser.add_argument(
        "--no-probe",
        action="store_true",
        help="write nothing: check permissions and space only (default: probe each volume in a folder that is removed)",
    )


def run_doctor(invocation: Invocation, now: Callable[[], float] = time.time) -> int:
    """Print the diagnosis and return the exit code of the worst error.

    Raises:
        UsageError: an argument is wrong.
    """
    examination = _Examination(invocation, now)
    form = examination.value(FORMAT)
    diagnosis = examination.run()
    is_json = form is OutputFormat.JSON
    text = to_json_text(with_help(to_json(diagnosis))) if is_json else to_text(diagnosis)
    print(text, file=invocation.out)
    return diagnosis.reason.exit_code


class _Examination:
    """One run: the options that could be read, and the findings so far."""

    def __init__(self, invocation: Invocation, now: Callable[[], float]) -> None:
        self._invocation, self._environ, self._now = invocation, invocation.environ, now
        self._findings: list[Finding] = []

    def value(self, option: Option[Any]) -> Any:  # the option's own type
        """Return the value of an option; a variable that is wrong is a finding, and the default is used.

        Raises:
            UsageError: the argument is wrong.
        """
        try:
            return self._invocation.value(option)
        except UsageError as error:
            if getattr(self._invocation.arguments, option.flag.lstrip("-").replace("-", "_")) is not None:
                raise
            self._findings.append(from_error(error, "option"))
            return option.default

    def run(self) -> Diagnosis:
        """Run all checks."""
        environ, arguments = self._environ, self._invocation.arguments
        now, home = self._now(), home_folder(environ)
        path, cache = self.value(CATALOG), self.value(CACHE)
        endpoint, ca_bundle = self.value(HUB), self.value(CA_BUNDLE)
        places = self._places(cache)
        catalog = self._catalog(path)
        options = SharedOptions(
            path if catalog is not None else None, cache, (), OutputFormat.TABLE, LogLevel.INFO
        )
        warm = warmer_command(options, environ)
        versions = libraries.installed_versions()
        token = hub.token_file(environ, home)
        sites = libraries.site_packages()
        self._add(machine.check_machine(environ, places, now, machine.current_umask()), "machine")
        self._add(libraries.check_libraries(versions), "library-version")
        self._add(variables.check_variables(environ, places, versions), "variables")
        self._add(hub.check_settings(environ, token, ca_bundle), "hub")
        if places is not None:
            packages = (places.spacy.path, *sites)
            self._add(libraries.check_spacy_packages(packages, versions["spacy"]), "library-version")
            self._add(volumes.check_volumes(places, None if arguments.no_probe else write_probe), "volume")
            self._add(repositories.check_repositories(places, now, warm), "repositories")
            caches = duplicates.known_caches(places, environ, home, sites)
            self._add(duplicates.check_duplicates(caches), "stored-twice")
        secrets = secrets_of(environ) | _token_in(token)
        if arguments.online:
            self._add(hub.check_hub(environ, endpoint, _first_source(catalog), ca_bundle), "hub")
        return Diagnosis(
            sort_findings(dict.fromkeys(without_secrets(one, secrets) for one in self._findings)),
            machine.machine_facts(environ, now),
            versions,
            {name: hide(value, secrets) for name, value in variables.shown_variables(environ).items()},
            volumes.place_states(places) if places is not None else (),
            online=bool(arguments.online),
        )

    def _add(self, findings: Iterable[Finding], check: str) -> None:
        """Add the findings of a check. If it fails, that is a finding, too."""
        try:
            for finding in findings:
                self._findings.append(finding)  # what was found before a failure stays
        except ModelCacheError as error:
            self._findings.append(from_error(error, check, Severity.WARNING))
        except (OSError, RuntimeError, ValueError) as error:
            reason = Reason.NO_PERMISSION if isinstance(error, PermissionError) else Reason.VOLUME_UNAVAILABLE
            message = f"this was not examined to the end: {getattr(error, 'filename', None) or ''} {error}"
            self._findings.append(Finding(Severity.WARNING, check, reason, message))

    def _places(self, cache: str) -> Places | None:
        try:
            return find_places(cache, self._environ)
        except (ModelCacheError, OSError, ValueError) as error:
            known = (
                error
                if isinstance(error, ModelCacheError)
                else UsageError(f"the places of the cache cannot be found: {error}", "give --cache DIR")
            )
            self._findings.append(from_error(known, "place"))
            return None

    def _catalog(self, path: Path | None) -> Catalog | None:
        try:
            catalog = load_catalog(path)
            load_lock(path)
        except ModelCacheError as error:
            self._findings.append(from_error(error, "catalog"))
            return None
        return catalog


def _first_source(catalog: Catalog | None) -> HuggingFaceSource | None:
    sources = (model.source for model in catalog.models) if catalog is not None else ()
    return next((source for source in sources if isinstance(source, HuggingFaceSource)), None)


def _token_in(path: Path | None) -> frozenset[str]:
    """Return the token of the hub client's file, so that it can be left out of every text."""
    text = read_token_file(path) if path is not None else ""
    return frozenset({text} if text else ())
