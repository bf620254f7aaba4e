"""A spaCy pipeline that ends or blocks its own process at certain marks in a text, as a faulty native component does.

The component comes from a plug-in, which spaCy finds by the entry points of a distribution. The folder of the plug-in
has to be on `PYTHONPATH` of the process that loads the pipeline.
"""

import textwrap
from pathlib import Path
from typing import Final

import spacy

# A text with it ends the process with status 7.
FATAL: Final = "☠"
# A text with it is computed for ever.
ENDLESS: Final = "∞"

_PLUGIN: Final = f'''
import os
import time

from spacy.language import Language


@Language.factory("qda_faulty")
def create(nlp, name):
    def component(doc):
        if "{FATAL}" in doc.text:
            os._exit(7)
        if "{ENDLESS}" in doc.text:
            time.sleep(3600)
        return doc

    return component
'''


def add_fault(pipeline: Path, plugin: Path) -> None:
    """Append the component to a pipeline on disk, and write its plug-in into an empty folder."""
    (plugin / "qda_faulty.py").write_text(textwrap.dedent(_PLUGIN), encoding="utf-8")
    metadata = plugin / "qda_faulty-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: qda-faulty\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text("[spacy_factories]\nqda_faulty = qda_faulty:create\n")
    config = spacy.util.load_config(pipeline / "config.cfg")
    config["nlp"]["pipeline"] = [*config["nlp"]["pipeline"], "qda_faulty"]
    config["components"]["qda_faulty"] = {"factory": "qda_faulty"}
    config.to_disk(pipeline / "config.cfg")
