import numpy as np
import pytest
from data_config import NUM_IMAGES, call_tool, make_data_config
from mmengine.config import Config
from PIL import Image

from omnivl.commands.browse import sheet as browse
from omnivl.datasets import caption_target_id
from omnivl.registry import DATASETS, TOKENIZERS

TOOL = vars(browse)


@pytest.fixture
def config(tmp_path, vocab_file):
    return make_data_config(tmp_path, vocab_file)


def built(config, role, loader):
    cfg = Config.fromfile(config)
    dataset = DATASETS.build(cfg[f'{role}_dataloader'][loader]['dataset'])
    return dataset, TOKENIZERS.build(cfg.model.trunk.tokenizer)


def texts(dataset, tokenizer, index):
    return [line.text for line in TOOL['describe'](dataset[index]['data_samples'], dataset, tokenizer)]


def test_the_text_is_what_is_left_after_the_tokenizer(config):
    dataset, tokenizer = built(config, 'train', 'image')
    lines = texts(dataset, tokenizer, 0)
    assert lines == ['w0 w0', f'target id {caption_target_id("w0 w0")}', 'pairs 0#0'.replace(' ', '  ')]
    lines = texts(dataset, tokenizer, NUM_IMAGES)
    assert lines[0] == 'w9  (+ 1 unknown)' and lines[1].startswith('unknown to the vocabulary: ')


def test_a_label_is_shown_with_its_class_and_all_captions_of_a_visual_are_shown(config):
    dataset, tokenizer = built(config, 'train', 'image')
    lines = texts(dataset, tokenizer, NUM_IMAGES + 1)
    assert lines[0] == 'w8  (+ 1 unknown)' and 'label 0: circle' in lines
    dataset, tokenizer = built(config, 'test', 'image.retrieval')
    lines = texts(dataset, tokenizer, 0)
    assert lines[:2] == ['w0 w0', 'w9  (+ 1 unknown)'] and lines[2].startswith('unknown to the vocabulary: ')


def test_several_labels_are_shown_with_their_classes(config):
    dataset, tokenizer = built(config, 'train', 'image')
    sample = dataset[NUM_IMAGES + 1]['data_samples'].clone()
    classes = next(part for part in dataset.datasets if part.name == sample.source).classes
    sample.label = tuple(number < 2 for number in range(len(classes)))
    lines = [line.text for line in TOOL['describe'](sample, dataset, tokenizer)]
    assert f'labels 0, 1: {classes[0]}, {classes[1]}' in lines
    sample.label = (0,) * len(classes)
    assert 'labels : none' in [line.text for line in TOOL['describe'](sample, dataset, tokenizer)]


def test_the_true_one_of_several_choices_is_named(config):
    dataset, tokenizer = built(config, 'test', 'image.retrieval')
    sample = dataset[0]['data_samples'].clone()
    sample.set_metainfo(dict(answer_index=1))
    assert 'true: w9 unheard' in [line.text for line in TOOL['describe'](sample, dataset, tokenizer)]


def test_the_pixels_are_those_of_the_batch(config):
    dataset, tokenizer = built(config, 'test', 'image.retrieval')
    card = np.asarray(TOOL['draw_sample']([dataset[3]], dataset, tokenizer, 40))
    assert (card[10:50, 10:50] == 180).all()


def test_every_part_of_a_dataset_is_seen_and_a_seed_chooses_others(config):
    dataset, tokenizer = built(config, 'train', 'image')
    seen = []
    probe = type(
        'Probe', (), {'__len__': lambda self: 100, '__getitem__': lambda self, key: seen.append(key) or dataset[0]}
    )
    for seed in (0, 0, 1):
        TOOL['draw_dataset'](probe(), tokenizer, 10, 2, 40, seed)
    indices = [key.index for key in seen if key.epoch == 0]
    assert [index // 10 for index in indices[:10]] == list(range(10))
    assert indices[:10] == indices[10:20] != indices[20:]
    assert sum(key.epoch == 1 for key in seen) == 30


def test_epochs_of_an_image_stand_side_by_side_and_of_a_clip_below_each_other(config):
    for loader, axis in (('image', 1), ('video', 0)):
        dataset, tokenizer = built(config, 'train', loader)
        once, often = (TOOL['draw_dataset'](dataset, tokenizer, 1, epochs, 128, 0)[0].size[::-1] for epochs in (1, 5))
        assert often[axis] > once[axis] + 100, loader


@pytest.mark.parametrize('options', [[], ['--loader', 'image', '--epochs', '2'], ['--role', 'test']])
def test_the_sheet_is_written(monkeypatch, tmp_path, config, capsys, options):
    out = tmp_path / 'new/sheet.png'
    assert call_tool(monkeypatch, 'browse_dataset.py', config, '--number', 4, '--out', out, *options) == 0
    with Image.open(out) as sheet:
        assert f'{sheet.width} x {sheet.height} pixels' in capsys.readouterr().out


@pytest.mark.parametrize(
    ('number', 'lengths', 'expected'),
    [
        (5, dict(a=10, b=10), dict(a=3, b=2)),
        (2, dict(a=10, b=10, c=10), dict(a=1, b=1)),
        (24, dict(a=3, b=100), dict(a=3, b=21)),
        (24, dict(a=3, b=4), dict(a=3, b=4)),
    ],
)
def test_samples_are_shared_out_to_the_last(number, lengths, expected):
    assert TOOL['share_out'](number, lengths) == expected


@pytest.mark.parametrize('number', [1, 3, 4])
def test_as_many_are_drawn_as_are_asked_for_and_counted(monkeypatch, tmp_path, config, capsys, number):
    assert call_tool(monkeypatch, 'browse_dataset.py', config, '--number', number, '--out', tmp_path / 'sheet.png') == 0
    output = capsys.readouterr().out
    counts = [int(line.split(', ')[1].split()[0]) for line in output.splitlines() if line.startswith('train: ')]
    assert sum(counts) == number
    assert ('nothing of video' in output) == (number == 1)


def test_broken_files_are_seen_too(monkeypatch, tmp_path, config, capsys):
    (tmp_path / 'images/1.png').write_bytes(b'nothing')
    assert call_tool(monkeypatch, 'browse_dataset.py', config, '--out', tmp_path / 'sheet.png') == 1
    assert '1.png: it cannot be read as an image' in capsys.readouterr().err
    config.write_text(config.read_text().replace("'name': 'test'", "'name': 'test', 'broken': 'skip'"))
    assert call_tool(monkeypatch, 'browse_dataset.py', config, '--role', 'test', '--out', tmp_path / 'sheet.png') == 0


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (['--loader', 'imge'], "train_dataloader has no loader 'imge'; --loader may be image, video"),
        (['--role', 'val'], 'no val_dataloader; --role may be train, test'),
        (['--role', 'tset'], "invalid choice: 'tset'"),
        (['--number', '0'], '--number must be at least 1'),
        (['--out', 'sheet'], '--out must end in the name of a picture format'),
    ],
)
def test_errors_say_what_is_allowed(monkeypatch, config, capsys, options, message):
    assert call_tool(monkeypatch, 'browse_dataset.py', config, *options) != 0
    assert message in capsys.readouterr().err


def test_missing_data_and_configs_are_named(monkeypatch, tmp_path, config, capsys):
    (tmp_path / 'captions.json').unlink()
    assert call_tool(monkeypatch, 'browse_dataset.py', config) == 1
    assert "captions.json' does not exist; set 'ann_file'" in capsys.readouterr().err
    assert call_tool(monkeypatch, 'browse_dataset.py', tmp_path / 'nowhere.py') == 1
    assert 'nowhere.py' in capsys.readouterr().err


def test_help_has_an_example(monkeypatch, capsys):
    assert call_tool(monkeypatch, 'browse_dataset.py', '--help') == 0
    assert 'python tools/browse_dataset.py pretrain_joint' in capsys.readouterr().out
