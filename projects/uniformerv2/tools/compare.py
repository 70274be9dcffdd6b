"""Hold our UniFormerV2 beside the published one: equal logits and gradients on shared random weights, and the cost.

The repository is a yardstick and no part of this one: clone it and give its path. Only its model file is run, alone;
what the file imports of its package (a logger, a registry) stands in here.

    git clone https://github.com/OpenGVLab/UniFormerV2 /tmp/UniFormerV2
    python -m projects.uniformerv2.tools.compare /tmp/UniFormerV2
    git clone https://github.com/open-mmlab/mmaction2 /tmp/mmaction2
    python -m projects.uniformerv2.tools.compare /tmp/mmaction2 --sizes small
    python -m projects.uniformerv2.tools.compare /tmp/UniFormerV2 --cost --frames 8 --batch 2

Code of that repository is executed: read it before. Exit status 1 if anything differs by more than 1e-4.
"""

import argparse
import importlib.util
import logging
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import torch
from timm.layers import DropPath
from torch import Tensor, nn

from omnivl.models import OmniVLClassifier, VisualTrunk
from omnivl.structures import VLBatch
from omnivl.weights import load_weights
from projects.uniformerv2.model import UniFormerV2
from projects.uniformerv2.weights import UniFormerV2Reader

TOLERANCE = 1e-4
CLASSES = 10
SIZES = {
    'small': dict(width=96, depth=4, num_heads=4, image_size=64),
    'base': dict(width=768, depth=12, num_heads=12, image_size=224),
}
OPENGVLAB, MMACTION = 'slowfast/models/uniformerv2_model.py', 'mmaction/models/backbones/uniformerv2.py'


class Case(NamedTuple):
    """A kind of UniFormerV2."""

    name: str
    layers: Callable[[int], list[int]]
    num_local: int = 0
    time_stride: int = 1
    frozen: bool = False


CASES = [
    Case('scene, last third', lambda depth: list(range(depth - depth // 3, depth))),
    Case('scene, every other layer', lambda depth: list(range(1, depth, 2))),
    Case('motion, last two thirds', lambda depth: list(range(depth // 3, depth)), num_local=2, time_stride=2),
    Case('motion, one local relation', lambda depth: [0, depth - 1], num_local=1, time_stride=2),
    Case('frozen', lambda depth: list(range(depth - depth // 3, depth)), frozen=True),
]


def stand_in(**names: Any) -> ModuleType:
    """Make a module with these names."""
    module = ModuleType('stand_in')
    module.__dict__.update(names)
    return module


def load_model_file(root: Path) -> ModuleType:
    """Run the model file of a checked-out repository with stand-ins for the packages around it."""
    file = next((root / name for name in (OPENGVLAB, MMACTION) if (root / name).is_file()), None)
    if file is None:
        raise SystemExit(f'{root} is no checkout of OpenGVLab/UniFormerV2 or open-mmlab/mmaction2')

    class Registry:
        def register_module(self) -> Callable[[type], type]:
            return lambda kind: kind

    quiet = logging.getLogger('yardstick')
    quiet.setLevel(logging.ERROR)
    modules = {
        'slowfast': stand_in(__path__=[]),
        'slowfast.utils': stand_in(__path__=[]),
        'slowfast.utils.logging': stand_in(get_logger=lambda name: quiet),
        'mmaction': stand_in(__path__=[]),
        'mmaction.registry': stand_in(MODELS=Registry()),
        'mmcv': stand_in(__path__=[]),
        'mmcv.cnn': stand_in(__path__=[]),
        'mmcv.cnn.bricks': stand_in(DropPath=DropPath),
        'timm.models.layers': stand_in(DropPath=DropPath),
    }
    before = {name: sys.modules.get(name) for name in modules}
    sys.modules.update(modules)
    modules['slowfast'].utils = modules['slowfast.utils']  # type: ignore[attr-defined]
    modules['slowfast.utils'].logging = modules['slowfast.utils.logging']  # type: ignore[attr-defined]
    try:
        spec = importlib.util.spec_from_file_location('yardstick', file)
        assert spec is not None and spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
    finally:
        for name, old in before.items():
            sys.modules.pop(name) if old is None else sys.modules.update({name: old})
    module.logger.setLevel(logging.ERROR)  # one line for each layer
    return module


class Theirs(nn.Module):
    """The published model under the keys of a published checkpoint, logits included.

    Args:
        module: From ``load_model_file``.
        case: What kind.
        size: One of ``SIZES``.
        frames: Frames of a clip.
    """

    def __init__(self, module: ModuleType, case: Case, size: dict, frames: int) -> None:
        super().__init__()
        layers = case.layers(size['depth'])
        options = dict(
            input_resolution=size['image_size'],
            patch_size=16,
            width=size['width'],
            layers=size['depth'],
            heads=size['num_heads'],
            t_size=frames,
            temporal_downsample=case.time_stride == 2,
            no_lmhra=case.num_local == 0,
            double_lmhra=case.num_local == 2,
            return_list=layers,
            n_layers=len(layers),
            n_dim=size['width'],
            n_head=size['num_heads'],
            mlp_dropout=[0.0] * len(layers),
        )
        if hasattr(module, 'UniFormerV2'):
            self.backbone = module.UniFormerV2(**options, clip_pretrained=False)
            self.cls_head = nn.ModuleDict(dict(fc_cls=nn.Linear(size['width'], CLASSES)))
        else:
            own = dict(output_dim=1, num_classes=CLASSES, cls_dropout=0.0, frozen=case.frozen)
            self.backbone = module.VisionTransformer(**options, **own)

    def forward(self, clips: Tensor) -> Tensor:
        """Map float (B, 3, T, H, W) to logits (B, C)."""
        out = self.backbone(clips)
        return self.cls_head['fc_cls'](out) if hasattr(self, 'cls_head') else out


def our_model(case: Case, size: dict, frames: int) -> OmniVLClassifier:
    """Build ours, without dropout as theirs."""
    encoder = dict(
        type=UniFormerV2,
        tokenizer=dict(patch_size=16, time_kernel=2 * case.time_stride - 1, time_stride=case.time_stride),
        num_frames=frames,
        num_local=case.num_local,
        global_layers=case.layers(size['depth']),
        global_dropout=0.0,
        frozen=case.frozen,
        **size,
    )
    return OmniVLClassifier(trunk=dict(type=VisualTrunk, visual_encoder=encoder), num_classes=CLASSES)


def make_pair(module: ModuleType, case: Case, size: dict, frames: int) -> tuple[Theirs, OmniVLClassifier]:
    """Build both and give ours their weights by a file and its reader; nothing is zero, so that all of it shows."""
    torch.manual_seed(0)
    theirs = Theirs(module, case, size, frames)
    for name, parameter in theirs.named_parameters():
        if 'norm' not in name and parameter.std() < 1e-6 and 'ln_' not in name:
            nn.init.normal_(parameter, std=0.02)
    for name, value in theirs.named_buffers():
        if name.endswith('running_var'):
            value.uniform_(0.5, 2.0)
        elif name.endswith('running_mean'):
            value.normal_()
    ours = our_model(case, size, frames)
    with tempfile.TemporaryDirectory() as folder:
        torch.save(theirs.state_dict(), f'{folder}/weights.pyth')
        (report,) = load_weights(ours, dict(type=UniFormerV2Reader, file=f'{folder}/weights.pyth'), show=len)
    if report.left or report.unused or report.elsewhere:
        raise SystemExit(f'{case.name}: not all keys were used\n{report}')
    if case.frozen:
        names = ('conv1', 'class_embedding', 'positional_embedding', 'ln_pre', 'resblocks')
        for name, parameter in theirs.named_parameters():
            parameter.requires_grad_(not any(part in name for part in names))
    return theirs, ours


def run_theirs(model: nn.Module, clips: Tensor) -> Tensor:
    """Map float (B, T, 3, H, W) to logits (B, C)."""
    return model(clips.transpose(1, 2))


def run_ours(model: OmniVLClassifier, clips: Tensor) -> Tensor:
    """Map float (B, T, 3, H, W) to logits (B, C)."""
    return model.classify(VLBatch({'video': clips}))


def compare(module: ModuleType, case: Case, size: dict, frames: int, device: str) -> float:
    """Return the largest difference: of logits, in evaluation and training, and, relative, of some gradients."""
    theirs, ours = (model.to(device) for model in make_pair(module, case, size, frames))
    clips = torch.randn(2, frames, 3, size['image_size'], size['image_size'], device=device)
    worst = 0.0
    for training in (False, True):
        a = run_theirs(theirs.train(training), clips)
        b = run_ours(ours.train(training), clips)
        worst = max(worst, (a - b).abs().max().item())
    for logits in (a, b):
        logits.square().sum().backward()
    encoder = ours.trunk.visual_encoder
    pairs = [(theirs.backbone.transformer.temporal_cls_token.grad, encoder.query.grad)]
    pairs += [(theirs.backbone.transformer.dpe[0].weight.grad, encoder.global_blocks[0].position.weight.grad)]
    if not case.frozen:
        pairs += [(theirs.backbone.conv1.weight.grad, encoder.tokenizer.proj.weight.grad)]
        pairs += [(theirs.backbone.positional_embedding.grad, encoder.pos_embed.grad[0])]
    for one, other in pairs:
        worst = max(worst, ((one - other).abs().max() / one.abs().max()).item())
    return worst


def saved_bytes(step: Callable[[], Tensor]) -> int:
    """Count the bytes of what a forward pass keeps for the backward pass, each storage once, weights too."""
    storages: dict[int, int] = {}

    def keep(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        storages[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        out = step()
    kept = sum(storages.values())
    out.sum().backward()
    return kept


def clock(device: str) -> float:
    """Read seconds: of this process on the processor, whatever else the machine does; for a GPU, when it is done."""
    if device == 'cpu':
        return time.process_time()
    torch.cuda.synchronize()
    return time.perf_counter()


def cost(module: ModuleType, case: Case, size: dict, frames: int, batch: int, repeats: int, device: str) -> str:
    """Time forward and backward of both by turns; return their medians and ratio, and what memory both keep."""
    theirs, ours = (model.to(device).train() for model in make_pair(module, case, size, frames))
    clips = torch.randn(batch, frames, 3, size['image_size'], size['image_size'], device=device)
    steps = {'theirs': lambda: run_theirs(theirs, clips), 'ours': lambda: run_ours(ours, clips)}
    times: dict[str, list[float]] = {name: [] for name in steps}
    for turn in range(repeats + 1):
        for name, step in steps.items():
            start = clock(device)
            step().square().sum().backward()
            if turn:  # the first one warms up
                times[name].append(clock(device) - start)
    median = {name: sorted(values)[len(values) // 2] for name, values in times.items()}
    kept = {name: saved_bytes(step) / 2**20 for name, step in steps.items()}
    return (
        f'{case.name}: theirs {median["theirs"]:.3f} s, ours {median["ours"]:.3f} s, ratio '
        f'{median["ours"] / median["theirs"]:.2f}; kept for backward {kept["theirs"]:.0f} and {kept["ours"]:.0f} MiB, '
        f'ratio {kept["ours"] / kept["theirs"]:.2f}'
    )


def main() -> None:
    """Compare, or time."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('repository', type=Path, help='a checkout of OpenGVLab/UniFormerV2 or open-mmlab/mmaction2')
    parser.add_argument('--sizes', nargs='+', choices=list(SIZES), default=list(SIZES))
    parser.add_argument('--frames', type=int, default=4, help='frames of a clip')
    parser.add_argument('--device', default='cpu')
    parser.add_argument('--cost', action='store_true', help='time forward and backward instead')
    parser.add_argument('--batch', type=int, default=2, help='clips in a batch that is timed')
    parser.add_argument('--repeats', type=int, default=5, help='how often each is timed, by turns')
    arguments = parser.parse_args()
    module = load_model_file(arguments.repository)
    cases = [case for case in CASES if not (case.frozen and hasattr(module, 'UniFormerV2'))]
    failed = False
    for name in arguments.sizes:
        for case in cases:
            if arguments.cost:
                options = (arguments.frames, arguments.batch, arguments.repeats, arguments.device)
                print(f'{name}, {cost(module, case, SIZES[name], *options)}', flush=True)
                continue
            difference = compare(module, case, SIZES[name], arguments.frames, arguments.device)
            failed |= not difference < TOLERANCE
            print(f'{name}, {case.name}: largest difference {difference:.1e}', flush=True)
    if failed:
        raise SystemExit(f'a difference is above {TOLERANCE}')


if __name__ == '__main__':
    main()
