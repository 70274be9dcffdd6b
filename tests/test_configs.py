"""Every config of the repository is parsed, dumped, reloaded, checked for misspelt keys and built."""

import copy
from functools import cache
from pathlib import Path

import av
import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope
from PIL import Image

from omnivl.apis.loading import read_protocols
from omnivl.datasets.transforms import PackSample, TokenizeText
from omnivl.engine import check_config, read_config
from omnivl.engine.config import share_tokenizer
from omnivl.registry import DATASETS, EVALUATIONS, MODELS, TRANSFORMS, WEIGHT_READERS
from omnivl.structures import AUDIO, MODALITIES

ROOT = Path(__file__).parents[1]
CONFIGS = sorted(
    path
    for folder in ('configs', 'projects')
    for path in (ROOT / folder).rglob('*.py')
    if 'configs' in path.parts and '_base_' not in path.parts and path.name != '__init__.py'
)
MODEL_BASES = sorted(
    path for folder in ('configs', 'projects') for path in (ROOT / folder).glob('**/_base_/models/*.py')
)
BUILT = set()  # configs of models, of which many have the same


def names(paths):
    return [str(path.relative_to(ROOT)) for path in paths]


@cache
def read(path):
    """Read a config as MMEngine does, once for all tests, which leave it as it is; without yapf, which takes longer."""
    return Config.fromfile(path, format_python_code=False)


def loaders(cfg):
    """All loaders of a config, those that an evaluation trains a probe on included."""
    roles = [cfg.get(f'{role}_dataloader') or {} for role in ('train', 'val', 'test')]
    # A stream of several tasks has the loader of each.
    found = [one for role in roles for loader in role.values() for one in loader.get('tasks', dict(_=loader)).values()]
    for evaluator in (
        evaluator for role in ('val', 'test') for evaluator in (cfg.get(f'{role}_evaluator') or {}).values()
    ):
        found += [evaluator[key] for key in ('train', 'val') if evaluator.get(key)]
    return found


@pytest.fixture(autouse=True)
def from_root(monkeypatch):
    monkeypatch.chdir(ROOT)
    monkeypatch.syspath_prepend(str(ROOT))
    init_default_scope('omnivl')


@pytest.fixture(scope='module')
def odd(tmp_path_factory):
    """A picture and a clip of sizes that no model is made for."""
    folder = tmp_path_factory.mktemp('odd')
    Image.new('RGB', (75, 50), 'red').save(folder / 'picture.png')
    with av.open(str(folder / 'clip.mp4'), 'w') as out:
        stream = out.add_stream('libx264', rate=4)
        stream.width, stream.height, stream.pix_fmt = 90, 50, 'yuv420p'
        for _ in range(3):
            for packet in stream.encode(av.VideoFrame.from_ndarray(np.zeros((50, 90, 3), np.uint8), format='rgb24')):
                out.mux(packet)
        for packet in stream.encode():
            out.mux(packet)
    return {'image': folder / 'picture.png', 'video': folder / 'clip.mp4'}


@pytest.mark.parametrize('path', CONFIGS, ids=names(CONFIGS))
def test_every_pipeline_makes_pictures_the_size_of_the_model(path, odd):
    """Whatever size the files have, training, test and inference see one size, which the model is made for."""
    cfg = read(path)
    sources = [source for loader in loaders(cfg) for source in loader.dataset.get('datasets', [loader.dataset])]
    sizes, seen = set(), set()
    for source in sources:
        # Texts need a vocabulary, CIFAR's loader a file of its own; both have nothing to do with sizes.
        steps = [TRANSFORMS.build(step) for step in source.pipeline if step['type'] is not TokenizeText]
        modality = next(
            (name for name, one in MODALITIES.items() if type(steps[0]) is TRANSFORMS.get(one.loader)), None
        )
        seen.add(modality)
        if modality not in odd:  # of no kind, or sounds, which have no size
            continue
        results = dict(visual=odd[modality], clip=None, rng=np.random.default_rng(0))
        for step in steps:
            if not getattr(step, 'text_only', False) and not isinstance(step, PackSample):
                results = step(results)
        sizes.add(results['frames'].shape[1:3])
    made_for = cfg.model.trunk.visual_encoder.get('image_size', min(sizes, default=(0,))[0])
    several = made_for if isinstance(made_for, list | tuple) else [made_for]
    assert sizes == {(size, size) for size in several} or 'cifar' in path.stem or seen == {AUDIO.name}


@pytest.mark.parametrize('path', CONFIGS, ids=names(CONFIGS))
def test_config_is_whole(path, tmp_path):
    cfg = read(path)
    check_config(cfg)
    cfg.dump(tmp_path / 'dumped.py')
    loaded = Config.fromfile(tmp_path / 'dumped.py', format_python_code=False)
    assert loaded.to_dict() == cfg.to_dict()  # so what is built of one could be built of the other
    check_config(loaded)
    share_tokenizer(loaded)
    if (model := repr(loaded.model.to_dict())) not in BUILT:
        with torch.device('meta'):
            MODELS.build(loaded.model)
        BUILT.add(model)
    for loader in loaders(loaded):
        DATASETS.build(dict(loader.dataset, lazy_init=True))
    for role in ('val', 'test'):
        evaluators = loaded.get(f'{role}_evaluator') or {}
        assert evaluators.keys() == (loaded.get(f'{role}_dataloader') or {}).keys()
        for evaluator in evaluators.values():
            EVALUATIONS.build(evaluator)
    # All that training needs, or nothing of it: a config that only tests.
    training = [loaded.get(key) for key in ('train_dataloader', 'train_cfg', 'optim_wrapper')]
    assert all(training) or not (any(training) or loaded.get('param_scheduler') or loaded.get('val_dataloader'))
    assert loaded.get('test_dataloader') or all(training)
    sources = loaded.get('load_from') or []
    for source in [sources] if isinstance(sources, dict) else sources:
        WEIGHT_READERS.build(source)
    for scheduler in loaded.get('param_scheduler') or ():
        end = scheduler.get('end', scheduler.get('begin', 0) + scheduler.get('T_max', 0))
        assert end <= loaded.train_cfg.get('max_iters', float('inf'))


@pytest.mark.parametrize('path', CONFIGS, ids=names(CONFIGS))
def test_model_and_data_share_their_tokenizer_and_resolution(path):
    cfg = read_config(path)
    if cfg.get('test_dataloader'):
        assert read_protocols(cfg)[0]  # what the inferencer works with can be built
    for loader in loaders(cfg):
        for source in loader.dataset.get('datasets', [loader.dataset]):
            steps = {getattr(step.type, '__name__', str(step.type)).split('.')[-1]: step for step in source.pipeline}
            if 'TokenizeText' in steps:
                assert steps['TokenizeText'].tokenizer == cfg.model.trunk.tokenizer
                assert steps['TokenizeText'].max_length <= cfg.model.trunk.text_encoder.max_length
            else:
                # Classes need no text; a captioned set without word pieces is a slip.
                assert getattr(source.type, '__name__', str(source.type)).endswith('LabelDataset')
            for name in {'RandomResizedCrop', 'Resize', 'CenterCrop'} & steps.keys():
                made_for = cfg.model.trunk.visual_encoder.get('image_size', 64)
                assert steps[name].size in (made_for if isinstance(made_for, list | tuple) else [made_for])
                for load in {'LoadImage', 'LoadVideo'} & steps.keys():
                    assert (steps[load].get('short_side') or steps[name].size) >= steps[name].size, 'pixels are made up'
            if 'LoadVideo' in steps and 'num_frames' in cfg.model.trunk.visual_encoder:
                assert steps['LoadVideo'].num_frames == cfg.model.trunk.visual_encoder.num_frames
            if 'CleanQuestion' in steps:
                assert 'RandomFlip' not in steps, 'questions speak of left and right'


@pytest.mark.parametrize('path', MODEL_BASES, ids=names(MODEL_BASES))
def test_every_size_builds(path):
    cfg = copy.deepcopy(read(path).model)
    if 'classifier' in path.stem:
        cfg.setdefault('num_classes', 10)  # a matter of the data set, so of each config
    with torch.device('meta'):
        model = MODELS.build(cfg)
    assert sum(p.numel() for p in model.parameters()) > 1e5


def test_paper_scale_is_the_papers():
    cfg = read(ROOT / 'configs/omnivl/pretrain_joint.py')
    image, video = cfg.train_dataloader.image, cfg.train_dataloader.video
    assert 64 * image.batch_size == 2880 and 64 * video.batch_size == 768
    assert [source.name for source in image.dataset.datasets] == [
        'coco', 'visual_genome', 'cc3m', 'cc12m', 'sbu', 'imagenet',
    ]  # fmt: skip
    assert [source.name for source in video.dataset.datasets] == ['webvid', 'kinetics400']
    assert cfg.optim_wrapper.optimizer.lr == 8e-5 and cfg.train_cfg.max_epochs == 10
    small = read(ROOT / 'configs/omnivl/pretrain_image_small.py').model.trunk
    assert (small.visual_encoder.width, small.visual_encoder.image_tokenizer.patch_size) == (384, 14)
    assert small.text_encoder == dict(small.text_encoder, width=384, depth=6, num_heads=12)
    first = read(ROOT / 'configs/omnivl/pretrain_image.py')
    assert first.optim_wrapper.optimizer.lr == 3e-4 and first.train_cfg.max_epochs == 20
    assert first.optim_wrapper.optimizer.weight_decay == 0.05
    assert any(step.get('gamma') == 0.85 and step.by_epoch for step in first.param_scheduler)
