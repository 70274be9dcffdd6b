"""The text encoder: BERT (1810.04805)."""

from collections.abc import Iterable
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from omnivl.errors import OmniVLValueError
from omnivl.registry import MODELS
from omnivl.structures import TextFeatures

from ..layers import TransformerLayer
from ..layers.linear import Linear, linear, on_cpu
from ..layers.recompute import Recompute, check_recompute, run_block, run_layers


class TextEmbeddings(nn.Module):
    """Word-piece and position embeddings, layer norm, dropout.

    There are no token-type embeddings, as in BLIP; those of a BERT checkpoint (type 0) are added to its positions.

    Args:
        vocab_size: Number of word pieces V, [DEC] and [ENC] included.
        width: Width D of the tokens.
        max_length: Longest text in word pieces.
        dropout: Dropout rate of the output.
        eps: Of the layer norm.
    """

    def __init__(
        self, vocab_size: int, width: int, max_length: int = 512, dropout: float = 0.1, eps: float = 1e-12
    ) -> None:
        super().__init__()
        self.word = nn.Embedding(vocab_size, width, padding_idx=0)
        self.word.weight.register_post_accumulate_grad_hook(_make_dense)
        self.position = nn.Embedding(max_length, width)
        self.norm = nn.LayerNorm(width, eps=eps)
        self.dropout = nn.Dropout(dropout)

    def forward(self, token_ids: Tensor, offset: int = 0) -> Tensor:
        """Embed word pieces and their positions.

        Args:
            token_ids: int64 (N, L).
            offset: Position of the first of them in its text.

        Returns:
            float (N, L, D).

        Raises:
            OmniVLValueError: The text is longer than ``max_length``.
        """
        end = offset + token_ids.shape[1]
        if end > self.position.num_embeddings:
            raise OmniVLValueError(
                f'a text of {end} word pieces is longer than the {self.position.num_embeddings} positions of the model '
                '(shorten it by TokenizeText.max_length, or set max_length of the text model)'
            )
        # As rows, gradients of the few words of a batch are added to that of the language head in no time; zeros for
        # all other words of each text model would take a CPU longer than a layer.
        words = F.embedding(token_ids, self.word.weight, self.word.padding_idx, sparse=on_cpu(token_ids))
        return self.dropout(self.norm(words + self.position.weight[offset:end]))


def _make_dense(weight: Tensor) -> None:
    if weight.grad is not None and weight.grad.is_sparse:  # where no language head had its part in the step
        weight.grad = weight.grad.to_dense()


def init_bert(module: nn.Module, std: float = 0.02) -> None:
    """Initialise as BERT does: normal weights, those of embeddings with standard deviation 0.02; zero biases.

    BERT's 0.02 suits a width of 768. A narrow model trained from scratch wants about ``width ** -0.5``, at which a
    layer keeps the size of its input.
    """
    for part in module.modules():
        if isinstance(part, nn.Linear | nn.Embedding):
            nn.init.normal_(part.weight, std=std if isinstance(part, nn.Linear) else 0.02)
        if isinstance(part, nn.Linear) and part.bias is not None:
            nn.init.zeros_(part.bias)
        if isinstance(part, nn.Embedding) and part.padding_idx is not None:
            nn.init.zeros_(part.weight[part.padding_idx])


@MODELS.register_module()
class TextEncoder(nn.Module):
    """BERT without its pooler: word pieces to one vector each; the vector of [CLS] stands for the text.

    Args:
        vocab_size: Number of word pieces V, [DEC] and [ENC] included.
        width: Width D of the tokens.
        depth: Number of layers.
        num_heads: Number of heads.
        mlp_ratio: Hidden width of the feed-forward layers over D.
        max_length: Longest text in word pieces.
        dropout: Dropout rate of attention weights and outputs (BERT's is 0.1).
        init_std: Standard deviation of the linear layers at their start, see ``init_bert``.
        activation_checkpointing: What of the layers is computed again in the backward pass, see ``run_block``.
    """

    def __init__(
        self,
        vocab_size: int,
        width: int = 768,
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
        self.layers = nn.ModuleList(TransformerLayer(width, num_heads, mlp_ratio, dropout) for _ in range(depth))
        init_bert(self, init_std)

    def forward(self, token_ids: Tensor, mask: Tensor, first_only: bool = False) -> TextFeatures:
        """Encode texts.

        Args:
            token_ids: int64 (B, L), [CLS] first.
            mask: bool (B, L), True = real token.
            first_only: Whether [CLS] is all that is wanted, so that the last layer need not compute the others.

        Returns:
            Tokens (B, L, D), or (B, 1, D), and the vector of [CLS] (B, D).
        """
        tokens, mask = self.embeddings(token_ids), mask[:, None, None]
        layers = list(cast(Iterable[TransformerLayer], self.layers))
        recompute = self.training and self.activation_checkpointing
        last = layers.pop() if first_only else None
        tokens, _ = run_layers(layers, tokens, recompute=recompute, mask=mask)
        if last is not None:
            tokens = run_block(last.first, tokens, mask=mask, recompute=recompute)
        return TextFeatures(tokens, tokens[:, 0])


class LanguageHead(nn.Module):
    """BERT's prediction head; the output matrix is that of the word embeddings.

    Args:
        vocab_size: Number of word pieces V.
        width: Width D of the tokens.
        eps: Of the layer norm.

    Attributes:
        packed: A copy of the word embeddings, or None; see ``GenerationDecoder.packed``.
    """

    packed: Tensor | None = None

    def __init__(self, vocab_size: int, width: int, eps: float = 1e-12) -> None:
        super().__init__()
        self.transform = Linear(width, width)
        self.norm = nn.LayerNorm(width, eps=eps)
        self.bias = nn.Parameter(torch.zeros(vocab_size))

    def forward(self, tokens: Tensor, word_embeddings: Tensor) -> Tensor:
        """Map float (..., D), with word embeddings (V, D), to logits (..., V)."""
        return linear(self.norm(F.gelu(self.transform(tokens))), word_embeddings, self.bias, self.packed)
