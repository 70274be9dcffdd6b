"""Both stages of pretraining, read from shards that omnivl pack has written of tiny sets in their published forms."""

import pytest
from benchmark_runs import CONFIGS, VOCAB_FILE, shrink, working_directory, write_vocabulary
from pretraining_files import write_training_sets

from omnivl.commands.main import main
from omnivl.engine import OmniVLRunner, check_config, read_config
from omnivl.storage.shard_index import IndexOfShards


@pytest.mark.parametrize('stage', ['pretrain_image', 'pretrain_joint'])
def test_a_stage_is_trained_on_shards(tmp_path, stage):
    write_training_sets(tmp_path, read_config(CONFIGS / f'{stage}.py'))
    words = write_vocabulary(tmp_path / VOCAB_FILE)
    with working_directory(tmp_path):
        main(['pack', str(CONFIGS / f'{stage}.py'), '--out', 'data/shards', '--samples', '3', '--workers', '0'])
        config = shrink(read_config(CONFIGS / f'{stage}_shards.py'), words)
        config.work_dir = 'work_dirs/shards'
        for key in ('val_dataloader', 'val_evaluator', 'val_cfg', 'test_dataloader', 'test_evaluator', 'test_cfg'):
            config[key] = None
        config.train_cfg.pop('val_interval')
        check_config(config)
        runner = OmniVLRunner.from_cfg(config)
        runner.train()
    items = sum(map(len, runner.train_loop.streams['image'].dataset.datasets))
    assert runner.iter >= items // 2 and not any(stream.broken for stream in runner.train_loop.streams.values())
    assert len(IndexOfShards(tmp_path / 'data/shards/coco/index.npz').shards) == 2
