"""Hold the memory that ``omnivl plan`` predicts beside that of real training steps on this machine's CPU.

Small models, several widths, depths, batches and pictures, images and clips, with and without checkpointing, in fp32
and bf16. Measured is what PyTorch's allocator handed out at the most during a step (the profiler's record of every
allocation and release), with weights, optimizer, momentum encoder and queues in place.

    python tools/benchmarks/plan.py
    python tools/benchmarks/plan.py --json
"""

import argparse
import gc
import itertools
import json
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from omnivl.commands.flops.counting import Sizes, build_model, make_batch
from omnivl.commands.plan.memory import Load, Memory, Rehearsal, build_optimizer, lasting_bytes
from omnivl.engine.optim import PRECISIONS

VOCAB_SIZE = 1000
OPTIMIZER = dict(
    constructor='DecayGroupsConstructor', optimizer=dict(type='AdamW', lr=1e-4, weight_decay=0.05, fused=True)
)


@dataclass(frozen=True)
class Case:
    """One line of the table: a model and what a step is of."""

    width: int
    depth: int
    load: Load


def model_config(width: int, depth: int, size: int, queue_length: int = 512) -> dict[str, Any]:
    """Make the config of a small OmniVL."""
    text = dict(vocab_size=VOCAB_SIZE, width=width, depth=depth, num_heads=width // 32, max_length=64)
    trunk = dict(
        type='OmniVL',
        tokenizer=dict(type='WordPieceTokenizer', vocab_file='not read'),
        visual_encoder=dict(
            type='UnifiedVisualEncoder',
            image_tokenizer=dict(type='ImageTokenizer', patch_size=16),
            video_tokenizer=dict(type='VideoTokenizer', patch_size=16),
            width=width,
            depth=depth,
            num_heads=width // 32,
            image_size=size,
        ),
        text_encoder=dict(type='TextEncoder', **text),
        alignment_decoder=dict(type='AlignmentDecoder', **text),
        generation_decoder=dict(type='GenerationDecoder', **text),
    )
    losses = [dict(type='UniVLCLoss'), dict(type='MatchingLoss'), dict(type='LanguageLoss')]
    return dict(type='OmniVLPretrain', trunk=trunk, losses=losses, queue_length=queue_length)


def predict(case: Case) -> Memory:
    """Rehearse a step as on a CPU."""
    return Rehearsal(model_config(case.width, case.depth, case.load.sizes.size), OPTIMIZER, on_gpu=False).step(
        case.load
    )


def measure(case: Case) -> int:
    """Take real steps, and return the most bytes that lay there during the last one."""
    load = case.load
    torch.manual_seed(0)
    model: Any = build_model(model_config(case.width, case.depth, load.sizes.size), 'cpu').train()
    for module in model.modules():
        if load.checkpointing is not None and hasattr(module, 'activation_checkpointing'):
            module.activation_checkpointing = load.checkpointing
    optimizer = build_optimizer(model, OPTIMIZER)
    dtype = PRECISIONS[load.precision]

    def step(modality: str = load.modality) -> None:
        batch = make_batch(modality, load.sizes, load.batch_size, load.losses, 'cpu')
        with torch.autocast('cpu', dtype or torch.bfloat16, enabled=dtype is not None):
            losses = model.loss(batch)
        sum(value for name, value in losses.items() if name.startswith('loss_')).backward()
        optimizer.step()
        optimizer.zero_grad()

    step('video')  # uses all parameters, so the optimizer has its whole state, as in a run that alternates
    gc.collect()
    return sum(lasting_bytes(model, optimizer).values()) + high_water(step)


def high_water(function: Callable[[], None]) -> int:
    """Return the most bytes that lie in memory at a time during a call, beyond those that lay there before."""
    activities = [torch.profiler.ProfilerActivity.CPU]
    with torch.profiler.profile(activities=activities, profile_memory=True) as profile:
        function()
    with tempfile.TemporaryDirectory() as folder:
        profile.export_chrome_trace(f'{folder}/trace.json')
        events = json.loads(Path(folder, 'trace.json').read_text())['traceEvents']
    changes = sorted((one['ts'], one['args']['Bytes']) for one in events if one['name'] == '[memory]')
    return max(itertools.accumulate(size for _, size in changes))


def cases() -> list[Case]:
    """List the lines of the table."""
    found = []
    for (width, depth), (modality, size, batch), precision, checkpointing in itertools.product(
        ((128, 4), (256, 3)), (('image', 96, 8), ('image', 160, 16), ('video', 96, 4)), ('fp32', 'bf16'), (False, True)
    ):
        load = Load(modality, Sizes(size, 8, 20), batch, None, precision, checkpointing=checkpointing)
        found.append(Case(width, depth, load))
    return found


def row_of(case: Case) -> dict[str, Any]:
    """Predict and measure one line."""
    predicted, measured = predict(case), measure(case)
    return asdict(case) | dict(predicted=asdict(predicted), measured=measured, ratio=predicted.peak / measured)


def show(rows: list[Mapping[str, Any]]) -> None:
    """Print the table, in MiB."""
    print(f'{"model":>10} {"step":>24} {"precision":>9} {"recompute":>9} {"predicted":>9} {"measured":>9} {"ratio":>6}')
    for row in rows:
        load = row['load']
        step = f'{load["batch_size"]} {load["modality"]} x {load["sizes"][0]} px'
        sizes = ' '.join(f'{size / 2**20:9.1f}' for size in (row['predicted']['peak'], row['measured']))
        model = f'{row["width"]} x {row["depth"]}'
        print(f'{model:>10} {step:>24} {load["precision"]:>9} {load["checkpointing"]!s:>9} {sizes} {row["ratio"]:6.3f}')
    worst = max(abs(row['ratio'] - 1) for row in rows)
    print(f'farthest off: {worst:.1%} (target: at most 15%)')


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--json', action='store_true', help='print JSON, in bytes')
    arguments = parser.parse_args()
    rows = [row_of(case) for case in cases()]
    print(json.dumps(rows)) if arguments.json else show(rows)


if __name__ == '__main__':
    main()
