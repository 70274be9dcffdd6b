"""Hugging Face's BERT, which starts all three text models, as in BLIP."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from omnivl.errors import OmniVLValueError
from omnivl.models.interfaces import HasParts
from omnivl.registry import WEIGHT_READERS

from .base import WeightReader
from .blip_keys import HEAD, text_mappings
from .keys import SourceTensors, text_settings

TEXT_MODELS = ('text_encoder', 'alignment_decoder', 'generation_decoder')


@WEIGHT_READERS.register_module(name=['BERTReader', 'bert'])
class BERTReader(WeightReader):
    """``BertModel``, ``BertForMaskedLM`` or ``BertForPreTraining`` as ``save_pretrained`` writes them.

    Fills the text encoder, self-attention and feed-forward layers of both decoders, and the language head where the
    file has one. Cross-attention keeps its initial values, and so do the embeddings of [DEC] and [ENC].

    Args:
        file: See ``WeightReader``.
        allow: See ``WeightReader``.
        allow_unused: See ``WeightReader``.
        models: Which text models to fill; None = all that the model holds.
    """

    model_types = ('bert',)
    # The output matrix is that of the word embeddings; the pooler and the next-sentence head have no place here.
    unused_by_design = (
        '*pooler.*',
        'cls.seq_relationship.*',
        'cls.predictions.*',
        '*embeddings.position_ids',
        '*embeddings.token_type_ids',
    )
    left_by_design = ('*.cross_attention.*', 'generation_decoder.head.*')
    essential = ('*encoder.layer.*', '*embeddings.*')

    def __init__(
        self,
        file: str,
        allow: Sequence[str] = (),
        allow_unused: bool = False,
        models: Sequence[str] | None = None,
    ) -> None:
        super().__init__(file, allow, allow_unused)
        self.models = models

    def text_models(self, model: HasParts) -> list[str]:
        """Name the text models to fill; an ``OmniVLValueError`` if the model holds none, or not those asked for."""
        names = [name for name in self.models or TEXT_MODELS if name in model.parts]
        if not names or len(names) < len(self.models or ()):
            raise OmniVLValueError(
                f'BERT fills {list(self.models or TEXT_MODELS)}, and the model holds {sorted(model.parts)}: take its '
                'reader out of load_from, or set its models'
            )
        return names

    def settings(self, config: dict[str, Any], model: HasParts) -> list[tuple[str, Any, Any]]:
        """See ``WeightReader.settings``."""
        return text_settings(config, model.parts[self.text_models(model)[0]])

    def translate(self, weights: dict[str, Tensor], model: HasParts) -> dict[str, Tensor]:
        """See ``WeightReader.translate``."""
        plain = {
            key.replace('.gamma', '.weight').replace('.beta', '.bias'): key for key in weights
        }  # TensorFlow's names
        source = SourceTensors(weights, plain, 'bert.' if any(key.startswith('bert.') for key in plain) else '', 'BERT')
        models = self.text_models(model)
        body = {}
        for mapping in text_mappings('text', '', source.count_layers('encoder.layer.'), cross=False):
            parts = [source.pop(name) for name in mapping.theirs]
            body[mapping.ours.removeprefix('text.')] = torch.cat(parts) if len(parts) > 1 else parts[0]
        word = 'embeddings.word.weight'
        body[word] = self._word_embeddings(body[word], model.parts[models[0]].embeddings.word.weight)
        # One token type is all we have; its embedding is the same at every position.
        first_type = source.pop('embeddings.token_type_embeddings.weight')[0]
        body['embeddings.position.weight'] = body['embeddings.position.weight'] + first_type
        translated = {f'{name}.{key}': value for name in models for key, value in body.items()}
        if 'generation_decoder' in models and 'cls.predictions.bias' in plain:
            source.prefix = 'cls.predictions.'
            head = {own: source.pop(key) for own, key in HEAD.items()}
            head['head.bias'] = _beginning(head['head.bias'], model.parts['generation_decoder'].head.bias)
            translated |= {f'generation_decoder.{own}': value for own, value in head.items()}
        return translated

    def _word_embeddings(self, stored: Tensor, initial: Tensor) -> Tensor:
        """Fill in the rows that are stored; those of the word pieces that BERT lacks keep their initial values."""
        if stored.shape[0] > initial.shape[0] or stored.shape[1] != initial.shape[1]:
            raise OmniVLValueError(
                f'{self.file}: word embeddings of shape {tuple(stored.shape)} do not fit into '
                f'{tuple(initial.shape)} (set width and vocab_size of the text models)'
            )
        return _beginning(stored, initial)


def _beginning(stored: Tensor, initial: Tensor) -> Tensor:
    """Return ``initial`` with ``stored`` in its first rows."""
    return torch.cat([stored.to(initial), initial.detach()[len(stored) :]])
