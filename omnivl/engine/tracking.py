"""Where curves and pictures go: names for them, and the libraries that ``--track`` turns on."""

import importlib
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from mmengine.config import Config
from mmengine.dist import master_only
from mmengine.registry import VISBACKENDS  # not ours, whose names a config of JSON may use: these send the run away
from mmengine.visualization import LocalVisBackend, MLflowVisBackend, Visualizer, WandbVisBackend
from mmengine.visualization.vis_backend import force_init_env

from omnivl.registry import VISUALIZERS

from .data_config import ConfigError

# What --track knows: name -> backend and what it needs beside Python.
TRACKERS = {
    'tensorboard': ('TensorboardVisBackend', 'tensorboard'),
    'wandb': ('SteppedWandbVisBackend', 'wandb'),
    'mlflow': ('SteppedMLflowVisBackend', 'mlflow'),
    'trackio': ('TrackioVisBackend', 'trackio'),
}
NOTHING = 'none'
GROUPS = dict(
    speed=('time', 'data_time', 'samples_per_second', 'memory'),
    data=('samples', 'epochs', 'epoch', 'broken'),
    optimizer=('lr', 'base_lr', 'momentum', 'grad_norm', 'skipped_updates', 'loss_scale'),
)


def curve_tag(name: str) -> str:
    """Name a curve ``group/task/value``, after which TensorBoard and the others sort their panels.

    ``image/loss_lm`` becomes ``loss/image/lm``, ``image.retrieval.t2i_r1`` ``metric/image.retrieval/t2i_r1``.
    """
    *task, value = name.split('/')
    if 'loss' in value and value not in GROUPS['optimizer']:
        return '/'.join(['loss', *task, 'total' if value == 'loss' else value.removeprefix('loss_')])
    evaluation, dot, metric = value.rpartition('.')
    if dot:
        return '/'.join(['metric', *task, evaluation, metric])
    return '/'.join([next((group for group, values in GROUPS.items() if value in values), 'model'), *task, value])


@VISUALIZERS.register_module()
class CurveVisualizer(Visualizer):
    """Writes scalars to the lines of JSON as the log names them, and to all else under the names of ``curve_tag``."""

    @property
    def shows_pictures(self) -> bool:
        """Whether any backend has a place for pictures."""
        return any(not isinstance(backend, LocalVisBackend) for backend in self._vis_backends.values())

    @master_only
    def add_scalars(self, scalar_dict: dict[str, Any], step: int = 0, *rest: Any, **options: Any) -> None:
        """Write scalars; ``iter``, which is the step itself, is no curve."""
        curves = {curve_tag(name): value for name, value in scalar_dict.items() if name not in ('iter', 'step')}
        for backend in self._vis_backends.values():
            values = scalar_dict if isinstance(backend, LocalVisBackend) else curves
            backend.add_scalars(dict(values), step, *rest, **options)

    @master_only
    def add_image(self, name: str, image: np.ndarray, step: int = 0) -> None:
        """Write a picture, uint8 (H, W, 3) RGB, to whatever shows it; the lines of JSON do not."""
        for backend in self._vis_backends.values():
            if not isinstance(backend, LocalVisBackend):
                backend.add_image(name, image, step)


@VISBACKENDS.register_module()
class SteppedWandbVisBackend(WandbVisBackend):
    """MMEngine's wandb backend, with the iteration as step, and without an upload of all code of the folder."""

    project_variable = 'WANDB_PROJECT'

    def __init__(self, save_dir: str, init_kwargs: dict[str, Any] | None = None, **options: Any) -> None:
        super().__init__(save_dir, run_of(save_dir, self.project_variable) | (init_kwargs or {}), **options)

    @force_init_env
    def add_config(self, config: Config, **options: Any) -> None:
        """Record the config."""
        self._wandb.config.update(json.loads(json.dumps(config.to_dict(), default=str)), allow_val_change=True)

    @force_init_env
    def add_image(self, name: str, image: np.ndarray, step: int = 0, **options: Any) -> None:
        """Record a picture."""
        self._wandb.log({name: self._wandb.Image(image)}, step=step)

    @force_init_env
    def add_scalars(self, scalar_dict: dict[str, Any], step: int = 0, *rest: Any, **options: Any) -> None:
        """Record scalars."""
        self._wandb.log(scalar_dict, step=step)

    def close(self) -> None:
        """End the run."""
        if hasattr(self, '_wandb'):
            self._wandb.finish()


@VISBACKENDS.register_module()
class TrackioVisBackend(SteppedWandbVisBackend):
    """Trackio, whose functions are named as those of wandb; it writes to the disk unless it is told to send."""

    project_variable = 'TRACKIO_PROJECT'
    config: dict[str, Any] | None = None

    def _init_env(self) -> None:
        self._wandb = importlib.import_module('trackio')
        self._wandb.init(**self._init_kwargs, config=self.config)

    def add_config(self, config: Config, **options: Any) -> None:
        """Keep the config for the start of the run, which comes with the first value; the library owns names with _."""
        values = json.loads(json.dumps(config.to_dict(), default=str))
        self.config = {name: value for name, value in values.items() if name[0] != '_'}


@VISBACKENDS.register_module()
class SteppedMLflowVisBackend(MLflowVisBackend):
    """MMEngine's MLflow backend, with the iteration as the step of a picture; the config is a file of the run.

    Without the variable MLFLOW_TRACKING_URI all is kept in ``mlflow.db`` of the work directory.
    """

    def __init__(self, save_dir: str, **options: Any) -> None:
        run = run_of(save_dir, 'MLFLOW_EXPERIMENT_NAME')
        # Read here and not written into the config, which is logged: an address may hold a password.
        uri = os.environ.get('MLFLOW_TRACKING_URI', f'sqlite:///{Path(save_dir).resolve().parents[1]}/mlflow.db')
        super().__init__(save_dir, **dict(exp_name=run['project'], run_name=run['name'], tracking_uri=uri) | options)

    @force_init_env
    def add_config(self, config: Config, **options: Any) -> None:
        """Record the config; as parameters its values would be too long."""
        self.cfg = config
        self._mlflow.log_text(config.pretty_text, 'config.py')

    @force_init_env
    def add_image(self, name: str, image: np.ndarray, step: int = 0, **options: Any) -> None:
        """Record a picture."""
        self._mlflow.log_image(image, key=name, step=step)

    def close(self) -> None:
        """End the run; its files stay in the work directory."""
        if hasattr(self, '_mlflow'):
            self._mlflow.end_run()


def track_with(cfg: Config, names: Sequence[str], source: str = '--track') -> None:
    """Let a run be written to these of ``TRACKERS``, and to lines of JSON; the libraries must be there.

    ``source`` is where the names were given, for the messages.
    """
    unknown = [name for name in names if name not in (*TRACKERS, NOTHING)]
    if isinstance(names, str) or unknown:
        given = repr(names) if isinstance(names, str) else ', '.join(map(repr, unknown))
        raise ConfigError(f'{source} has {given}; allowed: a list of {", ".join((*TRACKERS, NOTHING))}')
    kinds = ['LocalVisBackend']
    for name in dict.fromkeys(name for name in names if name != NOTHING):
        kind, library = TRACKERS[name]
        try:
            importlib.import_module(library)
        except ImportError as error:
            raise ConfigError(f'{source} {name} needs {library}: pip install {library} ({error})') from error
        kinds.append(kind)
    cfg.visualizer = dict(type='CurveVisualizer', vis_backends=[dict(type=kind) for kind in kinds])


def run_of(save_dir: str, variable: str) -> dict[str, str]:
    """Name a run after its work directory (of <work_dir>/<time>/vis_data), and its project as the environment says."""
    return dict(project=os.environ.get(variable, 'omnivl'), name=Path(save_dir).resolve().parents[1].name)
