"""The import of torch, transformers and sentence-transformers, without what a worker never uses.

The libraries import a compiler (`torch._dynamo`, with sympy), distributed tensors, scipy and scikit-learn for features
such as training, that no worker needs: 95 of 290 MiB, and a third of the time. While `import_libraries` imports, the
DEFERRED packages are replaced by lazy modules. What is taken out of one (`LazyName`) imports the real package when it
is called, so that nothing is lost. Only what happens during the import itself is different: a decorator returns its
function unchanged, which matters to the compiler only, and an object that is made has no content.

Afterwards the lazy modules are gone: a module that imports such a package gets the real one. What another thread took
out of one meanwhile has the attributes of the real package from then on.

Some functions of torch and transformers would import a deferred package later. They are replaced, which saves memory
only: where a version of a library lacks one, or has it in another form, it is left as it is.
"""

import importlib
import inspect
import logging
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any, ClassVar, Final

DEFERRED: Final = (
    "scipy",
    "sklearn",
    "torch._dynamo",
    "torch.distributed._composable",
    "torch.distributed.fsdp",
    "torch.distributed.tensor",
)

# How torch since 2.9 declares the result of the function that `_replace_permutation` replaces; it was a list before.
_PERMUTATION: Final = (tuple[list[int], bool], "tuple[list[int], bool]")

_LOCK: Final = threading.Lock()
_LOG: Final = logging.getLogger(__name__)


class LazyName(type):
    """A name of a package that is not imported. It is a class, so that types can be compared with it.

    Attributes:
        module: name of the module that has it.
        finder: that made the module.
    """

    module: str
    finder: "_LazyFinder"

    def __call__(cls, *arguments: Any, **options: Any) -> Any:
        """Call what the real module has; during the import, decorate a function, or return an empty object."""
        if not cls.finder.active:
            return cls.resolve()(*arguments, **options)
        if arguments and callable(arguments[0]):
            return arguments[0]
        if not arguments or arguments[0] is None:
            return lambda function: function
        return _EmptyObject()

    def __instancecheck__(cls, value: object) -> bool:
        """Return whether the value is an instance of the real class, of which there is none before it is imported."""
        real = sys.modules.get(cls.module)
        return real is not None and not cls.finder.active and isinstance(value, cls.resolve())

    def __getattr__(cls, name: str) -> Any:
        """Return an attribute of the real class after the import; there is none during it."""
        if name.startswith("__") or cls.finder.active:
            raise AttributeError(name)
        return getattr(cls.resolve(), name)

    def resolve(cls) -> Any:
        """Import the real module, and return what it has under this name."""
        return getattr(importlib.import_module(cls.module), cls.__name__)


class _EmptyObject:
    """What is made of a lazy name during the import."""


class _LazyFinder(MetaPathFinder, Loader):
    """Makes lazy modules for packages, and for all that is below them."""

    def __init__(self, packages: Sequence[str]) -> None:
        self._packages = tuple(packages)
        self._made: list[ModuleType] = []
        self.active = True

    def find_spec(self, name: str, _path: Any, _target: Any = None) -> ModuleSpec | None:
        """Return a specification for a deferred module; None for any other."""
        if any(name == package or name.startswith(f"{package}.") for package in self._packages):
            return ModuleSpec(name, self, is_package=True)
        return None

    def exec_module(self, module: ModuleType) -> None:
        """Let the module have any name."""
        self._made.append(module)

        def lazy_name(name: str) -> Any:
            if name.startswith("__"):
                raise AttributeError(name)
            if not self.active:  # another thread has kept the module
                return getattr(importlib.import_module(module.__name__), name)
            return LazyName(name, (), {"module": module.__name__, "finder": self})

        module.__getattr__ = lazy_name  # type: ignore[method-assign]

    def remove(self) -> None:
        """Take the lazy modules out, also out of the packages that contain them."""
        self.active = False
        for module in self._made:
            if sys.modules.get(module.__name__) is module:
                del sys.modules[module.__name__]
            package, _, name = module.__name__.rpartition(".")
            parent = sys.modules.get(package)
            if parent is not None and vars(parent).get(name) is module:
                delattr(parent, name)


class _Done:
    """What this process has done."""

    imported: ClassVar[bool] = False  # torch and transformers, with the replacements


def import_libraries(*, vectors: bool) -> None:
    """Import torch and transformers. Any thread may call this; the first call takes seconds.

    Args:
        vectors: whether sentence-transformers is needed too.

    Raises:
        ModuleNotFoundError: when one of them is not installed.
    """
    with _LOCK:
        if not _Done.imported:
            with _deferred():
                import torch
                from transformers import (  # noqa: F401  # the packages import their modules lazily
                    AutoModelForSequenceClassification,
                    AutoTokenizer,
                    GenerationMixin,
                    PreTrainedModel,
                )
            avoid_later_imports(torch)
            _Done.imported = True
        if vectors and "sentence_transformers" not in sys.modules:
            with _deferred():
                import sentence_transformers  # noqa: F401


@contextmanager
def _deferred() -> Iterator[None]:
    """Let the DEFERRED packages be lazy in the block, except those that are imported already."""
    finder = _LazyFinder([package for package in DEFERRED if package not in sys.modules])
    sys.meta_path.insert(0, finder)
    try:
        yield
    finally:
        sys.meta_path.remove(finder)
        finder.remove()


def avoid_later_imports(torch: Any, import_module: Callable[[str], Any] = importlib.import_module) -> None:
    """Leave out what would import a deferred package when a network is made or loaded, without a different result.

    Args:
        torch: the package.
        import_module: imports a module by its name.
    """

    def stay_alone(_torch: Any) -> None:
        utils = import_module("transformers.distributed.utils")
        utils.is_torch_distributed_available  # noqa: B018  # AttributeError if it does not exist
        utils.is_torch_distributed_available = lambda: False  # a worker is one process

    for replace in (_replace_first_values, _replace_check, _replace_permutation, stay_alone):
        try:
            replace(torch)
        except Exception as error:  # noqa: BLE001  # these are private parts of the libraries
            _LOG.debug(
                "a later import is not avoided: %s: %s: %s", replace.__name__, type(error).__name__, error
            )


def _replace_first_values(torch: Any) -> None:
    initialize = torch.nn.Embedding.reset_parameters

    def reset_parameters(self: Any) -> None:
        if not self.weight.is_meta:  # which has no storage, hence no first values
            initialize(self)

    torch.nn.Embedding.reset_parameters = reset_parameters


def _replace_check(torch: Any) -> None:
    check = torch._check_with  # noqa: SLF001

    def check_with(error_type: Any, condition: Any, message: Any) -> None:
        if condition is not True:
            check(error_type, condition, message)

    torch._check_with = check_with  # noqa: SLF001


def _replace_permutation(torch: Any) -> None:
    prims = torch._prims_common  # noqa: SLF001
    compute_permutation = prims.compute_elementwise_output_logical_to_physical_perm
    declared = inspect.signature(compute_permutation).return_annotation
    if declared not in _PERMUTATION:
        raise TypeError(f"it returns {declared}")

    def permutation(*tensors: Any, **options: Any) -> Any:
        if len(tensors) == 1 and tensors[0].ndim <= 2 and tensors[0].is_contiguous():
            return list(range(tensors[0].ndim)), False
        return compute_permutation(*tensors, **options)

    prims.compute_elementwise_output_logical_to_physical_perm = permutation
