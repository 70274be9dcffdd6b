"""The demo corpus on disk: its bytes, its manifest, what is left of an interrupted run."""

import csv
import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from corpus_reading import of

from omnivl.errors import OmniVLRuntimeError
from projects.demo.corpus.annotations import slots
from projects.demo.corpus.manifest import SMOKE_PARAMETERS, CorpusParameters, fingerprint
from projects.demo.corpus.plan import plan_corpus
from projects.demo.corpus.render import (
    render_clip,
)
from projects.demo.corpus.world import (
    ACTIONS,
    COLOURS,
    SHAPES,
    SPLITS,
    clip_scenes,
)
from projects.demo.corpus.write import UNFINISHED, write_clip, write_corpus

av = pytest.importorskip('av', reason='PyAV writes the clips of the demo corpus')

ROOT = Path(__file__).parents[3]


# Files


def test_same_parameters_same_bytes_with_one_process_or_two(corpus, tmp_path, capsys):
    write_corpus(tmp_path / 'two', SMOKE_PARAMETERS, processes=2, lines_every=0)
    assert '144/144' in capsys.readouterr().err
    assert fingerprint(tmp_path / 'two') == fingerprint(corpus)
    other = CorpusParameters(seed=1, num_images=32, num_videos=32, num_eval=8)
    write_corpus(tmp_path / 'other', other)
    assert fingerprint(tmp_path / 'other')['sha256'] != fingerprint(corpus)['sha256']


@pytest.mark.parametrize('size', [72, 96])
def test_a_clip_of_any_size_has_the_same_bytes_every_time(size, tmp_path):
    rng, rubbish = np.random.default_rng(0), []
    for scene in clip_scenes()[:400:25]:
        frames = render_clip(scene, np.random.default_rng(1), size, 16)
        contents = set()
        for _ in range(6):  # what lies in freed memory differs each time
            rubbish = [*rubbish[-4:], rng.integers(0, 256, rng.integers(1000, 90_000), dtype=np.uint8)]
            write_clip(tmp_path / 'clip.mp4', frames, fps=8)
            contents.add((tmp_path / 'clip.mp4').read_bytes())
        assert len(contents) == 1, scene.caption


def test_manifest_counts_the_files(corpus):
    manifest = json.loads((corpus / 'manifest.json').read_text())
    assert manifest['counts']['images'] == {'train': 24, 'val': 8, 'test': 8, 'test_unseen': 8}
    assert manifest['counts']['video_labels'] == {'train': 10, 'val': 8, 'test': 8}
    visuals = [path for path in corpus.rglob('*') if path.suffix in ('.jpg', '.mp4')]
    assert len(visuals) == sum(sum(splits.values()) for splits in manifest['counts'].values())
    assert not (corpus / UNFINISHED).exists()


def test_no_two_files_are_the_same(corpus):
    contents = Counter(path.read_bytes() for path in corpus.rglob('*') if path.suffix in ('.jpg', '.mp4'))
    assert set(contents.values()) == {1}


def test_a_finished_corpus_is_left_alone_and_a_damaged_one_made_again(tmp_path):
    def picture():
        return next((tmp_path / 'images/val').iterdir())

    assert write_corpus(tmp_path, SMOKE_PARAMETERS)
    before, content = fingerprint(tmp_path), picture().read_bytes()
    written_at = picture().stat().st_mtime_ns
    (tmp_path / 'vocab.txt').write_text('made later by another tool\n')
    assert not write_corpus(tmp_path, SMOKE_PARAMETERS)
    assert picture().stat().st_mtime_ns == written_at
    picture().write_bytes(content[:100])
    assert write_corpus(tmp_path, SMOKE_PARAMETERS)
    assert fingerprint(tmp_path) == before


def test_what_an_interrupted_run_left_is_removed(corpus, tmp_path):
    (tmp_path / 'images/train').mkdir(parents=True)
    (tmp_path / 'images/train/99999.jpg').write_bytes(b'left over')
    (tmp_path / UNFINISHED).touch()
    assert write_corpus(tmp_path, SMOKE_PARAMETERS)
    assert fingerprint(tmp_path) == fingerprint(corpus)


def test_a_folder_of_someone_else_is_not_touched(tmp_path):
    (tmp_path / 'images').mkdir()
    (tmp_path / 'images/holiday.jpg').write_bytes(b'precious')
    with pytest.raises(OmniVLRuntimeError, match=r"already holds \['images'\]"):
        write_corpus(tmp_path, SMOKE_PARAMETERS)
    assert (tmp_path / 'images/holiday.jpg').read_bytes() == b'precious'


def test_the_clip_on_disk_is_the_clip_that_was_drawn(corpus):
    item = of(plan_corpus(SMOKE_PARAMETERS), 'videos', 'test')[2]
    drawn = render_clip(item.scene, item.rng(SMOKE_PARAMETERS.seed), 64, 16).astype(float)
    with av.open(str(corpus / item.path)) as container:
        assert container.streams.video[0].average_rate == 8
        decoded = np.stack([frame.to_ndarray(format='rgb24') for frame in container.decode(video=0)])
    assert decoded.shape == drawn.shape
    assert np.abs(decoded - drawn).mean() < 4


def test_pictures_and_clips_are_where_the_annotations_say(corpus):
    annotations = corpus / 'annotations'
    named = set()
    for image in json.loads((annotations / 'dataset_demo.json').read_text())['images']:
        assert image['sentids'] == [sentence['sentid'] for sentence in image['sentences']]
        named.add(f'images/{image["filepath"]}/{image["filename"]}')
    for split in SPLITS:
        with (annotations / f'webvid_{split}.csv').open(newline='') as file:
            named |= {f'videos/{row["page_dir"]}/{row["videoid"]}.mp4' for row in csv.DictReader(file)}
    for split in SPLITS[:3]:
        with (annotations / f'kinetics_{split}.csv').open(newline='') as file:
            for row in csv.DictReader(file):
                clip = f'{row["youtube_id"]}_{int(row["time_start"]):06d}_{int(row["time_end"]):06d}.mp4'
                named.add(f'video_labels/{row["label"].replace(" ", "_")}/{clip}')
                assert row['label'] in ACTIONS and row['split'] == split
        folders = corpus / 'image_labels' / split
        assert sorted(folder.name for folder in folders.iterdir()) == sorted(SHAPES)
        named |= {path.relative_to(corpus).as_posix() for path in folders.rglob('*.jpg')}
    there = {path.relative_to(corpus).as_posix() for path in corpus.rglob('*') if path.suffix in ('.jpg', '.mp4')}
    assert named == there


def test_question_files_have_the_published_form(corpus):
    folder = corpus / 'annotations'
    images = json.loads((folder / 'dataset_demo.json').read_text())['images']
    answers = set(json.loads((folder / 'msrvtt_qa_answer_list.json').read_text()))
    for split in SPLITS[:3]:
        questions = json.loads((folder / f'v2_OpenEnded_mscoco_{split}_questions.json').read_text())['questions']
        annotations = json.loads((folder / f'v2_mscoco_{split}_annotations.json').read_text())['annotations']
        assert [row['question_id'] for row in questions] == [row['question_id'] for row in annotations]
        assert len({row['question_id'] for row in questions}) == len(questions)
        cocoids = {image['cocoid'] for image in images if image['split'] == split}
        assert {row['image_id'] for row in questions} == cocoids
        for row in annotations:
            given = Counter(answer['answer'] for answer in row['answers'])
            assert sum(given.values()) == 10
            assert given.most_common(1)[0] == (row['multiple_choice_answer'], given[row['multiple_choice_answer']])
        rows = json.loads((folder / f'msrvtt_qa_{split}.json').read_text())
        assert {row['answer'] for row in rows} <= answers | set(COLOURS) | set(SHAPES)
        assert all((corpus / 'videos' / row['video']).is_file() for row in rows)


def test_slots_are_the_words_of_the_captions(corpus):
    words = json.loads((corpus / 'annotations/slots.json').read_text())
    assert words == json.loads(json.dumps(slots()))
    for item in plan_corpus(SMOKE_PARAMETERS):
        if item.kind in ('images', 'videos'):
            modality = item.kind.removesuffix('s')
            for slot, choices in words[modality].items():
                padded = f' {item.scene.caption} '
                found = sum(padded.count(f' {choice} ') for choice in choices)
                assert found == (2 if slot in ('colour', 'shape') else 1)


# Questions
