"""The annotations of the demo corpus, in the published formats of the corpora that it stands in for."""

import csv
import json
import zlib
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from .manifest import CorpusParameters
from .plan import Item, is_silent, page_dir, purpose_rng, youtube_id
from .questions import QUESTIONS_PER_VISUAL, ask_clip, ask_picture, ten_answers
from .sound import narrate
from .world import ACTIONS, SPLITS, WORLD, World

# What the tool was called at first: the files stay the same to the byte.
LICENSE = {'name': 'made by projects/demo/make_corpus.py', 'url': ''}


def write_annotations(root: Path, items: Sequence[Item], parameters: CorpusParameters) -> None:
    """Write every annotation file of a corpus.

    Args:
        root: Folder of the corpus.
        items: The whole plan.
        parameters: Sizes and seed.
    """
    folder = root / 'annotations'
    folder.mkdir(parents=True, exist_ok=True)
    of_kind = {kind: [item for item in items if item.kind == kind] for kind in ('images', 'videos', 'video_labels')}
    _write_json(folder / 'dataset_demo.json', karpathy(of_kind['images']))
    for split in SPLITS:
        videos = [item for item in of_kind['videos'] if item.split == split]
        _write_webvid(folder / f'webvid_{split}.csv', videos, parameters.seconds)
    for split in SPLITS[:3]:
        images, videos, labelled = (
            [item for item in of_kind[kind] if item.split == split] for kind in ('images', 'videos', 'video_labels')
        )
        _write_kinetics(folder / f'kinetics_{split}.csv', labelled, parameters.seconds)
        questions, annotations = vqa(images, split, parameters.seed, parameters.world)
        _write_json(folder / f'v2_OpenEnded_mscoco_{split}_questions.json', questions)
        _write_json(folder / f'v2_mscoco_{split}_annotations.json', annotations)
        rows = msrvtt_qa(videos, parameters.seed, parameters.world)
        _write_json(folder / f'msrvtt_qa_{split}.json', rows)
        if split == 'train':
            # As published: a plain list, the most frequent answer first.
            ranked = sorted(Counter(row['answer'] for row in rows).items(), key=lambda pair: (-pair[1], pair[0]))
            _write_json(folder / 'msrvtt_qa_answer_list.json', [answer for answer, _ in ranked])
    _write_json(folder / 'slots.json', slots(parameters.world))
    if parameters.sound:
        write_sound_annotations(folder, items, parameters)


def write_sound_annotations(folder: Path, items: Sequence[Item], parameters: CorpusParameters) -> None:
    """Write what is said of sounds: narrations in the form of HowTo100M, classes in that of AudioSet.

    The classes of a labelled clip that is not silent are its action and the shape of what moves.

    Args:
        folder: That of the annotations.
        items: The whole plan.
        parameters: Sizes and seed.
    """
    seconds, seed = parameters.num_frames / parameters.fps, parameters.seed
    narrations = {
        Path(item.path).stem: narrate(
            [clip.caption for clip in item.scene.clips], purpose_rng(seed, 'narration', item.number), seconds
        )
        for item in items
        if item.kind == 'narrated'
    }
    _write_json(folder / 'narrations_train.json', narrations)
    names = (*parameters.world.shapes, *ACTIONS)
    mids = {name: f'/m/{number:05d}' for number, name in enumerate(names)}
    rows = [(number, mids[name], name) for number, name in enumerate(names)]
    _write_csv(folder / 'class_labels_indices.csv', ('index', 'mid', 'display_name'), rows)
    for split in SPLITS[:3]:
        lines = ['# Segments csv of the demo corpus', '# YTID, start_seconds, end_seconds, positive_labels']
        for item in items:
            if item.kind == 'video_labels' and item.split == split and not is_silent(item, seed):
                name = item.path.removeprefix('video_labels/').removesuffix('.mp4')
                labels = f'{mids[item.scene.mover.shape]},{mids[item.scene.action]}'
                lines.append(f'{name}, 0.000, {seconds:.3f}, "{labels}"')
        (folder / f'audioset_{split}.csv').write_text('\n'.join(lines) + '\n', encoding='utf-8')


def slots(world: World = WORLD) -> dict[str, dict[str, tuple[str, ...]]]:
    """List the words of each attribute that a caption can get right or wrong, per modality."""
    return {
        'image': {'colour': world.colours, 'shape': world.shapes, 'relation': world.relations},
        'video': {'colour': world.colours, 'shape': world.shapes, 'action': ACTIONS},
    }


def karpathy(items: Sequence[Item]) -> dict:
    """Put the captioned pictures of all splits into the form of Karpathy's ``dataset_coco.json``.

    Args:
        items: Items of kind ``images``.

    Returns:
        ``images`` and ``dataset``.
    """
    images = []
    for index, item in enumerate(items):
        caption = item.scene.caption
        sentence = {'tokens': caption.split(), 'raw': caption, 'imgid': index, 'sentid': index}
        images.append(
            {
                'filepath': item.split,
                'sentids': [index],
                'filename': Path(item.path).name,
                'imgid': index,
                'split': item.split,
                'sentences': [sentence],
                'cocoid': item.number,
            }
        )
    return {'images': images, 'dataset': 'demo'}


def vqa(items: Sequence[Item], split: str, seed: int, world: World = WORLD) -> tuple[dict, dict]:
    """Ask questions about pictures, in the two files of VQAv2.

    Args:
        items: Items of kind ``images`` of one split; the number is the ``image_id``.
        split: Its name.
        seed: Of the corpus.
        world: What there is to ask about.

    Returns:
        The questions file and the annotations file.
    """
    questions, annotations = [], []
    for item in items:
        rng = _question_rng(item, seed)
        for place, question in enumerate(ask_picture(item.scene, rng, world)):
            ids = {'image_id': item.number, 'question_id': item.number * 10 + place}
            questions.append({**ids, 'question': question.text})
            annotations.append(
                {
                    **ids,
                    'question_type': question.question_type,
                    'answer_type': question.answer_type,
                    'multiple_choice_answer': question.answer,
                    'answers': ten_answers(question, rng),
                }
            )
    head = {
        'info': {'description': 'Questions about the demo corpus of omnivl', 'version': '1.0'},
        'license': LICENSE,
        'data_type': 'mscoco',
        'data_subtype': split,
    }
    return {**head, 'task_type': 'Open-Ended', 'questions': questions}, {**head, 'annotations': annotations}


def msrvtt_qa(items: Sequence[Item], seed: int, world: World = WORLD) -> list[dict]:
    """Ask questions about clips, in the form of ``msrvtt_qa_train.json`` (VindLU, singularity, mmaction2).

    Args:
        items: Items of kind ``videos`` of one split.
        seed: Of the corpus.
        world: What there is to ask about.

    Returns:
        Rows of question_id, video (relative to ``videos/``), question and answer.
    """
    rows = []
    for item in items:
        asked = ask_clip(item.scene, _question_rng(item, seed), world)
        for place, question in enumerate(asked):
            rows.append(
                {
                    'question_id': item.number * QUESTIONS_PER_VISUAL + place,
                    'video': item.path.removeprefix('videos/'),
                    'question': question.text,
                    'answer': question.answer,
                }
            )
    return rows


def _question_rng(item: Item, seed: int) -> np.random.Generator:
    return np.random.default_rng([seed, zlib.crc32(f'questions {item.kind}'.encode()), item.number])


def _write_json(path: Path, content: dict | list) -> None:
    path.write_text(json.dumps(content, separators=(',', ':')) + '\n', encoding='utf-8')


def _write_csv(path: Path, columns: Sequence[str], rows: Sequence[Sequence]) -> None:
    with path.open('w', encoding='utf-8', newline='') as file:
        writer = csv.writer(file, lineterminator='\n')
        writer.writerow(columns)
        writer.writerows(rows)


def _write_webvid(path: Path, items: Sequence[Item], seconds: int) -> None:
    duration = f'PT00H{seconds // 60:02d}M{seconds % 60:02d}S'
    rows = [
        # A host that can never exist (RFC 2606): the files are here, there is nothing to fetch.
        (item.number, f'https://demo.invalid/{item.number}.mp4', duration, page_dir(item.number), item.scene.caption)
        for item in items
    ]
    _write_csv(path, ('videoid', 'contentUrl', 'duration', 'page_dir', 'name'), rows)


def _write_kinetics(path: Path, items: Sequence[Item], seconds: int) -> None:
    rows = [(item.scene.kind, youtube_id(item.number), 0, seconds, item.split) for item in items]
    _write_csv(path, ('label', 'youtube_id', 'time_start', 'time_end', 'split'), rows)
