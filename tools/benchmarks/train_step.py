"""Measure a pretraining step beside timm's ViT-B/16 and a plain matrix product, all in one run.

The parts take turns, round after round, so that a busy machine slows all of them alike; what counts are the ratios of
their medians, not the seconds. Peak memory is that of a process of its own for each part.

    python tools/benchmarks/train_step.py
    python tools/benchmarks/train_step.py --checkpointing selective --give-back
    python tools/benchmarks/train_step.py --device cuda --dtype bf16 --images 64 --clips 16
"""

import argparse
import json
import os
import re
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch
from figures import write_json

from omnivl.models import OmniVLPretrain
from omnivl.registry import OPTIM_WRAPPER_CONSTRUCTORS
from omnivl.structures import VLBatch

THRESHOLD, FROM = 'MALLOC_MMAP_THRESHOLD_', '262144'  # of glibc; bytes from which on memory goes back when it is freed
VOCAB_SIZE = 30524  # BERT's 30522 and [DEC], [ENC]
PARTS = ('timm forward+backward', 'image step', 'video step', 'timm forward on frames', 'video forward')


class FixedTokenizer:
    """Stands in for BERT's vocabulary file: the ids are all that a training step needs."""

    vocab_size = VOCAB_SIZE
    decoder_id, encoder_id = 30522, 30523


def build_model(share: str, checkpointing: str, queue_length: int) -> OmniVLPretrain:
    """Build OmniVL at base size with random weights."""
    recompute = dict(none=False, selective='selective', all=True)[checkpointing]
    text = dict(vocab_size=VOCAB_SIZE, activation_checkpointing=recompute)
    trunk = dict(
        type='OmniVL',
        visual_encoder=dict(
            type='UnifiedVisualEncoder',
            image_tokenizer=dict(type='ImageTokenizer'),
            video_tokenizer=dict(type='VideoTokenizer'),
            activation_checkpointing=recompute,
        ),
        text_encoder=dict(type='TextEncoder', **text),
        alignment_decoder=dict(type='AlignmentDecoder', **text),
        generation_decoder=dict(type='GenerationDecoder', **text),
        tokenizer=dict(type=FixedTokenizer),
        share=share,
    )
    losses = [dict(type='UniVLCLoss'), dict(type='MatchingLoss'), dict(type='LanguageLoss')]
    return OmniVLPretrain(trunk=trunk, losses=losses, queue_length=queue_length).train()


def make_batch(modality: str, size: int, frames: int, words: int, device: str) -> VLBatch:
    """Random pixels and captions of ``words`` words (one word piece each, [CLS] and [SEP] beside them)."""
    text_ids = torch.randint(1000, 30000, (size, words + 2), device=device)
    text_ids[:, 0], text_ids[:, -1] = 101, 102
    return VLBatch(
        {modality: torch.randn(size, frames, 3, 224, 224, device=device)},
        text_ids=text_ids,
        text_mask=torch.ones_like(text_ids, dtype=torch.bool),
        target_ids=torch.arange(size, device=device),
    )


class Bench:
    """The parts that are measured, each a function without arguments."""

    def __init__(self, args: argparse.Namespace) -> None:
        self.args = args
        self.images = make_batch('image', args.images, 1, args.words, args.device)
        self.clips = make_batch('video', args.clips, args.frames, args.words, args.device)
        self._model = self._vit = None

    @property
    def model(self) -> OmniVLPretrain:
        """OmniVL and its optimizer, made at first use."""
        if self._model is None:
            args = self.args
            self._model = build_model(args.share, args.checkpointing, args.queue).to(args.device)
            config = dict(optimizer=dict(type='AdamW', lr=1e-4, weight_decay=0.05, fused=True))
            constructor = OPTIM_WRAPPER_CONSTRUCTORS.build(
                dict(type='DecayGroupsConstructor', optim_wrapper_cfg=dict(type='OptimWrapper', **config))
            )
            self.optimizer = constructor(self._model).optimizer
        return self._model

    @property
    def vit(self) -> torch.nn.Module:
        """timm's ViT-B/16 without a head, made at first use."""
        if self._vit is None:
            import timm  # a tenth of the memory of our own step, which needs it not

            vit = timm.create_model('vit_base_patch16_224', pretrained=False, num_classes=0)
            self._vit = vit.to(self.args.device).train()
        return self._vit

    def autocast(self) -> torch.autocast:
        """Mixed precision, if asked for."""
        dtype = dict(bf16=torch.bfloat16, fp16=torch.float16).get(self.args.dtype)
        return torch.autocast(self.args.device, dtype=dtype, enabled=dtype is not None)

    def step(self, batch: VLBatch) -> None:
        """One training step: losses (with momentum step and queue push), backward, optimizer."""
        model = self.model
        with self.autocast():
            losses = model.loss(batch)
        sum(value for key, value in losses.items() if 'loss' in key).backward()
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)

    def timm_forward_backward(self) -> None:
        """timm's ViT-B/16 on the images."""
        with self.autocast():
            output = self.vit.forward_features(self.images.frames[:, 0])
        output.float().mean().backward()
        self.vit.zero_grad(set_to_none=True)

    @torch.no_grad()
    def timm_forward(self) -> None:
        """timm's ViT-B/16 on each frame of the clips."""
        with self.autocast():
            self.vit.forward_features(self.clips.frames.flatten(0, 1))

    @torch.no_grad()
    def video_forward(self) -> None:
        """Our visual encoder on the clips."""
        with self.autocast():
            self.model.encode(self.clips)

    def functions(self) -> dict[str, Callable[[], None]]:
        """List the parts by name."""
        return dict(
            zip(
                PARTS,
                (
                    self.timm_forward_backward,
                    lambda: self.step(self.images),
                    lambda: self.step(self.clips),
                    self.timm_forward,
                    self.video_forward,
                ),
            )
        )


def timed(function: Callable[[], None], device: str) -> float:
    """Seconds that one call takes."""
    if device == 'cuda':
        torch.cuda.synchronize()
    start = time.perf_counter()
    function()
    if device == 'cuda':
        torch.cuda.synchronize()
    return time.perf_counter() - start


def count_flops(function: Callable[[], None]) -> int:
    """Floating-point operations of one call (matrix products, convolutions, attention)."""
    from torch.utils.flop_counter import FlopCounterMode  # reads Triton, which is 70 MB

    with FlopCounterMode(display=False) as counter:
        function()
    return counter.get_total_flops()


def peak_memory(part: str, argv: list[str]) -> float:
    """GB that a process needs at most when it runs this part alone."""
    command = [sys.executable, __file__, *argv, '--only', part]
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()[-1])['gb']


def run_only(part: str, args: argparse.Namespace) -> None:
    """Run one part twice and print its peak memory (the child of ``peak_memory``)."""
    function = Bench(args).functions()[part]
    function()
    function()
    if args.device == 'cuda':
        peak = torch.cuda.max_memory_allocated() / 1e9
    else:
        # Not ru_maxrss, which a process takes over from the one that started it.
        status = Path('/proc/self/status').read_text()
        peak = int(re.search(r'VmHWM:\s+(\d+) kB', status).group(1)) / 1e6
    print(json.dumps(dict(gb=peak)))


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--images', type=int, default=8, help='images in a batch (default: 8)')
    parser.add_argument('--clips', type=int, default=2, help='clips in a batch (default: 2)')
    parser.add_argument('--frames', type=int, default=8, help='frames of a clip (default: 8)')
    parser.add_argument('--words', type=int, default=10, help='words of a caption (default: 10)')
    parser.add_argument('--queue', type=int, default=57600, help='places of the queues (default: 57600)')
    parser.add_argument('--share', choices=('blip', 'none'), default='blip', help='weight sharing (default: blip)')
    parser.add_argument('--rounds', type=int, default=5, help='rounds of measurement (default: 5)')
    parser.add_argument('--device', choices=('cpu', 'cuda'), default='cpu')
    parser.add_argument('--dtype', choices=('fp32', 'bf16', 'fp16'), default='fp32', help='autocast to this')
    parser.add_argument(
        '--checkpointing', choices=('none', 'selective', 'all'), default='none', help='what is recomputed'
    )
    parser.add_argument('--matrix', type=int, default=2048, help='side of the plain matrix product (default: 2048)')
    parser.add_argument(
        '--give-back',
        action='store_true',
        help='set MALLOC_MMAP_THRESHOLD_, so that freed tensors leave the process',
    )
    parser.add_argument('--json', type=Path, help='also write the figures to this file')
    parser.add_argument('--no-memory', action='store_true', help='do not measure peak memory')
    parser.add_argument('--only', choices=PARTS, help=argparse.SUPPRESS)
    return parser.parse_args()


def main() -> None:
    """Measure and print."""
    args = parse_args()
    if args.give_back and os.environ.get(THRESHOLD) != FROM:  # which is read when a process starts
        os.environ[THRESHOLD] = FROM
        os.execv(sys.executable, [sys.executable, *sys.argv])
    torch.manual_seed(0)
    if args.only:
        run_only(args.only, args)
        return
    functions = Bench(args).functions()
    dtype = dict(bf16=torch.bfloat16, fp16=torch.float16).get(args.dtype, torch.float32)
    left, right = torch.randn(2, args.matrix, args.matrix, device=args.device, dtype=dtype)
    functions['matrix product'] = lambda: [left @ right for _ in range(10)]
    flops = {name: count_flops(function) for name, function in functions.items()}  # also warms up
    seconds = {name: [] for name in functions}
    for number in range(args.rounds):
        for name, function in functions.items():
            seconds[name].append(timed(function, args.device))
        print(f'round {number + 1}/{args.rounds}: ' + ', '.join(f'{n} {s[-1]:.3f} s' for n, s in seconds.items()))
    median = {name: statistics.median(values) for name, values in seconds.items()}
    rate = {name: flops[name] / median[name] / 1e9 for name in functions}
    print(f'\n{"part":28} {"seconds":>9} {"GFLOP":>9} {"GFLOP/s":>9} {"of matrix":>9} {"peak GB":>9}')
    peaks: dict[str, float] = {}
    for name in functions:
        gigabytes = ''
        if name in PARTS and not args.no_memory:
            peaks[name] = peak_memory(name, sys.argv[1:])
            gigabytes = f'{peaks[name]:.1f}'
        share = rate[name] / rate['matrix product']
        print(f'{name:28} {median[name]:9.3f} {flops[name] / 1e9:9.0f} {rate[name]:9.0f} {share:9.0%} {gigabytes:>9}')
    image_ratio = median['image step'] / median['timm forward+backward']
    video_ratio = median['video forward'] / median['timm forward on frames']
    print(f'\nimage step / timm forward+backward: {image_ratio:.2f} (target: at most 2.0)')
    print(
        f'image step, rate / matrix product:  {rate["image step"] / rate["matrix product"]:.2f} (target: at least 0.8)'
    )
    print(f'video forward / timm on its frames: {video_ratio:.2f} (target: at most 1.4)')
    write_json(args.json, dict(seconds=median, rounds=args.rounds, flops=flops, gigabytes=peaks))


if __name__ == '__main__':
    main()
