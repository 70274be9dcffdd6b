"""Hugging Face's BERT, which starts all three text models, as in BLIP."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from omnivl.errors import OmniVLValueError
from omnivl.models.interfaces import HasParts
from omnivl.registry import WEIGHT_READERS

from .base import WeightReader
from .keys import SourceTensors, text_settings

TEXT_MODELS = ('text_encoder', 'alignment_decoder', 'generation_decoder')
LAYER = {
    'attention.output.dense': 'self_attention.attention.proj',
    'attention.output.LayerNorm': 'self_attention.norm',
    'intermediate.dense': 'feed_forward.mlp.fc1',
    'output.dense': 'feed_forward.mlp.fc2',
    'output.LayerNorm': 'feed_forward.norm',
}
HEAD = {
    'cls.predictions.transform.dense.weight': 'head.transform.weight',
    'cls.predictions.transform.dense.bias': 'head.transform.bias',
    'cls.predictions.transform.LayerNorm.weight': 'head.norm.weight',
    'cls.predictions.transform.LayerNorm.bias': 'head.norm.bias',
}


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
        body = self._embeddings(source, model.parts[models[0]].embeddings.word.weight) | self._layers(source)
        translated = {f'{name}.{key}': value for name in models for key, value in body.items()}
        if 'generation_decoder' in models and 'cls.predictions.bias' in plain:
            source.prefix = ''
            translated |= {f'generation_decoder.{own}': source.pop(key) for key, own in HEAD.items()}
            bias = model.parts['generation_decoder'].head.bias.detach().clone()
            stored = source.pop('cls.predictions.bias')
            bias[: len(stored)] = stored
            translated['generation_decoder.head.bias'] = bias
        return translated

    def _embeddings(self, source: SourceTensors, initial: Tensor) -> dict[str, Tensor]:
        word = initial.detach().clone()
        stored = source.pop('embeddings.word_embeddings.weight')
        if stored.shape[0] > word.shape[0] or stored.shape[1] != word.shape[1]:
            raise OmniVLValueError(
                f'{self.file}: word embeddings of shape {tuple(stored.shape)} do not fit into '
                f'{tuple(word.shape)} (set width and vocab_size of the text models)'
            )
        word[: len(stored)] = stored
        # One token type is all we have; its embedding is the same at every position.
        position = (
            source.pop('embeddings.position_embeddings.weight')
            + source.pop('embeddings.token_type_embeddings.weight')[0]
        )
        return {
            'embeddings.word.weight': word,
            'embeddings.position.weight': position,
            'embeddings.norm.weight': source.pop('embeddings.LayerNorm.weight'),
            'embeddings.norm.bias': source.pop('embeddings.LayerNorm.bias'),
        }

    @staticmethod
    def _layers(source: SourceTensors) -> dict[str, Tensor]:
        translated = {}
        for index in range(source.count_layers('encoder.layer.')):
            theirs, own = f'encoder.layer.{index}.', f'layers.{index}.'
            for kind in ('weight', 'bias'):
                qkv = [source.pop(f'{theirs}attention.self.{name}.{kind}') for name in ('query', 'key', 'value')]
                translated[f'{own}self_attention.attention.qkv.{kind}'] = torch.cat(qkv)
                for name, target in LAYER.items():
                    translated[f'{own}{target}.{kind}'] = source.pop(f'{theirs}{name}.{kind}')
        return translated
