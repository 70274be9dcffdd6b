"""FSDP2 against DDP: the same numbers in training, evaluation and checkpoints."""

from pathlib import Path

import pytest
import stages
import torch
import toys
from mmengine.dist import get_rank, get_world_size
from mmengine.model import MMDistributedDataParallel
from mmengine.runner import set_random_seed
from runs import assert_equal, run_ranks, train
from torch import Tensor, nn
from torch.distributed.tensor.experimental import implicit_replication

from omnivl.engine import PrecisionOptimWrapper
from omnivl.engine.distributed import init_process_group, wrap_distributed
from omnivl.engine.fully_shard import FullyShard, gathered
from omnivl.errors import OmniVLValueError
from omnivl.models.sharding import Block
from omnivl.models.writing import write_texts
from omnivl.registry import MODELS
from omnivl.storage import load_checkpoint
from omnivl.storage.tensor_shards import is_sharded, local_part, whole

LIMIT = 1e-5


class LinearBlock(Block):
    """A layer in shards."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(4, 4)

    def forward(self, points: Tensor) -> Tensor:
        """Map points."""
        return self.layer(points)


@MODELS.register_module()
class BlockModel(toys.ToyModel):
    """The toy with two blocks, one of which images leave out."""

    def __init__(self, spoil_at: int = -1) -> None:
        super().__init__(spoil_at)
        self.dropout = nn.Identity()  # ranks draw as they like
        self.spatial, self.temporal = LinearBlock(), LinearBlock()


def ddp(model: nn.Module) -> nn.Module:
    return wrap_distributed(model, MMDistributedDataParallel, {})


def largest_difference(one: dict, other: dict) -> float:
    assert one.keys() == other.keys()
    return max((one[key] - other[key]).abs().max().item() for key in one if one[key].is_floating_point())


def compare(
    config: dict,
    batches: list,
    compiled: bool = False,
    limit: float = LIMIT,
    precision: str = 'fp32',
    fewest: int = 20,
    accumulate: int = 2,
    **sharding,
) -> nn.Module:
    """Train in DDP and in shards; the losses of all steps and the weights after them are equal."""
    plain, sharded = stages.build(config), stages.build(config)
    if compiled:
        sharded.compile(backend='eager')
    wrapped = []

    def shard(model: nn.Module) -> nn.Module:
        wrapped.append(FullyShard(model, **sharding))
        return wrapped[0]

    expected, found = (
        stages.train_stages(
            model, wrap, batches, accumulative_counts=accumulate, clip_grad=dict(max_norm=0.5), precision=precision
        )
        for model, wrap in ((plain, ddp), (sharded, shard))
    )
    for step, (one, other) in enumerate(zip(found, expected)):
        assert one.keys() == other.keys()
        assert all(abs(one[key] - other[key]) < limit for key in one), (step, one, other)
    weights = whole(sharded.state_dict(keep_vars=True))
    assert largest_difference(weights, plain.state_dict()) < limit
    for model in (sharded.trunk, sharded.momentum_encoder.averages):
        matrices = [p for name, p in model.named_parameters() if '.blocks.' in name or '.layers.' in name if p.ndim > 1]
        assert len(matrices) >= fewest and all(map(is_sharded, matrices))
    return wrapped[0]


def evaluate(wrapped: nn.Module, batch: object) -> None:
    """Other methods than ``loss``, and on one rank alone: all that is needed is there."""
    before = whole(wrapped.module.state_dict(keep_vars=True))
    plain = MODELS.build(wrapped.config)
    plain.load_state_dict(before)
    with gathered(wrapped), torch.no_grad():
        if get_rank() == 0:
            for one in (wrapped.module.eval(), plain.eval()):
                tokens = one.encode(batch).tokens
                features = one.features(batch)
                words = write_texts(one.trunk, tokens, dict(beam=dict(num_beams=2)))
                one.found = [features, words]
            assert_equal(wrapped.module.found, plain.found, 'evaluation')
    assert_equal(whole(wrapped.module.state_dict(keep_vars=True)), before, 'weights')
    wrapped.module.train()


def on_ranks(configs: dict[str, dict], batches: list) -> None:
    init_process_group('pytorch')
    if get_world_size() == 1:  # to trace a block takes seconds, and another rank would trace the same
        compare(configs['traced'], batches[:1], compiled=True, fewest=10, accumulate=1, reshard_after_forward=False)
        return
    wrapped = compare(configs['blip'], batches[2:] if get_world_size() == 4 else batches)
    wrapped.config = configs['blip']
    evaluate(wrapped, batches[-1])
    stages_again = stages.train_stages(wrapped.module, lambda _: wrapped, batches[:1])
    assert stages_again[0]['loss'] > 0  # it trains on after an evaluation
    if get_world_size() == 2:
        compare(configs['checkpointing'], batches[2:])
        compare(configs['flat'], batches[:2], fewest=10, reshard_after_forward=False)
        compare(configs['flat'], batches[:2], limit=1e-3, fewest=10, precision='bf16', param_dtype='bf16')


@pytest.mark.slow
@pytest.mark.parametrize('ranks', [1, 2, 4])
def test_sharded_training_equals_ddp(ranks, tiny_config, random_batch):
    """Both stages, with accumulation and clipping; shared text layers; with recomputed and compiled blocks, too.

    What is compiled has a block a part, two losses that use each kind of block, and takes one step on one rank.
    """
    recomputed = dict(activation_checkpointing=True)
    trunk = tiny_config()['trunk']
    parts = ('visual_encoder', 'text_encoder', 'alignment_decoder', 'generation_decoder')
    checkpointing = tiny_config() | dict(trunk=trunk | {part: trunk[part] | recomputed for part in parts})
    checkpointing['trunk']['share'] = 'none'
    flat = tiny_config(trunk=dict(depth=1))
    traced = flat | dict(losses=[dict(type='UniVLCLoss'), dict(type='LanguageLoss')])
    batches = [
        random_batch(size=4, modality=modality, seed=seed) for seed, modality in enumerate(stages.IMAGES + stages.JOINT)
    ]
    configs = dict(blip=tiny_config(), checkpointing=checkpointing, flat=flat, traced=traced)
    run_ranks(on_ranks, configs, batches, ranks=ranks, seconds=500)


def test_a_model_without_blocks_is_told(tmp_path):
    run_ranks(no_blocks, ranks=1)


def no_blocks() -> None:
    init_process_group('pytorch')
    with pytest.raises(OmniVLValueError, match='ToyModel has no Block'):
        FullyShard(toys.ToyModel())
    with pytest.raises(OmniVLValueError, match=r"also names \['Lineal'\]"):
        FullyShard(toys.ToyModel(), also=['Lineal'])
    with pytest.raises(OmniVLValueError, match="param_dtype is 'fp8'"):
        FullyShard(BlockModel(), param_dtype='fp8')
    assert is_sharded(FullyShard(toys.ToyModel(), also=['Linear']).module.head.weight)


def scaled_losses() -> None:
    init_process_group('pytorch')
    found = []
    for scaled in (False, True):
        set_random_seed(0)
        wrapped = FullyShard(BlockModel())
        wrapper = PrecisionOptimWrapper(torch.optim.SGD(wrapped.trained, lr=0.1), clip_grad=dict(max_norm=0.1))
        if scaled:  # as in fp16, which trains on a GPU only; a power of two changes nothing in fp32
            wrapper.scaler = torch.amp.GradScaler('cpu', init_scale=64.0)
        points = torch.randn(4, 4)
        batch = dict(inputs=points, targets=points.sum(1), modality=['image'], task='image', losses=None)
        for _ in range(2):
            wrapped.train_step(batch, wrapper)
        found.append(whole(wrapped.module.state_dict(keep_vars=True)))
    assert_equal(*found, 'weights')
    for parameter in wrapped.trained:
        parameter.grad = torch.zeros_like(parameter)
    if get_rank() == 1:  # what overflows is in the part of one rank
        local_part(wrapped.module.spatial.layer.weight.grad).fill_(torch.inf)
    with implicit_replication():
        wrapper.step()
    assert wrapper.skipped == 1 and wrapper.scaler.get_scale() == 32.0


def test_the_scale_of_losses_is_that_of_all_ranks():
    run_ranks(scaled_losses)


LOADERS = dict(image=toys.loader('image', size=27), video=toys.loader('video', size=19))
SHARDED = dict(model_wrapper_cfg=dict(type='FullyShard'))


def run(work_dir: Path, name: str, **changes) -> object:
    options = dict(launcher='pytorch', model=dict(type='BlockModel'), train_dataloader=LOADERS)
    return train(work_dir, name, **options | changes)


def change_wrappers(folder: Path) -> None:
    """Three parts of a run, in shards, in DDP, and in shards again."""
    run(folder / 'whole', 'whole')
    for number, (stop, in_parts, options) in enumerate(((4, True, SHARDED), (7, False, {}), (10, True, SHARDED))):
        saving = dict(interval=1, max_keep_ckpts=3, sharded=in_parts, asynchronous=number < 2)
        hooks = dict(logger=dict(interval=1), checkpoint=saving)
        run(
            folder / 'parts', f'part-{number}', stop=dict(after=stop), resume=number > 0, default_hooks=hooks, **options
        )
    spoilt = dict(
        model=dict(type='BlockModel', spoil_at=3),
        optim_wrapper=toys.toy_config(folder, '')['optim_wrapper']
        | dict(not_finite='skip', clip_grad=dict(max_norm=1)),
    )
    assert run(folder / 'spoilt', 'spoilt', **spoilt, **SHARDED).optim_wrapper.skipped == 1
    kept = ['iter_10.shards', 'iter_8.shards', 'iter_9.shards']
    assert sorted(path.name for path in (folder / 'parts').glob('*iter_*')) == kept


def resume_only(folder: Path, options: dict) -> None:
    """What is loaded is what the file has, whatever number of processes wrote it."""
    runner = run(folder, 'loaded', resume=True, **options)
    content = load_checkpoint(folder / 'iter_10.shards')
    weights = whole(runner.bare_model.state_dict(keep_vars=True))
    assert_equal(dict(weights), dict(content['state_dict']), 'weights')
    assert_equal(whole(runner.optim_wrapper.state_dict())['state'], content['optimizer']['state'], 'optimizer')


@pytest.mark.slow
def test_checkpoints_go_between_wrappers_and_numbers_of_processes(tmp_path):
    """Whole or in parts, written at once or beside the training; sharded or not, by two processes, four or one."""
    run_ranks(change_wrappers, tmp_path, seconds=200)
    one, two = (load_checkpoint(tmp_path / name) for name in ('whole/iter_10.pth', 'parts/iter_10.shards'))
    assert largest_difference(one['state_dict'], two['state_dict']) < LIMIT
    for key, state in one['optimizer']['state'].items():
        assert largest_difference(state, two['optimizer']['state'][key]) < LIMIT
    assert one['train_loop'] == two['train_loop']
    run_ranks(resume_only, tmp_path / 'parts', SHARDED, ranks=4)
    resume_only(tmp_path / 'parts', dict(launcher='none'))
