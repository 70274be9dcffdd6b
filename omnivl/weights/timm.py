"""timm's Vision Transformers (the paper starts from ViT-B/16 on ImageNet-1K, section 4)."""

from torch import Tensor

from omnivl.models.interfaces import FitsPositions, HasParts, offered_by
from omnivl.registry import WEIGHT_READERS

from .base import WeightReader, part_state

BLOCK = {
    'norm1': 'norm_space',
    'attn.qkv': 'attention_space.qkv',
    'attn.proj': 'attention_space.proj',
    'norm2': 'norm_mlp',
    'mlp.fc1': 'mlp.fc1',
    'mlp.fc2': 'mlp.fc2',
}
OUTSIDE = {
    'cls_token': 'cls_token',
    'pos_embed': 'pos_embed',
    'patch_embed.proj.weight': 'image_tokenizer.proj.weight',
    'patch_embed.proj.bias': 'image_tokenizer.proj.bias',
    'norm.weight': 'norm.weight',
    'norm.bias': 'norm.bias',
}
PREFIX = 'visual_encoder.'


class ImageReader(WeightReader):
    """Base of the readers that fill the image path, from which the video path then starts."""

    def derived(self, model: HasParts) -> list[str]:
        """List the keys of the video path."""
        temporal = ('norm_time', 'attention_time', 'time_embed', 'video_tokenizer')
        return [key for key in part_state(model) if key.startswith(PREFIX) and any(name in key for name in temporal)]

    def finish(self, model: HasParts) -> None:
        """Start the video path from the image path."""
        model.parts['visual_encoder'].start_video_from_image()


@WEIGHT_READERS.register_module(name=['TimmViTReader', 'timm'])
class TimmViTReader(ImageReader):
    """A timm ViT, with or without its classification head, also at another resolution.

    The spatial path is filled directly; the video path then starts from it (``start_video_from_image``).
    Arguments as ``WeightReader``.
    """

    unused_by_design = ('head.*', 'head_dist.*', 'pre_logits.*')

    def translate(self, weights: dict[str, Tensor], model: HasParts) -> dict[str, Tensor]:
        """See ``WeightReader.translate``."""
        names = dict(OUTSIDE)
        for key in weights:
            if key.startswith('blocks.'):
                _, index, inner = key.split('.', 2)
                inner, kind = inner.rsplit('.', 1)
                if inner in BLOCK:
                    names[key] = f'blocks.{index}.{BLOCK[inner]}.{kind}'
        translated = {PREFIX + own: weights.pop(key) for key, own in names.items() if key in weights}
        fit_space(translated, model)
        return translated


def fit_space(translated: dict[str, Tensor], model: HasParts) -> None:
    """Interpolate, in place, a spatial position embedding that was made for another resolution."""
    if (fits := offered_by(model.parts['visual_encoder'], FitsPositions)) is not None:
        fits.fit_position_embeddings(translated, PREFIX)
