from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from corpus_reading import of
from PIL import Image

from omnivl.errors import OmniVLFileNotFoundError, OmniVLValueError
from omnivl.models.tokenizers.text import WordPieceTokenizer, train_vocabulary
from projects.demo.corpus.manifest import SMOKE_PARAMETERS, CorpusParameters, fingerprint, told
from projects.demo.corpus.plan import plan_corpus
from projects.demo.corpus.questions import ask_clip, ask_picture, ten_answers
from projects.demo.corpus.render import (
    EXTENT,
    PAINT,
    WORLD,
    layout_clip,
    layout_lone,
    layout_picture,
    render_clip,
    render_picture,
)
from projects.demo.corpus.texts import training_texts
from projects.demo.corpus.world import (
    ACTION_PAIRS,
    ACTIONS,
    COLOURS,
    DIAGONALS,
    HARD_WORLD,
    RELATIONS,
    SHAPES,
    SPLITS,
    UNSEEN_THINGS,
    ClipScene,
    PictureScene,
    Thing,
    all_things,
    clip_scenes,
    lone_scenes,
    picture_scenes,
)
from tests.forked import run_program

av = pytest.importorskip('av', reason='PyAV writes the clips of the demo corpus')

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope='module')
def plan():
    return plan_corpus(CorpusParameters())


def sample_of(scenes, count, seed=0):
    rng = np.random.default_rng(seed)
    return [(scenes[index], np.random.default_rng([seed, index])) for index in rng.permutation(len(scenes))[:count]]


# The world and its splits


@pytest.mark.parametrize('kinds', [('images',), ('image_labels',), ('videos', 'video_labels')])
def test_no_scene_and_no_caption_is_in_two_splits(plan, kinds):
    scenes = {split: {item.scene for kind in kinds for item in of(plan, kind, split)} for split in SPLITS}
    captions = {split: {getattr(scene, 'caption', scene) for scene in scenes[split]} for split in SPLITS}
    for kept in (scenes, captions):
        for index, split in enumerate(SPLITS):
            for other in SPLITS[index + 1 :]:
                assert not kept[split] & kept[other], (split, other)


@pytest.mark.parametrize('kind', ['images', 'videos'])
def test_every_evaluation_split_has_200_distinct_captions(plan, kind):
    for split in SPLITS[1:]:
        assert len({item.scene.caption for item in of(plan, kind, split)}) == 200


def test_unseen_things_are_in_test_unseen_only_and_in_each_of_its_scenes(plan):
    for item in plan:
        assert UNSEEN_THINGS.isdisjoint(item.scene.things) == (item.split != 'test_unseen'), item
    # ... while training has each of their colours and shapes, and every other pair, in both places of a caption.
    assert {thing.colour for thing in UNSEEN_THINGS} <= set(COLOURS)
    for kind in ('images', 'videos'):
        for place in (0, 1):
            shown = {item.scene.things[place] for item in of(plan, kind, 'train')}
            assert shown == set(all_things()) - UNSEEN_THINGS


def test_classes_and_relations_are_balanced(plan):
    for kind, split, names in [
        ('images', 'test', RELATIONS),
        ('image_labels', 'val', SHAPES),
        ('videos', 'test', ACTIONS),
        ('videos', 'test_unseen', ACTIONS),
        ('video_labels', 'train', ACTIONS),
        ('video_labels', 'test', ACTIONS),
    ]:
        counts = Counter(item.scene.kind for item in of(plan, kind, split))
        assert set(counts) == set(names)
        assert max(counts.values()) - min(counts.values()) <= 1, (kind, split, counts)


def test_a_caption_is_the_caption_of_one_scene_only():
    for scenes in (picture_scenes(), clip_scenes()):
        assert len({scene.caption for scene in scenes}) == len(scenes)
    assert (
        PictureScene(Thing('red', 'circle'), Thing('blue', 'square'), 'left of').caption
        == 'a large red circle left of a small blue square'
    )
    assert (
        ClipScene(Thing('red', 'circle'), Thing('blue', 'square'), 'growing').caption
        == 'a red circle growing near a blue square'
    )


def test_the_plan_depends_on_the_seed_alone():
    first, again, other = (plan_corpus(CorpusParameters(seed=seed)) for seed in (3, 3, 4))
    assert first == again
    assert [item.scene for item in first] != [item.scene for item in other]


@pytest.mark.parametrize(
    ('wrong', 'message'),
    [
        ({'num_eval': 301}, 'num_eval is 301; the demo corpus allows 8 to 300'),
        ({'num_videos': 3}, 'num_videos is 3; the demo corpus allows 32 to'),
        ({'size': 65}, 'size is 65; it must be even'),
        ({'seed': -1}, 'seed is -1'),
    ],
)
def test_impossible_parameters_are_refused(wrong, message):
    with pytest.raises(OmniVLValueError, match=message):
        CorpusParameters(**wrong)


# Pictures and clips


def reach(sprite):
    return EXTENT * sprite.radius


@pytest.mark.parametrize('relation', RELATIONS)
def test_the_picture_shows_what_the_caption_says(relation):
    scenes = [scene for scene in picture_scenes() if scene.relation == relation]
    for scene, rng in sample_of(scenes, 150):
        large, small = layout_picture(scene, rng)
        assert large.radius > small.radius + 2
        right, down = small.x - large.x, small.y - large.y
        along, across = {'above': (down, right), 'below': (-down, right)}.get(relation, (abs(right), down))
        assert relation not in ('left of', 'right of') or (right > 0) == (relation == 'left of')
        assert along > 2 * abs(across), 'the relation must be plain to see'
        assert along > reach(large) + reach(small), 'the shapes must not touch'
        for sprite in (large, small):
            assert reach(sprite) <= min(sprite.x, sprite.y) and max(sprite.x, sprite.y) <= WORLD - reach(sprite)


@pytest.mark.parametrize('layout, scenes', [(layout_picture, picture_scenes()), (layout_lone, lone_scenes())])
def test_each_shape_has_the_colour_of_its_name(layout, scenes):
    paints = np.array([PAINT[colour] for colour in COLOURS], dtype=float)
    for scene, _ in sample_of(scenes, 100):
        picture = render_picture(scene, np.random.default_rng(5), size=64)
        for sprite in layout(scene, np.random.default_rng(5)):
            seen = picture[int(sprite.y), int(sprite.x)].astype(float)
            nearest = COLOURS[int(np.abs(paints - seen).sum(axis=1).argmin())]
            assert nearest == sprite.thing.colour


def test_shapes_differ_in_their_outline_not_only_in_their_size():
    areas = {}
    for shape in SHAPES:
        scene = lone_scenes()[0].__class__(Thing('black', shape), 'large', 5)
        picture = render_picture(scene, np.random.default_rng(1), size=64)
        areas[shape] = picture.sum(axis=2) < 300
    for index, shape in enumerate(SHAPES):
        for other in SHAPES[index + 1 :]:
            union, common = (areas[shape] | areas[other]).sum(), (areas[shape] & areas[other]).sum()
            assert common / union < 0.85, (shape, other)


@pytest.mark.parametrize('pair', ACTION_PAIRS)
def test_an_action_is_its_opposite_played_backwards(pair):
    # Hence no single frame can tell the two apart: both have the same frames.
    for scene, _ in sample_of([scene for scene in clip_scenes() if scene.action == pair[0]], 10):
        opposite = ClipScene(scene.mover, scene.other, pair[1])
        frames, backwards = (
            render_clip(each, np.random.default_rng(7), size=32, num_frames=9) for each in (scene, opposite)
        )
        np.testing.assert_array_equal(frames, backwards[::-1])
        assert (frames[0] != frames[-1]).any()


@pytest.mark.parametrize('action', ACTIONS)
def test_the_clip_shows_what_the_caption_says(action):
    for scene, rng in sample_of([scene for scene in clip_scenes() if scene.action == action], 100):
        layout = layout_clip(scene, rng)
        states = [layout.at(progress) for progress in np.linspace(0, 1, 16)]
        states = states[::-1] if layout.backwards else states
        first, last = states[0], states[-1]
        change = {
            'moving left': first.x - last.x,
            'moving right': last.x - first.x,
            'moving up': first.y - last.y,
            'moving down': last.y - first.y,
            'growing': last.radius - first.radius,
            'shrinking': first.radius - last.radius,
            'appearing': last.opacity - first.opacity,
            'disappearing': first.opacity - last.opacity,
        }[action]
        assert change >= {'m': WORLD / 3, 'g': 7, 's': 7}.get(action[0], 1)
        assert first.opacity in (0, 1) and last.opacity in (0, 1)
        moved = abs(first.x - last.x) + abs(first.y - last.y)
        assert np.isclose(moved, change if action.startswith('moving') else 0)
        for state in states:
            assert reach(state) <= min(state.x, state.y) and max(state.x, state.y) <= WORLD - reach(state)
            apart = max(abs(state.x - layout.other.x), abs(state.y - layout.other.y))
            assert apart > reach(state) + reach(layout.other) - 1e-9, 'the shapes must not touch'


def test_place_and_order_do_not_give_the_other_shape_away():
    # The resting shape is on either side of the mover, as often as not.
    sides = Counter()
    for scene, rng in sample_of([scene for scene in clip_scenes() if scene.action == 'moving left'], 200):
        layout = layout_clip(scene, rng)
        sides[layout.other.y > layout.start.y] += 1
    assert min(sides.values()) > 70


@pytest.mark.parametrize('size', [32, 64, 96])
def test_a_larger_picture_shows_the_same_scene(size):
    scene = picture_scenes()[1000]
    picture = render_picture(scene, np.random.default_rng(2), size=size)
    assert picture.shape == (size, size, 3) and picture.dtype == np.uint8
    small = np.asarray(Image.fromarray(picture).resize((16, 16), Image.Resampling.BOX), dtype=float)
    reference = render_picture(scene, np.random.default_rng(2), size=64)
    reference = np.asarray(Image.fromarray(reference).resize((16, 16), Image.Resampling.BOX), dtype=float)
    assert np.abs(small - reference).mean() < 2


def test_questions_about_a_picture_are_answered_rightly():
    answers = Counter()
    for scene, rng in sample_of(picture_scenes(), 400):
        for question in ask_picture(scene, rng):
            words = question.text.removesuffix('?').split()
            thing = scene.first if 'large' in words else scene.second
            if question.answer_type == 'yes/no':
                stated = f'a {" ".join(words[2:])}'.replace(' the small', ' a small')
                assert question.answer == ('yes' if stated == scene.caption else 'no')
            elif question.answer_type == 'number':
                named = {f'{shape}es' if shape == 'cross' else f'{shape}s': shape for shape in SHAPES}[words[2]]
                assert int(question.answer) == sum(thing.shape == named for thing in scene.things)
            else:
                assert question.answer == (thing.colour if words[1] == 'color' else thing.shape)
            assert question.answer in question.choices
            answers[question.answer] += 1
    assert 0.8 < answers['yes'] / answers['no'] < 1.25


def test_questions_about_a_clip_are_answered_rightly():
    for scene, rng in sample_of(clip_scenes(), 200):
        happening, look = ask_clip(scene, rng)
        assert (happening.text, happening.answer) == (f'what is the {scene.mover} doing?', scene.action)
        thing = scene.other if ' near ' in look.text else scene.mover
        assert look.answer == (thing.colour if ' color ' in look.text else thing.shape)


def test_annotators_slip_but_the_true_answer_always_scores_fully():
    scene = picture_scenes()[0]
    slipped = 0
    for seed in range(200):
        rng = np.random.default_rng(seed)
        question = ask_picture(scene, rng)[0]
        answers = ten_answers(question, rng)
        right = sum(answer['answer'] == question.answer for answer in answers)
        assert 7 <= right <= 10 and [answer['answer_id'] for answer in answers] == list(range(1, 11))
        slipped += 10 - right
    assert 0.02 < slipped / 2000 < 0.06


# Vocabulary and the tool


def test_every_word_of_the_world_is_one_word_piece(corpus, tmp_path):
    path = tmp_path / 'vocab.txt'
    path.write_text('\n'.join(train_vocabulary(training_texts(corpus), size=1000)) + '\n')
    tokenizer = WordPieceTokenizer(path)
    for scene in [*picture_scenes(), *clip_scenes()]:
        ids = tokenizer.encode(scene.caption, max_length=40)
        assert len(ids) == len(scene.caption.split()) + 2
        assert tokenizer.decode(ids) == scene.caption


def test_training_texts_are_those_of_the_training_split(corpus, tmp_path):
    texts = set(training_texts(corpus))
    for item in plan_corpus(SMOKE_PARAMETERS):
        if item.kind in ('images', 'videos'):
            assert (item.scene.caption in texts) == (item.split == 'train')
    with pytest.raises(OmniVLFileNotFoundError, match=r'no demo corpus in .*make_corpus'):
        list(training_texts(tmp_path))


def test_the_tool_reports_and_refuses(corpus, tmp_path):
    def run(*options):
        return run_program('-m', 'projects.demo.make_corpus', *options, cwd=ROOT)

    code, said = run('--out', tmp_path / 'new', '--smoke', '--processes', '1')
    assert code == 0 and '100%' in said and 'written in' in said
    assert fingerprint(tmp_path / 'new') == fingerprint(corpus)
    code, said = run('--out', tmp_path / 'new', '--smoke')
    assert code == 0 and 'there already' in said
    code, said = run('--out', tmp_path / 'wrong', '--num-eval', '1000')
    assert code != 0 and 'num_eval is 1000' in said
    assert not (tmp_path / 'wrong').exists()


def test_the_harder_world_keeps_its_unseen_things_out_of_training_and_shows_all_else(tmp_path):
    """More of everything; the usual corpus is made as before, manifest and all."""
    parameters = replace(SMOKE_PARAMETERS, hard=1, num_images=8000)
    world = parameters.world
    for items in ([item for item in plan_corpus(parameters) if item.split == split] for split in SPLITS):
        shown = {thing for item in items for thing in item.scene.things}
        assert (shown & world.unseen != set()) == (items[0].split == 'test_unseen')
        if items[0].split == 'train':
            assert shown == set(world.things) - world.unseen
            assert {thing.colour for thing in shown} == set(world.colours)
            assert {thing.shape for thing in shown} == set(world.shapes)
    assert told(SMOKE_PARAMETERS) == {k: v for k, v in told(parameters).items() if k != 'hard'} | {'num_images': 32}
    assert set(world.things) > set(all_things()) and set(world.relations) > set(RELATIONS)


@pytest.mark.parametrize('relation', DIAGONALS)
def test_diagonal_relations_are_true_on_both_axes(relation):
    scenes = [scene for scene in picture_scenes(HARD_WORLD) if scene.relation == relation]
    for scene, rng in sample_of(scenes, 50):
        first, second = layout_picture(scene, rng)
        assert (first.x < second.x) == ('west' in relation) and (first.y < second.y) == ('north' in relation)
        reach = 1.12 * (first.radius + second.radius)
        assert min(abs(first.x - second.x), abs(first.y - second.y)) > reach
