"""Whether a file that was written gives what the model gives, on sizes that it was not traced with."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import cast

import torch

from omnivl.errors import OmniVLRuntimeError

from .formats import Call
from .graphs import Graph

PARITY_COLUMNS = ('graph', 'output', 'compared at', 'largest difference')
TOLERANCE = 1e-4  # largest absolute difference of float32 outputs


@dataclass(frozen=True)
class Parity:
    """How far a file is from the model.

    Attributes:
        graph: Name of the graph.
        sizes: Sizes of the free axes, one entry for each time that it was compared.
        differences: Output -> largest absolute difference.
    """

    graph: str
    sizes: list[dict[str, int]]
    differences: dict[str, float]

    def rows(self) -> Iterator[list[str]]:
        """Yield one row of a table per output: graph, output, sizes, difference."""
        axes = self.sizes[0]
        tried = ', '.join(f'{axis} {"/".join(str(sizes[axis]) for sizes in self.sizes)}' for axis in axes)
        for output, difference in self.differences.items():
            yield [self.graph, output, tried, f'{difference:.1e}']


def compare(graph: Graph, call: Call, cases: Sequence[Mapping[str, int]], vocabulary: int) -> Parity:
    """Compare a file with the model on random inputs.

    Args:
        graph: The graph that the file is of.
        call: The file, read again.
        cases: Sizes of the axes, one entry for each comparison.
        vocabulary: Ids of texts are drawn below it.

    Returns:
        The largest differences.

    Raises:
        OmniVLRuntimeError: One is above ``TOLERANCE``, or no number at all.
    """
    differences = dict.fromkeys((value.name for value in graph.outputs), 0.0)
    sizes = [{axis: case[axis] for axis in graph.axes()} for case in cases]
    sizes = [dict(pairs) for pairs in dict.fromkeys(tuple(case.items()) for case in sizes)]
    for seed, case in enumerate(sizes):
        draw = torch.Generator().manual_seed(seed)
        inputs = {value.name: value.random(case, draw, vocabulary) for value in graph.inputs}
        with torch.no_grad():
            expected = graph.module(**inputs)
        for name, ours, theirs in zip(differences, expected, call(inputs), strict=True):
            found = (ours - theirs).abs().max().item() if ours.shape == theirs.shape else math.inf
            if not found <= TOLERANCE:
                raise OmniVLRuntimeError(
                    f'the written graph {graph.name} is not the model: its {name} differs by {found:.1e} (at most '
                    f'{TOLERANCE:.0e}) at {case}; nothing is left of this export'
                )
            differences[name] = max(differences[name], found)
    return Parity(graph.name, cast(list[dict[str, int]], sizes), differences)
