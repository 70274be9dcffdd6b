"""Learned positions on a grid of any number of axes, one table for each axis."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from omnivl.errors import OmniVLValueError


class FactorisedPositions(nn.Module):
    """Adds to each token the sum of what its time, its row and its column have in tables of their own.

    VATT (2104.11178, section 3.1). The sum goes through a layer norm, and the tokens through dropout, in its code and
    in that of IMP (2305.06324). Which entries are taken is a matter of ``entries``.

    Args:
        width: Width D of the tokens.
        lengths: Entries in the table of each axis, as ``(8, 14, 14)``.
        dropout: Dropout rate of the tokens, in training only.
        spread: Whether an axis is spread over the whole of its table, so that 4 positions take the entries 0, 4, 8 and
            12 of 16 (IMP); otherwise they take the first 4.
        eps: Of the layer norm.
    """

    def __init__(
        self, width: int, lengths: Sequence[int], dropout: float = 0.0, spread: bool = False, eps: float = 1e-6
    ) -> None:
        super().__init__()
        self.lengths = tuple(lengths)
        self.spread = spread
        # One by one: that they are position embeddings, which do not decay, their name says to the optimizer.
        self.pos_embed = nn.ParameterList(nn.Parameter(torch.empty(length, width)) for length in lengths)
        self.norm = nn.LayerNorm(width, eps=eps)
        self.dropout = nn.Dropout(dropout)
        for table in self.pos_embed:
            nn.init.normal_(table, std=width**-0.5)

    def forward(self, tokens: Tensor) -> Tensor:
        """Add the positions.

        Args:
            tokens: float (B, n_1, ..., n_k, D), k the number of axes.

        Returns:
            The same shape.

        Raises:
            OmniVLValueError: There is another number of axes, or more positions on one than its table has.
        """
        sizes = tokens.shape[1:-1]
        found = [self.entries(axis, size) for axis, size in enumerate(sizes[: len(self.lengths)])]
        if len(sizes) != len(self.lengths) or any(one.shape[0] != size for one, size in zip(found, sizes)):
            raise OmniVLValueError(
                f'tokens on a grid of {tuple(sizes)} have no positions in tables of {self.lengths}: shorten or shrink '
                'the input, or enlarge the tables in the config of the model'
            )
        total: Tensor | float = 0.0
        for axis, one in enumerate(found):
            total = total + one.view(*(size if other == axis else 1 for other, size in enumerate(sizes)), -1)
        return self.dropout(tokens + self.norm(total))

    def entries(self, axis: int, size: int) -> Tensor:
        """Return what ``size`` positions of an axis have, float (size, D); fewer where its table has no more."""
        table = self.pos_embed[axis]
        if self.spread and size <= table.shape[0]:
            return table[torch.arange(size, device=table.device) * table.shape[0] // size]
        return table[:size]
