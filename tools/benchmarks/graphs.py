"""Measure graphs of onnxruntime beside the same model in torch, with random weights, on the CPU.

Both take turns, round after round, with as many threads. What counts is the ratio of the seconds. Each graph is
compared with the model when it is written, as ``omnivl export --format onnx`` does.

    python tools/benchmarks/graphs.py
    python tools/benchmarks/graphs.py --batch 8 --size 224 --frames 8 --json graphs.json
"""

import argparse
import tempfile
from pathlib import Path
from typing import Any

import torch
from beside_blip import add_size_options, build_pair, take_turns
from figures import write_json
from transformers import BlipForImageTextRetrieval

from omnivl.commands.export.folder import write_graph
from omnivl.commands.export.formats import FORMATS
from omnivl.commands.export.graphs import Graph, floats, text_graphs_of, tower_of
from omnivl.structures import IMAGE, VIDEO

NAMES = (IMAGE.name, VIDEO.name, 'text', 'matcher', 'writer')


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--batch', type=int, default=4, help='pictures, or texts (default: 4); of clips one')
    parser.add_argument('--frames', type=int, default=8, help='frames of a clip (default: 8)')
    parser.add_argument('--length', type=int, default=16, help='word pieces of a text (default: 16)')
    parser.add_argument('--graphs', nargs='+', choices=NAMES, default=NAMES, help='which ones (default: all)')
    add_size_options(parser)
    return parser.parse_args()


def measure(graph: Graph, args: argparse.Namespace) -> dict[str, Any]:
    """Write a graph, and let it and the model take turns."""
    form = FORMATS['onnx']
    batch = 1 if graph.name == VIDEO.name else args.batch
    places = 1 + (args.size // 16) ** 2
    sizes = dict(batch=batch, length=args.length, frames=args.frames, visual_tokens=places)
    traced = dict(batch=2, length=7, frames=args.frames, visual_tokens=17)
    draw = torch.Generator().manual_seed(args.seed)
    inputs = {value.name: value.random(sizes, draw, args.vocab) for value in graph.inputs}
    with tempfile.TemporaryDirectory() as folder:
        graph, parity = write_graph(graph, form, Path(folder), [traced, sizes], args.vocab)
        call = form.read(Path(folder) / f'{graph.name}{form.suffix}', graph)
    pair = {'torch': lambda: graph.module(**inputs), 'onnxruntime': lambda: call(inputs)}
    median, fastest = take_turns(pair, args.rounds)
    return dict(
        seconds=median,
        ratio=median['torch'] / median['onnxruntime'],
        ratio_of_fastest=fastest['torch'] / fastest['onnxruntime'],
        greatest_difference=max(parity.differences.values()),
    )


@torch.no_grad()
def main() -> None:
    """Measure and print."""
    args = parse_args()
    if args.threads:
        torch.set_num_threads(args.threads)
    FORMATS['onnx'].check_installed()
    model = build_pair(BlipForImageTextRetrieval, args)[1]
    picture = torch.zeros(1, 3, args.size, args.size, dtype=torch.uint8)
    towers = [
        tower_of(model, IMAGE.name, picture),
        tower_of(model, VIDEO.name, picture.expand(args.frames, -1, -1, -1)),
    ]
    tokens = floats('tokens', 'those of a tower', 'visual_tokens', args.width)
    graphs = (graph for graph in (*towers, *text_graphs_of(model, tokens)) if graph.name in args.graphs)
    figures = {graph.name: measure(graph, args) for graph in graphs}
    print(f'\n{"":10} {"torch":>9} {"onnxruntime":>12} {"ratio":>7} {"of fastest":>11} {"difference":>11}')
    for name, figure in figures.items():
        seconds = figure['seconds']
        print(
            f'{name:10} {seconds["torch"]:8.3f}s {seconds["onnxruntime"]:11.3f}s {figure["ratio"]:7.2f} '
            f'{figure["ratio_of_fastest"]:11.2f} {figure["greatest_difference"]:11.1e}'
        )
    write_json(args.json, figures)


if __name__ == '__main__':
    main()
