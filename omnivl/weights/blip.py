"""BLIP (2201.12086), which has nearly the parts of OmniVL's image stage, in both of its public forms."""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from omnivl.errors import OmniVLValueError
from omnivl.models.interfaces import HasMatchingToken, HasParts, offered_by
from omnivl.registry import WEIGHT_READERS

from .bert import TEXT_MODELS
from .blip_keys import KeyMapping, head_mappings, projection_mappings, text_mappings, visual_mappings
from .keys import SourceTensors, text_settings, visual_settings
from .timm import ImageReader, fit_space

WORDS = 'text_decoder.bert.embeddings.word_embeddings.weight'
OUTPUT = 'text_decoder.cls.predictions.decoder.'
TEMPERATURE = 'temperature.value'
# What of BLIP belongs to parts of ours.
BELONGS = {
    'text_encoder.*': 'alignment_decoder',
    'text_decoder.*': 'generation_decoder',
    'vision_proj.*': 'visual_proj',
    'text_proj.*': 'text_proj',
    'itm_head.*': 'matching_head',
}


@WEIGHT_READERS.register_module(name=['BLIPReader', 'blip'])
class BLIPReader(ImageReader):
    """BLIP as Hugging Face or as the original repository saves it; which one, its keys tell.

    - Hugging Face's ``BlipForImageTextRetrieval``, ``BlipForConditionalGeneration`` and ``BlipForQuestionAnswering``.
    - The original ``.pth`` files, weights under ``'model'``: pretraining (momentum encoder and queues are left out:
      a run begins with its own), retrieval, captioning, VQA.

    BLIP's text encoder has cross-attention, which is used for matching and for questions; it fills our text encoder and
    our alignment decoder. Its text decoder fills our generation decoder. Pretrained weights share as ``share='blip'``
    says; finetuned ones may need ``share='none'``, and an error says so. The video path starts from the image path, and
    a position embedding of another resolution is interpolated. [DEC] and [ENC] are the last two word pieces, as here.

    Two things differ between the forms. The original has 1e-6 in the layer norms of its vision tower (ours), Hugging
    Face's 1e-5: set ``trunk.visual_encoder.norm_eps=1e-5`` for equal numbers, or allow ``norm_eps``. And Hugging Face
    leaves [CLS] where the original puts [ENC] for matching: ``trunk.matching_token='[CLS]'`` gives its numbers, but
    the weights were trained with [ENC]. Arguments as ``WeightReader``.
    """

    model_types = ('blip',)
    unused_by_design = (
        '*_m.*',
        'image_queue',
        'text_queue',
        'idx_queue',
        'queue_ptr',
        'ptr_queue',
        'temp',
        'logit_scale',
        '*embeddings.position_ids',
    )

    essential = (*ImageReader.essential, 'text_encoder.*', 'text_decoder.*')

    def settings(self, config: dict[str, Any], model: HasParts) -> list[tuple[str, Any, Any]]:
        """See ``WeightReader.settings``."""
        settings = visual_settings(config.get('vision_config', {}), model.parts['visual_encoder'], norm_eps=1e-5)
        text_model = next((model.parts[name] for name in TEXT_MODELS if name in model.parts), None)
        if text_model is not None:
            settings += text_settings(config.get('text_config', {}), text_model, num_heads=8)
        return settings

    def advice(self, weights: dict[str, Tensor], model: HasParts) -> list[str]:
        """See ``WeightReader.advice``."""
        is_hugging_face = any(key.startswith('vision_model.') for key in weights)
        reads_texts = any(key.startswith('text_encoder.') for key in weights)
        reader = offered_by(model, HasMatchingToken)
        if not (is_hugging_face and reads_texts and reader is not None and reader.matching_token == '[ENC]'):
            return []
        return [
            'for matching and questions the model puts [ENC] in the place of [CLS], as BLIP was trained; Hugging '
            "Face's BLIP leaves [CLS]: for its numbers set matching_token='[CLS]' of the model, also where the "
            'weights are used (--cfg-options model.trunk.matching_token=CLS)'
        ]

    def translate(self, weights: dict[str, Tensor], model: HasParts) -> dict[str, Tensor]:
        """See ``WeightReader.translate``."""
        self._drop_tied_output(weights)
        values = dict(weights)
        translated = {}
        for mapping in self._mappings(weights, model):
            # One tensor of BLIP may fill several of ours.
            missing = [key for key in mapping.theirs if key not in values]
            if missing:
                raise OmniVLValueError(f'{self.file} has no {missing[0]}: it is not a BLIP that we know')
            parts = [values[key] for key in mapping.theirs]
            translated[mapping.ours] = torch.cat(parts) if len(parts) > 1 else parts[0]
            for key in mapping.theirs:
                weights.pop(key, None)
        if 'temp' in weights and 'temperature' in model.parts:
            translated[TEMPERATURE] = weights.pop('temp').reshape(())
        if translated:
            fit_space(translated, model)
        return translated

    @staticmethod
    def _mappings(weights: dict[str, Tensor], model: HasParts) -> Iterator[KeyMapping]:
        source = SourceTensors(weights, None, '', 'BLIP')
        if any(key.startswith('vision_model.') for key in weights):
            yield from visual_mappings(source.count_layers('vision_model.encoder.layers.'))
        elif any(key.startswith('visual_encoder.') for key in weights):
            yield from visual_mappings(source.count_layers('visual_encoder.blocks.'), original=True)
        if depth := source.count_layers('text_encoder.encoder.layer.'):
            if 'text_encoder' in model.parts:
                yield from text_mappings('text_encoder', 'text_encoder.', depth, cross=False)
            if 'alignment_decoder' in model.parts:
                yield from text_mappings('alignment_decoder', 'text_encoder.', depth, cross=True)
        depth = source.count_layers('text_decoder.bert.encoder.layer.')
        if depth and 'generation_decoder' in model.parts:
            yield from text_mappings('generation_decoder', 'text_decoder.bert.', depth, cross=True)
            yield from head_mappings()
        for mapping in projection_mappings():
            if mapping.theirs[0] in weights and mapping.ours.split('.')[0] in model.parts:
                yield mapping

    def expected_unused(self, model: HasParts) -> tuple[str, ...]:
        """See ``WeightReader.expected_unused``."""
        return (*self.unused_by_design, *(keys for keys, part in BELONGS.items() if part not in model.parts))

    def _drop_tied_output(self, weights: dict[str, Tensor]) -> None:
        """Take out the output matrix and its bias where they are written down once more, which must not differ."""
        tied = {OUTPUT + 'weight': WORDS, OUTPUT + 'bias': 'text_decoder.cls.predictions.bias'}
        for copy, original in tied.items():
            if copy in weights and original in weights:
                if not torch.equal(weights[copy], weights[original]):
                    raise OmniVLValueError(
                        f'{self.file}: {copy} is not {original}, but the output matrix of the model is that of its '
                        'word embeddings'
                    )
                del weights[copy]
