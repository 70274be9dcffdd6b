"""CoCa's parts beside the two encoders: the poolers of the image's tokens, and the multimodal half of the decoder."""

from collections.abc import Sequence
from typing import Any, cast

from torch import Tensor, nn

from omnivl.errors import OmniVLValueError
from omnivl.models.encoders.image import init_linear
from omnivl.models.layers import AttentionalPooler, FeedForward, FeedForwardBlock, TransformerLayer
from omnivl.models.layers.attention import KeyValue
from omnivl.models.layers.linear import Linear
from omnivl.models.layers.recompute import Recompute, check_recompute, run_layers
from omnivl.registry import MODELS
from omnivl.structures import VisualFeatures

POOLERS = ('cascade', 'parallel', 'single')


@MODELS.register_module()
class TaskPoolers(nn.Module):
    """Task-specific attentional pooling (2205.01917, section 3.2): tokens for the decoder, and one vector.

    ``'cascade'``, the paper's: the contrastive pooler, of one query, looks at what the generative pooler made.
    ``'parallel'``: both look at the tokens of the encoder. ``'single'``, that of open_clip's released weights: there is
    one pooler, whose first query gives the vector and whose others give the tokens, and a layer norm behind it.

    Args:
        visual_width: Width of the encoder's tokens.
        width: Width D of the result.
        kind: See above.
        num_queries: Queries n of the generative pooler (256 in the paper); of a single one the first is the vector's.
        num_heads: Number of heads.
        norm_eps: Of the layer norms.
        generative: Whether the tokens are used.
        contrastive: Whether the vector is used; what neither needs is not built.
    """

    def __init__(
        self,
        visual_width: int,
        width: int,
        kind: str = 'cascade',
        num_queries: int = 256,
        num_heads: int = 8,
        norm_eps: float = 1e-5,
        generative: bool = True,
        contrastive: bool = True,
    ) -> None:
        super().__init__()
        if kind not in POOLERS:
            raise OmniVLValueError(
                f'kind of pooler must be one of {POOLERS}, got {kind!r} (set model.trunk.pooler.kind)'
            )
        if kind == 'single' and num_queries < 2:
            raise OmniVLValueError(f'a single pooler needs 2 queries or more, got {num_queries} (num_queries)')
        self.kind = kind
        self.width = width
        if generative or kind != 'parallel':
            self.generative = AttentionalPooler(width, visual_width, num_heads, num_queries, norm_eps)
        if contrastive and kind != 'single':
            seen = width if kind == 'cascade' else visual_width
            self.contrastive = AttentionalPooler(width, seen, num_heads, 1, norm_eps)
        self.norm = nn.LayerNorm(width, eps=norm_eps) if kind == 'single' else nn.Identity()

    def forward(self, tokens: Tensor) -> VisualFeatures:
        """Pool the tokens of N images.

        Args:
            tokens: float (N, S, visual_width).

        Returns:
            Tokens (N, n, D), of a single pooler n - 1, and one vector each (N, D). Without a generative pooler the
            vector is the only token, without a contrastive one the mean of the tokens is the vector.
        """
        made = self.norm(self.generative(tokens)) if hasattr(self, 'generative') else None
        if made is not None and self.kind == 'single':
            return VisualFeatures(made[:, 1:], made[:, 0])
        if not hasattr(self, 'contrastive'):
            return VisualFeatures(made, made.mean(dim=1))
        vector = self.contrastive(made if self.kind == 'cascade' else tokens)  # (N, 1, D)
        return VisualFeatures(vector if made is None else made, vector.squeeze(1))


class MultimodalLayer(TransformerLayer):
    """A layer with cross-attention, and where ``between`` says so another feed-forward layer before that.

    Args:
        width: Width D of the tokens.
        num_heads: Number of heads.
        hidden: Width of the feed-forward layers.
        activation: See ``FeedForward``.
        between: Whether there is a feed-forward layer between self- and cross-attention.
        **options: See ``TransformerLayer``.
    """

    def __init__(self, width: int, num_heads: int, hidden: int, activation: str, between: bool, **options: Any) -> None:
        super().__init__(width, num_heads, mlp=FeedForward(width, hidden, activation), **options)
        residual = {name: options[name] for name in ('eps', 'norm_first')}
        mlp = FeedForward(width, hidden, activation)
        self.between = FeedForwardBlock(width, hidden, 0.0, mlp, **residual) if between else nn.Identity()

    def forward(
        self,
        tokens: Tensor,
        key_value: KeyValue | None = None,
        visual_index: Tensor | None = None,
        mask: Tensor | None = None,
        causal: bool = False,
        past: KeyValue | None = None,
        key_mask: Tensor | None = None,
    ) -> tuple[Tensor, KeyValue]:
        """See ``TransformerLayer.forward``."""
        tokens, present = self.self_attention(tokens, mask, causal, past)
        tokens = self.cross_attention(self.between(tokens), key_value, visual_index, key_mask)
        return self.feed_forward(tokens), present


@MODELS.register_module()
class MultimodalDecoder(nn.Module):
    """The multimodal half of CoCa's decoder: causal, with cross-attention to the tokens of the image.

    It reads the tokens of the unimodal half, and has neither embeddings nor positions of its own.

    Args:
        vocab_size: Number of tokens V.
        width: Width D of the tokens.
        visual_width: Width of the tokens of the image.
        depth: Number of layers.
        num_heads: Number of heads.
        mlp_ratio: Hidden width of the feed-forward layers over D.
        between: See ``MultimodalLayer``: False is the paper's, True open_clip's.
        activation: See ``FeedForward``.
        norm_eps: Of the layer norms.
        init_std: Standard deviation of the linear layers at their start; None = ``width ** -0.5``.
        activation_checkpointing: What of the layers is computed again in the backward pass, see ``run_block``.
    """

    def __init__(
        self,
        vocab_size: int,
        width: int,
        visual_width: int,
        depth: int,
        num_heads: int,
        mlp_ratio: float = 4.0,
        between: bool = False,
        activation: str = 'gelu',
        norm_eps: float = 1e-5,
        init_std: float | None = None,
        activation_checkpointing: Recompute = False,
    ) -> None:
        super().__init__()
        self.width = width
        self.activation_checkpointing = check_recompute(activation_checkpointing)
        self.layers = nn.ModuleList(
            MultimodalLayer(
                width,
                num_heads,
                round(width * mlp_ratio),
                activation,
                between,
                dropout=0.0,
                visual_width=visual_width,
                norm_visual=True,
                eps=norm_eps,
                norm_first=True,
            )
            for _ in range(depth)
        )
        self.norm = nn.LayerNorm(width, eps=norm_eps)
        self.head = Linear(width, vocab_size, bias=False)
        init_linear(self, width**-0.5 if init_std is None else init_std)

    def project_visual(self, visual_tokens: Tensor) -> list[KeyValue]:
        """Make the keys and values of every layer, each (B, h, S, d), of visual tokens (B, S, visual_width)."""
        return [cast(TransformerLayer, layer).cross_attention.project_visual(visual_tokens) for layer in self.layers]

    def forward(
        self,
        tokens: Tensor,
        key_values: Sequence[KeyValue],
        visual_index: Tensor | None = None,
        mask: Tensor | None = None,
        past: Sequence[KeyValue] | None = None,
    ) -> tuple[Tensor, list[KeyValue]]:
        """Look at visuals while reading on.

        Args:
            tokens: Of the unimodal half, float (N, L, D).
            key_values: From ``project_visual``, one pair per layer, each (B, h, S, d).
            visual_index: The visual of each text, int64 (N,); without it, N = B * G and texts are grouped by visual.
            mask: bool, broadcastable to (N, 1, L, L_past + L), True = may be seen; None = all that came before.
            past: Keys and values of earlier tokens, one pair per layer.

        Returns:
            Normalised tokens, float (N, L, D), for ``head`` (logits at position i are for token i + 1), and the cache.
        """
        recompute = self.training and self.activation_checkpointing
        shared = dict(visual_index=visual_index, mask=mask, causal=mask is None)
        tokens, present = run_layers(self.layers, tokens, key_values, past, recompute, **shared)
        return self.norm(tokens), present
