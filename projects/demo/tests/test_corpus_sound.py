"""The demo world with sound: what is heard follows what is shown, and nothing else of the corpus changes."""

import csv
import json
from dataclasses import replace

import numpy as np
import pytest

from omnivl.datasets import RetrievalDataset
from omnivl.datasets.transforms import LoadAudio, LoadSoundtrack, LoadVideo
from omnivl.datasets.transforms.sounds import open_sound
from omnivl.registry import ANNOTATIONS
from projects.demo.corpus.manifest import SMOKE_PARAMETERS, fingerprint, told
from projects.demo.corpus.plan import CLIPS_PER_NARRATION, is_silent, plan_corpus
from projects.demo.corpus.sound import (
    BEATS,
    FILLERS,
    OVERTONES,
    PITCHES,
    RATE,
    RHYTHMS,
    narrate,
    render_sound,
)
from projects.demo.corpus.texts import training_texts
from projects.demo.corpus.world import ACTION_PAIRS, ACTIONS, HARD_WORLD, ClipScene, Thing
from projects.demo.corpus.write import write_corpus

av = pytest.importorskip('av', reason='PyAV writes the clips of the demo corpus')

PARAMETERS = replace(SMOKE_PARAMETERS, sound=1, num_videos=40)


@pytest.fixture(scope='module')
def sounding(tmp_path_factory):
    root = tmp_path_factory.mktemp('sounding')
    write_corpus(root, PARAMETERS)
    return root


def scene(mover='red circle', other='blue square', action='moving left'):
    return ClipScene(Thing(*mover.split()), Thing(*other.split()), action)


def strength_at(waveform, hertz):
    """Amplitude of a tone of a frequency, within 2 %."""
    spectrum = np.abs(np.fft.rfft(waveform)) * 2 / len(waveform)
    frequencies = np.fft.rfftfreq(len(waveform), 1 / RATE)
    return spectrum[np.abs(frequencies - hertz) < 0.02 * hertz].max()


def test_everything_of_the_world_has_a_sound_of_its_own():
    assert {*RHYTHMS} == {*ACTIONS} and {*PITCHES} == {*HARD_WORLD.shapes} and {*OVERTONES} == {*HARD_WORLD.colours}
    for table in (RHYTHMS, PITCHES, OVERTONES):
        assert len(set(table.values())) == len(table)
    for action, opposite in ACTION_PAIRS:
        assert RHYTHMS[action] == RHYTHMS[opposite][::-1] and len(RHYTHMS[action]) == BEATS


@pytest.mark.parametrize('shape', PITCHES)
def test_pitch_is_the_shape(shape):
    waveform = render_sound(scene(f'red {shape}'), np.random.default_rng(0), 2.0)
    assert waveform.dtype == np.float32 and waveform.shape == (2 * RATE,) and np.abs(waveform).max() <= 1
    loudest = max(PITCHES.values(), key=lambda hertz: strength_at(waveform, hertz))
    assert loudest == PITCHES[shape]


@pytest.mark.parametrize('action', ACTIONS)
def test_rhythm_is_the_action(action):
    waveform = render_sound(scene(action=action), np.random.default_rng(1), 2.0)
    # In the first half of each beat, where a struck tone is loud.
    beats = waveform[: BEATS * (len(waveform) // BEATS)].reshape(BEATS, -1)
    level = np.sqrt((beats[:, : beats.shape[1] // 2] ** 2).mean(1))
    quiet = level.min() * 1.5
    assert ''.join('x' if value > quiet else '.' for value in level) == RHYTHMS[action]


def test_default_corpora_are_what_they_were(corpus, sounding):
    assert told(SMOKE_PARAMETERS) == {k: v for k, v in told(PARAMETERS).items() if k != 'sound'} | {'num_videos': 32}
    items = {item.path for item in plan_corpus(SMOKE_PARAMETERS)}
    there = [path for path in corpus.rglob('*') if path.suffix in ('.jpg', '.mp4')]
    assert items == {path.relative_to(corpus).as_posix() for path in there}
    for name in ('images/val', 'image_labels/train'):
        for path in (corpus / name).rglob('*.jpg'):
            assert path.read_bytes() == (sounding / path.relative_to(corpus)).read_bytes()
    assert not (corpus / 'annotations' / 'narrations_train.json').exists()


def test_same_parameters_same_bytes(sounding, tmp_path):
    write_corpus(tmp_path / 'again', PARAMETERS, processes=2)
    assert fingerprint(tmp_path / 'again') == fingerprint(sounding)


def test_clips_have_the_frames_of_a_world_without_sound_and_real_aac(sounding, tmp_path):
    write_corpus(tmp_path, replace(PARAMETERS, sound=0))
    silent = 0
    clips = [item for item in plan_corpus(PARAMETERS) if item.kind in ('videos', 'video_labels')]
    for item in clips:
        path = str(sounding / item.path)
        opened = open_sound(path)
        assert (opened is None) == is_silent(item, PARAMETERS.seed)
        silent += opened is None
        if opened is not None:
            with opened as sound:
                assert sound.stream.codec_context.codec.canonical_name == 'aac'
                assert abs(sound.seconds - 2.0) < 0.1 and abs(sound.start) < 0.1
    assert 0 < silent < len(clips) / 3
    path = next(item.path for item in clips)
    load = LoadVideo(4)
    with_sound, without = (load({'visual': str(root / path)})['frames'] for root in (sounding, tmp_path))
    assert np.array_equal(with_sound, without)


def test_the_sound_in_a_clip_is_that_of_its_scene(sounding):
    heard = LoadSoundtrack(2.0)
    for item in [item for item in plan_corpus(PARAMETERS) if item.kind == 'videos'][:12]:
        if not is_silent(item, PARAMETERS.seed):
            waveform = heard(LoadVideo(4)({'visual': str(sounding / item.path)}))['waveform']
            if OVERTONES[item.scene.mover.colour][0] == 1.0:  # the lowest tone is the loudest
                shapes = ('circle', 'square', 'triangle', 'cross')
                strengths = {shape: strength_at(np.nan_to_num(waveform), PITCHES[shape]) for shape in shapes}
                assert max(strengths, key=strengths.get) == item.scene.mover.shape


def test_narrations_may_come_too_early_or_late():
    captions = [f'c{number}' for number in range(300)]
    said = narrate(captions, np.random.default_rng(0), 2.0)
    assert said['start'] == sorted(said['start']) and min(said['start']) >= 0
    assert [round(end - start, 2) for start, end in zip(said['start'], said['end'])] == [1.6] * len(said['text'])
    place = {text: start for start, text in zip(said['start'], said['text']) if text not in FILLERS}
    off = np.array([abs(place[f'c{number}'] - 2 * (number + 0.1)) for number in range(300)])
    assert sorted(place) == sorted(captions) and 0.3 < (off > 0.3).mean() < 0.6 and off.max() <= 3.0
    assert 0.2 < sum(text in FILLERS for text in said['text']) / 300 < 0.4


def test_narrations_are_read_with_their_neighbours(sounding):
    reader = ANNOTATIONS.build(
        dict(
            type='NarratedVideos',
            ann_file=str(sounding / 'annotations/narrations_train.json'),
            visual_root=str(sounding / 'narrated'),
            candidates=3,
            min_seconds=2.0,
        )
    )
    dataset = RetrievalDataset(reader, [LoadVideo(4), lambda info: info], 'narrated')
    videos = [item for item in plan_corpus(PARAMETERS) if item.kind == 'narrated']
    assert len(videos) == 5 and all(len(item.scene.clips) == CLIPS_PER_NARRATION for item in videos)
    assert len(dataset) >= 5 * CLIPS_PER_NARRATION
    first = dataset[0]
    assert len(first['captions']) == 3 and first['frames'].shape == (4, 64, 64, 3)
    said = json.loads((sounding / 'annotations/narrations_train.json').read_text())
    assert [*said] == [f'{number:05d}' for number in range(1, 6)]
    texts = set(training_texts(sounding))
    assert {clip.caption for item in videos for clip in item.scene.clips} <= texts


def test_classes_of_sounds_are_read_as_those_of_audioset(sounding):
    reader = ANNOTATIONS.build(
        dict(
            type='AudioSetCSV',
            ann_file=str(sounding / 'annotations/audioset_test.csv'),
            visual_root=str(sounding / 'video_labels'),
            classes_file=str(sounding / 'annotations/class_labels_indices.csv'),
            path_template='{youtube_id}.mp4',
        )
    )
    names = dict(zip(reader.classes, reader.class_names))
    records = list(reader)
    plan = [item for item in plan_corpus(PARAMETERS) if (item.kind, item.split) == ('video_labels', 'test')]
    items = {str(sounding / item.path): item for item in plan}
    heard = {path for path, item in items.items() if not is_silent(item, PARAMETERS.seed)}
    assert {record.visual for record in records} == heard
    for record in records:
        shown = items[record.visual].scene
        assert [names[label] for label in record.labels] == [shown.mover.shape, shown.action]
    assert not np.isnan(LoadAudio()({'visual': records[0].visual})['waveform']).any()
    with (sounding / 'annotations/webvid_test.csv').open() as file:
        assert len(list(csv.DictReader(file))) == PARAMETERS.num_eval
