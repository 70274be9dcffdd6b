"""Every config of pretraining, trained for a few updates and tested on a handful of files in the published form."""

import pytest
from benchmark_runs import CONFIGS, run_small
from pretraining_files import write_training_sets
from test_retrieval_benchmarks import flickr30k, msrvtt

from omnivl.engine import read_config

# What each has in training, and the evaluations of its test, all of which one config goes through.
IMAGE = {'coco.retrieval', 'coco.caption', 'flickr30k.retrieval', 'imagenet.zero_shot'}
BOTH = IMAGE | {'msrvtt.retrieval', 'msrvtt.caption', 'kinetics400.zero_shot'}
WHOLE, ONE = 'pretrain_joint', {'coco.retrieval'}
RUNS = {
    'pretrain_image': (['image'], IMAGE),
    'pretrain_image_only': (['image'], IMAGE),
    'pretrain_image_small': (['image'], IMAGE),
    'pretrain_image_then_video': (['video'], BOTH),
    'pretrain_joint': (['image', 'video'], BOTH),
    'pretrain_joint_8gpus': (['image', 'video'], BOTH),
    'pretrain_joint_from_blip': (['image', 'video'], BOTH),
    'pretrain_joint_from_scratch': (['image', 'video'], BOTH),
    'pretrain_video_only': (['video'], BOTH),
}


@pytest.fixture(scope='module')
def files(tmp_path_factory):
    root = tmp_path_factory.mktemp('sets')
    write_training_sets(root, read_config(CONFIGS / 'pretrain_joint.py'))
    flickr30k(root)
    msrvtt(root)
    return root


@pytest.mark.parametrize('name', RUNS)
def test_a_config_of_pretraining(name, files):
    tasks, evaluations = RUNS[name]
    whole = name == WHOLE

    def edits(cfg):
        cfg.train_cfg.pop('max_epochs', None)
        cfg.train_cfg.pop('val_interval', None)
        cfg.train_cfg.max_iters = 4
        cfg.val_dataloader = cfg.val_evaluator = cfg.val_cfg = None
        assert list(cfg.train_dataloader) == tasks and set(cfg.test_evaluator) == evaluations
        for name in evaluations - (evaluations if whole else ONE):
            del cfg.test_dataloader[name], cfg.test_evaluator[name]

    figures = run_small(f'{name}.py', files, edits)
    assert {figure.rsplit('.', 1)[0] for figure in figures} == (evaluations if whole else ONE)
