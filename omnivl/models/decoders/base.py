"""What the two visual-grounded decoders have in common, and how they share weights."""

from collections.abc import Iterable, Mapping, Sequence
from typing import cast

from torch import Tensor, nn

from omnivl.errors import OmniVLValueError

from ..encoders.text import TextEmbeddings, TextEncoder, init_bert
from ..layers import TransformerLayer
from ..layers.attention import KeyValue
from ..layers.recompute import Recompute, check_recompute, run_layers


class GroundedDecoder(nn.Module):
    """Text transformer that looks at visual tokens in every layer.

    Args:
        vocab_size: Number of word pieces V, [DEC] and [ENC] included.
        width: Width D of the text tokens.
        visual_width: Width of the visual tokens.
        depth: Number of layers.
        num_heads: Number of heads.
        mlp_ratio: Hidden width of the feed-forward layers over D.
        max_length: Longest text in word pieces.
        dropout: Dropout rate of attention weights and outputs.
        init_std: Standard deviation of the linear layers at their start, see ``init_bert``.
        activation_checkpointing: What of the layers is computed again in the backward pass, see ``run_block``.
    """

    def __init__(
        self,
        vocab_size: int,
        width: int = 768,
        visual_width: int = 768,
        depth: int = 12,
        num_heads: int = 12,
        mlp_ratio: float = 4.0,
        max_length: int = 512,
        dropout: float = 0.1,
        init_std: float = 0.02,
        activation_checkpointing: Recompute = False,
    ) -> None:
        super().__init__()
        self.width = width
        self.activation_checkpointing = check_recompute(activation_checkpointing)
        self.embeddings = TextEmbeddings(vocab_size, width, max_length, dropout)
        self.layers = nn.ModuleList(
            TransformerLayer(width, num_heads, mlp_ratio, dropout, visual_width) for _ in range(depth)
        )
        init_bert(self, init_std)

    def project_visual(self, visual_tokens: Tensor) -> list[KeyValue]:
        """Make the keys and values of every layer, each (B, h, S, d), of visual tokens (B, S, visual_width)."""
        layers = cast(Iterable[TransformerLayer], self.layers)
        return [layer.cross_attention.project_visual(visual_tokens) for layer in layers]

    def run_layers(
        self,
        tokens: Tensor,
        key_values: Sequence[KeyValue],
        visual_index: Tensor | None = None,
        mask: Tensor | None = None,
        causal: bool = False,
        past: Sequence[KeyValue] | None = None,
        key_mask: Tensor | None = None,
    ) -> tuple[Tensor, list[KeyValue]]:
        """Run as many layers as ``key_values`` has pairs, on float (N, L, D).

        ``mask`` is that of self-attention, ``key_mask`` that of cross-attention (bool (B, S), see ``CrossAttention``).
        Returns the same shape and the self-attention cache of every layer.
        """
        shared = dict(visual_index=visual_index, mask=mask, causal=causal, key_mask=key_mask)
        return run_layers(
            self.layers, tokens, key_values, past, self.training and self.activation_checkpointing, **shared
        )


def share_like_blip(parts: Mapping[str, nn.Module]) -> None:
    """Let the text models of a trunk share weights as BLIP's do (its released code; OmniVL does not say).

    Text encoder and alignment decoder are one BERT: they share embeddings, self-attention and feed-forward layers. The
    generation decoder shares all but its (causal) self-attention: embeddings, cross-attention and feed-forward layers.

    Args:
        parts: Name -> part; a text model that is not there shares nothing.

    Raises:
        OmniVLValueError: They differ in depth or in the shape of a shared part.
    """
    names = [name for name in ('text_encoder', 'alignment_decoder', 'generation_decoder') if name in parts]
    models = {name: cast(TextEncoder | GroundedDecoder, parts[name]) for name in names}
    depths = [len(model.layers) for model in models.values()]
    if len(set(depths)) > 1:
        raise OmniVLValueError(f"share='blip' needs one depth for the text models, got {depths}")
    _share('embeddings', list(models.values()))
    bidirectional, grounded = {'text_encoder', 'alignment_decoder'}, {'alignment_decoder', 'generation_decoder'}
    for equally_deep in zip(*(model.layers for model in models.values())):
        of_model = dict(zip(models, equally_deep))
        _share('self_attention', [layer for name, layer in of_model.items() if name in bidirectional])
        _share('feed_forward', list(equally_deep))
        _share('cross_attention', [layer for name, layer in of_model.items() if name in grounded])


def _share(name: str, owners: Sequence[nn.Module]) -> None:
    """Give the part of the first owner to all."""
    for other in owners[1:]:
        part = getattr(owners[0], name)
        shapes = [[value.shape for value in module.state_dict().values()] for module in (part, getattr(other, name))]
        if shapes[0] != shapes[1]:
            raise OmniVLValueError(
                f"share='blip' needs equal sizes: {name} of {type(other).__name__} differs in shape from that of "
                f'{type(owners[0]).__name__} (width, vocab_size, mlp_ratio or max_length)'
            )
        setattr(other, name, part)
