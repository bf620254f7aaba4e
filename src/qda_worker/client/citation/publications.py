"""The publications that the authors of the default models ask to cite, by the model's source.

They are those of the model cards at the commits of the default catalog. A model that is not here is cited by its source
and commit alone.
"""

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Publication:
    """A publication about a model.

    Attributes:
        key: of the BibTeX entry.
        kind: of the BibTeX entry.
        authors: `Family, Given`, in their order.
        title: of the publication.
        year: of the publication.
        venue: where it was published.
        url: where it is.
    """

    key: str
    kind: str
    authors: tuple[str, ...]
    title: str
    year: int
    venue: str
    url: str


_SPACY: Final = Publication(
    "honnibal2020spacy",
    "software",
    ("Honnibal, Matthew", "Montani, Ines", "Van Landeghem, Sofie", "Boyd, Adriane"),
    "spaCy: Industrial-strength Natural Language Processing in Python",
    2020,
    "Zenodo",
    "https://doi.org/10.5281/zenodo.1212303",
)

PUBLICATIONS: Final[dict[str, Publication]] = {
    "oliverguhr/german-sentiment-bert": Publication(
        "guhr2020training",
        "inproceedings",
        ("Guhr, Oliver", "Schumann, Anne-Kathrin", "Bahrmann, Frank", "Böhme, Hans Joachim"),
        "Training a Broad-Coverage German Sentiment Classification Model for Dialog Systems",
        2020,
        "Proceedings of the 12th Language Resources and Evaluation Conference (LREC)",
        "https://aclanthology.org/2020.lrec-1.202",
    ),
    "de_core_news_lg": _SPACY,
    "BAAI/bge-m3": Publication(
        "chen2024bge",
        "misc",
        ("Chen, Jianlv", "Xiao, Shitao", "Zhang, Peitian", "Luo, Kun", "Lian, Defu", "Liu, Zheng"),
        "BGE M3-Embedding: Multi-Lingual, Multi-Functionality, Multi-Granularity Text Embeddings Through "
        "Self-Knowledge Distillation",
        2024,
        "arXiv:2402.03216",
        "https://arxiv.org/abs/2402.03216",
    ),
    "sentence-transformers/paraphrase-multilingual-mpnet-base-v2": Publication(
        "reimers2019sentence",
        "inproceedings",
        ("Reimers, Nils", "Gurevych, Iryna"),
        "Sentence-BERT: Sentence Embeddings using Siamese BERT-Networks",
        2019,
        "Proceedings of the 2019 Conference on Empirical Methods in Natural Language Processing (EMNLP)",
        "https://arxiv.org/abs/1908.10084",
    ),
}
