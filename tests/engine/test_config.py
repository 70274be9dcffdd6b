"""Slips in configs: each is found, with its place and what was meant."""

import json
import sys

import pytest
import toys
import yaml
from mmengine.config import Config

from omnivl.engine import ConfigError, apply_options, check_config, check_schedule, read_config
from omnivl.engine.config import known_keys


def config(**changes):
    return Config(toys.toy_config('somewhere', 'config', **changes))


def test_a_good_config_passes():
    own_names = dict(data_root='data', image_size=224, train_dataset=dict(type='ToyDataset', modality='image'), _base=1)
    check_config(config(compile=True, find_unused_parameters=True, custom_hooks=[], **own_names))


@pytest.mark.parametrize(
    ('slip', 'meant'),
    [
        ('train_dataloder', 'train_dataloader'),
        ('randomnes', 'randomness'),
        ('optim_warpper', 'optim_wrapper'),
        ('defualt_hooks', 'default_hooks'),
        ('param_schedulers', 'param_scheduler'),
        ('load_form', 'load_from'),
    ],
)
def test_slips_at_the_top(slip, meant):
    with pytest.raises(ConfigError, match=f'{slip}: no such key, did you mean {meant!r}'):
        check_config(config(**{slip: 1}))


@pytest.mark.parametrize(
    ('changes', 'message'),
    [
        (
            dict(train_cfg=dict(type='AlternatingTrainLoop', max_iter=3)),
            r"train_cfg\.max_iter: AlternatingTrainLoop has no 'max_iter', did you mean 'max_iters'\?",
        ),
        (
            dict(model=dict(type='ToyModel', spoilt_at=3)),
            r"model\.spoilt_at: ToyModel has no 'spoilt_at', did you mean 'spoil_at'\?",
        ),
        (
            dict(train_dataloader=dict(image=dict(toys.loader('image'), num_worker=2))),
            r"train_dataloader\.image\.num_worker: a loader has no 'num_worker', did you mean 'num_workers'\?",
        ),
        (
            dict(custom_hooks=[dict(type='StopHook', aftr=3)]),
            r"custom_hooks\.0\.aftr: StopHook has no 'aftr', did you mean 'after'\?",
        ),
        (
            dict(optim_wrapper=dict(type='PrecisionOptimWrapper', precison='bf16', optimizer=dict(type='AdamW', lr=1))),
            r"optim_wrapper\.precison: PrecisionOptimWrapper has no 'precison', did you mean 'precision'\?",
        ),
        (
            dict(optim_wrapper=dict(optimizer=dict(type='AdamW', weight_decy=1))),
            r"optim_wrapper\.optimizer\.weight_decy: AdamW has no 'weight_decy', did you mean 'weight_decay'\?",
        ),
    ],
)
def test_slips_inside(changes, message):
    with pytest.raises(ConfigError, match=message):
        check_config(config(**changes))


def test_all_slips_are_told_at_once():
    with pytest.raises(ConfigError) as caught:
        check_config(config(randomnes=1, model=dict(type='ToyModel', spoilt_at=3)))
    assert str(caught.value).count('did you mean') == 2


def test_hooks_take_the_arguments_of_their_base():
    check_config(config(custom_hooks=[dict(type='WholeCheckpointHook', interval=1, filename_tmpl='a', priority=3)]))


def test_the_whole_path_of_a_class_is_no_way_round_the_check():
    with pytest.raises(ConfigError, match=r"toys\.ToyModel has no 'spoilt_at', did you mean 'spoil_at'\?"):
        check_config(config(model=dict(type='toys.ToyModel', spoilt_at=3)))


def test_options_find_names_with_dots():
    loaders = {name: dict(batch_size=4, dataset={}) for name in ('image.retrieval', 'image.retrieval_other')}
    cfg = config(test_dataloader=loaders)
    apply_options(
        cfg, {'test_dataloader.image.retrieval.batch_size': 2, 'test_dataloader.image.retrieval_other.num_workers': 1}
    )
    assert cfg.test_dataloader == {
        'image.retrieval': dict(batch_size=2, dataset={}),
        'image.retrieval_other': dict(batch_size=4, dataset={}, num_workers=1),
    }
    with pytest.raises(ConfigError, match=r"test_dataloader has no 'image', there are image\.retrieval, image\.ret"):
        apply_options(cfg, {'test_dataloader.image.retrievl.batch_size': 2})


def test_options_change_what_is_there():
    cfg = config()
    apply_options(
        cfg,
        {
            'train_cfg.max_iters': 3,
            'train_dataloader.image.batch_size': 2,
            'train_dataloader.image.pin_memory': True,  # not in the config, but an argument of a loader
            'param_scheduler.0.end': 7,
            'randomness.deterministic': True,
            'resume': True,
        },
    )
    assert cfg.train_cfg.max_iters == 3 and cfg.train_dataloader.image.pin_memory and cfg.resume
    assert cfg.param_scheduler[0].end == 7 and cfg.param_scheduler[1].gamma == 0.85 and cfg.randomness.seed == 7


@pytest.mark.parametrize(
    ('path', 'message'),
    [
        ('train_cgf.max_iters', r"train_cgf\.max_iters: the config has no 'train_cgf', did you mean 'train_cfg'\?"),
        ('train_cfg.max_iter', r"train_cfg has no 'max_iter', did you mean 'max_iters'\?"),
        ('resum', r"the config has no 'resum', did you mean 'resume'\?"),
        ('train_dataloader.image.batchsize', r"did you mean 'batch_size'\?"),
        ('train_dataloader.images.batch_size', r"train_dataloader has no 'images', did you mean 'image'\?"),
        ('param_scheduler.5.end', r"param_scheduler is a list of 2, '5' is no place in it"),
        ('param_scheduler.0', r'replacing an item of a list is not possible; set param_scheduler as a whole'),
        ('train_cfg.max_iters.foo', r'train_cfg\.max_iters.* is the value 10, nothing can be set inside it'),
    ],
)
def test_options_that_lead_nowhere(path, message):
    with pytest.raises(ConfigError, match=message):
        apply_options(config(), {path: 1})


def test_a_name_of_the_configs_own_cannot_be_set_from_outside():
    with pytest.raises(ConfigError, match=r"data_root is a name of the config's own, already used where it was read"):
        apply_options(config(data_root='data'), dict(data_root='elsewhere'))


def test_known_keys_are_those_of_the_runner():
    assert {'model', 'work_dir', 'train_dataloader', 'load_options', 'compile'} <= known_keys()


def test_a_missing_config_lists_what_is_there(tmp_path):
    (tmp_path / 'near.py').write_text('a = 1\n')
    with pytest.raises(ConfigError, match=r'there is no config .*far.py; .* holds near.py'):
        read_config(tmp_path / 'far.py')
    with pytest.raises(ConfigError, match=r'there is no folder .*none either'):
        read_config(tmp_path / 'none/far.py')


def test_a_config_of_a_project_finds_the_code_beside_it(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, 'path', list(sys.path))
    folder = tmp_path / 'projects/omnivl_test_project'
    (folder / 'configs').mkdir(parents=True)
    (folder / 'part.py').write_text('class Part:\n    pass\n')
    (folder / 'configs/run.py').write_text(
        'from projects.omnivl_test_project.part import Part\n\nmine = dict(kind=Part)\n'
    )
    for name in [name for name in sys.modules if name.split('.')[0] == 'projects']:
        monkeypatch.delitem(sys.modules, name)
    assert read_config(folder / 'configs/run.py').mine.kind.__name__ == 'Part'
    for name in [name for name in sys.modules if name.split('.')[0] == 'projects']:
        monkeypatch.delitem(sys.modules, name)


def test_a_schedule_after_the_end_of_the_run_is_told():
    schedules = [dict(type='LinearLR', by_epoch=False, end=4), dict(type='CosineAnnealingLR', by_epoch=False, begin=4)]
    check_schedule(Config(dict(train_cfg=dict(max_iters=5), param_scheduler=schedules)))
    check_schedule(Config(dict(train_cfg=dict(max_epochs=5), param_scheduler=schedules)))
    with pytest.raises(ConfigError, match=r'param_scheduler.1 begins at iteration 4, but train_cfg.max_iters is 4'):
        check_schedule(Config(dict(train_cfg=dict(max_iters=4), param_scheduler=schedules)))


def written(path, content):
    path.write_text(json.dumps(content) if path.suffix == '.json' else yaml.safe_dump(content))
    return path


@pytest.mark.parametrize(
    ('suffix', 'wrapper'),
    [('.json', 'FullyShard'), ('.yaml', 'omnivl.FullyShard'), ('.yml', 'omnivl.engine.fully_shard.FullyShard')],
)
def test_a_config_of_data_names_what_is_registered(tmp_path, suffix, wrapper):
    content = config(
        model=dict(type='toys.ToyModel'),
        model_wrapper_cfg=dict(type=wrapper, param_dtype='bf16'),
        default_scope='omnivl',
        runner_type='OmniVLRunner',
        compile=dict(mode='default'),
        optim_wrapper=dict(
            type='omnivl.engine.PrecisionOptimWrapper',
            constructor='DefaultOptimWrapperConstructor',
            optimizer=dict(type='torch.optim.AdamW', lr=1.0),
        ),
        param_scheduler=[dict(type='mmengine.optim.LinearLR', end=3), dict(type='mmengine.LinearLR', end=3)],
        test_evaluator={'image.toy': dict(type='omnivl.ToyEvaluation')},
        visualizer=dict(type='Visualizer', vis_backends=[dict(type='LocalVisBackend')]),
        pipeline=[dict(type='LoadVideo', num_frames=2, decoder='auto')],
        custom_imports=None,
    ).to_dict()
    cfg = read_config(written(tmp_path / f'a{suffix}', json.loads(json.dumps(content))))
    assert cfg.model.type == 'toys.ToyModel' and cfg.optim_wrapper.optimizer.lr == 1.0
    assert cfg.filename == str(tmp_path / f'a{suffix}')


@pytest.mark.parametrize(
    ('changes', 'message'),
    [
        (
            dict(model=dict(type='os.system', command='touch TRACE')),
            "model.type is 'os.system', which is not registered",
        ),
        (dict(model=dict(type='system')), "model.type is 'system', which is not registered"),
        (dict(model=dict(type=None)), 'model.type is None, which is not registered'),
        (dict(model=dict(type='evil_toy.Toy')), "model.type is 'evil_toy.Toy', which is not registered"),
        (dict(model=dict(type='somewhere.ToyModel')), "model.type is 'somewhere.ToyModel', which is not registered"),
        (dict(model=dict(type='toys.os')), "model.type is 'toys.os', which is not registered"),
        (dict(custom_hooks=[dict(type='EMAHook', ema_type='os.system')]), "custom_hooks.0.ema_type is 'os.system'"),
        (dict(optim_wrapper=dict(constructor='os.system')), "optim_wrapper.constructor is 'os.system'"),
        (dict(a=[dict(type='LoadVideo', num_frames=2, decoder='os.system')]), "a.0.decoder is 'os.system', which is"),
        (dict(runner_type='os.system'), "runner_type is 'os.system', which is not registered"),
        (dict(runner_type='FlexibleRunner'), "runner_type is 'FlexibleRunner', which is not registered"),
        (dict(model_wrapper_cfg=dict(type='MMFullyShardedDataParallel')), 'model_wrapper_cfg.type is'),
        (dict(visualizer=dict(vis_backends=[dict(type='WandbVisBackend')])), "backends.0.type is 'WandbVisBackend'"),
        (dict(custom_imports=dict(imports=['evil_toy'])), 'custom_imports is there'),
        (dict(_base_='base.py'), '_base_ is there'),
        (dict(model=dict(type='ToyModel', _scope_='os')), '_scope_ is there'),
        (dict(model=dict(type='ToyModel', init_cfg=dict(type='Pretrained'))), 'model.init_cfg is there'),
        (dict(default_scope='evil_toy'), "default_scope is 'evil_toy', not one of omnivl, mmengine"),
        (dict(compile=dict(options={'cpp.cxx': ['./evil']})), 'compile has options'),
        (dict(work_dir='{{ $HOME:x }}'), r"work_dir has '\{\{ \$HOME:x \}\}', to be filled from the environment"),
        (dict(filename='a'), 'filename is reserved for config file; give that key another name'),
    ],
)
def test_a_config_of_data_runs_no_code(tmp_path, monkeypatch, changes, message):
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.chdir(tmp_path)
    for name in ('evil_toy.py', 'base.py', 'registry.py'):
        (tmp_path / name).write_text(f"open({str(tmp_path / 'trace')!r}, 'w')\nclass Toy: pass\n")
    changes = json.loads(json.dumps(changes).replace('TRACE', str(tmp_path / 'trace')))
    for suffix in ('.json', '.yaml'):
        with pytest.raises(ConfigError, match=message) as caught:
            read_config(written(tmp_path / f'a{suffix}', changes))
        assert '\n' not in str(caught.value) and not (tmp_path / 'trace').exists()
        assert 'filename' in changes or str(caught.value).endswith(
            'allow it with --trust-code, or write a Python config'
        )
    assert 'evil_toy' not in sys.modules


@pytest.mark.parametrize(
    ('name', 'text', 'message'),
    [
        ('a.yaml', "model: !!python/object/apply:os.system ['touch trace']", 'cannot be read as YAML: could not deter'),
        ('a.yaml', 'a: &a [*a]', 'cannot be read as YAML: maximum recursion'),
        ('a.yaml', 'a: [', 'cannot be read as YAML: while parsing'),
        ('a.json', '{"a": ', 'cannot be read as JSON: Expecting value'),
        ('a.json', '[1]', 'holds a list, a config is a mapping of names to values'),
        ('a.toml', 'a = 1', r'is no config: its name must end in .py, .json, .yaml, .yml'),
    ],
)
def test_files_that_are_no_config(tmp_path, monkeypatch, name, text, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / name).write_text(text)
    with pytest.raises(ConfigError, match=message):
        read_config(tmp_path / name)
    assert not (tmp_path / 'trace').exists()


def test_a_few_lines_that_stand_for_very_many(tmp_path):
    lines = ['a0: &a0 [1]', *(f'a{i}: &a{i} [{", ".join([f"*a{i - 1}"] * 10)}]' for i in range(1, 12))]
    (tmp_path / 'a.yaml').write_text('\n'.join(lines))
    with pytest.raises(ConfigError, match='more than 1000000 values'):
        read_config(tmp_path / 'a.yaml')


def test_a_trusted_config_of_data_is_read_as_mmengine_does(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / 'trusted_toy.py').write_text('')
    content = dict(custom_imports=dict(imports=['trusted_toy']), model=dict(type='os.getcwd'), _base_='base.json')
    (tmp_path / 'base.json').write_text('{"work_dir": "there"}')
    cfg = read_config(written(tmp_path / 'a.json', content), trust_code=True)
    assert cfg.model.type == 'os.getcwd' and cfg.work_dir == 'there' and 'trusted_toy' in sys.modules


def test_a_config_of_data_puts_nothing_on_the_path(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, 'path', list(sys.path))
    (tmp_path / 'projects').mkdir()
    read_config(written(tmp_path / 'a.json', dict(work_dir='there')))
    assert str(tmp_path) not in sys.path


STYLES = dict(old='', lazy='from mmengine.config import read_base\n\nwith read_base():\n    from .base import *\n\n')


@pytest.mark.parametrize('style', STYLES)
def test_custom_imports_in_both_styles(tmp_path, monkeypatch, style):
    def read(imports):
        (tmp_path / 'run.py').write_text(f'{STYLES[style]}custom_imports = {imports!r}\n')
        return read_config(tmp_path / 'run.py')

    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / 'base.py').write_text("work_dir = 'there'\n")
    (tmp_path / f'toy_of_{style}.py').write_text('')
    read(dict(imports=[f'toy_of_{style}'], allow_failed_imports=False))
    assert f'toy_of_{style}' in sys.modules
    with pytest.raises(ConfigError, match=r'run.py: custom_imports: Failed to import no_toy \(No module named .no_toy'):
        read(dict(imports=['no_toy']))
    with pytest.warns(UserWarning, match='no_toy failed to import and is ignored'):
        read(dict(imports=['no_toy'], allow_failed_imports=True))
    with pytest.raises(ConfigError, match=r"custom_imports is \['no_toy'\], it must be dict\(imports="):
        read(['no_toy'])


def two_vocabularies(tmp_path, second):
    """A model that states its vocabulary, a pipeline that states none, and one that states another file."""
    for name in ('a.txt', 'b.txt'):
        (tmp_path / name).write_text('\n'.join(['[PAD]', '[UNK]', '[CLS]', '[SEP]', '[MASK]', 'w']))
    words = dict(type='WordPieceTokenizer', vocab_file=str(tmp_path / 'a.txt'))
    step = dict(type='TokenizeText', max_length=9)
    other = dict(step, tokenizer=dict(words, vocab_file=str(tmp_path / second)))
    model = dict(type='TrunkModel', trunk=dict(type='OmniVL', tokenizer=words))
    content = dict(model=model, image_test_pipeline=[step], video_test_pipeline=[other])
    return written(tmp_path / 'run.json', content)


def test_the_model_states_the_vocabulary_and_pipelines_get_it(tmp_path):
    path = two_vocabularies(tmp_path, 'b.txt')  # says the same as a.txt
    cfg = read_config(path)
    assert cfg.image_test_pipeline[0].tokenizer == cfg.model.trunk.tokenizer
    cfg = read_config(path, options={'model.trunk.tokenizer.vocab_file': str(tmp_path / 'b.txt')})
    assert cfg.image_test_pipeline[0].tokenizer.vocab_file == str(tmp_path / 'b.txt')


@pytest.mark.parametrize('second', ['c.txt', 'missing.txt'])
def test_two_vocabularies_in_one_config_are_refused(tmp_path, second):
    (tmp_path / 'c.txt').write_text('\n'.join(['[PAD]', '[UNK]', '[CLS]', '[SEP]', '[MASK]', 'v']))
    message = rf"two vocabularies: WordPieceTokenizer\(vocab_file='.*a.txt'\) of the model, .*{second}.* in video"
    with pytest.raises(ConfigError, match=message):
        read_config(two_vocabularies(tmp_path, second))
