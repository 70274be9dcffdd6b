"""The configs of the project on a handful of clips with sound, with a model of a few thousand parameters."""

import csv
import json
import wave

import av
import numpy as np

from tests.config_nodes import dicts

SIZE, FRAMES, RATE = 32, 8, 8000
COLOURS = {'red': (220, 30, 30), 'green': (30, 220, 30), 'blue': (30, 30, 220), 'grey': (120, 120, 120)}
WORDS = ('<pad>', '<bos>', '<eos>', '<unk>', 'here', 'is', *COLOURS)
SIZED = ('CenterCrop', 'RandomResizedCrop', 'Resize', 'ThreeCrop')
TINY = dict(width=16, depth=1, num_heads=2, mlp_ratio=2.0)


def write_clip(path, colour, pitch, seconds=2):
    """Write a clip of one colour and one tone; a pitch of None is no sound at all."""
    with av.open(str(path), 'w') as container:
        stream = container.add_stream('mpeg4', rate=8)
        stream.width = stream.height = 48
        stream.pix_fmt = 'yuv420p'
        sound = None if pitch is None else container.add_stream('aac', rate=RATE, layout='mono')
        picture = np.full((48, 48, 3), colour, np.uint8)
        for _ in range(8 * seconds):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format='rgb24')))
        container.mux(stream.encode())
        if sound is not None:
            tone = 0.5 * np.sin(2 * np.pi * pitch * np.arange(seconds * RATE) / RATE).astype(np.float32)
            for first in range(0, len(tone) - 1023, 1024):
                frame = av.AudioFrame.from_ndarray(tone[None, first : first + 1024], format='fltp', layout='mono')
                frame.sample_rate, frame.pts = RATE, first
                container.mux(sound.encode(frame))
            container.mux(sound.encode())


def write_table(path, *rows):
    with path.open('w', newline='') as file:
        csv.writer(file).writerows(rows)


def write_world(root):
    """Write clips, the last of them silent, with narrations, classes, captions and words."""
    for name, colour in COLOURS.items():
        pitch = None if name == 'grey' else 200 * (1 + list(COLOURS).index(name))
        write_clip(root / f'{name}.mp4', colour, pitch)
    tone = (16384 * np.sin(2 * np.pi * 200 * np.arange(2 * RATE) / RATE)).astype(np.int16)
    with wave.open(str(root / 'red.wav'), 'wb') as file:
        file.setparams((1, 2, RATE, 0, 'NONE', ''))
        file.writeframes(tone.tobytes())
    spoken = {name: dict(start=[0, 1], end=[1, 2], text=[f'here is {name}', 'is here']) for name in COLOURS}
    (root / 'narrations.json').write_text(json.dumps(spoken))
    write_table(root / 'classes.csv', ('index', 'mid', 'display_name'), (0, '/m/0', 'low'), (1, '/m/1', 'high'))
    segments = [f'{name}, 0.000, 2.000, "/m/{place % 2}"' for place, name in enumerate(COLOURS) if name != 'grey']
    (root / 'segments.csv').write_text('\n'.join(segments) + '\n')
    (root / 'clips.txt').write_text('\n'.join(f'{name}.mp4 {place % 2}' for place, name in enumerate(COLOURS)))
    (root / 'names.txt').write_text('even\nodd')
    captions = [(f'ret{place}', f'msr{place}', name, f'here is {name}') for place, name in enumerate(COLOURS)]
    write_table(root / 'captions.csv', ('key', 'vid_key', 'video_id', 'sentence'), *captions)
    (root / 'words.txt').write_text('\n'.join(WORDS))


def annotations(dataset, root):
    """A reader of the tiny world in the place of that of a data set."""
    kind = name_of(dataset['annotations'])
    visual_root = str(root)
    if kind == 'NarratedVideos':
        given = {key: dataset['annotations'][key] for key in ('candidates', 'empty')}
        return dict(given, type=kind, ann_file=str(root / 'narrations.json'), visual_root=visual_root, min_seconds=1.0)
    if kind == 'AudioSetCSV':
        options = dict(modality=dataset['annotations'].get('modality', 'audio'), path_template='{youtube_id}.mp4')
        paths = dict(ann_file=str(root / 'segments.csv'), classes_file=str(root / 'classes.csv'))
        return dict(type=kind, visual_root=visual_root, **paths, **options)
    if kind == 'KineticsCSV':
        paths = dict(ann_file=str(root / 'clips.txt'), classes_file=str(root / 'names.txt'))
        return dict(type='MMActionList', visual_root=visual_root, **paths)
    return dict(type='MSRVTTTestCSV', ann_file=str(root / 'captions.csv'), visual_root=visual_root)


def name_of(config):
    return getattr(config['type'], '__name__', str(config['type'])).split('.')[-1]


def shrink(cfg, root):
    """Make model, clips, sounds and batches tiny and the data those of ``write_world``; what is trained stays."""
    cfg.load_from = None
    cfg.allow_train_test_overlap = True
    for node in dicts(cfg._cfg_dict):
        small = dict(
            image_size=SIZE, vocab_size=len(WORDS), embed_width=8, fine_width=8, coarse_width=8, num_classes=2,
            vocab_file=str(root / 'words.txt'), projected=16,
        )  # fmt: skip
        node.update({key: value for key, value in small.items() if key in node})
        if 'backbone' in node:
            node['backbone'] = dict(TINY)
        if 'type' not in node:
            continue
        kind = name_of(node)
        if kind == 'VATTT5Encoder':
            node.update(width=16, depth=1, num_heads=2)
        if kind == 'VATTAudioEncoder':
            node['grid'] = (25,)
        if 'num_frames' in node:
            node['num_frames'] = FRAMES
        if kind in SIZED:
            node['size'] = SIZE
        if kind == 'LoadVideo':
            node['short_side'] = SIZE
        if kind in ('LoadAudio', 'LoadSoundtrack'):
            node.update(seconds=0.4, rate=RATE)
        if 'annotations' in node:
            node['annotations'] = annotations(node, root)
            node.update({key: 1.0 for key in ('seconds', 'file_seconds') if key in node})
    for loader in dicts(cfg._cfg_dict):
        if 'batch_size' in loader and 'dataset' in loader:
            loader.update(batch_size=2, num_workers=0, pin_memory=False)
    if cfg.get('train_cfg'):
        cfg.train_cfg = dict(type=cfg.train_cfg.type, max_iters=2)
        cfg.param_scheduler = []
        cfg.default_hooks.checkpoint.interval = 1
    return cfg
