"""tools/convert_weights.py and tools/export_weights.py: from BLIP to a checkpoint, to a folder, and back to BLIP."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from forked import run_program
from mmengine.config import Config
from safetensors.torch import load_file
from transformers import AutoTokenizer, BertTokenizer

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / 'tests/weights'))

from foreign import BLIP, DEC, ENC, blip, images, omnivl, omnivl_config, original_layout, texts  # noqa: E402

from omnivl.apis import load_exported  # noqa: E402
from omnivl.apis.export_blip import to_blip  # noqa: E402
from omnivl.apis.loading import load_model  # noqa: E402
from omnivl.commands import convert, export  # noqa: E402
from omnivl.commands.main import make_parser  # noqa: E402
from omnivl.errors import OmniVLError  # noqa: E402
from omnivl.models.tokenizers.text import read_vocabulary  # noqa: E402
from omnivl.registry import MODELS  # noqa: E402
from omnivl.storage import CheckpointError, load_checkpoint, save_checkpoint  # noqa: E402
from omnivl.storage.sums import write_sums  # noqa: E402
from omnivl.structures import VLBatch  # noqa: E402
from omnivl.weights import load_weights  # noqa: E402

CONVERT, EXPORT = convert, export


def run(tool, *arguments):
    tool.run(make_parser(tool).parse_args([str(argument) for argument in arguments]))


def write_config(path, model, **rest):
    Config(dict(default_scope='omnivl', model=model, **rest)).dump(path)
    return path


@pytest.fixture
def config(vocab_file, tmp_path):
    return write_config(tmp_path / 'config.py', omnivl_config(vocab_file, encoder=dict(norm_eps=1e-5)))


@pytest.fixture
def source(tmp_path):
    blip('retrieval', 0).save_pretrained(tmp_path / 'blip')
    return tmp_path / 'blip'


@pytest.mark.parametrize('suffix', ['.pth', '.safetensors'])
def test_a_converted_file_is_a_checkpoint_and_a_table_ends_the_run(
    suffix, config, source, vocab_file, tmp_path, capsys
):
    out = tmp_path / f'new/converted{suffix}'
    run(CONVERT, '--from', 'blip', source, '--config', config, '--out', out)
    printed = capsys.readouterr().out
    assert 'part                filled    left  unused' in printed and f'written to {out}' in printed
    model = MODELS.build(Config.fromfile(config).model)
    model.load_state_dict(load_checkpoint(out)['state_dict'], strict=True)
    expected = omnivl(vocab_file, encoder=dict(norm_eps=1e-5))
    load_weights(expected, dict(type='blip', file=str(source)))
    for name in ('visual_encoder', 'text_encoder', 'alignment_decoder', 'matching_head'):
        for ours, theirs in zip(model.parts[name].parameters(), expected.parts[name].parameters()):
            assert torch.equal(ours, theirs)


def test_several_sources_come_in_order_and_the_rest_is_seeded(config, source, tmp_path):
    blip('caption', 5).save_pretrained(tmp_path / 'caption')
    files = [tmp_path / 'first.pth', tmp_path / 'second.pth']
    for out in files:
        run(
            CONVERT, '--from', 'blip', source, '--from', 'blip', tmp_path / 'caption',
            '--config', config, '--out', out, '--cfg-options', 'model.trunk.share=none',
        )  # fmt: skip
    first, second = (load_checkpoint(path)['state_dict'] for path in files)
    assert all(torch.equal(first[key], second[key]) for key in first)
    caption = load_file(tmp_path / 'caption/model.safetensors')
    assert torch.equal(first['trunk.visual_encoder.cls_token'], caption['vision_model.embeddings.class_embedding'])


def test_hugging_faces_matching_token_is_named_and_set_in_the_shell(config, source, tmp_path, capsys):
    command = ('--from', 'blip', source, '--config', config, '--out', tmp_path / 'ours.pth')
    run(CONVERT, *command)
    advised = '--cfg-options model.trunk.matching_token=CLS'
    assert advised in capsys.readouterr().out
    run(CONVERT, *command, *advised.split())
    assert advised not in capsys.readouterr().out
    with pytest.raises(ValueError, match=r"got \['CLS'\] \(in the shell without brackets"):
        run(CONVERT, *command, '--cfg-options', 'model.trunk.matching_token=[CLS]')


def test_weights_without_their_config_say_what_was_not_compared(config, source, tmp_path, capsys):
    shutil.copy(source / 'model.safetensors', tmp_path / 'blip.safetensors')
    for file, is_noted in ((tmp_path / 'blip.safetensors', True), (source / 'model.safetensors', False)):
        run(CONVERT, '--from', 'blip', file, '--config', config, '--out', tmp_path / 'ours.pth')
        assert ('norm_eps and activation were not compared' in capsys.readouterr().out) is is_noted


def test_what_does_not_fit_is_an_error_unless_allowed_by_name(config, source, tmp_path):
    weights = load_file(source / 'model.safetensors')
    from safetensors.torch import save_file

    weights['extra.weight'] = torch.zeros(2)
    save_file(weights, source / 'model.safetensors')
    arguments = ['--from', 'blip', source, '--config', config, '--out', tmp_path / 'out.pth']
    with pytest.raises(ValueError, match=r'1 keys without a place in the model: extra.weight.*--allow'):
        run(CONVERT, *arguments)
    assert not (tmp_path / 'out.pth').exists()
    run(CONVERT, *arguments, '--allow', 'extra.*')
    with pytest.raises(ValueError, match='there is no such reader, there are timm, bert'):
        run(CONVERT, '--from', 'blib', source, '--config', config, '--out', tmp_path / 'out.pth')
    with pytest.raises(ValueError, match=r'--out must end in .pth or .safetensors'):
        run(CONVERT, *arguments[:-1], tmp_path / 'out.bin')


def test_the_command_says_in_one_line_what_is_wrong(config, tmp_path):
    words = ['--from', 'blip', tmp_path / 'none.pth', '--config', config, '--out', tmp_path / 'out.pth']
    code, said = run_program(ROOT / 'tools/convert_weights.py', *words)
    assert code == 1 and said.splitlines()[-1].startswith(f'error: there is no checkpoint {tmp_path}/none.pth')


@pytest.mark.parametrize('kind', list(BLIP))
@pytest.mark.parametrize('seed', [0, 1])
def test_blip_to_ours_to_blip_is_the_same_state_dict(seed, kind, vocab_file, tmp_path):
    blip(kind, seed).save_pretrained(tmp_path / 'blip')
    stored = load_file(tmp_path / 'blip/model.safetensors')
    options = dict(encoder=dict(norm_eps=1e-5))
    options |= dict(type='OmniVLQA') if kind == 'vqa' else {}
    model = omnivl(vocab_file, **options)
    load_weights(model, dict(type='blip', file=str(tmp_path / 'blip')))
    weights, rest = to_blip(model, kind)
    assert weights.keys() == stored.keys()
    assert all(torch.equal(value, stored[key]) for key, value in weights.items())
    assert {'visual_encoder.time_embed', 'visual_encoder.video_tokenizer.proj.weight'} <= set(rest)
    save_checkpoint(dict(state_dict=model.state_dict()), tmp_path / 'ours.pth')
    config = write_config(tmp_path / 'config.py', omnivl_config(vocab_file, **options))
    run(
        EXPORT, config, tmp_path / 'ours.pth', '--out', tmp_path / 'back', '--format', 'blip', '--kind', kind
    )  # fmt: skip
    written = load_file(tmp_path / 'back/model.safetensors')
    assert written.keys() == stored.keys() and all(torch.equal(written[key], stored[key]) for key in stored)


def test_a_model_of_ours_runs_in_hugging_faces_blip(vocab_file, tmp_path):
    model = omnivl(vocab_file, seed=3)
    save_checkpoint(dict(state_dict=model.state_dict()), tmp_path / 'ours.pth')
    config = write_config(tmp_path / 'config.py', omnivl_config(vocab_file))
    pixels, (ids, mask) = images(0), texts(0)
    theirs = {}
    for kind in ('retrieval', 'caption'):
        folder = tmp_path / kind
        run(EXPORT, config, tmp_path / 'ours.pth', '--out', folder, '--format', 'blip', '--kind', kind)
        theirs[kind] = BLIP[kind].from_pretrained(folder).eval()
        assert (folder / 'vocab.txt').read_text() == Path(vocab_file).read_text()
    with_first = [torch.cat([torch.full_like(ids[:, :1], token), ids[:, 1:]], dim=1) for token in (ENC, DEC)]
    with torch.no_grad():
        trunk, visual = model.trunk, model.encode(VLBatch(dict(image=pixels[:, None])))
        looked_up = trunk.matching_key_values(visual.tokens)
        matching = theirs['retrieval'](with_first[0], pixels, attention_mask=mask.long()).itm_score
        assert (trunk.match_logits(ids, mask, looked_up) - matching).abs().max() <= 1e-4
        logits = theirs['caption'](pixels, with_first[1], attention_mask=mask.long()).logits
        got = trunk.generation_decoder(with_first[1], trunk.writing_key_values(visual.tokens))
        assert (got - logits)[mask].abs().max() <= 1e-4


def test_what_blip_does_not_have_is_refused(vocab_file):
    with pytest.raises(ValueError, match='stem_channels, has no BLIP form'):
        stem = dict(patch_size=8, stem_channels=(4,))
        encoder = dict(
            image_tokenizer=dict(type='ImageTokenizer', **stem), video_tokenizer=dict(type='VideoTokenizer', **stem)
        )
        config = omnivl_config(vocab_file)
        config['trunk']['visual_encoder'] |= encoder
        to_blip(MODELS.build(config), 'caption')
    with pytest.raises(ValueError, match='pre_norm=True has no BLIP form'):
        to_blip(omnivl(vocab_file, encoder=dict(pre_norm=True)), 'caption')
    with pytest.raises(ValueError, match='BLIP has one text encoder'):
        to_blip(omnivl(vocab_file, share='none'), 'retrieval')
    with pytest.raises(ValueError, match=r"kind must be one of .*got 'speech'"):
        to_blip(omnivl(vocab_file), 'speech')


def pretrained(tiny_model, tmp_path, **options):
    model = tiny_model(shake=True, **options).eval()
    save_checkpoint(dict(state_dict=model.state_dict()), tmp_path / 'iter_1.pth')
    (tmp_path / 'last_checkpoint').write_text(str(tmp_path / 'iter_1.pth'))
    return model


@pytest.mark.parametrize('share', ['blip', 'none'])
def test_an_exported_folder_is_the_model_wherever_it_is(share, tiny_model, tiny_config, vocab_file, tmp_path):
    model = pretrained(tiny_model, tmp_path, trunk=dict(share=share))
    vocabulary = tmp_path / 'words.txt'
    shutil.copyfile(vocab_file, vocabulary)
    tokenizer = dict(type='WordPieceTokenizer', vocab_file=str(vocabulary))
    pipeline = [dict(type='LoadImage'), dict(type='TokenizeText', tokenizer=tokenizer, max_length=8)]
    model_config = tiny_config(trunk=dict(share=share))
    model_config['trunk']['tokenizer'] = tokenizer
    config = write_config(
        tmp_path / 'config.py',
        model_config,
        image_test_pipeline=pipeline,
        test_dataloader={'image.retrieval': dict(batch_size=2, dataset=dict(type='PairDataset', pipeline=pipeline))},
        test_evaluator={'image.retrieval': dict(type='RetrievalEvaluation')},
        test_cfg=dict(type='EvaluationLoop'),
    )
    run(EXPORT, config, tmp_path, '--out', tmp_path / 'folder')
    assert sorted(path.name for path in (tmp_path / 'folder').iterdir()) == [
        'README.md', 'SHA256SUMS', 'config.json', 'model.safetensors', 'preprocessor_config.json', 'vocab.txt',
    ]  # fmt: skip
    stored = load_file(tmp_path / 'folder/model.safetensors')
    assert not any(key.startswith(('momentum', 'queues', 'losses')) for key in stored)
    assert sum(value.numel() for value in stored.values()) == sum(
        parameter.numel() for name, parameter in model.named_parameters() if not name.startswith('momentum')
    )
    content = json.loads((tmp_path / 'folder/preprocessor_config.json').read_text())
    assert content['image_mean'] == pytest.approx([0.48145466, 0.4578275, 0.40821073])
    assert content['image_std'] == pytest.approx([0.26862954, 0.26130258, 0.27577711])
    shutil.move(tmp_path / 'folder', tmp_path / 'elsewhere')
    vocabulary.unlink()
    loaded, cfg = load_exported(tmp_path / 'elsewhere')
    assert type(loaded).__name__ == 'TrunkModel' and not loaded.training
    assert loaded.trunk.temperature_value() == model.trunk.temperature_value()
    step = cfg.test_dataloader['image.retrieval'].dataset.pipeline[1]
    assert step.tokenizer.vocab_file == str(tmp_path / 'elsewhere/vocab.txt')
    assert cfg.test_evaluator['image.retrieval'].type == 'RetrievalEvaluation'
    frames, (ids, mask) = torch.randn(2, 4, 3, 32, 32), texts(0, (6, 4))
    with torch.no_grad():
        for modality, pixels in (('image', frames[:, :1]), ('video', frames)):
            tokens = [each.encode(VLBatch({modality: pixels})).tokens for each in (model, loaded)]
            assert torch.equal(*tokens)
            pairs = [
                each.trunk.match_logits(ids, mask, each.trunk.matching_key_values(visual))
                for each, visual in zip((model, loaded), tokens)
            ]
            assert torch.equal(*pairs)


def test_an_exported_model_of_question_answering_keeps_its_type(vocab_file, tmp_path):
    model = omnivl(vocab_file, type='OmniVLQA', label_smoothing=0.2)
    save_checkpoint(dict(state_dict=model.state_dict()), tmp_path / 'ours.pth')
    config = write_config(tmp_path / 'config.py', omnivl_config(vocab_file, type='OmniVLQA', label_smoothing=0.2))
    run(EXPORT, config, tmp_path / 'ours.pth', '--out', tmp_path / 'folder')
    loaded, _ = load_exported(tmp_path / 'folder')
    assert type(loaded) is type(model) and loaded.losses['answer'].label_smoothing == 0.2
    assert all(torch.equal(value, model.state_dict()[key]) for key, value in loaded.state_dict().items())


def test_a_tokenizer_of_transformers_comes_along(vocab_file, tmp_path):
    BertTokenizer(vocab=read_vocabulary(vocab_file)).save_pretrained(tmp_path / 'bert')
    tokenizer = dict(type='PretrainedTokenizer', vocab_folder=str(tmp_path / 'bert'))
    model = omnivl(vocab_file, tokenizer=tokenizer)
    save_checkpoint(dict(state_dict=model.state_dict()), tmp_path / 'ours.pth')
    config = write_config(tmp_path / 'config.py', omnivl_config(vocab_file, tokenizer=tokenizer))
    run(EXPORT, config, tmp_path / 'ours.pth', '--out', tmp_path / 'folder')
    ids = model.trunk.tokenizer.encode('w1 w2 w1', 9).tolist()
    shutil.rmtree(tmp_path / 'bert')
    loaded, _ = load_exported(tmp_path / 'folder')
    assert loaded.trunk.tokenizer.encode('w1 w2 w1', 9).tolist() == ids
    assert AutoTokenizer.from_pretrained(tmp_path / 'folder')('w1 w2 w1')['input_ids'] == ids


def edited_folder(folder, vocab_file, edit):
    """Write an exported folder, then change its config as somebody with bad intentions would."""
    model = omnivl(vocab_file)
    save_checkpoint(dict(state_dict=model.state_dict()), folder / 'ours.pth')
    config = write_config(folder / 'config.py', omnivl_config(vocab_file))
    run(EXPORT, config, folder / 'ours.pth', '--out', folder / 'folder')
    content = json.loads((folder / 'folder/config.json').read_text())
    edit(content)
    (folder / 'folder/config.json').write_text(json.dumps(content))
    write_sums(folder / 'folder', {})
    return folder / 'folder'


@pytest.mark.parametrize(
    ('place', 'component'),
    [
        (('model',), dict(type='os.system')),
        (('model',), dict(type='system', _scope_='os')),
        (('model',), dict(type='os.system', _scope_='mmengine')),
        (('model', 'trunk', 'visual_encoder'), dict(type='os.system')),
        (('model', 'trunk', 'tokenizer'), dict(type='os.system')),
        (('model', 'data_preprocessor'), dict(type='os.system')),
        (('test_evaluator', 'image.retrieval'), dict(type='os.system')),
        (('test_dataloader', 'image.retrieval', 'dataset', 'pipeline', 0), dict(type='os.system')),
        (
            ('test_dataloader', 'image.retrieval', 'dataset', 'pipeline', 0),
            dict(type='LoadVideo', num_frames=2, decoder='os.system'),
        ),
    ],
)
def test_a_folder_runs_no_code(place, component, vocab_file, tmp_path):
    component = dict(component)
    if component['type'].endswith('system'):
        component['command'] = f'touch {tmp_path}/pwned'

    def edit(content):
        loader = dict(dataset=dict(pipeline=[dict(type='LoadImage')]))
        content.update(test_dataloader={'image.retrieval': loader}, test_evaluator={})
        for key in place[:-1]:
            content = content[key]
        content[place[-1]] = component

    folder = edited_folder(tmp_path, vocab_file, edit)
    with pytest.raises(ValueError, match=r"is 'os.system', which is not registered|_scope_ is there"):
        load_model(folder, None, 'cpu')
    assert not (tmp_path / 'pwned').exists()


def test_a_changed_bit_of_a_folder_is_noticed(vocab_file, tmp_path, each_flip):
    def of(folder):
        model, cfg = load_exported(folder)
        return model.state_dict(), cfg.to_dict(), model.trunk.tokenizer.definition()

    folder = edited_folder(tmp_path, vocab_file, lambda content: None)
    weights, config, words = of(folder)
    files = sorted(folder.iterdir())
    for place in each_flip(files, 120):
        try:
            of(folder)
        except OmniVLError:
            continue
        raise AssertionError(f'{place} was not noticed')
    loaded = of(folder)
    assert all(torch.equal(loaded[0][key], weights[key]) for key in weights) and loaded[1:] == (config, words)


def test_a_folder_of_old_is_read_with_a_warning_and_its_weights_are_checked(vocab_file, tmp_path, monkeypatch):
    folder = edited_folder(tmp_path, vocab_file, lambda content: None)
    (folder / 'SHA256SUMS').unlink()
    said = []
    monkeypatch.setattr('omnivl.engine.identity.print_log', lambda text, *_: said.append(text))
    load_exported(folder)
    assert len(said) == 1 and said[0].startswith(f'{folder} has no SHA256SUMS, so damage to config and vocabulary')
    content = bytearray((folder / 'model.safetensors').read_bytes())
    content[-9] ^= 4
    (folder / 'model.safetensors').write_bytes(content)
    with pytest.raises(CheckpointError, match=r'model.safetensors is damaged: the checksum of its content is wrong'):
        load_exported(folder)


def test_the_folder_of_hugging_faces_blip_has_its_checksums_too(vocab_file, tmp_path):
    save_checkpoint(dict(state_dict=omnivl(vocab_file).state_dict()), tmp_path / 'ours.pth')
    config = write_config(tmp_path / 'config.py', omnivl_config(vocab_file))
    run(EXPORT, config, tmp_path / 'ours.pth', '--out', tmp_path / 'blip', '--format', 'blip')
    done = subprocess.run(['sha256sum', '-c', 'SHA256SUMS'], cwd=tmp_path / 'blip', capture_output=True, text=True)
    assert done.returncode == 0 and done.stdout.count(': OK') == len(list((tmp_path / 'blip').iterdir())) - 1


def test_folders_that_are_not_ours_and_broken_ones(config, source, tmp_path):
    with pytest.raises(FileNotFoundError, match=r'has no config.json: it is no folder that "omnivl export" wrote'):
        load_exported(tmp_path)
    (tmp_path / 'other').mkdir()
    (tmp_path / 'other/config.json').write_text('{"model_type": "bert"}')
    message = (
        r"does not say format='omnivl'.* of no other kind that is known \(blip.*\): it says \{'model_type': 'bert'"
    )
    with pytest.raises(ValueError, match=message):
        load_exported(tmp_path / 'other')
    run(CONVERT, '--from', 'blip', source, '--config', config, '--out', tmp_path / 'ours.pth')
    run(EXPORT, config, tmp_path / 'ours.pth', '--out', tmp_path / 'folder')
    weights = tmp_path / 'folder/model.safetensors'
    weights.write_bytes(weights.read_bytes()[:1000])
    with pytest.raises(CheckpointError, match=r'model.safetensors is damaged or was changed'):
        load_exported(tmp_path / 'folder')
    (tmp_path / 'folder/SHA256SUMS').unlink()
    with pytest.raises(CheckpointError, match='cut off or no safetensors file'):
        load_exported(tmp_path / 'folder')
    (tmp_path / 'folder/config.json').write_text('{')
    with pytest.raises(ValueError, match='is no JSON file'):
        load_exported(tmp_path / 'folder')
    (tmp_path / 'folder/config.json').write_text('{"format": "omnivl"}')
    with pytest.raises(OmniVLError, match=r'config.json has no model: export the model again'):
        load_exported(tmp_path / 'folder')
    with pytest.raises(ValueError, match=r"through their reader, load_from=dict\(type='blip'"):
        run(EXPORT, config, tmp_path / 'blip', '--out', tmp_path / 'folder')
    with pytest.raises(FileNotFoundError, match='make one with'):
        missing = ['--cfg-options', f'model.trunk.tokenizer.vocab_file={tmp_path}/none.txt']
        run(EXPORT, config, tmp_path / 'ours.pth', '--out', tmp_path / 'folder', *missing)


def test_originals_keys_come_back_as_hugging_faces(vocab_file, tmp_path):
    reference = blip('retrieval', 2, norm_eps=1e-6)
    torch.save(dict(model=original_layout(reference)), tmp_path / 'model.pth')
    model = omnivl(vocab_file)
    load_weights(model, dict(type='blip', file=str(tmp_path / 'model.pth')))
    weights, _ = to_blip(model, 'retrieval')
    assert all(torch.equal(weights[key], value) for key, value in reference.state_dict().items())
