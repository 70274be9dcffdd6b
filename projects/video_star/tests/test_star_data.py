"""Label files as published become labelled clips, and these questions."""

import json
import pickle

import numpy as np
import pytest

from omnivl.errors import OmniVLError
from projects.video_star.labels import Checker, Label, LabelledClip
from projects.video_star.readers import EgoExo4D
from projects.video_star.registry import LABEL_READERS, TEMPLATES
from projects.video_star.templates import Asker, Template, known


def read(tmp_path, **config):
    return list(LABEL_READERS.build(dict(visual_root=str(tmp_path), **config)))


def dump(path, content):
    path.write_text(json.dumps(content))
    return str(path)


def test_classes_come_from_any_reader_of_the_library(tmp_path):
    (tmp_path / 'k700.csv').write_text('label,youtube_id,time_start,time_end,split\nplaying guitar,abc,5,15,train\n')
    annotations = dict(type='KineticsCSV', ann_file=str(tmp_path / 'k700.csv'), visual_root=str(tmp_path))
    (clip,) = LABEL_READERS.build(dict(type='RecordLabels', annotations=annotations))
    assert clip.video == str(tmp_path / 'playing_guitar/abc_000005_000015.mp4')
    assert clip.labels == [Label('class', 'playing guitar', name='class')]


def test_star_benchmark_asks_its_own_questions_and_when(tmp_path):
    row = dict(question_id='Interaction_T1_13', question='Which object was tidied up by the person?', video_id='6H78U')
    row |= dict(start=11.1, end=19.6, answer='The closet/cabinet.', choices=[], situations={})
    first, when = read(tmp_path, type='STARBenchmark', ann_file=dump(tmp_path / 'STAR_train.json', [row]), when=True)
    assert first == LabelledClip(
        'Interaction_T1_13',
        str(tmp_path / '6H78U.mp4'),
        [Label('words', 'The closet/cabinet.', name='answer')],
        (11.1, 19.6),
        row['question'],
    )
    assert when.labels[0].value == [11.1, 19.6] and when.clip is None
    (question,) = Asker().questions([when], 'star')
    assert row['question'] in question.text and question.hint == 'from 11.1 to 19.6 seconds'
    assert Checker()(question, 'From 11 to 20 seconds.').passed


def dive(labels, names):
    return {
        'action_type': '107B', 'dive_score': 85.5, 'difficulty': 3.1, 'frames_labels': np.array(labels),
        'sub-action_types': names, 'steps_transit_frames': np.array([5]), 'judge_scores': [8.0],
    }  # fmt: skip


def test_finediving_has_scores_and_steps_in_the_order_of_their_frames(tmp_path):
    """np.unique of the published code would sort the steps by their numbers."""
    names = {1: 'Forward', 12: '1 Som.Pike', 23: 'Entry'}
    dives = {('Final_r1', 0): dive([12, 12, 1, 22], names), ('Final_r1', 7): dive([1], names)}
    (tmp_path / 'fine.pkl').write_bytes(pickle.dumps(dives))
    (tmp_path / 'split.pkl').write_bytes(pickle.dumps([('Final_r1', 0)]))
    files = dict(type='FineDiving', ann_file=str(tmp_path / 'fine.pkl'), split_file=str(tmp_path / 'split.pkl'))
    (clip,) = read(tmp_path, **files)
    assert clip.video == str(tmp_path / 'Final_r1_0.mp4')
    assert [label.value for label in clip.labels] == [85.5, 3.1, ['1 Som.Pike', 'Forward', 'Entry']]
    assert [question.hint for question in Asker().questions([clip], 'dives')] == [
        '85.5', '3.1', '1 Som.Pike, then Forward, then Entry',
    ]  # fmt: skip


@pytest.mark.parametrize(
    ('content', 'said'),
    [
        (pickle.dumps({('a', 0): dict(dive_score=1.0, difficulty=1.0)}), "'sub-action_types': the field is missing"),
        (
            pickle.dumps({('a', 0): {'dive_score': 1.0, 'difficulty': 1.0, 'sub-action_types': {1: 'Entry'}}}),
            "'frames_labels': the field is missing",
        ),
        (b'no pickle', 'this is no pickle'),
        (pickle.dumps({('a', 0): {}})[:-3], 'this is no pickle'),
    ],
)
def test_finediving_that_is_damaged(tmp_path, content, said):
    (tmp_path / 'fine.pkl').write_bytes(content)
    with pytest.raises(OmniVLError, match=said):
        read(tmp_path, type='FineDiving', ann_file=str(tmp_path / 'fine.pkl'))


class Evil:
    def __reduce__(self):
        return eval, ('1 + 1',)


def test_a_pickle_of_a_stranger_runs_no_code(tmp_path):
    (tmp_path / 'fine.pkl').write_bytes(pickle.dumps({('a', 0): Evil()}))
    with pytest.raises(OmniVLError, match=r'the pickle would run builtins\.eval, so it is not read'):
        read(tmp_path, type='FineDiving', ann_file=str(tmp_path / 'fine.pkl'))
    (tmp_path / 'fine.pkl').write_bytes(b'')
    with pytest.raises(OmniVLError, match='this is no pickle'):
        read(tmp_path, type='FineDiving', ann_file=str(tmp_path / 'fine.pkl'))


def part(name, start, end, moments=()):
    return dict(id=name, class_name=name, start_time=start, end_time=end, higher_order_interactions=list(moments))


def test_moma_has_the_class_the_order_the_parts_and_boxes(tmp_path):
    actor = dict(id='A', class_name='waiter', bbox=[100, 50, 200, 100])
    moment = dict(id='1', time=15.0, actors=[actor], objects=[])
    parts = [part('serving food', 20, 30), part('taking orders', 10, 20, [moment]), part('unsure', 28, 30)]
    activity = dict(id='v1', class_name='dining', start_time=10, end_time=30, sub_activities=parts)
    row = dict(file_name='v1.mp4', width=400, height=200, duration=40, activity=activity)
    (clip,) = read(tmp_path, type='MOMA', ann_file=dump(tmp_path / 'anns.json', [row]))
    assert clip.clip == (10, 30) and clip.video == str(tmp_path / 'v1.mp4')
    assert [(label.type, label.value) for label in clip.labels] == [
        ('class', 'dining'),
        ('classes', ['taking orders', 'serving food']),
        ('time_range', [0.5, 1.0]),
        ('time_range', [0.0, 0.5]),
        ('box', [0.5, 0.5, 0.5, 0.5]),
    ]
    assert clip.labels[-1].about == 'waiter at 0.25 of the video'


def test_something_something_has_sentences_and_things(tmp_path):
    row = dict(id='78687', label='holding potato next to vicks', template='Holding [something] next to [something]')
    row['placeholders'] = ['potato', 'vicks']
    files = dict(type='SomethingSomethingLabels', ann_file=dump(tmp_path / 'ssv2.json', [row]))
    sentence, things = read(tmp_path, **files)
    assert sentence.video == str(tmp_path / '78687.webm')
    assert sentence.labels[0].value == 'holding potato next to vicks'
    (question,) = Asker().questions([things], 'ssv2')
    assert question.text == 'Which things fill the gaps: Holding [something] next to [something]?'
    check = Checker()
    assert check(question, 'A potato is held next to vicks.').passed
    assert not check(question, 'A potato is held next to a cup.').passed


def test_ego_exo_has_descriptions_and_demonstrators(tmp_path):
    cameras = {'aria01': {'rgb': {'relative_path': 'aria01.mp4'}}, 'cam02': {'0': {'relative_path': 'cam02.mp4'}}}
    takes = [dict(take_uid='t1', root_dir='takes/one', frame_aligned_videos=cameras)]
    told = [
        dict(timestamp=1.0, text='C lifts a pan.', unsure=False, best_exo={'cam_id': 'cam02'}),
        dict(timestamp=9.0, text='C sits.', unsure=True, best_exo=None),
        dict(timestamp=9.0, text='C turns.', unsure=False, best_exo=None),
    ]
    rounds = [dict(rejected=True, descriptions=told), dict(rejected=False, descriptions=told)]
    annotations = dict(annotations=dict(t1=rounds, gone=rounds))
    files = dict(type='EgoExo4D', takes_file=dump(tmp_path / 'takes.json', takes))
    one, two = read(tmp_path, **files, ann_file=dump(tmp_path / 'atomic.json', annotations))
    assert (one.clip, two.clip) == ((0.0, 3.0), (7.0, 11.0))
    assert one.video == str(tmp_path / 'takes/one/cam02.mp4') and two.video == str(tmp_path / 'takes/one/aria01.mp4')
    assert one.labels[0].value == 'the camera wearer lifts a pan.'
    skills = [dict(take_uid='t1', scenario_name='Cooking', proficiency_score='Late Expert')]
    (clip,) = read(tmp_path, **files, ann_file=dump(tmp_path / 'skill.json', dict(annotations=skills)))
    assert clip.labels[0].value == 'Late Expert' and 'Cooking' in clip.labels[0].about
    assert isinstance(LABEL_READERS.get('EgoExo4D')('', '', ''), EgoExo4D)


def test_a_take_without_a_worn_camera_and_an_activity_without_length(tmp_path):
    takes = [dict(take_uid='t1', root_dir='takes/one', frame_aligned_videos={'cam02': {}})]
    skills = [dict(take_uid='t1', scenario_name='Cooking', proficiency_score='Late Expert')]
    skills = dump(tmp_path / 's.json', dict(annotations=skills))
    files = dict(takes_file=dump(tmp_path / 't.json', takes), ann_file=skills)
    with pytest.raises(OmniVLError, match='t1: expected an object, got None'):
        read(tmp_path, type='EgoExo4D', **files)
    activity = dict(id='a', class_name='dining', start_time=3.0, end_time=3.0)
    moments = dump(tmp_path / 'anns.json', [dict(file_name='a.mp4', width=4, height=4, activity=activity)])
    with pytest.raises(OmniVLError, match=r'expected end_time after start_time, got 3\.0 and 3\.0'):
        read(tmp_path, type='MOMA', ann_file=moments)


LABELS = [
    (Label('class', 'running'), 'running', 'He is running.'),
    (Label('classes', ['run', 'jump']), 'run, then jump', 'He runs, then he jumps.'),
    (Label('time_range', [0.2, 0.5], 'a jump'), 'from 0.20 to 0.50', 'From 0.2 to 0.5.'),
    (Label('seconds_range', [2, 5], 'a jump?'), 'from 2.0 to 5.0 seconds', 'From 2 to 5 seconds.'),
    (Label('time_stamp', 0.25, 'a jump'), 'at 0.25', 'At 0.25.'),
    (Label('number', 3, 'number of jumps'), '3', 'Three.'),
    (Label('box', [0.5, 0.5, 0.2, 0.2], 'ball'), '[0.50, 0.50, 0.20, 0.20]', '[0.5, 0.5, 0.2, 0.2]'),
    (Label('order', ['run', 'jump'], 'jump, run'), 'run, then jump', 'He runs and jumps.'),
    (Label('yes_no', True, 'a dog runs'), 'yes', 'Yes.'),
    (Label('same', False, 'the cups'), 'they are not the same', 'They are not the same.'),
    (Label('words', 'a red cup'), 'a red cup', 'It is a red cup.'),
    (Label('sentence', 'A dog runs.'), 'A dog runs.', 'A dog is running.'),
    (Label('sentences', ['A dog runs.', 'It barks.']), 'A dog runs. Then It barks', 'A dog runs. It barks.'),
]


@pytest.mark.parametrize('label, hint, answer', LABELS, ids=[label.type for label, _, _ in LABELS])
def test_every_type_of_label_is_asked_for_told_and_verified(label, hint, answer):
    (question,) = Asker().questions([LabelledClip('1', 'a.mp4', [label])], 'set')
    assert question.hint == hint and question.id == 'set/1' and question.kind == label.type
    assert label.about in question.text
    check = Checker()
    assert check(question, answer).passed
    assert not check(question, question.text).passed and not check(question, 'Something else.').passed


def test_all_types_have_a_template():
    assert {label.type for label, _, _ in LABELS} == set(known())


def test_all_labels_of_a_question_must_be_in_the_answer():
    labels = [Label('words', 'cup', name='first'), Label('words', 'table', name='second')]
    (question,) = Asker().questions([LabelledClip('1', 'a.mp4', labels, question='What is where?')], 'set')
    check = Checker()
    assert check(question, 'A cup is on the table.').passed
    assert check(question, 'A cup.') == (False, 'not named: table')
    assert question.published() == {
        'question_id': 'set/1', 'video_path': 'a.mp4', 'question': 'What is where?', 'label_type': ['first', 'second'],
        'label': {'first': 'cup', 'second': 'table'}, 'verifier_type': ['Words', 'Words'],
    }  # fmt: skip


def test_wordings_depend_on_the_seed_and_may_be_changed():
    clips = [LabelledClip(str(number), 'a.mp4', [Label('class', 'running')]) for number in range(20)]

    def asked(**options):
        return [question.text for question in Asker(**options).questions(clips, 'set')]

    assert asked(seed=1) == asked(seed=1) != asked(seed=2)
    assert set(asked(templates={'class': dict(questions=['Well?'])})) == {'Well?'}
    verifiers = {'class': dict(type='Words', ratio=0.9)}
    assert next(Asker(verifiers=verifiers).questions(clips, 'set')).verifiers == (verifiers['class'],)


def test_a_template_of_ones_own():
    @TEMPLATES.register_module(name='mood')
    class Mood(Template):
        """How it feels."""

        usual = ('How does it feel?',)

    try:
        (question,) = Asker().questions([LabelledClip('1', 'a.mp4', [Label('mood', 'glad')])], 'set')
        assert question.text == 'How does it feel?' and question.verifiers == (dict(type='Words'),)
    finally:
        TEMPLATES.module_dict.pop('mood')
    with pytest.raises(OmniVLError, match="there is no template for labels of type 'mood'; there are box, "):
        list(Asker().questions([LabelledClip('1', 'a.mp4', [Label('mood', 'glad')])], 'set'))


def test_templates_without_a_fitting_question_say_so():
    with pytest.raises(OmniVLError, match='there is no question; give at least one'):
        TEMPLATES.build(dict(type='class', questions=[]))
    with pytest.raises(OmniVLError, match=r"has no question about 'a jump'; add one to questions"):
        TEMPLATES.build(dict(type='class', questions=['What?'])).ask(Label('class', 'x', 'a jump'), 0)
