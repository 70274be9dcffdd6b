"""Every captioning config runs on a handful of visuals with annotations in the published form."""

import json
import shutil
from contextlib import nullcontext

import pytest
from benchmark_runs import run_small, write_image, write_video

from omnivl.evaluation import coco_caption_metrics

SIMPLE = {f'{row}_simple' for row in ('bleu1', 'bleu4', 'rouge_l', 'cider')}
OFFICIAL = {'bleu3', 'bleu4', 'rouge_l', 'cider', 'meteor'}
CAPTIONS = ['A man, a dog.', 'a dog on the red picture', 'The red dog is in a photo!', 'Two men; one video.']


def write(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content), encoding='utf-8')


def write_coco(root):
    """Karpathy's split in BLIP's form, and the list of the server's images in COCO's own."""
    rows = {'train': [], 'val': [], 'test': []}
    for number in range(4):
        for split, folder in (('train', 'train2014'), ('val', 'val2014'), ('test', 'val2014')):
            name = f'{folder}/COCO_{folder}_{number + 10 * len(split):012d}.jpg'
            write_image(root / 'data/coco/images' / name, seed=number)
            if split == 'train':
                rows[split].append({'caption': CAPTIONS[number], 'image': name, 'image_id': f'coco_{number}'})
            else:
                rows[split].append({'image': name, 'caption': CAPTIONS[number : number + 2]})
    for split, of_split in rows.items():
        write(root / f'data/coco/annotations/coco_karpathy_{split}.json', of_split)
    images = []
    for number in range(3):
        images.append({'id': number, 'file_name': f'COCO_test2014_{number:012d}.jpg', 'height': 40, 'width': 48})
        write_image(root / 'data/coco/images/test2014' / images[-1]['file_name'], seed=number)
    write(root / 'data/coco/annotations/image_info_test2014.json', {'images': images, 'info': {}, 'licenses': []})


def write_nocaps(root):
    for split in ('val', 'test'):
        images = []
        for number, domain in enumerate(('in-domain', 'in-domain', 'near-domain', 'near-domain', 'out-domain')):
            images.append({'id': number, 'file_name': f'{number:04x}.jpg', 'open_images_id': f'{number:04x}'})
            images[-1] |= {'domain': domain} if split == 'val' else {}
            write_image(root / 'data/nocaps/images' / split / images[-1]['file_name'], seed=number)
        if split == 'test':
            write(root / 'data/nocaps/nocaps_test_image_info.json', {'images': images})
        else:
            texts = [(image['id'], text) for image in images for text in CAPTIONS[:2]]
            annotations = [{'id': n, 'image_id': image, 'caption': text} for n, (image, text) in enumerate(texts)]
            write(root / 'data/nocaps/nocaps_val_4500_captions.json', {'images': images, 'annotations': annotations})


def write_youcook2(root):
    """Two videos each of two segments; one file is no .mp4, as in the published set."""
    database = {}
    for number, (subset, suffix) in enumerate((('training', 'mp4'), ('training', 'mkv'), ('validation', 'mp4'))):
        folder = root / 'data/youcook2/raw_videos' / subset / '101'
        write_video(folder / f'video{number}.{suffix}', seed=number, num_frames=16)
        segments = [
            {'id': place, 'segment': segment, 'sentence': CAPTIONS[number + place]}
            for place, segment in enumerate(([0, 1], [0.5, 1.9]))
        ]
        database[f'video{number}'] = {
            'subset': subset, 'recipe_type': '101', 'duration': 2.0, 'annotations': segments
        }  # fmt: skip
    write(root / 'data/youcook2/annotations/youcookii_annotations_trainval.json', {'database': database})


def write_msrvtt(root):
    splits = ['train', 'train', 'validate', 'validate', 'test', 'test']
    videos = [{'video_id': f'video{number}', 'split': split, 'id': number} for number, split in enumerate(splits)]
    for video in videos:
        write_video(root / 'data/msrvtt/videos' / f'{video["video_id"]}.mp4', seed=video['id'])
    for name, is_test in (('train_val', False), ('test', True)):
        chosen = [video for video in videos if (video['split'] == 'test') == is_test]
        pairs = [(video['video_id'], text) for video in chosen for text in CAPTIONS[:2]]
        sentences = [{'sen_id': n, 'video_id': video, 'caption': text} for n, (video, text) in enumerate(pairs)]
        path = root / f'data/msrvtt/annotations/{name}_videodatainfo.json'
        write(path, {'info': {}, 'videos': chosen, 'sentences': sentences})


def with_submission(cfg):
    cfg.test_cfg.submission_dir = 'submission'


@pytest.fixture
def without_java(monkeypatch, tmp_path):
    """METEOR takes seconds to start; one run below has it."""
    monkeypatch.setenv('PATH', str(tmp_path))


def results(root, config):
    """What a run has written: protocol, predictions and submission, of its one evaluation."""
    folder = root / 'work_dirs' / config.removesuffix('.py')
    found = json.loads(next(folder.rglob('metrics.json')).read_text())['protocol']
    predictions = json.loads(next(path for path in folder.rglob('predictions/*.json')).read_text())
    submitted = [json.loads(path.read_text()) for path in (root / 'submission').glob('*.json')]
    return next(iter(found.values())), predictions, submitted


def rows(metrics):
    """Names of the figures without evaluation and method."""
    return {name.split('.')[-1].removesuffix('_beam') for name in metrics}


@pytest.mark.parametrize('config', ['caption_coco.py', 'caption_coco_from_blip.py'])
def test_coco(tmp_path, without_java, config):
    write_coco(tmp_path)
    metrics = run_small(config, tmp_path, with_submission)
    assert rows(metrics) >= SIMPLE and not OFFICIAL & rows(metrics)
    protocol, predictions, submitted = results(tmp_path, config)
    assert protocol['prompt'] == 'a picture of' and 'java' in protocol['skipped']['cider']
    assert (tmp_path / 'submission/coco_karpathy_test.json').is_file()
    assert submitted == [[{'image_id': 40 + n, 'caption': row['beam']} for n, row in enumerate(predictions)]]


def test_servers(tmp_path):
    """Images alone: captions for the server and no figures."""
    write_coco(tmp_path)
    write_nocaps(tmp_path)
    for config, name, count in (
        ('caption_coco_server.py', 'captions_test2014_omnivl_results.json', 3),
        ('caption_nocaps_server.py', 'nocaps_test.json', 5),
    ):
        assert run_small(config, tmp_path, with_submission, train=False) == {}
        submitted = json.loads((tmp_path / 'submission' / name).read_text())
        assert [row['image_id'] for row in submitted] == list(range(count))
        assert all(isinstance(row['caption'], str) and set(row) == {'image_id', 'caption'} for row in submitted)


def test_nocaps(tmp_path, without_java):
    write_nocaps(tmp_path)
    metrics = run_small('caption_nocaps.py', tmp_path, with_submission, train=False)
    domains = {f'cider_simple_{domain}_domain' for domain in ('in', 'near')}
    assert SIMPLE | domains | {'bleu4_simple_out_domain'} <= rows(metrics)
    protocol, predictions, submitted = results(tmp_path, 'caption_nocaps.py')
    assert 'only one visual' in protocol['skipped']['cider_simple_out_domain']
    assert [row['domain'] for row in predictions] == ['in', 'in', 'near', 'near', 'out']
    assert [row['image_id'] for row in submitted[0]] == [0, 1, 2, 3, 4]


@pytest.mark.skipif(shutil.which('java') is None, reason='needs Java, and there is no java on the PATH')
def test_youcook2_with_official_rows(tmp_path, monkeypatch):
    # METEOR takes a quarter of a minute to start; tests/evaluation/test_coco_caption_metrics.py does.
    monkeypatch.setattr(coco_caption_metrics, '_meteor', lambda seconds: nullcontext(lambda *_: [0.5]))
    write_youcook2(tmp_path)
    metrics = run_small('caption_youcook2.py', tmp_path)
    assert rows(metrics) >= OFFICIAL | SIMPLE
    protocol, predictions, _ = results(tmp_path, 'caption_youcook2.py')
    assert set(protocol['skipped']) == {'spice'} and protocol['average'].startswith('over all items (micro)')
    assert (protocol['prompt'], protocol['frames'], protocol['captions']) == ('', 8, 2)
    assert [row['references'] for row in predictions] == [CAPTIONS[2:3], CAPTIONS[3:4]], 'its two segments'


def test_youcook2(tmp_path, without_java):
    write_youcook2(tmp_path)
    assert rows(run_small('caption_youcook2.py', tmp_path)) >= SIMPLE


def test_msrvtt(tmp_path, without_java):
    write_msrvtt(tmp_path)
    assert rows(run_small('caption_msrvtt.py', tmp_path)) >= SIMPLE
    protocol, predictions, _ = results(tmp_path, 'caption_msrvtt.py')
    assert (protocol['prompt'], protocol['frames'], protocol['visuals']) == ('a video of', 8, 2)
    assert [row['sample_id'] for row in predictions] == ['video4', 'video5']
