import re
from collections import Counter, defaultdict
from pathlib import Path

import numpy as np
import pytest
from corpus_reading import ACTION, THING, clip_of, of, picture_of

from omnivl.models.tokenizers.text import WordPieceTokenizer, train_vocabulary
from projects.demo.corpus.manifest import SMOKE_PARAMETERS, CorpusParameters
from projects.demo.corpus.plan import plan_corpus
from projects.demo.corpus.tasks.parameters import TaskParameters
from projects.demo.corpus.tasks.plan import plan_tasks
from projects.demo.corpus.tasks.sentences import (
    CLIP_TEMPLATES,
    OPPOSITE,
    PICTURE_TEMPLATES,
    STEP_TEMPLATES,
    describe_clip,
    describe_picture,
    describe_step,
    five_choices,
)
from projects.demo.corpus.texts import training_texts
from projects.demo.corpus.world import (
    ACTIONS,
    SPLITS,
    UNSEEN_THINGS,
    ClipScene,
    LongScene,
    PictureScene,
    Thing,
    clip_scenes,
    picture_scenes,
)
from projects.demo.corpus.write import write_corpus

pytest.importorskip('av', reason='PyAV writes the clips of the demo corpus')

ROOT = Path(__file__).parents[3]
FOLDERS = TaskParameters.folders
SEEN_CLIPS = [scene for scene in clip_scenes() if UNSEEN_THINGS.isdisjoint(scene.things)]


def parts_of(scene):
    return scene.clips if isinstance(scene, LongScene) else (scene,)


def every_sentence(describe, scene, count):
    found = set()
    for seed in range(100):
        said = describe(scene, np.random.default_rng(seed))
        found |= set([said] if isinstance(said, str) else said)
        if len(found) == count:
            return found
    raise AssertionError(f'{len(found)} of {count} sentences about {scene}')


@pytest.mark.parametrize(
    ('describe', 'scenes', 'read', 'templates'),
    [
        (describe_picture, picture_scenes(), picture_of, PICTURE_TEMPLATES),
        (describe_clip, clip_scenes(), clip_of, CLIP_TEMPLATES),
        (describe_step, clip_scenes(), clip_of, STEP_TEMPLATES),
    ],
)
def test_every_sentence_about_a_scene_says_that_scene(describe, scenes, read, templates):
    # What can be read back whole is true, and never equal to a sentence about another scene.
    for scene in scenes[:: len(scenes) // 150]:
        for sentence in every_sentence(describe, scene, len(templates)):
            assert read(sentence) == scene, sentence


@pytest.mark.parametrize('describe, scene', [(describe_picture, picture_scenes()[7]), (describe_clip, SEEN_CLIPS[7])])
def test_five_sentences_of_a_visual_all_differ(describe, scene):
    for seed in range(20):
        assert len(set(describe(scene, np.random.default_rng(seed)))) == 5


def test_sentences_are_short_in_the_words_of_the_pretraining(tmp_path):
    write_corpus(tmp_path, SMOKE_PARAMETERS)
    vocabulary = train_vocabulary(training_texts(tmp_path), size=1000)
    (tmp_path / 'vocab.txt').write_text(''.join(f'{line}\n' for line in vocabulary))
    tokenizer = WordPieceTokenizer(tmp_path / 'vocab.txt')
    longest = Thing('purple', 'triangle'), Thing('yellow', 'triangle')
    said = [every_sentence(describe_picture, PictureScene(*longest, 'right of'), len(PICTURE_TEMPLATES))]
    for action in ACTIONS:
        said.append(every_sentence(describe_clip, ClipScene(*longest, action), len(CLIP_TEMPLATES)))
        said.append(every_sentence(describe_step, ClipScene(*longest, action), len(STEP_TEMPLATES)))
    for sentence in set().union(*said):
        pieces = tokenizer.encode(sentence, max_length=100)
        assert tokenizer.unk_id not in pieces, sentence
        assert len(pieces) <= 30, sentence


# Choices


def test_one_of_five_choices_is_true_and_one_has_the_opposite_action():
    places, sides = Counter(), Counter()
    for index, scene in enumerate(SEEN_CLIPS[::7]):
        sentences, answer = five_choices(scene, np.random.default_rng(index))
        said = [clip_of(sentence) for sentence in sentences]
        assert [one == scene for one in said] == [place == answer for place in range(5)]
        assert ClipScene(scene.mover, scene.other, OPPOSITE[scene.action]) in said
        assert len(set(said)) == 5
        assert all(UNSEEN_THINGS.isdisjoint(one.things) and one.mover != one.other for one in said)
        # No wording gives the answer away ...
        assert len({re.sub(ACTION, '', re.sub(THING, '', sentence)) for sentence in sentences}) == 1
        # ... nor does what most sentences have in common: without the odd one, actions and looks are two and two.
        known = [one for one in said if one.action in (scene.action, OPPOSITE[scene.action])]
        assert sorted(Counter(one.action for one in known).values()) == [2, 2]
        assert sorted(Counter(one.things for one in known).values()) == [2, 2]
        (odd,) = set(said) - set(known)
        sides[odd.things == scene.things] += 1
        places[answer] += 1
    total = sum(places.values())
    assert all(0.13 < places[place] / total < 0.27 for place in range(5)), places
    assert 0.4 < sides[True] / total < 0.6


# Splits


def test_what_is_tested_is_in_no_training_here_or_in_the_pretraining():
    train, held_out = set(), set()
    for item in [*plan_corpus(CorpusParameters()), *plan_tasks(TaskParameters())]:
        (train if item.split == 'train' else held_out).update(parts_of(item.scene))
    assert train and held_out and not train & held_out


def test_val_and_test_share_no_scene_and_no_unseen_thing_is_shown():
    plan = plan_tasks(TaskParameters())
    scenes = defaultdict(set)
    for item in plan:
        assert UNSEEN_THINGS.isdisjoint(item.scene.things)
        scenes[item.split] |= set(parts_of(item.scene))
    assert not scenes['val'] & scenes['test']
    assert len({item.scene for item in of(plan, 'coco', 'test')}) == 200
    assert len({item.scene for item in of(plan, 'msrvtt', 'test')}) == 200


def test_classes_and_actions_are_balanced():
    plan = plan_tasks(TaskParameters())
    for split in SPLITS[:3]:
        things = Counter(item.scene.thing for item in of(plan, 'things', split))
        assert len(things) == 20 and len(set(things.values())) == 1
        actions = Counter(item.scene.action for item in of(plan, 'ssv2', split))
        assert len(actions) == 8 and len(set(actions.values())) == 1
    # In long videos, no action has a place of its own.
    places = Counter()
    for item in of(plan, 'youcook2', 'train'):
        places.update((place, clip.action) for place, clip in enumerate(item.scene.clips))
    assert len(places) == 32 and max(places.values()) < 3 * min(places.values())
