"""The pieces of the report: what is read, chosen, marked and counted."""

import json

import numpy as np
import pytest
from PIL import Image

from omnivl.commands.pages.grids import Piece, choose_examples, mark_words, show
from omnivl.commands.pages.render import duration, percent
from projects.demo.report import Curve, MediaReader, render_page
from projects.demo.report.curves import running_mean, split_at
from projects.demo.report.run_files import RunFiles, read_scalars
from projects.demo.report.tables import confusion_matrix


def write_log(folder, run, rows):
    file = folder / run / 'vis_data/scalars.json'
    file.parent.mkdir(parents=True)
    file.write_text('\n'.join(row if isinstance(row, str) else json.dumps(row) for row in rows))


def test_rows_of_a_resumed_run_replace_those_of_the_interrupted_one(tmp_path):
    write_log(tmp_path, '20260101_000000', [{'step': s, 'loss': 1.0} for s in (1, 2, 3, 4)] + ['{"step": 5, "lo'])
    write_log(tmp_path, '20260101_000500', [{'step': s, 'loss': 2.0} for s in (3, 4, 5)])
    write_log(tmp_path, '20260101_000900', [])
    rows = read_scalars(tmp_path)
    assert [(row['step'], row['loss']) for row in rows] == [(1, 1.0), (2, 1.0), (3, 2.0), (4, 2.0), (5, 2.0)]


def test_curves_run_through_both_stages_and_prefer_the_modality():
    first = [{'step': s, 'image/loss_lm': 3.0 - s, 'loss_lm': 9.0, 'lr': 0.1} for s in (1, 2)]
    second = [{'step': 1, 'image/loss_lm': 0.5, 'loss_lm': 9.0, 'lr': 0.2}, {'step': 3, 'video/loss_lm': float('nan')}]
    second.append({'step': 4, 'video/loss_lm': 2.0})
    run = RunFiles(metrics={}, scalars={'stage1': first, 'stage2': second})
    assert run.curves('loss_lm') == {'image': Curve([1, 2, 3], [2.0, 1.0, 0.5]), 'video': Curve([6], [2.0])}
    assert run.curves('lr') == {'both': Curve([1, 2, 3], [0.1, 0.1, 0.2])}
    assert run.curves('loss') == {}


def test_figures_are_found_by_dotted_name():
    run = RunFiles(
        metrics={'image': {'retrieval': {'t2i_r1': 50}}, 'chance': {'image': {'retrieval': {'t2i_r1': 0.5}}}}
    )
    assert run.get('image.retrieval.t2i_r1') == 50.0
    assert run.get('image.retrieval.t2i_r1', 'chance') == 0.5
    assert run.get('image.retrieval') is None and run.get('image.retrieval.t2i_r1.x') is None
    assert run.get('video.retrieval.t2v_r1') is None


@pytest.mark.parametrize(
    ('said', 'marked'),
    [
        ('a red circle', [Piece('a red circle', True)]),
        ('a blue circle', [Piece('a', True), Piece('blue', False), Piece('circle', True)]),
        ('a circle', [Piece('a', True), Piece('[…]', False), Piece('circle', True)]),
        ('a big red circle', [Piece('a', True), Piece('big', False), Piece('red circle', True)]),
        ('', [Piece('(nothing)', False)]),
    ],
)
def test_wrong_words_are_marked(said, marked):
    assert mark_words(said, 'a red circle') == marked


def test_examples_are_the_first_ones_with_some_that_went_wrong():
    assert choose_examples([False, False, True, True], 3) == [0, 1, 2]
    assert choose_examples([True] * 6 + [False, True, False], 4) == [0, 1, 6, 8]
    assert choose_examples([True, False, True, True, False], 3) == [0, 1, 4]
    assert choose_examples([True] * 5, 3) == [0, 1, 2]
    assert choose_examples([True], 3) == [0] and choose_examples([], 3) == []


def test_confusion_matrix_counts_truth_by_prediction():
    classes, counts = confusion_matrix(['b', 'a', 'b'], ['a', 'a', 'c'])
    assert classes == ['b', 'a', 'c']
    np.testing.assert_array_equal(counts, [[0, 1, 1], [0, 1, 0], [0, 0, 0]])


def test_running_mean_keeps_a_constant_and_its_start():
    assert running_mean([1.0, 2.0]) == [1.0, 2.0]
    assert running_mean([3.0] * 100) == pytest.approx([3.0] * 100)
    values = [5.0] + [0.0] * 99
    means = running_mean(values)
    assert means[0] == 5.0 and sorted(means, reverse=True) == means and len(means) == 100


def test_curve_is_cut_after_the_border():
    curve = Curve([10, 20, 30], [1.0, 2.0, 3.0])
    assert split_at(curve, 20) == [Curve([10, 20], [1.0, 2.0]), Curve([30], [3.0])]
    assert split_at(curve, None) == [curve] and split_at(curve, 30) == [curve]


def test_pictures_shrink_and_videos_give_first_to_last_frame(tmp_path, visuals):
    reader = MediaReader(tmp_path, size=32, num_frames=4)
    Image.new('RGB', (200, 100), (255, 0, 0)).save(tmp_path / 'wide.png')
    (picture,) = reader.frames('wide.png')  # found under the root
    assert picture.shape == (16, 32, 3)
    frames = reader.frames(visuals['video'][0][0])
    assert len(frames) == 4
    levels = [frame[..., 0].mean() for frame in frames]
    assert levels == sorted(levels) and levels[0] < 20 and levels[-1] > 140  # the clip goes from black to red
    shown = reader.show('wide.png', 'a wide one')
    assert (shown.width, shown.height, shown.alt, shown.kind) == (32, 16, 'a wide one', 'picture')
    assert reader.show(visuals['video'][0][0]).kind == 'strip'


def test_part_of_a_video_is_shown_alone(tmp_path, visuals):
    """Nine frames at 8 per second: the half second from 0.5 has numbers 4 to 7."""
    path = str(tmp_path / 'red.mp4')
    whole = MediaReader(tmp_path, num_frames=9).frames(path)
    part = MediaReader(tmp_path, num_frames=4).frames(path, (0.5, 1.0))
    assert len(part) == 4 and all((a == b).all() for a, b in zip(part, whole[4:8]))
    reader = MediaReader(tmp_path, num_frames=2)
    assert 'red.mp4: clip 5 s to 6 s lies outside the video' in reader.show(path, clip=(5, 6)).reason
    row = {'visual': path, 'clip': [0.5, 1.0]}
    assert show(row, 'a', reader) == reader.show(path, 'a', (0.5, 1.0)) != show(row | {'clip': None}, 'a', reader)


def test_all_text_is_escaped(tmp_path):
    page = render_page(RunFiles(metrics={}), MediaReader(tmp_path), {'<at>': 'a & b'}, note='<b> "quoted"')
    assert '&lt;b&gt; &#34;quoted&#34;' in page and '&lt;at&gt; a &amp; b' in page


def test_words_for_numbers():
    assert percent(49.96) == '50.0%' and percent(None) == '\N{EN DASH}'
    assert duration(59.4) == '59 s' and duration(59.6) == '1 min 00 s' and duration(605) == '10 min 05 s'
