"""The prompts of a sentence-transformers model: texts that are put before each text, such as "query: ".

Models like E5 were trained with them and lose quality without. They are in config_sentence_transformers.json, which the
library reads, and in `serving.prompts` of the catalog, which wins. The library adds empty prompts of the names `query`
and `document`. They are left out for a model without any other, so that a name has an effect or is refused.

Some models leave the tokens of a prompt out of their pooling (`include_prompt` is false in its settings). The library
then counts the tokens of the prompt alone, and so does this module.
"""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from model_cache.catalog.catalog import Model
from qda_worker.errors import ModelUnusable
from qda_worker.models.tokenization import TextTokenizer

_LOG: Final = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Prompt:
    """A prompt.

    Attributes:
        text: what is put before each text.
        ids: its tokens when it is alone. Before a text the last one may be another one.
        unpooled: tokens at the beginning of a text with it that the pooling leaves out.
    """

    text: str = ""
    ids: tuple[int, ...] = ()
    unpooled: int = 0


class Prompts:
    """The prompts of a model.

    Attributes:
        texts: each prompt by its name.
        default: name of the prompt for callers who name none; None: no prompt.
    """

    def __init__(self, prompts: Mapping[str, Prompt], default: str | None) -> None:
        self.texts = {name: prompt.text for name, prompt in prompts.items()}
        self.default = default
        self._prompts = {**prompts, "": prompts[default] if default else Prompt()}

    def get(self, name: str) -> Prompt:
        """Return the prompt of a name, which callers have checked; of an empty one, the default."""
        return self._prompts[name]


def load_prompts(model: Model, network: Any, tokenizer: TextTokenizer) -> Prompts:
    """Return the prompts of a loaded model.

    One of the model's own that leaves no room for a text is left out, unless it is the default.

    Args:
        model: the catalog entry.
        network: the SentenceTransformer.
        tokenizer: its tokenizer, with the limit of the model.

    Raises:
        ModelUnusable: when the default prompt, or one of the catalog, leaves no room for a text.
    """
    own = {name: text or "" for name, text in network.prompts.items()}
    default = network.default_prompt_name
    for name in own.keys() - model.serving.prompts.keys() - {default}:
        if not _leaves_room(tokenizer.encode(own[name]), tokenizer):
            _LOG.warning("%s: its %s; it is left out", model.key, _too_long(name, tokenizer))
            del own[name]
    texts = {**own, **model.serving.prompts} if any(own.values()) else dict(model.serving.prompts)
    is_pooled = all(getattr(module, "include_prompt", True) is not False for module in network)
    prompts = {}
    for name, text in texts.items():
        ids = tuple(tokenizer.encode(text)) if text else ()
        if not _leaves_room(ids, tokenizer):
            raise ModelUnusable(
                f"its {_too_long(name, tokenizer)}", "shorten it in serving.prompts of the catalog"
            )
        unpooled = 0 if is_pooled or not text else tokenizer.prompt_pooling_length(text)
        prompts[name] = Prompt(text, ids, unpooled)
    return Prompts(prompts, default if default and texts.get(default) else None)


def _leaves_room(ids: Sequence[int], tokenizer: TextTokenizer) -> bool:
    return len(ids) + tokenizer.special_length < tokenizer.max_length


def _too_long(name: str, tokenizer: TextTokenizer) -> str:
    return f'prompt "{name}" leaves no room for a text: the model reads {tokenizer.max_length} tokens'
