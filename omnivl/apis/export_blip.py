"""The way back: the image-only parts as one of Hugging Face's BLIP models."""

import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn

from omnivl.errors import OmniVLValueError
from omnivl.models.decoders.base import GroundedDecoder
from omnivl.models.encoders import UnifiedVisualEncoder
from omnivl.models.layers import FeedForward, SpaceTimeBlock, TransformerLayer
from omnivl.models.tasks import TrunkModel
from omnivl.weights.base import part_state
from omnivl.weights.blip_keys import KeyMapping, head_mappings, projection_mappings, text_mappings, visual_mappings

from .export import write_folder

ARCHITECTURES = dict(
    retrieval='BlipForImageTextRetrieval', caption='BlipForConditionalGeneration', vqa='BlipForQuestionAnswering'
)
NEEDED = dict(
    retrieval=('text_encoder', 'alignment_decoder', 'visual_proj', 'text_proj', 'matching_head'),
    caption=('generation_decoder',),
    vqa=('alignment_decoder', 'generation_decoder'),
)


def export_blip(model: TrunkModel, kind: str, folder: str | Path) -> list[str]:
    """Write a folder that Hugging Face's ``from_pretrained`` reads.

    Args:
        model: The model; its tokenizer must have its vocabulary.
        kind: ``'retrieval'``, ``'caption'`` or ``'vqa'``. Another one, or a model with something that BLIP lacks, is
            an ``OmniVLValueError``.
        folder: Where to write; made if need be.

    Returns:
        Our keys that BLIP has no place for, such as all that is for videos.
    """
    weights, rest = to_blip(model, kind)
    write_folder(model, weights, blip_config(model, kind), Path(folder))
    return rest


def to_blip(model: TrunkModel, kind: str) -> tuple[dict[str, Tensor], list[str]]:
    """Translate the image-only parts; arguments and errors as ``export_blip``.

    The result are tensors by Hugging Face's keys, without the output matrix, which is that of the word embeddings, and
    our keys that were not used.
    """
    if kind not in ARCHITECTURES:
        raise OmniVLValueError(f'kind must be one of {list(ARCHITECTURES)}, got {kind!r}')
    if missing := sorted(set(NEEDED[kind]) - set(model.parts)):
        raise OmniVLValueError(f'kind {kind!r} needs {missing}, which this {type(model).__name__} does not hold')
    own = part_state(model)
    weights: dict[str, Tensor] = {}
    used: set[int] = set()
    for mapping in _mappings(model, kind):
        tensor = own[mapping.ours]
        used.add(id(tensor))
        for name, value in zip(mapping.theirs, tensor.detach().chunk(len(mapping.theirs))):
            if name in weights and not torch.equal(weights[name], value):
                raise OmniVLValueError(
                    f'{mapping.ours} differs from what else stands for {name}: BLIP has one text encoder for texts '
                    "alone and for matching; train with share='blip', or export the kind that needs one of them only"
                )
            weights[name] = value.clone()
    return weights, [key for key, value in own.items() if id(value) not in used]


def _mappings(model: TrunkModel, kind: str) -> Iterator[KeyMapping]:
    depth = len(_text_model(model).layers)
    mappings = [visual_mappings(len(_visual_encoder(model).blocks))]
    if kind in ('retrieval', 'vqa'):
        mappings.append(text_mappings('alignment_decoder', 'text_encoder.', depth, cross=True))
    if kind == 'retrieval':
        mappings += [text_mappings('text_encoder', 'text_encoder.', depth, cross=False), projection_mappings()]
    if kind in ('caption', 'vqa'):
        mappings += [text_mappings('generation_decoder', 'text_decoder.bert.', depth, cross=True), head_mappings()]
    return itertools.chain(*mappings)


def _text_model(model: TrunkModel) -> GroundedDecoder:
    """Return one of the decoders: all have the same sizes."""
    decoders = (model.parts[name] for name in ('alignment_decoder', 'generation_decoder') if name in model.parts)
    return cast(GroundedDecoder, next(decoders))


def _visual_encoder(model: TrunkModel) -> UnifiedVisualEncoder:
    """Return the visual encoder of a model that has a BLIP form, or refuse the model."""
    visual = model.parts['visual_encoder']
    if not isinstance(visual, UnifiedVisualEncoder) or len(visual.image_tokenizer.stem):
        raise OmniVLValueError(
            "BLIP cuts its patches by one convolution: a model with another visual encoder, or with the tokenizer's "
            'stem_channels, has no BLIP form'
        )
    if isinstance(visual.pre_norm, nn.LayerNorm):
        raise OmniVLValueError(
            'BLIP has no layer norm before the first block: a model with pre_norm=True has no BLIP form'
        )
    return visual


def blip_config(model: TrunkModel, kind: str) -> dict[str, Any]:
    """Describe the model as Hugging Face's ``config.json`` does."""
    visual, text, words = _visual_encoder(model), _text_model(model), model.trunk.tokenizer
    block, layer = cast(SpaceTimeBlock, visual.blocks[0]), cast(TransformerLayer, text.layers[0])
    return dict(
        model_type='blip',
        architectures=[ARCHITECTURES[kind]],
        **(dict(image_text_hidden_size=model.trunk.visual_proj.out_features) if kind == 'retrieval' else {}),
        tie_word_embeddings=True,
        vision_config=dict(
            model_type='blip_vision_model',
            hidden_size=visual.width,
            intermediate_size=block.mlp.fc1.out_features,
            num_hidden_layers=len(visual.blocks),
            num_attention_heads=block.attention_space.num_heads,
            image_size=visual.grid[0] * visual.image_tokenizer.patch_size,
            patch_size=visual.image_tokenizer.patch_size,
            hidden_act=block.mlp.activation,
            layer_norm_eps=visual.norm.eps,
        ),
        text_config=dict(
            model_type='blip_text_model',
            vocab_size=text.embeddings.word.num_embeddings,
            hidden_size=text.embeddings.word.embedding_dim,
            encoder_hidden_size=visual.width,
            intermediate_size=cast(FeedForward, layer.feed_forward.mlp).fc1.out_features,
            num_hidden_layers=len(text.layers),
            num_attention_heads=layer.self_attention.attention.num_heads,
            max_position_embeddings=text.embeddings.position.num_embeddings,
            hidden_act='gelu',
            layer_norm_eps=text.embeddings.norm.eps,
            bos_token_id=words.decoder_id,
            eos_token_id=words.sep_id,
            sep_token_id=words.sep_id,
            pad_token_id=words.pad_id,
            is_decoder=True,
        ),
    )
