"""Both stages of pretraining, read from shards that omnivl pack has written of tiny sets in their published forms."""

import json

import pytest
from benchmark_runs import CONFIGS, VOCAB_FILE, shrink, working_directory, write_image, write_video, write_vocabulary
from test_action_benchmarks import write_kinetics400
from test_classify_benchmarks import write_imagenet

from omnivl.commands.main import main
from omnivl.engine import OmniVLRunner, check_config, read_config
from omnivl.storage.shard_index import IndexOfShards


def write_sets(root, config):
    """The training sets of a config, four pictures or clips each."""
    for source in config.train_dataloader.image.dataset.datasets[:5]:
        reader = source.annotations
        rows = [dict(image=f'{number}.jpg', caption=f'a red dog {number}', image_id=f'{number}') for number in range(4)]
        (root / reader.ann_file).parent.mkdir(parents=True, exist_ok=True)
        (root / reader.ann_file).write_text(json.dumps(rows))
        for number in range(4):
            write_image(root / reader.visual_root / f'{number}.jpg', number)
    write_imagenet(root)
    if 'video' in config.train_dataloader:
        write_kinetics400(root)
        reader = config.train_dataloader.video.dataset.datasets[0].annotations
        (root / reader.ann_file).parent.mkdir(parents=True)
        lines = [
            'videoid,contentUrl,duration,page_dir,name',
            *(f'{number},u,PT3S,p,a man {number}' for number in range(4)),
        ]
        (root / reader.ann_file).write_text('\n'.join(lines) + '\n')
        for number in range(4):
            write_video(root / reader.visual_root / f'p/{number}.mp4', number)


@pytest.mark.parametrize('stage', ['pretrain_image', 'pretrain_joint'])
def test_a_stage_is_trained_on_shards(tmp_path, stage):
    write_sets(tmp_path, read_config(CONFIGS / f'{stage}.py'))
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
