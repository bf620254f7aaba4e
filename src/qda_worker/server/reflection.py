"""Server reflection under both names, `grpc.reflection.v1` and `grpc.reflection.v1alpha`, by one servicer.

grpcio-reflection implements v1alpha only. The two versions differ only in the package name, so the same handlers are
registered under both names, and the descriptor of v1 is derived from that of v1alpha, so that clients can describe
that service too.

Clients may ask for the file of a method by the method's name (ghz does). The descriptor pool does not look up methods
and oneofs in `FindFileContainingSymbol`, so `_SymbolPool` adds that.
"""

from collections.abc import Iterable
from typing import Any, Final

import grpc
from google.protobuf import descriptor, descriptor_pb2, descriptor_pool
from google.rpc import error_details_pb2
from grpc_reflection.v1alpha import reflection, reflection_pb2

_V1: Final = "grpc.reflection.v1"
_V1ALPHA: Final = "grpc.reflection.v1alpha"
_V1_FILE: Final = "grpc/reflection/v1/reflection.proto"

REFLECTION_SERVICES: Final = (f"{_V1}.ServerReflection", f"{_V1ALPHA}.ServerReflection")

# Error details in statuses have these types. Importing the module registers them for reflection clients.
ERROR_DETAILS: Final = error_details_pb2.DESCRIPTOR.name


def add_reflection(server: grpc.aio.Server, services: Iterable[str]) -> None:
    """Add reflection about `services` (full names) and about the reflection services to `server`."""
    pool = descriptor_pool.Default()
    _add_v1_descriptor(pool)
    servicer = reflection.aio.ReflectionServicer([*services, *REFLECTION_SERVICES], pool=_SymbolPool(pool))
    for name in REFLECTION_SERVICES:
        handler = grpc.stream_stream_rpc_method_handler(
            servicer.ServerReflectionInfo,
            request_deserializer=reflection_pb2.ServerReflectionRequest.FromString,
            response_serializer=reflection_pb2.ServerReflectionResponse.SerializeToString,
        )
        server.add_generic_rpc_handlers(
            [grpc.method_handlers_generic_handler(name, {"ServerReflectionInfo": handler})]
        )


class _SymbolPool:
    """A descriptor pool that also finds the file of a method and of a oneof."""

    def __init__(self, pool: descriptor_pool.DescriptorPool) -> None:
        self._pool = pool

    def __getattr__(self, name: str) -> Any:
        return getattr(self._pool, name)

    def FindFileContainingSymbol(self, symbol: str) -> descriptor.FileDescriptor:
        """Return the file that declares a symbol.

        Raises:
            KeyError: no file declares it.
        """
        try:
            return self._pool.FindFileContainingSymbol(symbol)
        except KeyError:
            pass
        try:
            return self._pool.FindMethodByName(symbol).containing_service.file
        except KeyError:
            return self._pool.FindOneofByName(symbol).containing_type.file


def _add_v1_descriptor(pool: descriptor_pool.DescriptorPool) -> None:
    """Add the descriptor of v1 to the pool, unless another library of this process has added it."""
    try:
        pool.FindFileByName(_V1_FILE)
    except KeyError:
        v1 = descriptor_pb2.FileDescriptorProto()
        reflection_pb2.DESCRIPTOR.CopyToProto(v1)
        v1.name, v1.package = _V1_FILE, _V1
        for message in v1.message_type:
            for field in filter(lambda field: field.HasField("type_name"), message.field):
                field.type_name = field.type_name.replace(f".{_V1ALPHA}.", f".{_V1}.")
        for service in v1.service:
            for method in service.method:
                method.input_type = method.input_type.replace(f".{_V1ALPHA}.", f".{_V1}.")
                method.output_type = method.output_type.replace(f".{_V1ALPHA}.", f".{_V1}.")
        pool.AddSerializedFile(v1.SerializeToString())
