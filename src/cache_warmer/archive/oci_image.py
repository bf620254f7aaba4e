"""An OCI image of one generation of a cache, for registries, image volumes and `COPY --from`.

The image has the same layers for both architectures, so the layout has one index with two manifests (OCI image
specification 1.0: image-layout.md, image-index.md, manifest.md, config.md). Like an archive, an image is a function of
the generation and its forms: two exports of one generation are the same bytes.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

from cache_warmer.archive.export import Exporter
from cache_warmer.archive.format import ArchiveContents
from cache_warmer.archive.image_layers import Layer, make_layers
from cache_warmer.archive.oci_layout import Layout, Write
from model_cache.manifest import FileRecord

# A cache has no programs, so each node reads the same layers.
ARCHITECTURES: Final = ("amd64", "arm64")
# The tag has so many digits of the generation, as reports show it.
TAG_LENGTH: Final = 12

_INDEX_TYPE: Final = "application/vnd.oci.image.index.v1+json"
_MANIFEST_TYPE: Final = "application/vnd.oci.image.manifest.v1+json"
_CONFIG_TYPE: Final = "application/vnd.oci.image.config.v1+json"
_LAYER_TYPE: Final = "application/vnd.oci.image.layer.v1.tar"
# A fixed time: an image of the same files is the same image.
_CREATED: Final = "1970-01-01T00:00:00Z"
_ANNOTATION: Final = "org.opencontainers.image"
# Like the labels of the chart.
_GENERATION: Final = "qda-worker/generation"


@dataclass(frozen=True, slots=True)
class WrittenImage:
    """An image that was written.

    Attributes:
        digest: of the image's index, by which registries name it.
        layers: number of its layers.
        bytes: size of its layers.
    """

    digest: str
    layers: int
    bytes: int


def write_image(exporter: Exporter, contents: ArchiveContents, layout: Layout) -> WrittenImage:
    """Write the image of the contents to a layout.

    Raises:
        ModelCacheError: a file of the cache cannot be read, or its content is wrong.
        OSError: the layout cannot be written.
    """
    layers = make_layers(contents)
    exporter.expect(contents)
    described = [_add_layer(layer, exporter, contents, layout) for layer in layers]
    annotations = _annotations(contents.manifest.generation)
    manifests = [
        _add_manifest(architecture, layers, described, annotations, layout) for architecture in ARCHITECTURES
    ]
    index = {
        "schemaVersion": 2,
        "mediaType": _INDEX_TYPE,
        "manifests": manifests,
        "annotations": annotations,
    }
    descriptor = _add_json(index, _INDEX_TYPE, layout)
    tag = {f"{_ANNOTATION}.ref.name": contents.manifest.generation[:TAG_LENGTH]}
    layout.add_file(
        "index.json",
        _dump({"schemaVersion": 2, "manifests": [{**descriptor, "annotations": tag}]}),
    )
    layout.add_file("oci-layout", _dump({"imageLayoutVersion": "1.0.0"}))
    return WrittenImage(descriptor["digest"], len(layers), sum(one["size"] for one in described))


def _add_layer(layer: Layer, exporter: Exporter, contents: ArchiveContents, layout: Layout) -> dict[str, Any]:
    def copy_content(file: FileRecord, write: Write) -> None:
        exporter.copy_content(file, contents.git_sha1(file), write)

    size = layer.size()
    digest = layout.add_blob(size, partial(layer.write, copy_content=copy_content))
    return _descriptor(_LAYER_TYPE, digest, size)


def _add_manifest(
    architecture: str,
    layers: Sequence[Layer],
    described: Sequence[Mapping[str, Any]],
    annotations: Mapping[str, str],
    layout: Layout,
) -> dict[str, Any]:
    """Add configuration and manifest for one architecture, and return the manifest's descriptor."""
    platform = {"architecture": architecture, "os": "linux"}
    config = {
        **platform,
        "created": _CREATED,
        "config": {"Labels": annotations},
        # the digests of layers without compression are those of their blobs
        "rootfs": {"type": "layers", "diff_ids": [one["digest"] for one in described]},
        "history": [{"created": _CREATED, "created_by": layer.title} for layer in layers],
    }
    manifest = {
        "schemaVersion": 2,
        "mediaType": _MANIFEST_TYPE,
        "config": _add_json(config, _CONFIG_TYPE, layout),
        "layers": described,
        "annotations": annotations,
    }
    return {**_add_json(manifest, _MANIFEST_TYPE, layout), "platform": platform}


def _annotations(generation: str) -> dict[str, str]:
    return {
        f"{_ANNOTATION}.created": _CREATED,
        f"{_ANNOTATION}.title": "Model cache",
        f"{_ANNOTATION}.description": "Models of one catalog, to be mounted as the cache of QDA worker",
        f"{_ANNOTATION}.version": generation[:TAG_LENGTH],
        _GENERATION: generation,
    }


def _add_json(document: object, media_type: str, layout: Layout) -> dict[str, Any]:
    content = _dump(document)
    digest = layout.add_blob(len(content), lambda write: write(content))
    return _descriptor(media_type, digest, len(content))


def _descriptor(media_type: str, digest: str, size: int) -> dict[str, Any]:
    return {"mediaType": media_type, "digest": f"sha256:{digest}", "size": size}


def _dump(document: object) -> bytes:
    return json.dumps(document, sort_keys=True, separators=(",", ":")).encode()
