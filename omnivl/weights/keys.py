"""What several readers need: tensors by their foreign names, and the settings that no tensor shows."""

from typing import Any

from torch import Tensor, nn

from omnivl.errors import OmniVLValueError


class Taker:
    """Takes tensors out of a state dict by their plain names; a missing one is an error that names it.

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

    def __call__(self, name: str) -> Tensor:
        key = self.plain.get(self.prefix + name)
        if key is None or key not in self.weights:
            raise OmniVLValueError(f'no {self.prefix}{name} among the weights: this is not a {self.kind} that we know')
        return self.weights.pop(key)

    def count(self, name: str) -> int:
        """Number of layers whose keys begin with ``name``."""
        start = self.prefix + name
        return len({key[len(start) :].split('.')[0] for key in self.plain if key.startswith(start)})


def visual_settings(config: dict[str, Any], encoder: nn.Module, norm_eps: float) -> list[tuple[str, Any, Any]]:
    """Compare a Hugging Face config of a vision tower with our encoder, as ``WeightReader.settings``.

    Args:
        config: The config of the tower.
        encoder: A ``UnifiedVisualEncoder``.
        norm_eps: What the tower has where its config does not say.
    """
    if not hasattr(encoder, 'blocks'):  # an encoder of another kind, which the keys will show
        return []
    block = encoder.blocks[0]
    return [
        ('num_heads', config.get('num_attention_heads', 12), block.attention_space.num_heads),
        ('norm_eps', config.get('layer_norm_eps', norm_eps), encoder.norm.eps),
        ('activation', config.get('hidden_act', block.mlp.activation), block.mlp.activation),
    ]


def text_settings(config: dict[str, Any], text_model: nn.Module, num_heads: int = 12) -> list[tuple[str, Any, Any]]:
    """Compare a Hugging Face config of a BERT with one of our text models, as ``WeightReader.settings``.

    Args:
        config: The config of the BERT.
        text_model: A text encoder or a decoder.
        num_heads: What the BERT has where its config does not say.
    """
    attention = text_model.layers[0].self_attention.attention
    return [
        ('text_num_heads', config.get('num_attention_heads', num_heads), attention.num_heads),
        ('text_norm_eps', config.get('layer_norm_eps', 1e-12), text_model.embeddings.norm.eps),
        ('text_activation', config.get('hidden_act', 'gelu'), 'gelu'),
    ]
