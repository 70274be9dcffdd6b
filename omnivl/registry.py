"""The registries of omnivl: children of MMEngine's, so its own components stay reachable by name.

Each registry knows the packages that fill it (``locations``) and imports them on first use, so a config may name a
component (``type='UnifiedVisualEncoder'``) without importing it. A project adds its own with ``custom_imports``.
"""

import inspect
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from mmengine import registry as mmengine

from omnivl.errors import OmniVLValueError

_fenced = ContextVar('fenced', default=False)


class Registry(mmengine.Registry):
    """MMEngine's, which imports and finds whatever a dotted name says; not so inside ``only_registered()``."""

    @contextmanager
    def switch_scope_and_registry(self, scope: str | None) -> Iterator[mmengine.Registry]:
        """Build with the registry of another scope (``_scope_``), which would know other names."""
        if not _fenced.get():
            with super().switch_scope_and_registry(scope) as registry:
                yield registry
        elif scope is None:
            yield self
        else:
            raise OmniVLValueError(f'_scope_={scope!r}: a folder of weights may name components of omnivl only')

    def get(self, key: str) -> Any:
        """Find a component by its name, or by its full name, as exported folders write it."""
        if not _fenced.get():
            return super().get(key)
        self.import_from_location()
        for name, component in self.module_dict.items():
            if key in (name, f'{component.__module__}.{component.__qualname__}'):
                return component
        raise OmniVLValueError(
            f'{key!r} is no {self.name} that omnivl, or a project imported before, has registered, and a folder of '
            'weights may name no other code: import the project that it comes from first'
        )


@contextmanager
def only_registered() -> Iterator[None]:
    """Let the configs that are built inside name registered components only: for files that are data, not code."""
    token = _fenced.set(True)
    try:
        yield
    finally:
        _fenced.reset(token)


# Data: annotation reader -> dataset -> transforms -> sampler.
ANNOTATIONS = Registry('annotation', locations=['omnivl.datasets.annotations'])
DATASETS = Registry('dataset', parent=mmengine.DATASETS, locations=['omnivl.datasets'])
TRANSFORMS = Registry('transform', parent=mmengine.TRANSFORMS, locations=['omnivl.datasets.transforms'])
PACKERS = Registry('packer', locations=['omnivl.datasets.transforms'])
VIDEO_DECODERS = Registry('video decoder', locations=['omnivl.datasets.transforms'])
DATA_SAMPLERS = Registry('data sampler', parent=mmengine.DATA_SAMPLERS, locations=['omnivl.datasets'])

# Model: tokenizers, encoders, decoders and losses are all MODELS but for the text tokenizer, which is no module.
MODELS = Registry('model', parent=mmengine.MODELS, locations=['omnivl.models'])
TOKENIZERS = Registry('text tokenizer', locations=['omnivl.models.tokenizers'])
NORMALIZERS = Registry('normalizer', locations=['omnivl.models'])
WEIGHT_READERS = Registry('weight reader', locations=['omnivl.weights'])
FOLDER_KINDS = Registry('kind of model folder', locations=['omnivl.weights'])

# Engine.
RUNNERS = Registry('runner', parent=mmengine.RUNNERS, locations=['omnivl.engine'])
LOOPS = Registry('loop', parent=mmengine.LOOPS, locations=['omnivl.engine'])
MODEL_WRAPPERS = Registry('model wrapper', parent=mmengine.MODEL_WRAPPERS, locations=['omnivl.engine'])
STREAMS = Registry('stream of training batches', locations=['omnivl.engine'])
HOOKS = Registry('hook', parent=mmengine.HOOKS, locations=['omnivl.engine', 'omnivl.visualization.validation'])
OPTIM_WRAPPERS = Registry('optimizer wrapper', parent=mmengine.OPTIM_WRAPPERS, locations=['omnivl.engine'])
OPTIM_WRAPPER_CONSTRUCTORS = Registry(
    'optimizer wrapper constructor', parent=mmengine.OPTIM_WRAPPER_CONSTRUCTORS, locations=['omnivl.engine']
)

# Evaluation: one protocol object per task (what is shown to the model, what is scored, how).
EVALUATIONS = Registry('evaluation', locations=['omnivl.evaluation'])

# What a person looks at: a picture of the values of each kind of modality.
PICTURES = Registry('picture', locations=['omnivl.visualization.pictures'])

# MMEngine's own, with nothing added: without a child of this scope it warns whenever it builds one of them.
FUNCTIONS = Registry('function', parent=mmengine.FUNCTIONS, locations=['omnivl.datasets'])
LOG_PROCESSORS = Registry('log processor', parent=mmengine.LOG_PROCESSORS, locations=['omnivl.engine'])
OPTIMIZERS = Registry('optimizer', parent=mmengine.OPTIMIZERS)
PARAM_SCHEDULERS = Registry('parameter scheduler', parent=mmengine.PARAM_SCHEDULERS)
VISBACKENDS = Registry('vis_backend', parent=mmengine.VISBACKENDS)
VISUALIZERS = Registry('visualizer', parent=mmengine.VISUALIZERS, locations=['omnivl.engine'])


def argument_names(component: Callable) -> set[str] | None:
    """Name the arguments of a class or function, as a config may give them.

    Args:
        component: The class or function.

    Returns:
        The names, those that a class hands on to its bases with ``**options`` included; None for a function that takes
        any.
    """
    if not inspect.isclass(component):
        parameters = inspect.signature(component).parameters
        return None if _takes_any(parameters) else set(parameters)
    names: set[str] = set()
    for base in component.__mro__:
        if '__init__' in vars(base):
            parameters = inspect.signature(vars(base)['__init__']).parameters
            names |= set(parameters)
            if base is object or not _takes_any(parameters):
                break
    return names


def _takes_any(parameters: Mapping[str, inspect.Parameter]) -> bool:
    return any(parameter.kind is inspect.Parameter.VAR_KEYWORD for parameter in parameters.values())
