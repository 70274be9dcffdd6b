"""timm's Vision Transformers (the paper starts from ViT-B/16 on ImageNet-1K, section 4)."""

from torch import Tensor, nn

from omnivl.models.layers import resize_space_embedding
from omnivl.registry import WEIGHT_READERS

from .base import WeightReader

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


@WEIGHT_READERS.register_module()
class TimmViTReader(WeightReader):
    """A timm ViT, with or without its classification head, also at another resolution.

    The spatial path is filled directly; the video path then starts from it (``start_video_from_image``).
    Arguments as ``WeightReader``.
    """

    def parts(self, model: nn.Module) -> tuple[str, ...]:
        """The visual encoder."""
        return (PREFIX,)

    def translate(self, weights: dict[str, Tensor], model: nn.Module) -> dict[str, Tensor]:
        """See ``WeightReader.translate``."""
        names = dict(OUTSIDE)
        for key in weights:
            if key.startswith('blocks.'):
                _, index, inner = key.split('.', 2)
                inner, kind = inner.rsplit('.', 1)
                if inner in BLOCK:
                    names[key] = f'blocks.{index}.{BLOCK[inner]}.{kind}'
        translated = {PREFIX + own: weights.pop(key) for key, own in names.items() if key in weights}
        position = PREFIX + 'pos_embed'
        if position in translated:
            stored = translated[position]
            side = round((stored.shape[1] - 1) ** 0.5)
            if side * side == stored.shape[1] - 1:
                translated[position] = resize_space_embedding(stored, (side, side), model.visual_encoder.grid)
        return translated

    def finish(self, model: nn.Module) -> list[str]:
        """Start the video path from the image path."""
        model.visual_encoder.start_video_from_image()
        temporal = ('norm_time', 'attention_time', 'time_embed', 'video_tokenizer')
        return [key for key in model.state_dict() if key.startswith(PREFIX) and any(name in key for name in temporal)]
