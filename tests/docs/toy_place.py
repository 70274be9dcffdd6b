"""The folder that commands of the pages run in: a checkout with corpora in their published forms, of toy size."""

import csv
import json
import shutil
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from doc_pages import ROOT
from mmengine.config import Config
from PIL import Image
from torch import nn

from omnivl.apis import OmniVLInferencer
from omnivl.commands import finetune
from omnivl.commands.export import folder
from omnivl.commands.export.graphs import Graph
from omnivl.commands.flops import counting
from omnivl.commands.main import main
from omnivl.commands.plan import planning
from omnivl.engine.loops import AlternatingTrainLoop
from omnivl.models.tokenizers.text import train_vocabulary

sys.path.append(str(ROOT / 'tests/benchmarks'))  # where the writers of published forms are
import test_action_benchmarks as action
import test_caption_benchmarks as caption
import test_classify_benchmarks as classify
import test_qa_benchmarks as qa
import test_retrieval_benchmarks as retrieval
from benchmark_runs import VOCAB_FILE, write_image, write_video, write_vocabulary

LINKS = ('configs', 'projects', 'tools', 'omnivl', 'docs', 'setup.py')
STEPS = 2  # of each training
PARTS = ('visual_encoder', 'text_encoder', 'alignment_decoder', 'generation_decoder')


def shorten_trainings(patch: Any) -> None:
    """Let every training of this process end after ``STEPS`` iterations and without validation, whatever its config."""
    original = AlternatingTrainLoop.run

    def shortened(self: AlternatingTrainLoop) -> nn.Module:
        self._max_iters = min(self._max_iters, STEPS)  # after the schedulers were built, which want the true length
        self.runner._val_loop = None
        return original(self)

    patch.setattr(AlternatingTrainLoop, 'run', shortened)
    patch.setattr(finetune, 'MINUTES', 0.02)  # it trains in a process of its own


def flatten_plans(patch: Any) -> None:
    """Let plans and counts go through models of one block a part: one of twelve takes twelve times as long."""
    for module, name in ((planning, 'read_changed_config'), (counting, 'read_config')):
        patch.setattr(module, name, partial(flat_config, getattr(module, name)))


def flat_config(read: Callable[..., Config], *arguments: Any) -> Config:
    """Read a config and leave of its parts one block each."""
    cfg = read(*arguments)
    for part in cfg.model.get('trunk', {}).values():
        if isinstance(part, dict) and 'depth' in part:
            part['depth'] = 1
    return cfg


def leave_out_graphs(patch: Any) -> None:
    """Let exports write the graph of texts alone: each takes seconds (tests/apis has them all)."""
    original = folder.graphs_of

    def few(inferencer: OmniVLInferencer) -> Iterator[Graph]:
        return (graph for graph in original(inferencer) if graph.name == 'text')

    patch.setattr(folder, 'graphs_of', few)


def make_place(root: Path) -> Path:
    """Make the folder: the quickstart's corpus, vocabulary and model, the corpora of the configs, own files."""
    for name in LINKS:
        (root / name).symlink_to(ROOT / name)
    write_demo(root / 'data/demo')
    write_corpora(root)
    write_own_files(root)
    options = [
        'load_from=None',
        *(f'model.trunk.{part}.depth=1' for part in PARTS),
    ]  # an export goes through each block
    main(['train', 'demo/pretrain_joint', '--work-dir', 'work_dirs/demo/stage2', '--cfg-options', *options])
    return root


def write_demo(folder: Path) -> None:
    """Draw the quickstart's corpus and learn its vocabulary."""
    from projects.demo.corpus.manifest import SMOKE_PARAMETERS
    from projects.demo.corpus.texts import training_texts
    from projects.demo.corpus.write import write_corpus

    write_corpus(folder, SMOKE_PARAMETERS)
    (folder / 'vocab.txt').write_text(''.join(f'{line}\n' for line in train_vocabulary(training_texts(folder), 1000)))


def write_corpora(root: Path) -> None:
    """Write a few files of every corpus that the configs name, where they expect it."""
    write_vocabulary(root / VOCAB_FILE)
    for writers in (retrieval.ALL_SETS, classify.WRITERS):
        for name, write in writers.items():
            if name != 'kinetics400':
                write(root)
    for write in (caption.write_msrvtt, caption.write_nocaps, caption.write_youcook2, qa.write_vqa_v2):
        write(root)
    for write in (action.write_kinetics400, action.write_ssv2, action.write_ucf101, action.write_hmdb51):
        write(root)
    retrieval.msrvtt_mc(root)
    qa.write_video_qa(root, 'msrvtt', '.mp4')
    qa.write_video_qa(root, 'msvd', '.avi')
    write_image(root / 'data/coco/images/test2014/COCO_test2014_000000000001.jpg')
    images = [dict(id=1, file_name='COCO_test2014_000000000001.jpg', height=40, width=48)]
    caption.write(root / 'data/coco/annotations/image_info_test2014.json', dict(images=images))
    write_web_corpora(root / 'data')


def write_web_corpora(data: Path) -> None:
    """Write the corpora that only pretraining uses: lists of pictures and captions, and WebVid's table."""
    lists = dict(
        visual_genome='vg_caption.json', cc3m='cc3m_train.json', cc12m='cc12m.json', sbu='sbu.json'
    )  # fmt: skip
    for name, file in lists.items():
        inside = 'image' if name == 'visual_genome' else '00000'
        rows = [dict(image=f'{inside}/{number}.jpg', caption='a red dog') for number in range(4)]
        for number, row in enumerate(rows):
            write_image(data / name / ('' if name == 'visual_genome' else 'images') / row['image'], number)
        (data / name / 'annotations').mkdir()
        (data / name / 'annotations' / file).write_text(json.dumps(rows))
    known = [dict(image_id=number, url=f'https://cs.edu/VG_100K/{number}.jpg', coco_id=None) for number in range(4)]
    (data / 'visual_genome/image_data.json').write_text(json.dumps(known))
    (data / 'webvid/annotations').mkdir(parents=True)
    with (data / 'webvid/annotations/results_2M_train.csv').open('w', newline='') as file:
        table = csv.writer(file)
        table.writerow(['videoid', 'contentUrl', 'duration', 'page_dir', 'name'])
        for number in range(4):
            table.writerow([number, 'https://example.org/0.mp4', 'PT00H00M01S', '000001_000050', 'a man on a dog'])
            write_video(data / f'webvid/videos/000001_000050/{number}.mp4', number)


def write_own_files(root: Path) -> None:
    """Write what readers have of their own: photos and clips with captions beside them, one of each above."""
    demo = root / 'data/demo'
    with (demo / 'annotations/webvid_train.csv').open() as file:
        clips = [(demo / f'videos/{row["page_dir"]}/{row["videoid"]}.mp4', row['name']) for row in csv.DictReader(file)]
    rows = json.loads((demo / 'annotations/dataset_demo.json').read_text())['images']
    photos = [(demo / 'images' / row['filepath'] / row['filename'], row['sentences'][0]['raw']) for row in rows]
    for name, files in (('photos', photos[:20]), ('clips', clips[:8])):
        (root / name).mkdir()
        for path, text in files:
            shutil.copy(path, root / name)
            (root / name / path.name).with_suffix('.txt').write_text(text)
    shutil.copy(photos[0][0], root / 'photo.jpg')
    shutil.copy(clips[0][0], root / 'clip.mp4')
    Image.fromarray(np.zeros((40, 40, 3), np.uint8)).save(root / 'query.png')
    (root / 'captions.txt').write_text(''.join(f'{text}\n' for _, text in photos))
    (root / 'bin').mkdir()
    for name, words in dict(python='', omnivl=' -m omnivl').items():
        (root / 'bin' / name).write_text(f'#!/bin/sh\nexec "{sys.executable}"{words} "$@"\n')
        (root / 'bin' / name).chmod(0o755)
