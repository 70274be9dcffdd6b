"""What the benchmarks beside transformers' BLIP have in common: both models with the same weights, and taking turns."""

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from mmengine.logging import MMLogger
from torch import nn
from transformers import BlipConfig

from omnivl.models import TrunkModel
from omnivl.registry import MODELS
from omnivl.weights import load_weights

PAD, CLS, SEP = 0, 101, 102  # in BERT's vocabulary
FIRST_WORD = 1000
NORM_EPS = 1e-5  # of the vision tower in transformers


class FixedTokenizer:
    """Stands in for BERT's vocabulary file: ids are all that is needed."""

    pad_id, sep_id = PAD, SEP

    def __init__(self, vocab_size: int) -> None:
        self.vocab_size = vocab_size
        self.decoder_id, self.encoder_id = vocab_size - 2, vocab_size - 1


def add_size_options(parser: argparse.ArgumentParser) -> None:
    """Options of the models' size and of the measurement; by default base size at 384 pixels."""
    parser.add_argument('--size', type=int, default=384, help='side of a picture in pixels (default: 384)')
    parser.add_argument('--width', type=int, default=768, help='width of both models (default: 768)')
    parser.add_argument('--depth', type=int, default=12, help='layers of each part (default: 12)')
    parser.add_argument('--heads', type=int, default=12, help='heads of attention (default: 12)')
    parser.add_argument('--vocab', type=int, default=30524, help='word pieces (default: 30524)')
    parser.add_argument('--rounds', type=int, default=5, help='rounds of measurement (default: 5)')
    parser.add_argument('--threads', type=int, help="threads of torch (default: torch's choice)")
    parser.add_argument('--seed', type=int, default=0, help='of weights and inputs (default: 0)')
    parser.add_argument('--json', type=Path, help='also write the figures to this file')


def build_pair(kind: type[nn.Module], args: argparse.Namespace) -> tuple[nn.Module, TrunkModel]:
    """Build a BLIP of transformers with random weights, and OmniVL with the same, by way of our reader of BLIP.

    Args:
        kind: ``BlipForConditionalGeneration`` or ``BlipForImageTextRetrieval``.
        args: See ``add_size_options``.

    Returns:
        Both in evaluation mode.
    """
    torch.manual_seed(args.seed)
    theirs = kind(_blip_config(args)).eval()
    with torch.no_grad():
        for parameter in theirs.parameters():  # biases are zero at first: a forgotten one would not show
            parameter.add_(0.02 * torch.randn_like(parameter))
    ours = MODELS.build(_omnivl_config(args)).eval()
    MMLogger.get_current_instance().setLevel('WARNING')
    with tempfile.TemporaryDirectory() as folder:
        theirs.save_pretrained(folder)
        load_weights(ours, dict(type='blip', file=folder))
    return theirs, ours


def _blip_config(args: argparse.Namespace) -> BlipConfig:
    shared = dict(
        hidden_size=args.width,
        intermediate_size=4 * args.width,
        num_hidden_layers=args.depth,
        num_attention_heads=args.heads,
    )
    special = dict(bos_token_id=args.vocab - 2, sep_token_id=SEP, eos_token_id=SEP, pad_token_id=PAD)
    return BlipConfig(
        text_config=dict(vocab_size=args.vocab, encoder_hidden_size=args.width, **shared, **special),
        vision_config=dict(image_size=args.size, patch_size=16, layer_norm_eps=NORM_EPS, **shared),
        image_text_hidden_size=256,
    )


def _omnivl_config(args: argparse.Namespace) -> dict[str, Any]:
    shared = dict(width=args.width, depth=args.depth, num_heads=args.heads)
    text = dict(vocab_size=args.vocab, **shared)
    trunk = dict(
        type='OmniVL',
        visual_encoder=dict(
            type='UnifiedVisualEncoder',
            image_tokenizer=dict(type='ImageTokenizer'),
            video_tokenizer=dict(type='VideoTokenizer'),
            image_size=args.size,
            norm_eps=NORM_EPS,
            **shared,
        ),
        text_encoder=dict(type='TextEncoder', **text),
        alignment_decoder=dict(type='AlignmentDecoder', **text),
        generation_decoder=dict(type='GenerationDecoder', **text),
        tokenizer=dict(type=FixedTokenizer, vocab_size=args.vocab),
        matching_token='[CLS]',  # transformers does not put [ENC] in its place
    )
    return dict(type='TrunkModel', trunk=trunk)


def timed(function: Callable[[], Any]) -> tuple[float, Any]:
    """Seconds that a call takes, and what it returns."""
    start = time.perf_counter()
    result = function()
    return time.perf_counter() - start, result


def take_turns(functions: dict[str, Callable[[], Any]], rounds: int) -> tuple[dict[str, float], dict[str, float]]:
    """Call all functions in each round, one after the other, so that a busy machine slows all of them alike.

    Returns:
        Median seconds of each, and the least, which a busy machine disturbs least.
    """
    seconds: dict[str, list[float]] = {name: [] for name in functions}
    for number in range(rounds):
        for name, function in functions.items():
            seconds[name].append(timed(function)[0])
        line = ', '.join(f'{name} {values[-1]:.3f} s' for name, values in seconds.items())
        print(f'round {number + 1}/{rounds}: {line}', flush=True)
    return (
        {name: statistics.median(values) for name, values in seconds.items()},
        {name: min(values) for name, values in seconds.items()},
    )
