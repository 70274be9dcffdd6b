"""The configs of the project on a handful of pictures and clips, with a model of a few thousand parameters."""

import json

import numpy as np
from coca_world import write_byte_pairs
from PIL import Image

from tests.config_nodes import dicts

SIZE = 36  # two patches of 18 pixels a side
COLOURS = {'red': (220, 30, 30), 'green': (30, 220, 30), 'blue': (30, 30, 220), 'grey': (120, 120, 120)}
SIZED = ('CenterCrop', 'RandomResizedCrop', 'Resize', 'ThreeCrop')


def write_world(root):
    """Write pictures and clips of one colour each, their captions, classes and questions, and byte pairs."""
    captions, questions, clips = [], [], []
    for number, (name, colour) in enumerate(COLOURS.items()):
        folder = root / 'images' / ('colour' if name != 'grey' else 'none')
        folder.mkdir(parents=True, exist_ok=True)
        picture = np.full((48, 60, 3), colour, np.uint8)
        Image.fromarray(picture).save(folder / f'{name}.png')
        image = f'{folder.name}/{name}.png'
        captions.append(dict(image=image, caption=f'a photo of {name}', image_id=name))
        question = dict(image=image, question='what colour is it', answer=[name, name, 'it'], dataset='vqa')
        questions.append(question | dict(question_id=number))
        write_clip(root / f'{name}.mp4', picture[:, :48])
        clips.append(f'{name}.mp4 {number % 2}')
    (root / 'captions.json').write_text(json.dumps(captions))
    (root / 'questions.json').write_text(json.dumps(questions))
    (root / 'clips.txt').write_text('\n'.join(clips))
    (root / 'classes.txt').write_text('even\nodd')
    (root / 'images.txt').write_text('\n'.join(row['image'] for row in captions))
    return write_byte_pairs(root / 'clip')


def write_clip(path, picture):
    import av

    with av.open(str(path), 'w') as container:
        stream = container.add_stream('mpeg4', rate=8)
        stream.width = stream.height = 48
        stream.pix_fmt = 'yuv420p'
        for _ in range(8):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format='rgb24')))
        container.mux(stream.encode())


def annotations(kind, root):
    """A reader of the tiny world, for one of the kinds of data sets."""
    images = dict(visual_root=str(root / 'images'))
    if kind == 'video':
        paths = dict(ann_file=str(root / 'clips.txt'), classes_file=str(root / 'classes.txt'))
        return dict(type='MMActionList', visual_root=str(root), **paths)
    if kind == 'classes':
        return dict(type='ClassImageList', ann_file=str(root / 'images.txt'), **images)
    if kind == 'questions':
        return dict(type='BLIPQuestionJSON', ann_file=str(root / 'questions.json'), **images)
    return dict(type='BLIPCaptionJSON', ann_file=str(root / 'captions.json'), **images)


def kind_of(dataset):
    kind = getattr(dataset['type'], '__name__', str(dataset['type'])).split('.')[-1]
    if kind == 'LabelDataset':
        return 'video' if 'kinetics' in dataset['name'] else 'classes'
    return 'questions' if kind == 'QADataset' else 'captions'


def shrink(cfg, root, vocab_size):
    """Make model, pictures and batches tiny and the data those of ``write_world``; what is trained stays the same."""
    cfg.load_from = None
    cfg.allow_train_test_overlap = True
    for node in dicts(cfg._cfg_dict):
        name = getattr(node.get('type'), '__name__', str(node.get('type'))).split('.')[-1]
        if 'num_heads' in node:
            node.update(num_heads=2)
        if 'depth' in node:
            node.update(depth=1, **(dict(width=16) if 'width' in node else {}))
        small = dict(
            image_size=SIZE, vocab_size=vocab_size, embed_dim=8, num_queries=4, vocab_folder=str(root / 'clip')
        )
        node.update({key: value for key, value in small.items() if key in node})
        node.update(size=SIZE) if name in SIZED else None
        if name == 'LoadVideo':
            node.update(num_frames=2, short_side=SIZE + 4)
        if 'annotations' in node:
            node['annotations'] = annotations(kind_of(node), root)
        if 'answer_list' in node:
            node['answer_list'] = list(COLOURS)
        if 'official' in node:
            node.update(official=False, submission_file=None)
        if 'num_classes' in node:
            node['num_classes'] = 2
        if 'batch_size' in node and 'dataset' in node:
            node.update(batch_size=2, num_workers=0, pin_memory=False)
    if cfg.get('train_cfg'):
        cfg.train_cfg = dict(type=cfg.train_cfg.type, max_iters=2)
        cfg.param_scheduler = []
        cfg.default_hooks.checkpoint.interval = 1
    return cfg
