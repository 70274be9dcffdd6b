"""Measure one GPU in at most eight minutes: steps, memory, captions, each beside code that others know.

Steps of the joint pretraining in bf16, images and clips, as they are, with compiled blocks, and with selective or
whole activation checkpointing, at batches that are doubled until the memory ends; their share of the card's peak; the
memory that ``omnivl plan`` predicted for them; timm's ViT, transformers' TimeSformer and BLIP on the same card;
captions beside transformers; and the tests that need a GPU (fp16's loss scaling, nccl, FSDP2, the generators of a
resumed run). Each part runs in a process of its own, so one that fails or runs out of memory ends alone; one that no
time is left for is named.

    python tools/benchmarks/gpu.py --out work_dirs/gpu
    python tools/benchmarks/gpu.py --out work_dirs/gpu --parts image video captions --minutes 4
    python tools/benchmarks/gpu.py --out /tmp/toy --toy         # tiny models on the CPU: tries this script, not a card
"""

import argparse
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from omnivl.commands.flops.counting import Sizes, build_model, make_batch
from omnivl.commands.plan.gpus import GPUS
from omnivl.commands.plan.memory import Load, Rehearsal, build_optimizer
from omnivl.engine.compilation import compile_model
from omnivl.structures import IMAGE, VIDEO

ROOT = Path(__file__).parents[2]
CONFIG = 'configs/omnivl/pretrain_joint.py'
MODES = ('eager', 'compiled', 'selective', 'checkpointed')
STEPS = [f'{modality.name} {mode}' for modality in (IMAGE, VIDEO) for mode in MODES]
PARTS = (*STEPS, 'foreign', 'captions', 'tests')
WORDS = 30  # word pieces of a text
WARM, ROUNDS = 2, 5
PATIENCE = 2.0  # seconds of a step from which on the batch is not doubled any more
MOST = 90.0  # seconds of a part, so that one that hangs leaves time for the others
# Whose name says which card of the table it is, the longer ones first.
CARDS = dict(H200='h200', H100='h100', A100='a100-80', V100='v100', L40S='l40s', **{'RTX 4090': '4090'})


class Scale:
    """What is measured: the paper's model on a card, or a toy on the CPU.

    Args:
        toy: Whether it is the toy.
    """

    def __init__(self, toy: bool) -> None:
        self.device = 'cpu' if toy else 'cuda'
        self.width, self.depth, self.heads = (64, 1, 2) if toy else (768, 12, 12)
        self.sizes = Sizes(32, 2, 8) if toy else Sizes(224, 8, WORDS)
        self.first, self.last = (1, 2) if toy else (8, 1024)

    def config(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """Read the model and the optimizer of the joint stage; of the toy all parts are smaller."""
        from omnivl.engine import read_config

        cfg = read_config(ROOT / CONFIG)
        model, trunk = cfg.model, cfg.model.trunk
        if self.device == 'cpu':
            size = dict(width=self.width, depth=self.depth, num_heads=self.heads)
            for name in ('visual_encoder', 'text_encoder', 'alignment_decoder', 'generation_decoder'):
                trunk[name].update(size)
            trunk.visual_encoder.update(image_size=self.sizes.size, num_frames=self.sizes.frames)
            model.queue_length = 64
        return model, cfg.optim_wrapper

    def synchronize(self) -> None:
        """Wait for the card."""
        if self.device == 'cuda':
            torch.cuda.synchronize()

    def autocast(self) -> torch.autocast:
        """Compute in bf16."""
        return torch.autocast(self.device, torch.bfloat16)


def seconds_of(function: Callable[[], Any], scale: Scale, rounds: int = ROUNDS) -> float:
    """Return the median seconds of a call, after some that warm up."""
    taken = []
    for number in range(WARM + rounds):
        scale.synchronize()
        start = time.perf_counter()
        function()
        scale.synchronize()
        if number >= WARM:
            taken.append(time.perf_counter() - start)
    return statistics.median(taken)


def training_step(model: Any, optimizer: torch.optim.Optimizer, modality: str, count: int, scale: Scale) -> None:
    """Take a step: losses, momentum encoder, queues, gradients, optimizer."""
    batch = make_batch(modality, scale.sizes, count, device=scale.device)
    with scale.autocast():
        losses = model(batch, mode='loss')
    sum(value for name, value in losses.items() if name.startswith('loss_')).backward()
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)


def measure_steps(part: str, scale: Scale) -> list[dict[str, Any]]:
    """Measure steps of one modality in one mode, at batches that are doubled until memory or patience ends."""
    modality, mode = part.split()
    config, wrapper = scale.config()
    torch.manual_seed(0)
    model: Any = build_model(config, scale.device).train()
    checkpointing = dict(selective='selective', checkpointed=True).get(mode, False)
    for module in model.modules():
        if hasattr(module, 'activation_checkpointing'):
            module.activation_checkpointing = checkpointing
    optimizer = build_optimizer(model, wrapper)
    step = partial(training_step, model, optimizer, modality, scale=scale)
    with FlopCounterMode(display=False) as counter:
        step(scale.first)
    each = counter.get_total_flops() / scale.first
    if mode == 'compiled':
        compile_model(model, dict(scope='blocks') | (dict(backend='aot_eager') if scale.device == 'cpu' else {}))
    rehearsal = Rehearsal(config, wrapper, on_gpu=scale.device == 'cuda')
    rows, count = [], scale.first
    while count <= scale.last:
        if scale.device == 'cuda':
            torch.cuda.reset_peak_memory_stats()
        try:
            seconds = seconds_of(partial(step, count), scale)
        except torch.cuda.OutOfMemoryError:
            rows.append(dict(batch=count, out_of_memory=True))
            break
        load = Load(modality, scale.sizes, count, precision='bf16', checkpointing=checkpointing)
        peak = torch.cuda.max_memory_allocated() if scale.device == 'cuda' else None
        rows.append(
            dict(batch=count, seconds=seconds, per_second=count / seconds, flops=each * count, peak_bytes=peak)
            | dict(planned_bytes=None if mode == 'compiled' else rehearsal.step(load).peak)
        )
        if seconds > PATIENCE:
            break
        count *= 2
    return rows


def foreign_models(scale: Scale) -> Iterator[tuple[str, nn.Module, Callable[[nn.Module, int], Any], int]]:
    """Yield models of others and our encoder of as many layers: name, model, its scalar of a batch, batch."""
    from timm.models.vision_transformer import VisionTransformer
    from transformers import BlipConfig, BlipForConditionalGeneration, TimesformerConfig, TimesformerModel

    size, frames, words = scale.sizes[:3]
    pictures, clips = (2, 1) if scale.device == 'cpu' else (64, 16)
    pixels = partial(torch.randn, device=scale.device)
    shape = dict(img_size=size, embed_dim=scale.width, depth=scale.depth, num_heads=scale.heads, num_classes=0)
    yield 'timm ViT, images', VisionTransformer(**shape), lambda m, n: m(pixels(n, 3, size, size)).mean(), pictures
    shared = dict(hidden_size=scale.width, num_hidden_layers=scale.depth, num_attention_heads=scale.heads)
    shared['intermediate_size'] = 4 * scale.width
    config = TimesformerConfig(image_size=size, patch_size=16, num_frames=frames, **shared)
    yield (
        *('transformers TimeSformer, clips', TimesformerModel(config)),
        *(lambda m, n: m(pixels(n, frames, 3, size, size)).last_hidden_state.mean(), clips),
    )
    vision = dict(shared, image_size=size, patch_size=16)
    text = dict(shared, vocab_size=1000, encoder_hidden_size=scale.width)
    text |= dict(bos_token_id=998, sep_token_id=102, eos_token_id=102, pad_token_id=0)
    blip = BlipForConditionalGeneration(BlipConfig(text_config=text, vision_config=vision))
    ids = partial(torch.full, fill_value=5, device=scale.device)
    yield (
        *('transformers BLIP, captions', blip),
        *(
            lambda m, n: m(input_ids=(i := ids((n, words))), pixel_values=pixels(n, 3, size, size), labels=i).loss,
            pictures,
        ),
    )
    for modality, count, time_steps in ((IMAGE.name, pictures, 1), (VIDEO.name, clips, frames)):
        encoder: Any = build_model(scale.config()[0], scale.device).trunk.visual_encoder
        yield (
            *(f'omnivl visual encoder, {modality}s', encoder),
            *(lambda m, n, kind=modality, t=time_steps: m(pixels(n, t, 3, size, size), kind).tokens.mean(), count),
        )


def measure_foreign(part: str, scale: Scale) -> list[dict[str, Any]]:
    """Measure forward and backward passes of models of others, and of our encoder."""
    rows = []
    for name, model, output, count in foreign_models(scale):
        model = model.to(scale.device).train()

        def both(model: nn.Module = model, output: Callable = output, count: int = count) -> None:
            with scale.autocast():
                value = output(model, count)
            value.float().backward()
            model.zero_grad(set_to_none=True)

        seconds = seconds_of(both, scale)
        rows.append(dict(name=name, batch=count, seconds=seconds, per_second=count / seconds))
    return rows


@torch.no_grad()
def measure_captions(part: str, scale: Scale) -> list[dict[str, Any]]:
    """Measure captions of three beams beside transformers, both from the same tokens with the same weights, in fp32."""
    from beside_blip import build_pair
    from generation import KnownStates, our_captions, their_captions
    from transformers import BlipForConditionalGeneration

    toy = scale.device == 'cpu'
    options = dict(size=scale.sizes.size, width=scale.width, depth=scale.depth, heads=scale.heads, seed=0)
    batch, length = (2, 5) if toy else (32, 20)
    args = SimpleNamespace(**options, vocab=30524, batch=batch, beams=3, length=length)
    theirs, model = (one.to(scale.device) for one in build_pair(BlipForConditionalGeneration, args))
    pixels = torch.randn(batch, 3, scale.sizes.size, scale.sizes.size, device=scale.device)
    states = theirs.vision_model(pixel_values=pixels)
    tokens = model.trunk.visual_encoder(pixels[:, None], IMAGE.name).tokens
    theirs.vision_model = KnownStates(states)
    captions = dict(
        transformers=partial(their_captions, theirs, pixels, args),
        omnivl=partial(our_captions, model.trunk, tokens, args),
    )
    equal = sum(map(list.__eq__, *(list(map(list, one())) for one in captions.values())))
    return [
        dict(
            name=name,
            batch=batch,
            seconds=(taken := seconds_of(write, scale, 3)),
            per_second=batch / taken,
            equal=equal,
        )
        for name, write in captions.items()
    ]


def run_tests(part: str, scale: Scale) -> list[dict[str, Any]]:
    """Run the tests that need a GPU; on the toy they are collected only."""
    command = [sys.executable, '-m', 'pytest', '-m', 'gpu', '-q', '-p', 'no:cacheprovider', 'tests', 'projects']
    command += ['--collect-only'] if scale.device == 'cpu' else []
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)
    lines = done.stdout.strip().splitlines()
    failed = [line for line in lines if line.startswith(('FAILED', 'ERROR'))]
    return [dict(name='pytest -m gpu', exit_code=done.returncode, summary=lines[-1] if lines else '', failed=failed)]


def peak_of(name: str, tflops: float | None) -> float | None:
    """Return the bf16 peak of a card in FLOP/s, as given or by its name; None if the name is not known."""
    if tflops is not None:
        return tflops * 1e12
    return next((GPUS[key].half for part, key in CARDS.items() if part in name), None)


def run_part(part: str, arguments: argparse.Namespace, seconds: float) -> dict[str, Any]:
    """Run a part in a process of its own."""
    command = [sys.executable, __file__, '--only', part, '--out', str(arguments.out)]
    command += ['--toy'] if arguments.toy else []
    start = time.monotonic()
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=min(seconds, MOST), check=False)
    except subprocess.TimeoutExpired:
        return dict(problem=f'stopped after {min(seconds, MOST):.0f} s')
    taken = time.monotonic() - start
    lines = done.stdout.splitlines()
    if done.returncode or not lines:
        said = done.stderr.strip().splitlines()
        return dict(problem=f'exit code {done.returncode}: {said[-1] if said else ""}', seconds=taken)
    return dict(rows=json.loads(lines[-1]), seconds=taken)


def table(results: dict[str, Any], peak: float | None) -> Iterator[str]:
    """Yield the lines of the table."""
    yield f'{"part":34} {"batch":>6} {"ms":>9} {"per s":>9} {"of peak":>8} {"GiB":>7} {"planned":>8}'
    for part, result in results.items():
        if 'problem' in result:
            yield f'{part:34} {result["problem"]}'
        for row in result.get('rows', ()):
            name = row.get('name', part)
            if row.get('out_of_memory'):
                yield f'{name:34} {row["batch"]:6} out of memory'
            elif 'seconds' not in row:
                yield f'{name:34} {row["summary"]}'
                yield from (f'  {line}' for line in row['failed'])
            else:
                share = row['flops'] / row['seconds'] / peak if peak and 'flops' in row else None
                sizes = [row.get(key) for key in ('peak_bytes', 'planned_bytes')]
                last = [f'{size / 2**30:.2f}' if size else '-' for size in sizes]
                rate = '-' if share is None else f'{share:.1%}'
                yield (
                    f'{name:34} {row["batch"]:6} {row["seconds"] * 1e3:9.1f} {row["per_second"]:9.1f} {rate:>8} '
                    f'{last[0]:>7} {last[1]:>8}'
                )


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--out', type=Path, required=True, help='folder for gpu.json and gpu.txt')
    parser.add_argument('--minutes', type=float, default=8.0, help='time for all parts (default: 8)')
    parser.add_argument(
        '--parts', nargs='+', choices=(IMAGE.name, VIDEO.name, *PARTS), help='only these (default: all)'
    )
    parser.add_argument('--tflops', type=float, help='bf16 peak of the card in 1e12 FLOP/s, if it is not known')
    parser.add_argument('--toy', action='store_true', help='tiny models on the CPU, to try this script')
    parser.add_argument('--only', choices=PARTS, help=argparse.SUPPRESS)
    return parser.parse_args()


def main() -> None:
    """Measure, write and print."""
    arguments = parse_args()
    if not arguments.toy and not torch.cuda.is_available():
        print('skipped: there is no GPU here (torch.cuda.is_available() is False); --toy tries the script on the CPU')
        return
    if arguments.only:
        measure = dict(foreign=measure_foreign, captions=measure_captions, tests=run_tests)
        rows = measure.get(arguments.only, measure_steps)(arguments.only, Scale(arguments.toy))
        print(json.dumps(rows))
        return
    end = time.monotonic() + 60 * arguments.minutes
    card = 'CPU' if arguments.toy else torch.cuda.get_device_name()
    results: dict[str, Any] = {}
    for part in PARTS:
        if arguments.parts and part not in arguments.parts and part.split()[0] not in arguments.parts:
            continue
        left = end - time.monotonic()
        results[part] = run_part(part, arguments, left) if left > 0 else dict(problem='no time was left for it')
        print(f'{part}: {results[part].get("problem", "done")}', flush=True)
    peak = peak_of(card, arguments.tflops)
    arguments.out.mkdir(parents=True, exist_ok=True)
    content = dict(card=card, torch=torch.__version__, cuda=torch.version.cuda, peak=peak, parts=results)
    (arguments.out / 'gpu.json').write_text(json.dumps(content, indent=1) + '\n')
    text = '\n'.join((f'{card}, torch {torch.__version__}', *table(results, peak)))
    (arguments.out / 'gpu.txt').write_text(text + '\n')
    print(f'\n{text}\n\nwritten: {arguments.out / "gpu.json"}, {arguments.out / "gpu.txt"}')


if __name__ == '__main__':
    main()
