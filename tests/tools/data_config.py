"""A config over a few images and clips, for the tools that look at data."""

import json
from pathlib import Path

import av
import numpy as np
from PIL import Image

NUM_IMAGES = 4
CLIP_FRAMES = 40


def write_clip(path: Path, colour: int) -> None:
    with av.open(str(path), 'w') as container:
        stream = container.add_stream('mpeg4', rate=10)
        stream.width, stream.height, stream.pix_fmt = 48, 32, 'yuv420p'
        for number in range(CLIP_FRAMES):
            frame = np.full((32, 48, 3), colour + number, np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format='rgb24')))
        container.mux(stream.encode())


def make_data_config(root: Path, vocab_file: Path) -> Path:
    """Write images 0.png ... of one grey each, two captions for image 0, labelled images, clips; and the config."""
    (root / 'images').mkdir()
    (root / 'videos/a').mkdir(parents=True)
    rows = []
    for number in range(NUM_IMAGES):
        Image.fromarray(np.full((40, 40, 3), 60 * number, np.uint8)).save(root / f'images/{number}.png')
        rows.append(dict(image=f'{number}.png', caption=f'w{number} w{number}', image_id=number))
    rows.append(dict(image='0.png', caption='w9 unheard', image_id=0))
    (root / 'captions.json').write_text(json.dumps(rows))
    for name in ('square', 'circle'):
        folder = root / 'classes/train' / name
        folder.mkdir(parents=True)
        Image.fromarray(np.full((40, 40, 3), 200, np.uint8)).save(folder / 'x.png')
    lines = ['videoid,contentUrl,duration,page_dir,name']
    for number in range(2):
        write_clip(root / f'videos/a/{number}.mp4', 100 * number)
        lines.append(f'{number},url,PT00H00M04S,a,w{number} moves')
    (root / 'videos.csv').write_text('\n'.join(lines))

    tokenizer = dict(type='WordPieceTokenizer', vocab_file=str(vocab_file))
    rest = [dict(type='CleanCaption'), dict(type='TokenizeText', tokenizer=tokenizer, max_length=8)]
    rest += [dict(type='PackSample')]
    image = [dict(type='LoadImage'), dict(type='RandomShift', max_shift=3), *rest]
    video = [dict(type='LoadVideo', num_frames=3, random=True), *rest]
    captions = dict(type='BLIPCaptionJSON', ann_file=str(root / 'captions.json'), visual_root=str(root / 'images'))
    labels = dict(type='ImageNetFolder', visual_root=str(root / 'classes'), split='train')
    clips = dict(type='WebVidCSV', ann_file=str(root / 'videos.csv'), visual_root=str(root / 'videos'))
    sources = [
        dict(type='PairDataset', name='pairs', annotations=captions, pipeline=image),
        dict(type='LabelDataset', name='labels', annotations=labels, templates=['w8 {}.'], pipeline=image),
    ]
    videos = dict(type='PairDataset', name='clips', annotations=clips, pipeline=video)
    test = dict(type='RetrievalDataset', name='test', annotations=captions, pipeline=[image[0], *rest])
    config = dict(
        default_scope='omnivl',
        model=dict(type='TrunkModel', trunk=dict(tokenizer=tokenizer)),
        train_dataloader=dict(
            image=dict(batch_size=2, dataset=dict(type='MixedDataset', datasets=sources)),
            video=dict(batch_size=2, dataset=videos),
        ),
        test_dataloader={'image.retrieval': dict(batch_size=2, dataset=test)},
    )
    path = root / 'config.py'
    path.write_text('\n'.join(f'{key} = {value!r}' for key, value in config.items()))
    return path


def call_tool(monkeypatch, name: str, *arguments: object) -> int:
    """Run a tool of ``tools/`` in this process; returns its exit code, a message counts as 1."""
    import runpy
    import sys

    root = Path(__file__).parents[2]
    monkeypatch.setattr(sys, 'argv', [name, *map(str, arguments)])
    try:
        runpy.run_path(str(root / 'tools' / name), run_name='__main__')
    except SystemExit as end:
        if isinstance(end.code, str):
            print(end.code, file=sys.stderr)
        return end.code if isinstance(end.code, int) else int(bool(end.code))
    return 0
