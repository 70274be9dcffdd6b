"""The causal, pre-norm text tower of CLIP (2103.00020) and of CoCa's unimodal half (2205.01917)."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from omnivl.errors import OmniVLValueError
from omnivl.registry import MODELS
from omnivl.structures import TextFeatures

from ..layers import FeedForward, TransformerLayer
from ..layers.attention import KeyValue
from ..layers.recompute import Recompute, check_recompute, run_layers
from .image import init_linear

POOLS = ('end', 'cls', 'cls_shifted', None)


@MODELS.register_module()
class CausalTextEncoder(nn.Module):
    """Transformer in which a token sees only those before it, so that what is written can go on without a new start.

    Args:
        vocab_size: Number of tokens V.
        width: Width D of the tokens.
        depth: Number of layers.
        num_heads: Number of heads.
        mlp_ratio: Hidden width of the feed-forward layers over D.
        max_length: Longest text in tokens, without the [CLS] that is appended.
        pool: What stands for the text. ``'end'``: its last token, CLIP's. ``'cls'``: a learned [CLS] appended behind
            the text, CoCa's; it sees all real tokens and no padding. ``'cls_shifted'``: the same with the mask that
            open_clip's released weights were trained with: [CLS] sees the first padding, too, and not itself (where a
            text fills ``max_length``, it does). None: nothing; there are tokens alone.
        activation: See ``FeedForward``.
        norm_eps: Of the layer norms.
        init_std: Standard deviation of the linear layers at their start; None = ``width ** -0.5`` (CLIP's).
        activation_checkpointing: What of the layers is computed again in the backward pass, see ``run_block``.
    """

    def __init__(
        self,
        vocab_size: int,
        width: int = 512,
        depth: int = 12,
        num_heads: int = 8,
        mlp_ratio: float = 4.0,
        max_length: int = 77,
        pool: str | None = 'end',
        activation: str = 'gelu',
        norm_eps: float = 1e-5,
        init_std: float | None = None,
        activation_checkpointing: Recompute = False,
    ) -> None:
        super().__init__()
        if pool not in POOLS:
            raise OmniVLValueError(f'pool must be one of {POOLS}, got {pool!r} (set model.trunk.text_encoder.pool)')
        self.width = width
        self.max_length = max_length
        self.pool = pool
        self.activation_checkpointing = check_recompute(activation_checkpointing)
        self.word = nn.Embedding(vocab_size, width)
        self.position_embed = nn.Parameter(torch.empty(max_length, width))
        if pool is not None and pool.startswith('cls'):
            self.cls_token = nn.Parameter(torch.empty(width))  # with its position, which is always the same
            nn.init.normal_(self.cls_token, std=0.01)
        self.layers = nn.ModuleList(
            TransformerLayer(
                width,
                num_heads,
                dropout=0.0,
                mlp=FeedForward(width, round(width * mlp_ratio), activation),
                eps=norm_eps,
                norm_first=True,
            )
            for _ in range(depth)
        )
        self.norm = nn.Identity() if pool is None else nn.LayerNorm(width, eps=norm_eps)
        nn.init.normal_(self.word.weight, std=0.02)
        nn.init.normal_(self.position_embed, std=0.01)
        init_linear(self.layers, width**-0.5 if init_std is None else init_std)

    def forward(self, token_ids: Tensor, mask: Tensor) -> TextFeatures:
        """Encode texts.

        Args:
            token_ids: int64 (B, L), padding last.
            mask: bool (B, L), True = real token; the first one is.

        Returns:
            Tokens (B, L, D), as the last layer leaves them, and the vector of the text (B, D), through the last norm;
            without one (``pool=None``) the vector of the first token. Neither depends on padding.

        Raises:
            OmniVLValueError: The text is longer than ``max_length``.
        """
        if hasattr(self, 'cls_token'):
            return self._with_cls(token_ids, mask)
        tokens, _ = self.read(token_ids)
        if self.pool is None:
            return TextFeatures(tokens, tokens[:, 0])
        last = mask.sum(dim=1, keepdim=True) - 1  # (B, 1)
        pooled = tokens.take_along_dim(last[:, :, None], dim=1).squeeze(1)
        return TextFeatures(tokens, self.norm(pooled))

    def read(
        self,
        token_ids: Tensor,
        past: Sequence[KeyValue] | None = None,
        mask: Tensor | None = None,
        positions: Tensor | None = None,
    ) -> tuple[Tensor, list[KeyValue]]:
        """Read tokens, with the work on all earlier ones cached.

        Args:
            token_ids: int64 (N, L).
            past: Keys and values of earlier tokens, one pair per layer, each (N, h, L_past, d).
            mask: bool, broadcastable to (N, 1, L, L_past + L), True = may be seen; None = all that came before.
            positions: int64 (N, L); None = those behind ``past``.

        Returns:
            Tokens, float (N, L, D), as the last layer leaves them, and the cache.
        """
        tokens = self.embed(token_ids, past[0][0].shape[2] if past else 0, positions)
        return self.run_layers(tokens, mask, past)

    def embed(self, token_ids: Tensor, offset: int = 0, positions: Tensor | None = None) -> Tensor:
        """Embed tokens, int64 (N, L), and positions (those from ``offset`` on, or given ones): float (N, L, D)."""
        if positions is not None:
            return self.word(token_ids) + self.position_embed[positions]
        end = offset + token_ids.shape[1]
        if end > self.max_length:
            raise OmniVLValueError(
                f'a text of {end} tokens is longer than the {self.max_length} positions of the model (shorten it by '
                'TokenizeText.max_length, or set max_length of the text model)'
            )
        return self.word(token_ids) + self.position_embed[offset:end]

    def run_layers(
        self, tokens: Tensor, mask: Tensor | None = None, past: Sequence[KeyValue] | None = None
    ) -> tuple[Tensor, list[KeyValue]]:
        """Run all layers on float (N, L, D), causally where ``mask`` says nothing; returns the same and the cache."""
        recompute = self.training and self.activation_checkpointing
        return run_layers(self.layers, tokens, past=past, recompute=recompute, mask=mask, causal=mask is None)

    def _with_cls(self, token_ids: Tensor, real: Tensor) -> TextFeatures:
        length = token_ids.shape[1]
        one = torch.ones_like(real[:, :1])
        if self.pool == 'cls':
            seen = torch.cat([real, one], dim=1)
        else:
            if length < self.max_length:  # the padding that [CLS] sees is there whatever the batch
                token_ids, real = F.pad(token_ids, (0, 1)), F.pad(real, (0, 1))
            seen = torch.cat([one, real], dim=1)
        tokens = torch.cat([self.embed(token_ids), self.cls_token.expand(token_ids.shape[0], 1, -1)], dim=1)
        total = tokens.shape[1]
        before = torch.ones(total, total, dtype=torch.bool, device=tokens.device).tril()
        tokens, _ = self.run_layers(tokens, before & seen[:, None, None])
        return TextFeatures(tokens[:, :length], self.norm(tokens[:, -1]))
