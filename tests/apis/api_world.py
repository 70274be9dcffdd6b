"""Files of many sizes and lengths, a tiny model with random weights, and the config of both."""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from transform_toys import write_video

from omnivl.apis import OmniVLInferencer
from omnivl.registry import MODELS

IMAGE_SIZES = ((32, 32), (40, 52), (70, 33), (33, 90), (48, 48), (64, 36))
VIDEOS = ((12, 48, 64), (3, 64, 48), (30, 34, 50), (5, 48, 64))  # frames, height, width
NAMES = ('w1', 'w2', 'w3')


@dataclass
class World:
    """Where everything lies."""

    root: Path
    config: Path
    checkpoint: Path
    images: list[Path]
    videos: list[Path]

    def inferencer(self, **options):
        return OmniVLInferencer(self.config, self.checkpoint, device='cpu', **options)


def picture(seed, height, width):
    """Smooth random colours."""
    small = np.random.default_rng(seed).integers(0, 256, (4, 4, 3), dtype=np.uint8)
    return Image.fromarray(small).resize((width, height), Image.Resampling.BICUBIC)


def write_files(root):
    images, videos = [], []
    for number, (height, width) in enumerate(IMAGE_SIZES):
        path = root / 'images' / NAMES[number % 3] / f'{number}.png'
        path.parent.mkdir(parents=True, exist_ok=True)
        picture(number, height, width).save(path)
        images.append(path)
    (root / 'videos').mkdir()
    for number, (frames, height, width) in enumerate(VIDEOS):
        videos.append(write_video(root / 'videos' / f'{number}.mp4', frames, height, width))
    for name, paths in (('images', images), ('videos', videos)):
        rows = [
            dict(image=str(path.relative_to(root)), image_id=i, caption=[f'w{i} w{i + 3} w7', f'w{i + 9}'])
            for i, path in enumerate(paths)
        ]
        (root / f'{name}.json').write_text(json.dumps(rows))
    return images, videos


def evaluation_parts(root, pipelines):
    captions = dict(type='BLIPCaptionJSON', visual_root=str(root))
    readers = {
        'image': dict(captions, ann_file=str(root / 'images.json')),
        'video': dict(captions, ann_file=str(root / 'videos.json'), modality='video'),
    }
    loaders, evaluators = {}, {}
    for modality, reader in readers.items():
        dataset = dict(type='RetrievalDataset', name=modality, annotations=reader, pipeline=pipelines[modality])
        for task in ('caption', 'retrieval'):
            loaders[f'{modality}.{task}'] = dict(batch_size=3, num_workers=0, dataset=dataset)
        evaluators[f'{modality}.caption'] = dict(type='CaptionEvaluation', max_length=8, min_length=2)
        evaluators[f'{modality}.retrieval'] = dict(
            type='RetrievalEvaluation', rerank_k=3, rerank_with='match+scaled_similarity'
        )
    folders = dict(type='ImageNetFolder', visual_root=str(root / 'images'))
    dataset = dict(
        type='LabelDataset', name='labels', annotations=folders, templates=['w5 {}'], pipeline=pipelines['image']
    )
    loaders['image.zero_shot'] = dict(batch_size=4, num_workers=0, dataset=dataset)
    evaluators['image.zero_shot'] = dict(type='ZeroShotEvaluation', templates=['w4 {}.', '{} w6'])
    return loaders, evaluators


def write_config(root, model, **changes):
    tokenizer = model['trunk']['tokenizer']
    size = [dict(type='Resize', size=32, keep_ratio=True), dict(type='CenterCrop', size=32)]
    text = [dict(type='CleanCaption', max_words=10), dict(type='TokenizeText', tokenizer=tokenizer, max_length=9)]
    pipelines = {
        'image': [dict(type='LoadImage'), *size, *text, dict(type='PackSample')],
        'video': [dict(type='LoadVideo', num_frames=4), *size, *text, dict(type='PackSample')],
    }
    loaders, evaluators = evaluation_parts(root, pipelines)
    config = dict(model=model, runner_type='OmniVLRunner', default_scope='omnivl', work_dir=str(root / 'run'))
    config |= dict(test_dataloader=loaders, test_evaluator=evaluators, test_cfg=dict(type='EvaluationLoop'))
    path = root / f'config{len(list(root.glob("config*.py")))}.py'
    path.write_text('\n'.join(f'{key} = {value!r}' for key, value in (config | changes).items()))
    return path


def write_checkpoint(path, config, seed=0):
    torch.manual_seed(seed)
    model = MODELS.build(config)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.15 * torch.randn_like(parameter))
        # A word piece that leaves no trace in a text ([PAD], [UNK], [CLS], [MASK], [DEC], [ENC]) is never written.
        if 'generation_decoder' in model.parts:
            model.parts['generation_decoder'].head.bias[[0, 1, 2, 4, -2, -1]] = -100
    torch.save(dict(state_dict=model.state_dict()), path)
    return path
