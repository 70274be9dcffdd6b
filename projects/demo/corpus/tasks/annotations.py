"""The annotations of the task corpus, each in the form in which its benchmark is published."""

import csv
import json
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from ..plan import Item, purpose_rng, youtube_id
from ..world import SPLITS, UNSEEN_THINGS, all_things
from .parameters import FPS, FRAMES_PER_CLIP, TaskParameters
from .plan import YOUCOOK2_SUBSETS, class_folder, coco_file
from .sentences import describe_clip, describe_picture, describe_step, five_choices

SSV2_SPLITS = {'train': 'train', 'val': 'validation', 'test': 'test'}
SSV2_TEMPLATES = {
    'moving left': 'Moving [something] to the left',
    'moving right': 'Moving [something] to the right',
    'moving up': 'Moving [something] up',
    'moving down': 'Moving [something] down',
    'growing': '[Something] growing',
    'shrinking': '[Something] shrinking',
    'appearing': '[Something] appearing',
    'disappearing': '[Something] disappearing',
}


def write_task_annotations(root: Path, items: Sequence[Item], parameters: TaskParameters) -> None:
    """Write every annotation file.

    Args:
        root: Folder of the corpus.
        items: The whole plan.
        parameters: Sizes and seed.
    """
    of_kind = {kind: [item for item in items if item.kind == kind] for kind in parameters.folders}
    for kind in ('coco', 'msrvtt', 'ssv2', 'youcook2'):
        (root / kind / 'annotations').mkdir(parents=True, exist_ok=True)
    _write_coco(root / 'coco/annotations', of_kind['coco'], parameters)
    _write_msrvtt(root / 'msrvtt/annotations', of_kind['msrvtt'], parameters.seed)
    _write_ssv2(root / 'ssv2/annotations', of_kind['ssv2'])
    database = youcook2(of_kind['youcook2'], parameters.seed)
    _write_json(root / 'youcook2/annotations/youcookii_annotations_trainval.json', {'database': database})
    # Classes are known by their folders: each split has all of them, with or without pictures.
    classes = [class_folder(thing) for thing in all_things() if thing not in UNSEEN_THINGS]
    for folder in (root / 'things' / split / name for split in SPLITS[:3] for name in classes):
        folder.mkdir(parents=True, exist_ok=True)


def coco_captions(items: Sequence[Item], parameters: TaskParameters) -> dict:
    """Put captioned pictures into COCO's own form, as caption scoring wants it.

    Args:
        items: Items of kind ``coco`` of one split.
        parameters: Sizes and seed.

    Returns:
        ``images`` and ``annotations``, and what stands around them.
    """
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for item in items:
        size = {'height': parameters.size, 'width': parameters.size}
        images.append({'id': item.number, 'file_name': PurePosixPath(item.path).name, **size})
        for caption in sentences(item, parameters.seed):
            annotations.append({'image_id': item.number, 'id': len(annotations) + 1, 'caption': caption})
    head = {'info': {'description': 'The demo world of omnivl', 'version': '1.0'}, 'licenses': [], 'type': 'captions'}
    return {**head, 'images': images, 'annotations': annotations}


def youcook2(items: Sequence[Item], seed: int) -> dict[str, dict]:
    """Long videos in the form of YouCook2's ``database``; its segments are whole seconds, too.

    Args:
        items: Items of kind ``youcook2``.
        seed: Of the corpus.

    Returns:
        Video id -> subset, duration in seconds and annotated segments.
    """
    database = {}
    for item in items:
        rng = purpose_rng(seed, 'sentences youcook2', item.number)
        steps = zip(item.scene.segments, item.scene.clips)
        database[youtube_id(item.number)] = {
            'duration': float(sum(item.scene.seconds)),
            'subset': YOUCOOK2_SUBSETS[item.split],
            'recipe_type': '101',
            'annotations': [
                {'segment': segment, 'id': place, 'sentence': describe_step(clip, rng)}
                for place, (segment, clip) in enumerate(steps)
            ],
            # A host that can never exist (RFC 2606): the files are here, there is nothing to fetch.
            'video_url': f'https://demo.invalid/watch?v={youtube_id(item.number)}',
        }
    return database


def sentences(item: Item, seed: int) -> list[str]:
    """Return the captions of a picture of ``coco`` or a clip of ``msrvtt``.

    Args:
        item: The file.
        seed: Of the corpus.

    Returns:
        Different true sentences.
    """
    rng = purpose_rng(seed, f'sentences {item.kind}', item.number)
    return (describe_picture if item.kind == 'coco' else describe_clip)(item.scene, rng)


def _write_coco(folder: Path, items: Sequence[Item], parameters: TaskParameters) -> None:
    """Write BLIP's lists: a row per caption for training, a row per picture for val and test, also in COCO's form."""
    for split in SPLITS[:3]:
        rows: list[dict[str, Any]] = []
        of_split = [item for item in items if item.split == split]
        for item in of_split:
            captions = sentences(item, parameters.seed)
            image = coco_file(split, item.number)
            if split == 'train':
                name = f'coco_{item.number}'
                rows += [{'caption': caption, 'image': image, 'image_id': name} for caption in captions]
            else:
                rows.append({'image': image, 'caption': captions})
        _write_json(folder / f'coco_karpathy_{split}.json', rows)
        if split != 'train':
            _write_json(folder / f'captions_{split}_gt.json', coco_captions(of_split, parameters))


def _write_msrvtt(folder: Path, items: Sequence[Item], seed: int) -> None:
    """Write the files of the retrieval split (CLIP4Clip's) and the multiple-choice lists (VindLU's)."""
    names = {'train': 'train', 'val': 'validate', 'test': 'test'}
    videos: list[dict[str, Any]] = []
    captions: list[dict[str, Any]] = []
    for item in items:
        times = {'start time': 0.0, 'end time': FRAMES_PER_CLIP / FPS}
        name = PurePosixPath(item.path).stem
        videos.append({'category': 0, 'video_id': name, **times, 'split': names[item.split], 'id': item.number})
        for caption in sentences(item, seed):
            captions.append({'caption': caption, 'video_id': name, 'sen_id': len(captions)})
    info = {'contributor': 'omnivl', 'description': 'The demo world of omnivl', 'version': '1.0'}
    _write_json(folder / 'MSRVTT_data.json', {'info': info, 'videos': videos, 'sentences': captions})
    of_split = {split: [item for item in items if item.split == split] for split in SPLITS[:3]}
    names_9k = [(PurePosixPath(item.path).stem,) for item in of_split['train']]
    _write_csv(folder / 'MSRVTT_train.9k.csv', ('video_id',), names_9k)
    for split, name in (('val', 'MSRVTT_val.csv'), ('test', 'MSRVTT_JSFUSION_test.csv')):
        rows = [
            (f'ret{place}', f'msr{item.number}', PurePosixPath(item.path).stem, sentences(item, seed)[0])
            for place, item in enumerate(of_split[split])
        ]
        _write_csv(folder / name, ('key', 'vid_key', 'video_id', 'sentence'), rows)
        choices = []
        for item in of_split[split]:
            five, answer = five_choices(item.scene, purpose_rng(seed, 'choices', item.number))
            choices.append({'video': PurePosixPath(item.path).name, 'caption': five, 'answer': answer})
        _write_json(folder / f'msrvtt_mc_{split}.json', choices)


def _write_ssv2(folder: Path, items: Sequence[Item]) -> None:
    """Something-Something v2; the published videos are .webm, and the published test file has ids only."""
    for split, name in SSV2_SPLITS.items():
        rows = []
        for item in items:
            if item.split == split:
                template, thing = SSV2_TEMPLATES[item.scene.action], f'a {item.scene.mover}'
                label = template.lower().replace('[something]', thing)
                row = {'id': str(item.number), 'label': label, 'template': template, 'placeholders': [thing]}
                rows.append(row)
        _write_json(folder / f'something-something-v2-{name}.json', rows)
    names = sorted(template.replace('[', '').replace(']', '') for template in SSV2_TEMPLATES.values())
    _write_json(folder / 'something-something-v2-labels.json', {name: str(index) for index, name in enumerate(names)})


def _write_json(path: Path, content: dict | list) -> None:
    path.write_text(json.dumps(content, separators=(',', ':')) + '\n', encoding='utf-8')


def _write_csv(path: Path, columns: Sequence[str], rows: Sequence[Sequence]) -> None:
    with path.open('w', encoding='utf-8', newline='') as file:
        writer = csv.writer(file, lineterminator='\n')
        writer.writerow(columns)
        writer.writerows(rows)
