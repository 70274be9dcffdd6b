"""The two forms of a graph: ONNX, and PyTorch's own program, which is read without this library."""

import contextlib
import importlib.util
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import torch
from torch import Tensor, nn
from torch.export import Dim, ExportedProgram

from omnivl.errors import OmniVLImportError, OmniVLRuntimeError

from .graphs import Graph

# From the inputs of a graph by name to its outputs in order.
Call = Callable[[Mapping[str, Tensor]], list[Tensor]]


@dataclass(frozen=True)
class Format:
    """How graphs are written and read again.

    Attributes:
        title: Its name for readers.
        suffix: How names of its files end.
        libraries: What has to be installed.
        write: Writes a traced graph into a file.
        read: Reads a file, on the way that a user reads it.
        warning: What its readers should know.
    """

    title: str
    suffix: str
    libraries: tuple[str, ...]
    write: Callable[[ExportedProgram, Graph, Mapping[str, Tensor], Path], None]
    read: Callable[[Path, Graph], Call]
    warning: str = ''

    def check_installed(self) -> None:
        """Raise an ``OmniVLImportError`` if a library is missing."""
        if missing := [name for name in self.libraries if importlib.util.find_spec(name) is None]:
            raise OmniVLImportError(
                f"{', '.join(missing)} not installed, which {self.title} needs: pip install 'omnivl[onnx]'"
            )


def trace(graph: Graph, example: Mapping[str, Tensor]) -> ExportedProgram:
    """Trace a graph with one example, every axis with a name left free.

    A model that settles on one size of such an axis, or that PyTorch cannot trace, is an ``OmniVLRuntimeError``.
    """
    free = {
        value.name: {axis: Dim.DYNAMIC for axis, size in enumerate(value.shape) if isinstance(size, str)}
        for value in graph.inputs
    }
    with torch.no_grad(), exporting(graph):
        return torch.export.export(graph.module.eval(), (), dict(example), dynamic_shapes=free, strict=False)


def fewest(program: ExportedProgram, graph: Graph, axis: str) -> int:
    """Return the least size of a free axis that a traced graph holds for; torch says 2 where 1 is right, too."""
    shapes = {node.name: node.meta['val'].shape for node in program.graph.nodes if node.op == 'placeholder'}
    symbols = [
        shapes[value.name][place].node.expr
        for value in graph.inputs
        for place, size in enumerate(value.shape)
        if size == axis
    ]
    return max((int(program.range_constraints[symbol].lower) for symbol in symbols), default=2)


def _drop_unused(program: ExportedProgram) -> None:
    """Empty the weights that a graph does not look at: it was traced in a model that has more than it uses."""
    used = {node.name for node in program.graph.nodes if node.op == 'placeholder' and node.users}
    parameters, buffers = program.graph_signature.inputs_to_parameters, program.graph_signature.inputs_to_buffers
    for name, key in {**parameters, **buffers}.items():
        if name not in used and key in program.state_dict:
            program.state_dict[key] = nn.Parameter(torch.empty(0)) if name in parameters else torch.empty(0)


@contextlib.contextmanager
def exporting(graph: Graph) -> Iterator[None]:
    """Say in one line what PyTorch's exporters refuse a graph for; keep what they warn of to themselves.

    They warn of names of axes that are one, and of old functions of their own.
    """
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')
        try:
            yield
        except OSError:
            raise  # of the disk
        except Exception as error:  # of many private kinds, and of what the model does when it is traced
            reason = next((line for line in str(error).splitlines() if line.strip()), type(error).__name__)
            raise OmniVLRuntimeError(f'torch cannot export the graph {graph.name}: {reason.strip()}') from error


def write_onnx(program: ExportedProgram, graph: Graph, example: Mapping[str, Tensor], path: Path) -> None:
    """Write a traced graph as ONNX, its weights inside (beside it from 2 GB on, which a file of ONNX cannot hold)."""
    names = {
        value.name: {axis: size for axis, size in enumerate(value.shape) if isinstance(size, str)}
        for value in graph.inputs
    }
    with exporting(graph):
        exported = torch.onnx.export(
            program,
            (),
            kwargs=dict(example),
            dynamo=True,
            verbose=False,
            dynamic_shapes=names,
            input_names=[value.name for value in graph.inputs],
            output_names=[value.name for value in graph.outputs],
        )
        cast(torch.onnx.ONNXProgram, exported).save(path)


def read_onnx(path: Path, graph: Graph) -> Call:
    """Read a file of ONNX with onnxruntime on the CPU."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()  # it would take all cores
    session = onnxruntime.InferenceSession(path, options, providers=['CPUExecutionProvider'])
    names = [value.name for value in graph.outputs]

    def call(inputs: Mapping[str, Tensor]) -> list[Tensor]:
        arrays = session.run(names, {name: value.numpy() for name, value in inputs.items()})
        return [torch.from_numpy(array) for array in arrays]

    return call


def write_program(program: ExportedProgram, graph: Graph, example: Mapping[str, Tensor], path: Path) -> None:
    """Write a traced graph as a file of ``torch.export.save``."""
    _drop_unused(program)
    with exporting(graph):
        torch.export.save(program, path)


def read_program(path: Path, graph: Graph) -> Call:
    """Read a file of ``torch.export.save``."""
    module = torch.export.load(path).module()
    return lambda inputs: list(module(**inputs))


FORMATS = {
    'onnx': Format('ONNX', '.onnx', ('onnx', 'onnxruntime', 'onnxscript'), write_onnx, read_onnx),
    'torch_export': Format(
        'torch.export',
        '.pt2',
        (),
        write_program,
        read_program,
        warning=' Read no `.pt2` of people you do not trust: PyTorch may run code of it.',
    ),
}
