"""Every config of retrieval and multiple choice, trained and tested on a handful of files in the published form."""

import json

import numpy as np
import pytest
import torch
from benchmark_runs import CONFIGS, run_small, write_image, write_video
from mmengine.config import Config

from omnivl.registry import MODELS

SENTENCES = ('a red dog.', 'The man in the video', 'a picture of a man', 'yes, a dog!', 'no man on the dog', 'a photo')
NAMES = [f'{user}@N02_{number}_{number:08x}' for number, user in enumerate(range(12090392, 12090399))]


def write_lines(path, lines):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text('\n'.join(lines) + '\n', encoding='utf-8')


def write_json(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content), encoding='utf-8')


def write_karpathy(folder, prefix, image, captions):
    """Karpathy's split in BLIP's form: a row per caption to train on, a row per image to test with."""
    train = [image('train', number) for number in range(4)]
    rows = [
        {'caption': SENTENCES[number], 'image': path, 'image_id': f'{prefix}{number}'}
        for number, path in enumerate(train)
    ]
    write_json(folder / f'annotations/{prefix}train.json', rows)
    for split in ('val', 'test'):
        paths = [image(split, number) for number in range(3)]
        write_json(
            folder / f'annotations/{prefix}{split}.json',
            [{'image': path, 'caption': list(SENTENCES[n : n + captions])} for n, path in enumerate(paths)],
        )
        train += paths
    return train


def coco(root):
    def image(split, number):
        folder = 'train2014' if split == 'train' else 'val2014'
        return f'{folder}/COCO_{folder}_{number + 10 * (split == "test"):012d}.jpg'

    folder = root / 'data/coco'
    for seed, path in enumerate(write_karpathy(folder, 'coco_karpathy_', image, 3)):
        write_image(folder / 'images' / path, seed)


def flickr30k(root):
    def image(split, number):
        return f'flickr30k-images/{dict(train=1, val=2, test=3)[split]}00009279{number}.jpg'

    folder = root / 'data/flickr30k'
    for seed, path in enumerate(write_karpathy(folder, 'flickr30k_', image, 3)):
        write_image(folder / path, seed)


def msrvtt(root):
    """CLIP4Clip's files; video0 and video1 are trained on, video7010 to video7012 are 1kA's."""
    folder = root / 'data/msrvtt'
    train, test = ['video0', 'video1'], ['video7010', 'video7011', 'video7012']
    for seed, video in enumerate(train + test):
        write_video(folder / f'videos/{video}.mp4', seed)
    content = {
        'info': {'contributor': 'Microsoft Multimedia Challenge'},
        'videos': [
            {'category': 9, 'url': 'https://www.youtube.com/watch?v=9lZi22qLlEo', 'video_id': video, 'split': split}
            for split, videos in (('train', train), ('test', test))
            for video in videos
        ],
        'sentences': [
            {'caption': SENTENCES[n], 'video_id': (train + test)[n % 5], 'sen_id': n} for n in (5, 0, 1, 2, 3, 4)
        ],
    }
    content['sentences'].append({'caption': 'a man is on a dog', 'video_id': 'video1', 'sen_id': 6})
    write_json(folder / 'annotations/MSRVTT_data.json', content)
    for name in ('9k', '7k'):
        write_lines(folder / f'annotations/MSRVTT_train.{name}.csv', ['video_id', *train])
    rows = [f'ret{n},msr{video[5:]},{video},{SENTENCES[n]}' for n, video in enumerate(test)]
    rows[1] = f'ret1,msr7011,video7011,"{SENTENCES[3]}"'
    write_lines(folder / 'annotations/MSRVTT_JSFUSION_test.csv', ['key,vid_key,video_id,sentence', *rows])


def msrvtt_mc(root):
    folder = root / 'data/msrvtt'
    for number in range(4):
        write_video(folder / f'videos/video701{number}.mp4', number)
    rows = [
        {'video': f'video701{number}.mp4', 'caption': list(SENTENCES[:5]), 'answer': (2 * number) % 5}
        for number in (0, 1, 2, 3, 3)
    ]
    write_json(folder / 'annotations/msrvtt_mc_test.json', rows)


def didemo(root):
    """Two or more descriptions of each video; a video runs on after the 30 seconds that they are about."""
    folder = root / 'data/didemo'
    splits = dict(train=NAMES[:4], val=NAMES[4:5], test=NAMES[5:])
    for seed, name in enumerate(NAMES):
        write_video(folder / f'videos/{name}.mov', seed, num_frames=40 if seed == 5 else 12, fps=1, container='mp4')
    for split, names in splits.items():
        rows = [
            {
                'annotation_id': 48639 + number,
                'context': ['chunk 05'],
                'description': f'{SENTENCES[number % 6]} {name[:8]}',
                'num_segments': 6,
                'times': [[0, 0], [0, 1]],
                'video': f'{name}.mov',
            }
            for number, name in enumerate([*names, *names])
        ]
        write_json(folder / f'annotations/{split}_data.json', rows)


def msvd(root):
    folder = root / 'data/msvd'
    names = ['-4wsuPCjDBc_5_15', 'mv89psg6zh4_33_46', '-7KMZQEsJW4_205_208', 'xBePrplM4OA_6_18', 'N6SglZopfmk_97_111']
    lines = ['# Microsoft Research Video Description Corpus', '#', '']
    for number, name in enumerate(names):
        write_video(folder / f'videos/{name}.avi', number)
        lines += [f'{name} {SENTENCES[number]}', f'{name} {SENTENCES[number - 1]}', f'{name} a man']
    write_lines(folder / 'annotations/AllVideoDescriptions.txt', lines)
    for split, part in dict(train=names[:2], val=names[2:3], test=names[3:]).items():
        write_lines(folder / f'annotations/{split}_list.txt', part)


ALL_SETS = dict(coco=coco, flickr30k=flickr30k, msrvtt=msrvtt, didemo=didemo, msvd=msvd)


@pytest.mark.parametrize(
    ('config', 'write', 'letter', 'evaluation'),
    [
        ('retrieval_coco.py', coco, 'i', 'image.retrieval'),
        ('retrieval_flickr30k.py', flickr30k, 'i', 'image.retrieval'),
        ('retrieval_msrvtt_9k.py', msrvtt, 'v', 'video.retrieval'),
        ('retrieval_msrvtt_7k.py', msrvtt, 'v', 'video.retrieval'),
        ('retrieval_didemo.py', didemo, 'v', 'video.retrieval'),
        ('retrieval_msvd.py', msvd, 'v', 'video.retrieval'),
    ],
)
def test_retrieval_finetuning(config, write, letter, evaluation, tmp_path):
    write(tmp_path)
    metrics = run_small(config, tmp_path)
    names = [f'{evaluation}.{way}_r1' for way in (f't2{letter}', f'{letter}2t')]
    expected = [*names, *(f'{name}_reranked' for name in names)]
    assert set(expected) <= metrics.keys()
    assert all(0 <= metrics[name] <= 100 for name in expected)


def test_zero_shot_retrieval(tmp_path):
    for write in ALL_SETS.values():
        write(tmp_path)
    metrics = run_small('zero_shot_retrieval.py', tmp_path, train=False)
    assert {name.split('.')[0] for name in metrics} == set(ALL_SETS)
    assert metrics['didemo.retrieval.t2v_r5_reranked'] == 100  # two videos, one paragraph each


def test_multiple_choice(tmp_path):
    msrvtt_mc(tmp_path)
    metrics = run_small('msrvtt_mc.py', tmp_path, train=False)
    accuracy = metrics['video.multiple_choice.accuracy']
    assert np.isclose(accuracy * 5 / 100, round(accuracy * 5 / 100)), 'five questions'


def test_one_caption_of_several_videos(tmp_path):
    """Singularity's lists of Something-Something: the caption has as many right videos as its row names."""
    folder = tmp_path / 'data/ssv2'
    for number in range(6):
        write_video(folder / f'videos/{78687 + number}.webm', number, container='mp4')
    train = [{'video': f'{78687 + number}.webm', 'caption': SENTENCES[number]} for number in range(4)]
    test = [
        {'video': ['78687.webm', '78688.webm', '78689.webm'], 'caption': 'holding something'},
        {'video': ['78690.webm', '78691.webm'], 'caption': 'moving something up'},
    ]
    write_json(folder / 'annotations/ssv2_ret_label_train.json', train)
    write_json(folder / 'annotations/ssv2_ret_label_val_small.json', test)

    def edits(cfg):
        lists = dict(type='BLIPCaptionJSON', visual_root='data/ssv2/videos', visual_field='video', modality='video')
        training = cfg.train_dataloader.video.dataset
        training.annotations = dict(lists, ann_file='data/ssv2/annotations/ssv2_ret_label_train.json')
        training.positives = 'caption'
        evaluation = cfg.test_dataloader['video.retrieval'].dataset
        evaluation.annotations = dict(lists, ann_file='data/ssv2/annotations/ssv2_ret_label_val_small.json')
        cfg.test_evaluator['video.retrieval'].duplicate_captions = 'merge'

    metrics = run_small('retrieval_msrvtt_9k.py', tmp_path, edits)
    # Five videos, two texts: of three right videos among five one is at rank 3 at the latest, of two at rank 4.
    assert metrics['video.retrieval.t2v_mean_rank'] <= 3.5 and metrics['video.retrieval.v2t_mean_rank'] <= 2


FINETUNED = ('coco', 'flickr30k', 'msrvtt_9k', 'msrvtt_7k', 'didemo', 'msvd')


@pytest.mark.parametrize('name', [*(f'retrieval_{name}' for name in FINETUNED), 'msrvtt_mc', 'zero_shot_retrieval'])
def test_start_fills_every_weight(name):
    """The joint stage has all that these models have, so no key needs to be allowed to stay as it is."""
    models = {}
    for config in ('pretrain_joint', name):
        cfg = Config.fromfile(CONFIGS / f'{config}.py')
        with torch.device('meta'):
            models[config] = MODELS.build(cfg.model).state_dict().keys()
    assert models[name] <= models['pretrain_joint']
    assert not cfg.load_from.get('allow') and cfg.load_from.start_video_from_image is False


@pytest.mark.parametrize(('name', 'batch', 'k'), [('coco', 512, 256), ('flickr30k', 512, 128), ('msrvtt_9k', 128, 128)])
def test_values_are_those_the_header_tells(name, batch, k):
    cfg = Config.fromfile(CONFIGS / f'retrieval_{name}.py')
    ((modality, loader),) = cfg.train_dataloader.items()
    assert 16 * loader.batch_size == batch and loader.dataset.positives == 'visual'
    assert (cfg.optim_wrapper.optimizer.lr, cfg.optim_wrapper.optimizer.weight_decay) == (1e-5, 0.05)
    (schedule,) = cfg.param_scheduler
    assert (schedule.end, schedule.end_factor, cfg.train_cfg.max_epochs) == (10, 0.0, 10)
    assert cfg.model.trunk.visual_encoder.image_size == 384
    assert [loss.type.name for loss in cfg.model.losses] == ['univlc', 'vlm']
    ((task, evaluator),) = cfg.test_evaluator.items()
    assert task == f'{modality}.retrieval' and evaluator.rerank_k == k


def test_multiple_choice_starts_where_its_clips_were_not_trained_on():
    assert Config.fromfile(CONFIGS / 'msrvtt_mc.py').load_from.file == 'work_dirs/retrieval_msrvtt_7k'
