"""Server reflection, v1 and v1alpha: one servicer under both names.

grpcio-reflection has v1alpha only. The two versions differ in nothing but the package's name, so the same handlers
answer under both, and v1's own descriptor is made from v1alpha's, so that clients can describe that service too.

Clients may ask for a method by its name (ghz does), and the pool of descriptors does not look methods up when it is
asked for the file of a symbol, so they are looked up here.
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

# Statuses carry these in their details; importing them puts them where clients of reflection find them.
ERROR_DETAILS: Final = error_details_pb2.DESCRIPTOR.name


def add_reflection(server: grpc.aio.Server, services: Iterable[str]) -> None:
    """Serve reflection about `services` (full names) and about itself."""
    pool = descriptor_pool.Default()
    _describe_v1(pool)
    servicer = reflection.aio.ReflectionServicer([*services, *REFLECTION_SERVICES], pool=_Symbols(pool))
    for name in REFLECTION_SERVICES:
        handler = grpc.stream_stream_rpc_method_handler(
            servicer.ServerReflectionInfo,
            request_deserializer=reflection_pb2.ServerReflectionRequest.FromString,
            response_serializer=reflection_pb2.ServerReflectionResponse.SerializeToString,
        )
        server.add_generic_rpc_handlers(
            [grpc.method_handlers_generic_handler(name, {"ServerReflectionInfo": handler})]
        )


class _Symbols:
    """A pool of descriptors that also finds the file of a method and of a oneof."""

    def __init__(self, pool: descriptor_pool.DescriptorPool) -> None:
        self._pool = pool

    def __getattr__(self, name: str) -> Any:
        return getattr(self._pool, name)

    def FindFileContainingSymbol(self, symbol: str) -> descriptor.FileDescriptor:
        """The file that declares the symbol. Raises KeyError where none does."""
        try:
            return self._pool.FindFileContainingSymbol(symbol)
        except KeyError:
            pass
        try:
            return self._pool.FindMethodByName(symbol).containing_service.file
        except KeyError:
            return self._pool.FindOneofByName(symbol).containing_type.file


def _describe_v1(pool: descriptor_pool.DescriptorPool) -> None:
    """Put v1's descriptor into the pool, unless a library of this process has done so."""
    try:
        pool.FindFileByName(_V1_FILE)
    except KeyError:
        described = descriptor_pb2.FileDescriptorProto()
        reflection_pb2.DESCRIPTOR.CopyToProto(described)
        renamed = descriptor_pb2.FileDescriptorProto.FromString(described.SerializeToString())
        renamed.name, renamed.package = _V1_FILE, _V1
        for message in renamed.message_type:
            for field in filter(lambda each: each.HasField("type_name"), message.field):
                field.type_name = field.type_name.replace(f".{_V1ALPHA}.", f".{_V1}.")
        for service in renamed.service:
            for method in service.method:
                method.input_type = method.input_type.replace(f".{_V1ALPHA}.", f".{_V1}.")
                method.output_type = method.output_type.replace(f".{_V1ALPHA}.", f".{_V1}.")
        pool.AddSerializedFile(renamed.SerializeToString())
