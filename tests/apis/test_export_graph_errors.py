"""What ends an export of graphs with one line, before or after it has begun, and leaves no folder."""

import dataclasses
from pathlib import Path

import pytest
import torch
from torch import nn

from omnivl.apis import OmniVLInferencer
from omnivl.commands.export import folder as export_folder
from omnivl.commands.export import formats
from omnivl.commands.export.folder import export_graphs, write_graph
from omnivl.commands.export.formats import FORMATS
from omnivl.commands.export.graphs import Graph, Value, graphs_of, tower_of
from omnivl.commands.main import main
from omnivl.errors import OmniVLRuntimeError, OmniVLValueError
from omnivl.models.encoders import UnifiedVisualEncoder
from omnivl.registry import MODELS

CASES = [dict(batch=3, frames=4), dict(batch=1, frames=2)]


@pytest.fixture
def text_tower_only(monkeypatch):
    """Leave of a model the graph that is exported fastest."""

    def text_of(inferencer):
        return [graph for graph in graphs_of(inferencer) if graph.name == 'text']

    monkeypatch.setattr(export_folder, 'graphs_of', text_of)


@pytest.mark.parametrize(
    ('words', 'out', 'code', 'message'),
    [
        ('MODEL --format onnx', 'full', 1, r'error: --out .*full is not empty: remove it, or name another folder'),
        ('MODEL --format torch_export', 'full/a', 1, r'error: --out .*full/a is a file: give a folder'),
        ('CONFIG --format onnx', 'new', 1, r'error: the config .* alone has no weights: name a checkpoint after it'),
        ('nowhere.py --format onnx', 'new', 1, r'error: .*nowhere.py'),
        ('MODEL --format onnx --kind vqa', 'new', 2, None),
        ('MODEL --format tensorrt', 'new', 2, None),
    ],
)
def test_a_mistake_is_said_before_anything_is_loaded(words, out, code, message, world, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr('omnivl.commands.export.exporting.OmniVLInferencer', None)
    (tmp_path / 'full').mkdir()
    (tmp_path / 'full/a').write_text('mine')
    places = dict(MODEL=(world.config, world.checkpoint), CONFIG=(world.config,))
    arguments = [str(part) for word in words.split() for part in places.get(word, (word,))]
    with pytest.raises(SystemExit, match=message) as end:
        main(['export', *arguments, '--out', str(tmp_path / out)])
    if code == 2:
        said = capsys.readouterr().err
        assert end.value.code == 2
        assert '--kind is of --format blip, not of onnx' in said or "'tensorrt' (choose from" in said
    assert sorted(path.name for path in tmp_path.rglob('*')) == ['a', 'full']


def test_a_missing_library_is_named_with_its_command(world, tmp_path, monkeypatch):
    find = formats.importlib.util.find_spec
    monkeypatch.setattr(formats.importlib.util, 'find_spec', lambda name: None if 'runtime' in name else find(name))
    arguments = ['export', str(world.config), str(world.checkpoint), '--format', 'onnx', '--out', str(tmp_path / 'new')]
    with pytest.raises(
        SystemExit, match=r"^error: onnxruntime not installed, which ONNX needs: pip install 'omnivl\[onnx\]'$"
    ):
        main(arguments)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize('change', [0.01, float('nan')])
def test_a_file_that_is_not_the_model_leaves_no_folder(change, text_tower_only, world, tmp_path, monkeypatch):
    form = FORMATS['torch_export']

    def write_changed(program, graph, example, path):
        key = next(key for key in program.state_dict if key.endswith('text_proj.bias'))
        with torch.no_grad():
            program.state_dict[key] = nn.Parameter(program.state_dict[key] + change * torch.arange(8))
        form.write(program, graph, example, path)

    monkeypatch.setitem(FORMATS, 'torch_export', dataclasses.replace(form, write=write_changed))
    inferencer = world.inferencer()
    with pytest.raises(
        OmniVLRuntimeError,
        match=r'^the written graph text is not the model: its text_embedding differs by \S+ \(at most 1e-04\) at '
        r"\{'batch': 1, 'length': 1\}; nothing is left of this export$",
    ):
        export_graphs(inferencer, 'torch_export', tmp_path / 'new' / 'graphs')
    assert [path.name for path in tmp_path.rglob('*')] == ['new']


def test_an_export_takes_the_place_of_an_empty_folder_only_when_it_is_whole(text_tower_only, world, tmp_path):
    (tmp_path / 'graphs').mkdir()
    export_graphs(world.inferencer(), 'torch_export', tmp_path / 'graphs')
    names = {'text.pt2', 'README.md', 'SHA256SUMS', 'tokenizer.json', 'vocab.txt'}
    assert {path.name for path in (tmp_path / 'graphs').iterdir()} == names
    assert [path.name for path in tmp_path.iterdir()] == ['graphs']
    assert (tmp_path / 'graphs').stat().st_mode & 0o777 == 0o755
    assert 'PyTorch may run code of it' in (tmp_path / 'graphs/README.md').read_text()
    assert '```python' not in (tmp_path / 'graphs/README.md').read_text()  # there is no tower to begin with
    with pytest.raises(OmniVLValueError, match='is not empty'):
        export_graphs(world.inferencer(), 'torch_export', tmp_path / 'graphs')


def test_an_exported_folder_is_a_model_too(text_tower_only, world, tmp_path):
    main(['export', str(world.config), str(world.checkpoint), '--out', str(tmp_path / 'exported')])
    main(['export', str(tmp_path / 'exported'), '--format', 'torch_export', '--out', str(tmp_path / 'graphs')])
    assert (tmp_path / 'graphs/text.pt2').is_file()


def test_a_place_that_cannot_be_made_is_said(text_tower_only, world):
    with pytest.raises(OmniVLValueError, match=r'^--out /proc/omnivl/graphs cannot be made: .*; name another folder$'):
        export_graphs(world.inferencer(), 'torch_export', Path('/proc/omnivl/graphs'))


@MODELS.register_module()
class OneClipLength(UnifiedVisualEncoder):
    """Counts frames in Python, which makes a traced graph one for that count."""

    def forward(self, frames, modality):
        return super().forward(frames[:, list(range(int(frames.shape[1])))], modality)


def test_a_model_for_one_number_of_frames_gets_a_graph_for_it(tiny_config, tmp_path, capsys):
    config = tiny_config('TrunkModel', trunk=dict(encoder=dict(depth=1)))
    config['trunk']['visual_encoder']['type'] = 'OneClipLength'
    tower = tower_of(MODELS.build(config).eval(), 'video', torch.zeros(4, 3, 32, 32, dtype=torch.uint8))
    graph, parity = write_graph(tower, FORMATS['torch_export'], tmp_path, CASES, 1)
    assert graph.inputs[0].shape == ('batch', 4, 3, 32, 32) and parity.sizes == [dict(batch=1)]
    assert capsys.readouterr().out == '  video: fixed to clips of 4 frames, as the model has no free number of them\n'


class Branching(nn.Module):
    def forward(self, pixels):
        return (pixels.float() if pixels.sum() > 0 else -pixels.float(),)


def test_a_model_that_cannot_be_traced_is_said_in_one_line(tmp_path):
    value = Value('pixels', torch.uint8, ('batch', 3), '')
    graph = Graph('image', Branching(), (value,), (value,))
    with pytest.raises(OmniVLRuntimeError, match=r'^torch cannot export the graph image: .+') as caught:
        write_graph(graph, FORMATS['torch_export'], tmp_path, CASES, 1)
    assert '\n' not in str(caught.value)


def test_what_is_left_out_is_said(world, tiny_config):
    inferencer = world.inferencer()
    assert list(export_folder.left_out(inferencer)) == []
    inferencer.preparation.text_steps = []
    assert list(export_folder.left_out(inferencer)) == ['texts are left out: no test pipeline has TokenizeText']
    inferencer.preparation.pipelines = {}
    with pytest.raises(OmniVLValueError, match='graphs need one of images or videos'):
        list(export_folder.left_out(inferencer))


def test_the_help_explains_the_formats(capsys):
    with pytest.raises(SystemExit):
        main(['export', '--help'])
    said = capsys.readouterr().out
    assert '{safetensors,blip,onnx,torch_export}' in said and '--format onnx --out graphs' in said
    assert all(f'\n  {name} ' in said for name in ('safetensors', 'blip', 'onnx', 'torch_export'))


def test_an_inferencer_can_be_used_after_an_export(text_tower_only, world, tmp_path):
    inferencer = world.inferencer()
    before = inferencer.match(world.images[0], 'w1 w2')['score']
    export_graphs(inferencer, 'torch_export', tmp_path / 'graphs')
    assert isinstance(inferencer, OmniVLInferencer) and inferencer.match(world.images[0], 'w1 w2')['score'] == before
