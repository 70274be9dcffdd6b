"""Measure captions by beam search beside transformers' BlipForConditionalGeneration, with the same random weights.

What counts is the part after the vision encoder, which both have in common: transformers' ``generate`` runs as it is,
but is given the vision encoder's output at once; ours makes keys and values of that output and searches. Captions have
a forced length, and are compared. Both take turns, round after round; what counts is the ratio of their medians.

On a CPU an evaluation packs the weights of the generation decoder once for all its batches: the time for it is shown
apart, and ``--plain`` shows what it gains.

    python tools/benchmarks/generation.py
    python tools/benchmarks/generation.py --plain --threads 1
    python tools/benchmarks/generation.py --batch 1 --beams 5 --length 30 --vision --json generation.json
"""

import argparse
from contextlib import ExitStack
from types import SimpleNamespace
from typing import Any

import torch
from beside_blip import add_size_options, build_pair, take_turns, timed
from figures import write_json
from torch import Tensor, nn
from transformers import BlipForConditionalGeneration

from omnivl.models.generation import beam_search
from omnivl.models.omnivl import OmniVL

TARGET = 3.0
THEIRS, OURS, PLAIN = 'transformers', 'omnivl', 'omnivl, not packed'


class KnownStates(nn.Module):
    """Stands in for the vision encoder of transformers: returns what that has made before."""

    def __init__(self, states: Any) -> None:
        super().__init__()
        self.states = states

    def forward(self, **_: Any) -> Any:
        """Ignore the pixels."""
        return self.states


def their_captions(model: nn.Module, pixels: Tensor, args: argparse.Namespace) -> list[list[int]]:
    """Word pieces of the captions, [DEC] left out."""
    ids = model.generate(
        pixel_values=pixels,
        num_beams=args.beams,
        max_new_tokens=args.length,
        min_new_tokens=args.length,
        do_sample=False,
    )
    return ids[:, 1:].tolist()


def our_captions(trunk: OmniVL, tokens: Tensor, args: argparse.Namespace) -> list[list[int]]:
    """Word pieces of the captions of visuals, given as tokens (B, S, D)."""
    return beam_search(trunk.begin_writing(tokens), args.length, min_length=args.length, num_beams=args.beams).ids


def our_plain_captions(model: OmniVL, tokens: Tensor, args: argparse.Namespace) -> list[list[int]]:
    """Word pieces as of :func:`our_captions`, by PyTorch's usual linear layers."""
    with torch.backends.mkldnn.flags(enabled=False):
        return our_captions(model, tokens, args)


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--batch', type=int, default=4, help='pictures in a batch (default: 4)')
    parser.add_argument('--beams', type=int, default=3, help='beams of the search (default: 3)')
    parser.add_argument('--length', type=int, default=20, help='word pieces of a caption (default: 20)')
    parser.add_argument('--plain', action='store_true', help='measure omnivl without packed weights, too')
    parser.add_argument('--vision', action='store_true', help='measure the vision encoders, too')
    add_size_options(parser)
    return parser.parse_args()


@torch.no_grad()
def main() -> None:
    """Measure and print."""
    args = parse_args()
    if args.threads:
        torch.set_num_threads(args.threads)
    theirs, model = build_pair(BlipForConditionalGeneration, args)
    ours = model.trunk
    pixels = torch.randn(args.batch, 3, args.size, args.size)
    vision, states = theirs.vision_model, theirs.vision_model(pixel_values=pixels)
    tokens = ours.visual_encoder(pixels[:, None], 'image').tokens
    theirs.vision_model = KnownStates(states)
    functions = {THEIRS: lambda: their_captions(theirs, pixels, args), OURS: lambda: our_captions(ours, tokens, args)}
    if args.plain:
        functions[PLAIN] = lambda: our_plain_captions(ours, tokens, args)
    if args.vision:
        functions['vision of transformers'] = lambda: vision(pixel_values=pixels)
        functions['vision of omnivl'] = lambda: ours.visual_encoder(pixels[:, None], 'image')
    with ExitStack() as stack:
        packing, _ = timed(lambda: stack.enter_context(ours.generation_decoder.packed()))
        captions = SimpleNamespace(theirs=functions[THEIRS](), ours=functions[OURS]())  # also warms up
        median, fastest = take_turns(functions, args.rounds)
    figures = dict(
        seconds=median,
        packing_seconds=packing,
        ratio=median[THEIRS] / median[OURS],
        ratio_of_fastest=fastest[THEIRS] / fastest[OURS],
        ratio_with_packing=median[THEIRS] / (median[OURS] + packing),
        captions_equal=captions.theirs == captions.ours,
        greatest_difference_of_visual_tokens=float((states.last_hidden_state - tokens).abs().max()),
    )
    print(f'\n{"after the vision encoder":28} {"seconds":>9}')
    for name, value in median.items():
        print(f'{name:28} {value:9.3f}')
    print(f'{"omnivl: packing, once":28} {packing:9.3f}')
    print(f'\nvisual tokens differ by at most {figures["greatest_difference_of_visual_tokens"]:.1e}')
    equal = sum(map(list.__eq__, captions.theirs, captions.ours))
    print(f'equal captions: {equal} of {args.batch}, {args.length} word pieces each')
    print(f'transformers / omnivl:              {figures["ratio"]:.2f} (target: at least {TARGET})')
    print(f'from the fastest rounds:            {figures["ratio_of_fastest"]:.2f}')
    print(f'with the packing for one batch:     {figures["ratio_with_packing"]:.2f}')
    if args.plain:
        print(f'without packing:                    {median[THEIRS] / median[PLAIN]:.2f}')
    write_json(args.json, figures)


if __name__ == '__main__':
    main()
