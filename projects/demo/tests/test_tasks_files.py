"""The corpus of the demo tasks on disk: readers of the benchmarks, ids, clips, an interrupted run."""

import csv
import json
from collections import Counter, defaultdict
from pathlib import Path

import numpy as np
import pytest
from corpus_reading import clip_of, of, picture_of

from omnivl.datasets.annotations import (
    MSRVTTJSON,
    BLIPCaptionJSON,
    ImageNetFolder,
    MSRVTTTestCSV,
    MultipleChoiceList,
    SomethingSomethingJSON,
    YouCook2JSON,
)
from omnivl.datasets.transforms import LoadVideo
from omnivl.errors import OmniVLRuntimeError, OmniVLValueError
from projects.demo.corpus.manifest import fingerprint
from projects.demo.corpus.render import PAINT
from projects.demo.corpus.tasks.parameters import FPS, SMOKE_TASKS, TaskParameters
from projects.demo.corpus.tasks.plan import YOUCOOK2_SUBSETS, plan_tasks
from projects.demo.corpus.tasks.write import write_tasks
from projects.demo.corpus.world import (
    ACTIONS,
    COLOURS,
    SPLITS,
    UNSEEN_THINGS,
    all_things,
)
from projects.demo.corpus.write import UNFINISHED
from tests.forked import run_program

pytest.importorskip('av', reason='PyAV writes the clips of the demo corpus')

ROOT = Path(__file__).parents[3]
FOLDERS = TaskParameters.folders


@pytest.fixture(scope='module')
def smoke_plan():
    return plan_tasks(SMOKE_TASKS)


def read_json(path):
    return json.loads(path.read_text(encoding='utf-8'))


def read_table(path):
    with path.open(newline='') as file:
        return list(csv.DictReader(file))


# Files


def test_same_parameters_same_bytes_with_one_process_or_two(tasks, tmp_path):
    write_tasks(tmp_path / 'two', SMOKE_TASKS, processes=2)
    assert fingerprint(tmp_path / 'two', FOLDERS) == fingerprint(tasks, FOLDERS)
    other = TaskParameters(seed=1, num_eval=8, num_images=24, num_clips=16, num_long=4, num_lone=20)
    write_tasks(tmp_path / 'other', other)
    assert fingerprint(tmp_path / 'other', FOLDERS)['sha256'] != fingerprint(tasks, FOLDERS)['sha256']


def test_the_smoke_corpus_is_small_and_has_everything(tasks, smoke_plan):
    counts = read_json(tasks / 'manifest.json')['counts']
    assert counts == {
        'coco': {'train': 24, 'val': 8, 'test': 8},
        'msrvtt': {'train': 16, 'val': 8, 'test': 8},
        'ssv2': {'train': 16, 'val': 8, 'test': 16},
        'things': {'train': 20, 'val': 8, 'test': 16},
        'youcook2': {'train': 4, 'val': 2, 'test': 2},
    }
    there = {path.relative_to(tasks).as_posix() for path in tasks.rglob('*') if path.suffix in ('.jpg', '.mp4')}
    assert there == {item.path for item in smoke_plan}


def readers(root, split):
    coco, msrvtt, ssv2 = root / 'coco', root / 'msrvtt', root / 'ssv2'
    published = {'train': 'train', 'val': 'validate', 'test': 'test'}[split]
    yield 'coco', BLIPCaptionJSON(coco / f'annotations/coco_karpathy_{split}.json', coco / 'images')
    yield 'msrvtt', MSRVTTJSON(msrvtt / 'annotations/MSRVTT_data.json', msrvtt / 'videos', split=published)
    if split == 'train':
        table = msrvtt / 'annotations/MSRVTT_train.9k.csv'
        yield 'msrvtt', MSRVTTJSON(msrvtt / 'annotations/MSRVTT_data.json', msrvtt / 'videos', videos_file=str(table))
    else:
        name = {'val': 'MSRVTT_val.csv', 'test': 'MSRVTT_JSFUSION_test.csv'}[split]
        yield 'msrvtt', MSRVTTTestCSV(msrvtt / 'annotations' / name, msrvtt / 'videos')
        yield 'msrvtt', MultipleChoiceList(msrvtt / f'annotations/msrvtt_mc_{split}.json', msrvtt / 'videos')
    name = {'val': 'validation'}.get(split, split)
    files = [str(ssv2 / f'annotations/something-something-v2-{each}.json') for each in (name, 'labels')]
    yield 'ssv2', SomethingSomethingJSON(files[0], ssv2 / 'videos', files[1], path_template='{id}.mp4')
    yield 'things', ImageNetFolder(root / 'things', split)


@pytest.mark.parametrize('split', SPLITS[:3])
def test_the_readers_of_the_benchmarks_find_every_visual_of_a_split(tasks, smoke_plan, split):
    for kind, reader in readers(tasks, split):
        scenes = {str(tasks / item.path): item.scene for item in of(smoke_plan, kind, split)}
        records = list(reader)
        assert {record.visual for record in records} == set(scenes), (kind, reader)
        for record in records:
            scene = scenes[record.visual]
            for text in record.text:
                assert (picture_of if kind == 'coco' else clip_of)(text) == scene
            if record.choices:
                assert clip_of(record.choices[record.answer_index]) == scene
        captions = [text for record in records for text in record.text]
        if kind == 'coco' or isinstance(reader, MSRVTTJSON):
            assert len(captions) == 5 * len(scenes)


@pytest.mark.parametrize('split', SPLITS[:3])
def test_every_split_has_the_same_classes_even_where_one_has_no_picture(tasks, split):
    found = dict(readers(tasks, split))
    names = [f'{thing.colour}_{thing.shape}' for thing in all_things() if thing not in UNSEEN_THINGS]
    assert found['things'].classes == sorted(names)
    assert len(found['ssv2'].classes) == 8
    for record in found['things']:
        assert Path(record.visual).parent.name == record.label


def test_captions_for_scoring_are_those_of_the_list(tasks):
    for split in ('val', 'test'):
        scored = read_json(tasks / f'coco/annotations/captions_{split}_gt.json')
        names = {image['id']: image['file_name'] for image in scored['images']}
        captions = defaultdict(list)
        for row in scored['annotations']:
            captions[names[row['image_id']]].append(row['caption'])
        rows = read_json(tasks / f'coco/annotations/coco_karpathy_{split}.json')
        assert captions == {Path(row['image']).name: row['caption'] for row in rows}
        assert all(str(number).zfill(12) in name for number, name in names.items())
        assert len({row['id'] for row in scored['annotations']}) == len(scored['annotations'])


def test_ids_and_columns_are_as_published(tasks):
    rows = read_json(tasks / 'coco/annotations/coco_karpathy_train.json')
    for row in rows:
        assert row['image_id'] == f'coco_{int(row["image"][-16:-4])}'
    for name in ('MSRVTT_val.csv', 'MSRVTT_JSFUSION_test.csv'):
        for place, row in enumerate(read_table(tasks / 'msrvtt/annotations' / name)):
            assert list(row) == ['key', 'vid_key', 'video_id', 'sentence'] and row['key'] == f'ret{place}'
            assert row['vid_key'].replace('msr', 'video') == row['video_id']
    for row in read_json(tasks / 'ssv2/annotations/something-something-v2-train.json'):
        (thing,) = row['placeholders']
        assert row['label'] == row['template'].lower().replace('[something]', thing)


# What the clips show, told from their pixels


def check_shown(frames, scene):
    """The mover's colour changes place or extent between two frames as the action says."""
    paints = np.array([PAINT[colour] for colour in COLOURS], dtype=float)
    distance = np.abs(frames[..., None, :].astype(float) - paints).sum(axis=-1)
    shown = (distance.argmin(axis=-1) == COLOURS.index(scene.mover.colour)) & (distance.min(axis=-1) < 90)
    area, places = shown.sum(axis=(1, 2)), [np.argwhere(mask) for mask in shown]
    if scene.action.startswith('moving'):
        down, right = places[1].mean(axis=0) - places[0].mean(axis=0)
        way = {'left': -right, 'right': right, 'up': -down, 'down': down}[scene.action.split()[1]]
        assert way > 5 and way > 3 * min(abs(down), abs(right)), scene
    else:
        change = (area[1] - area[0]) / area.max()
        assert (change if scene.action in ('growing', 'appearing') else -change) > 0.3, scene


def test_clips_and_segments_show_what_is_said(tasks):
    load, checked = LoadVideo(num_frames=2), set()
    annotations = str(tasks / 'youcook2/annotations/youcookii_annotations_trainval.json')
    reader = YouCook2JSON(annotations, tasks / 'youcook2/videos', path_template='{subset}/{video}.mp4')
    told = [(record.visual, record.clip, record.text[0]) for record in reader]
    assert len(told) == 4 * 8 and len({visual for visual, _, _ in told}) == 8
    told += [
        (tasks / 'msrvtt/videos' / f'{row["video_id"]}.mp4', None, row['sentence'])
        for row in read_table(tasks / 'msrvtt/annotations/MSRVTT_JSFUSION_test.csv')
    ]
    for visual, segment, sentence in told:
        scene = clip_of(sentence)
        if scene.mover.colour != scene.other.colour:
            check_shown(load.transform({'visual': str(visual), 'clip': segment})['frames'], scene)
            checked.add(scene.action)
    assert checked == set(ACTIONS)


def test_segments_follow_each_other_and_fill_the_video(tasks):
    database = read_json(tasks / 'youcook2/annotations/youcookii_annotations_trainval.json')['database']
    counts, lengths = Counter(), set()
    for name, video in database.items():
        counts[video['subset']] += 1
        segments = [step['segment'] for step in video['annotations']]
        assert [step['id'] for step in video['annotations']] == [0, 1, 2, 3]
        assert [segments[0][0], segments[-1][1]] == [0, video['duration']]
        assert [segment[1] for segment in segments[:-1]] == [segment[0] for segment in segments[1:]]
        lengths |= {end - start for start, end in segments}
        path = tasks / 'youcook2/videos' / video['subset'] / f'{name}.mp4'
        decoder = LoadVideo(num_frames=1).decoder
        with decoder.open(str(path), None) as opened:
            assert opened.num_frames == video['duration'] * FPS
    assert lengths == {1, 2, 3}  # at least eight frames, and it matters which part is read
    assert counts == {YOUCOOK2_SUBSETS['train']: 4, 'testing': 2, 'validation': 2}


# Starting again


def test_a_finished_corpus_is_left_alone_and_a_damaged_one_made_again(tmp_path):
    assert write_tasks(tmp_path, SMOKE_TASKS)
    before = fingerprint(tmp_path, FOLDERS)
    clip = tmp_path / 'msrvtt/videos/video3.mp4'
    written_at = clip.stat().st_mtime_ns
    assert not write_tasks(tmp_path, SMOKE_TASKS)
    assert clip.stat().st_mtime_ns == written_at
    clip.unlink()
    assert write_tasks(tmp_path, SMOKE_TASKS)
    assert fingerprint(tmp_path, FOLDERS) == before


def test_what_an_interrupted_run_left_is_removed(tasks, tmp_path):
    (tmp_path / 'ssv2/videos').mkdir(parents=True)
    (tmp_path / 'ssv2/videos/99999.mp4').write_bytes(b'left over')
    (tmp_path / UNFINISHED).touch()
    assert write_tasks(tmp_path, SMOKE_TASKS)
    assert fingerprint(tmp_path, FOLDERS) == fingerprint(tasks, FOLDERS)


def test_a_folder_of_someone_else_is_not_touched(tmp_path):
    (tmp_path / 'coco').mkdir()
    (tmp_path / 'coco/holiday.jpg').write_bytes(b'precious')
    with pytest.raises(OmniVLRuntimeError, match=r"already holds \['coco'\]"):
        write_tasks(tmp_path, SMOKE_TASKS)
    assert (tmp_path / 'coco/holiday.jpg').read_bytes() == b'precious'


@pytest.mark.parametrize(
    ('wrong', 'message'),
    [
        ({'num_eval': 301}, 'num_eval is 301; the demo corpus allows 8 to 300'),
        ({'num_long': 1}, 'num_long is 1; the demo corpus allows 4 to'),
        ({'size': 65}, 'size is 65; it must be even'),
    ],
)
def test_impossible_parameters_are_refused(wrong, message):
    with pytest.raises(OmniVLValueError, match=message):
        TaskParameters(**wrong)


def test_the_tool_makes_a_corpus_once(tmp_path):
    def run(*options):
        return run_program('-m', 'projects.demo.make_tasks', '--out', tmp_path / 'tasks', *options, cwd=ROOT)

    (made, said), again, wrong = run('--smoke', '--processes', '1'), run('--smoke'), run('--num-lone', '3')
    assert made == 0 and 'written in' in said, said
    assert again[0] == 0 and 'there already, whole and unchanged' in again[1]
    assert wrong[0] == 1 and 'make_tasks: num_lone is 3; the demo corpus allows 20' in wrong[1]
