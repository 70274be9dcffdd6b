"""A split keeps files of one group, one content or one class as they should be, and says what it did."""

import shutil

import finetune_world as world
import pytest

from omnivl.commands.finetune.forms import understand
from omnivl.commands.finetune.items import Found, OwnDataError
from omnivl.commands.finetune.readable import readable
from omnivl.commands.finetune.splitting import select, split_items


def items_of(folder, **columns):
    return understand(folder, None, columns, folder / 'unpacked').items


def visuals(items):
    return {item.record.visual for item in items}


def test_no_file_is_on_both_sides_and_a_seed_decides(tmp_path):
    items = items_of(world.texts(tmp_path, 20))
    split = split_items(items, 'caption', 0.2, 0)
    assert len(visuals(split.train)) == 16 and len(visuals(split.held_out)) == 4
    assert not visuals(split.train) & visuals(split.held_out)
    assert visuals(split.held_out) == visuals(split_items(items, 'caption', 0.2, 0).held_out)
    assert any(visuals(split.held_out) != visuals(split_items(items, 'caption', 0.2, seed).held_out) for seed in (1, 2))


def test_equal_bytes_and_groups_stay_together(tmp_path):
    rows = [['file', 'text', 'group'], *([f'p{n}.png', f'number {n}', '' if n < 8 else 'g'] for n in range(12))]
    world.table(tmp_path, rows, count=12)
    for number in (1, 2):
        shutil.copy(tmp_path / 'images/p0.png', tmp_path / f'images/p{number}.png')
    for seed in range(8):
        split = split_items(items_of(tmp_path), 'caption', 0.3, seed)
        for names in ({'p0.png', 'p1.png', 'p2.png'}, {'p8.png', 'p9.png', 'p10.png', 'p11.png'}):
            held = {path.rpartition('/')[2] for path in visuals(split.held_out)} & names
            assert held in (set(), names)
    assert '5 files are in a group with another one, or have its bytes: on one side together' in split.notes


def test_rows_of_one_file_stay_together(tmp_path):
    rows = [['file', 'question', 'answer'], *([f'p{n % 8}.png', f'q{n}', 'a'] for n in range(32))]
    split = split_items(items_of(world.table(tmp_path, rows)), 'vqa', 0.25, 3)
    assert len(split.held_out) == 8 and not visuals(split.train) & visuals(split.held_out)


def test_each_class_and_each_modality_is_split(tmp_path):
    split = split_items(items_of(world.classes(tmp_path / 'a', 30)), 'classify', 0.2, 0)
    assert [item.record.label for item in split.held_out].count('red') == 2
    world.texts(tmp_path / 'b', 10)
    for number in range(5):
        world.clip(tmp_path / f'b/c{number}.mp4', number)
        (tmp_path / f'b/c{number}.txt').write_text('moves')
    split = split_items(items_of(tmp_path / 'b'), 'caption', 0.2, 0)
    assert [item.modality for item in split.held_out].count('video') == 1


def test_a_single_clip_among_pictures_is_left_out(tmp_path):
    world.texts(tmp_path, 10)
    world.clip(tmp_path / 'c.mp4', 0)
    (tmp_path / 'c.txt').write_text('moves')
    split = split_items(items_of(tmp_path), 'caption', 0.2, 0)
    assert {item.modality for item in (*split.train, *split.held_out)} == {'image'}
    assert '1 videos are too few to train and to test on: left out' in split.notes


def test_a_given_split_is_kept_without_leaks(tmp_path):
    world.classes(tmp_path, 9, ('train', 'test'))
    shutil.copy(tmp_path / 'train/red/train0.png', tmp_path / 'test/red/again.png')
    split = split_items(items_of(tmp_path), 'classify', 0.2, 0)
    assert len(split.train) == 9 and len(split.held_out) == 9
    assert 'split: as the data says, test is held out' in split.notes
    assert '1 held-out items are of files or groups that are trained on: not tested' in split.notes


def test_half_a_split_is_made_anew(tmp_path):
    rows = [['file', 'text', 'split'], *([f'p{n}.png', f'number {n}', 'train'] for n in range(8))]
    split = split_items(items_of(world.table(tmp_path, rows)), 'caption', 0.25, 0)
    assert split.notes[0] == 'the data says train and nothing of the other side of a split: split anew'
    assert len(split.held_out) == 2


def test_what_a_task_cannot_use_is_counted(tmp_path):
    rows = [['file', 'text', 'label'], *([f'p{n}.png', f'{n}' if n else '', 'x'] for n in range(8))]
    found = understand(world.table(tmp_path, rows), None, {}, tmp_path)
    assert len(select(found, 'caption')) == 7
    assert found.left_out['without a caption, which caption needs'] == ['p0.png#data.csv, row 2']


def test_files_that_cannot_be_read_are_left_out(tmp_path):
    world.texts(tmp_path, 4)
    (tmp_path / 'p2.png').write_bytes(b'no picture')
    world.clip(tmp_path / 'c.mp4', 1)
    (tmp_path / 'c.txt').write_text('moves')
    (tmp_path / 'c.mp4').write_bytes((tmp_path / 'c.mp4').read_bytes()[:200])
    found = Found('')
    assert len(readable(items_of(tmp_path), found)) == 3
    (named,) = found.left_out.values()
    assert sorted(name.split(' (')[0].rpartition('/')[2] for name in named) == ['c.mp4', 'p2.png']


@pytest.mark.parametrize(
    ('count', 'task', 'said'),
    [(2, 'caption', 'too few items: 1 files .*at least 6 files'), (1, 'caption', 'too few items')],
)
def test_too_few_items_say_the_least_number(tmp_path, count, task, said):
    with pytest.raises(OwnDataError, match=said):
        split_items(items_of(world.texts(tmp_path, count)), task, 0.2, 0)


def test_one_class_is_none(tmp_path):
    for number in range(8):
        world.picture(tmp_path / f'red/p{number}.png', number)
    with pytest.raises(OwnDataError, match="one class, 'red': at least 2 are needed"):
        split_items(items_of(tmp_path), 'classify', 0.3, 0)


def test_a_held_out_class_must_be_trained_on(tmp_path):
    world.classes(tmp_path, 9, ('train', 'test'))
    world.picture(tmp_path / 'test/new/x.png', 300)
    with pytest.raises(OwnDataError, match="of a class that training never has, 'new'"):
        split_items(items_of(tmp_path), 'classify', 0.2, 0)
