"""What several readers need: tensors by their foreign names, and the settings that no tensor shows."""

from typing import Any, cast

from torch import Tensor, nn

from omnivl.errors import OmniVLValueError
from omnivl.models.decoders.base import GroundedDecoder
from omnivl.models.encoders import TextEncoder, UnifiedVisualEncoder
from omnivl.models.layers import SpaceTimeBlock, TransformerLayer


class SourceTensors:
    """A foreign state dict out of which a reader takes tensors by their plain names; a missing one is an error.

    Args:
        weights: The state dict.
        plain: Plain name -> key of the state dict, where these differ.
        prefix: What every plain name begins with.
        kind: What the weights are thought to be, for the message.
    """

    def __init__(self, weights: dict[str, Tensor], plain: dict[str, str] | None, prefix: str, kind: str) -> None:
        self.weights = weights
        self.plain = {key: key for key in weights} if plain is None else plain
        self.prefix = prefix
        self.kind = kind

    def pop(self, name: str) -> Tensor:
        """Take a tensor out, so that what is left at the end was not used."""
        key = self.plain.get(self.prefix + name)
        if key is None or key not in self.weights:
            raise OmniVLValueError(f'no {self.prefix}{name} among the weights: this is not a {self.kind} that we know')
        return self.weights.pop(key)

    def count_layers(self, name: str) -> int:
        """Count the layers whose keys begin with ``name``."""
        start = self.prefix + name
        return len({key[len(start) :].split('.')[0] for key in self.plain if key.startswith(start)})


def visual_settings(config: dict[str, Any], encoder: nn.Module, norm_eps: float) -> list[tuple[str, Any, Any]]:
    """Compare a Hugging Face config of a vision tower with our encoder, as ``WeightReader.settings``.

    ``norm_eps`` is what the tower has where its config does not say. There are no settings for an encoder of another
    kind, which the keys will show.
    """
    if not isinstance(encoder, UnifiedVisualEncoder):
        return []
    block = cast(SpaceTimeBlock, encoder.blocks[0])
    return [
        ('num_heads', config.get('num_attention_heads', 12), block.attention_space.num_heads),
        ('norm_eps', config.get('layer_norm_eps', norm_eps), encoder.norm.eps),
        ('activation', config.get('hidden_act', block.mlp.activation), block.mlp.activation),
    ]


def text_settings(
    config: dict[str, Any], text_model: TextEncoder | GroundedDecoder, num_heads: int = 12
) -> list[tuple[str, Any, Any]]:
    """Compare a Hugging Face config of a BERT with one of our text models, as ``WeightReader.settings``.

    ``num_heads`` is what the BERT has where its config does not say.
    """
    attention = cast(TransformerLayer, text_model.layers[0]).self_attention.attention
    return [
        ('text_num_heads', config.get('num_attention_heads', num_heads), attention.num_heads),
        ('text_norm_eps', config.get('layer_norm_eps', 1e-12), text_model.embeddings.norm.eps),
        ('text_activation', config.get('hidden_act', 'gelu'), 'gelu'),
    ]
