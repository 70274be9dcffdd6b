"""MMEngine's Runner, mended for today's PyTorch: whole checkpoints, exact resume, several processes on a CPU."""

import contextlib
import copy
from collections.abc import Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any, cast

from mmengine.config import Config
from mmengine.device import get_device
from mmengine.dist import broadcast, broadcast_object_list, is_distributed, is_main_process
from mmengine.logging import MMLogger
from mmengine.model import MMDistributedDataParallel, is_model_wrapper, revert_sync_batchnorm
from mmengine.registry import Registry
from mmengine.runner import BaseLoop, LogProcessor, Runner, set_random_seed
from mmengine.visualization import Visualizer
from torch import nn

from omnivl.errors import OmniVLValueError
from omnivl.models.interfaces import HasParts, TakesWeights, offered_by, serving
from omnivl.registry import LOOPS, MODEL_WRAPPERS, RUNNERS
from omnivl.storage import checkpoint as files
from omnivl.storage.background import Writer
from omnivl.storage.files import remove_leftovers, telling_no_room
from omnivl.storage.lock import lock_folder
from omnivl.storage.tensor_shards import is_sharded
from omnivl.weights import load_weights
from omnivl.weights.facts import START, USE
from omnivl.weights.report import grouped

from .compilation import compile_model
from .config import share_tokenizer
from .console import shorten_console
from .distributed import init_process_group, wrap_distributed
from .evaluation_loop import EvaluationLoop
from .identity import describe, load_into
from .log_processor import OmniVLLogProcessor
from .rounds import is_restarted, note_older, older_checkpoints
from .run_state import check_resumable, restore, set_random_state
from .saving import save_run
from .signals import watch_launcher
from .tracking import CurveVisualizer


@RUNNERS.register_module()
class OmniVLRunner(Runner):
    """Builds and runs everything from a config; see ``mmengine.runner.Runner`` for the keys.

    What differs:

    - Checkpoints hold plain values and tensors only, are written whole or not at all, and are read with
      ``weights_only=True``.
    - ``resume`` may be ``True`` or a path and goes on bit for bit as the unbroken run would. ``True`` means the last
      whole checkpoint of the work directory; if there is none yet, the run begins, with ``load_from`` if that is
      given.
    - ``load_from`` may also be a dict, or a list of dicts, that ``omnivl.weights`` understands; ``load_options`` says
      which keys of a checkpoint may differ.
    - Processes on a CPU talk over gloo.
    """

    loaded_from: str | None = None
    # Of MMEngine's Runner, whose own annotations say less.
    _has_loaded: bool
    _resume: bool | str
    _randomness_cfg: dict[str, Any]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._resume_content: dict[str, Any] | None = None
        self._older: list[Path] = []  # checkpoints of a run before this one
        self._pending_random_state: dict[str, Any] | None = None
        self.writer = Writer()  # of checkpoints
        super().__init__(*args, **kwargs)

    @classmethod
    def from_cfg(cls, cfg: Config | dict) -> 'OmniVLRunner':
        """Build a runner from a config; components are looked for in the scope of omnivl first."""
        cfg = Config(cfg) if not isinstance(cfg, Config) else copy.deepcopy(cfg)
        vars(cfg)['_format_python_code'] = False  # laid out by yapf, the text of each log and checkpoint takes a second
        cfg.setdefault('default_scope', 'omnivl')
        share_tokenizer(cfg)
        return super().from_cfg(cfg)

    def setup_env(self, env_cfg: dict) -> None:
        """Join the process group before MMEngine would, which needs a GPU for that."""
        if self.distributed and not is_distributed():
            if self.launcher in ('pytorch', 'mpi'):  # slurm ends what it started
                watch_launcher()
            init_process_group(self.launcher, **env_cfg.get('dist_cfg', {}))
        super().setup_env(env_cfg)
        with self._alone():
            pass  # refuse before the log and the config of this run are written there

    def set_randomness(self, seed: int | None, diff_rank_seed: bool = True, deterministic: bool = False) -> None:
        """Seed all generators; ``None`` draws a seed, the same on all ranks.

        With ``diff_rank_seed`` each rank draws other numbers (dropout, negatives), or the parts of a batch would be
        trained with one draw; weights start as those of the first rank, and data order and alternation follow the
        common seed. ``deterministic`` allows deterministic algorithms only.
        """
        self._deterministic = deterministic
        self._seed = set_random_seed(seed=seed, deterministic=deterministic)
        if diff_rank_seed:
            set_random_seed(seed=self._seed, deterministic=deterministic, diff_rank_seed=True)

    def wrap_model(self, model_wrapper_cfg: dict | None, model: nn.Module) -> nn.Module:
        """Move the model to its device and, with several processes, wrap it in DDP.

        ``model_wrapper_cfg`` has arguments of ``DistributedDataParallel``; with the ``type`` of a wrapper that does not
        derive from MMEngine's it is left to MMEngine. One that no registry knows is an OmniVLValueError.
        """
        options = dict(model_wrapper_cfg or {})
        kind = options.pop('type', MMDistributedDataParallel)
        wrapper = named_class(kind, MODEL_WRAPPERS)
        if is_model_wrapper(model):
            return super().wrap_model(model_wrapper_cfg, model)
        if wrapper is object:
            own = ', '.join(sorted(MODEL_WRAPPERS.module_dict))
            raise OmniVLValueError(f'model_wrapper_cfg.type is {kind!r}; ours are {own}')
        if not issubclass(wrapper, MMDistributedDataParallel):
            # It looks the name up without our scope, and takes no classes.
            return super().wrap_model(dict(options, type=f'{wrapper.__module__}.{wrapper.__qualname__}'), model)
        model = model.to(get_device())
        if not self.distributed:
            return revert_sync_batchnorm(model)
        if 'find_unused_parameters' in self.cfg:
            options.setdefault('find_unused_parameters', self.cfg.find_unused_parameters)
        return wrap_distributed(model, wrapper, options)

    def build_logger(self, log_level: int | str = 'INFO', log_file: str | None = None, **options: Any) -> MMLogger:
        """Build the logger; the dumps of MMEngine go into its file only."""
        logger = super().build_logger(log_level, log_file, **options)
        shorten_console(logger)
        return logger

    def build_log_processor(self, log_processor: LogProcessor | dict) -> LogProcessor:
        """Build the log processor, by default one that counts iterations."""
        if isinstance(log_processor, dict) and 'type' not in log_processor:
            return OmniVLLogProcessor(**{'by_epoch': False, **log_processor})
        return super().build_log_processor(log_processor)

    def build_visualizer(self, visualizer: Visualizer | dict | None = None) -> Visualizer:
        """Build the writer of curves, by default to JSON lines and TensorBoard."""
        if visualizer is None:
            visualizer = dict(vis_backends=[dict(type='LocalVisBackend'), dict(type='TensorboardVisBackend')])
        usual = ('Visualizer', Visualizer, 'CurveVisualizer', CurveVisualizer)
        if isinstance(visualizer, dict) and visualizer.get('type', 'Visualizer') in usual:
            options = {key: value for key, value in visualizer.items() if key != 'type'}
            return CurveVisualizer.get_instance(**{'name': self._experiment_name, 'save_dir': self._log_dir, **options})
        return super().build_visualizer(visualizer)

    def register_default_hooks(self, hooks: dict[str, Any] | None = None) -> None:
        """Register the hooks that every run has; a config changes or (with ``None``) removes them by name."""
        defaults: dict[str, dict[str, Any]] = dict(
            runtime_info=dict(type='RuntimeInfoHook'),
            timer=dict(type='StepTimerHook'),
            monitor=dict(type='TrainingMonitorHook'),
            logger=dict(type='LoggerHook', log_metric_by_epoch=False),
            param_scheduler=dict(type='ParamSchedulerHook'),
            checkpoint=dict(type='WholeCheckpointHook'),
            progress=dict(type='ProgressLineHook'),
            pictures=dict(type='ValidationPicturesHook'),
            story=dict(type='StoryHook'),
        )
        for name, hook in {**defaults, **(hooks or {})}.items():
            if isinstance(hook, Mapping) and 'type' not in hook:
                hook = {**defaults.get(name, {}), **hook}
            if hook is not None:
                self.register_hook(hook)

    def build_train_loop(self, loop: BaseLoop | dict) -> BaseLoop:
        """Build the train loop; when the run resumes, with the seed of its first start."""
        if not isinstance(loop, BaseLoop):
            self._read_resume_checkpoint()
        return super().build_train_loop(loop)

    def build_val_loop(self, loop: BaseLoop | dict) -> BaseLoop:
        """Build the validation loop."""
        return super().build_val_loop(_with_stage(loop, 'val'))

    def build_test_loop(self, loop: BaseLoop | dict) -> BaseLoop:
        """Build the test loop."""
        return super().build_test_loop(_with_stage(loop, 'test'))

    def load_or_resume(self) -> None:
        """Resume the run, or load the weights it starts from."""
        if self._has_loaded:
            return
        self._read_resume_checkpoint()
        self._has_loaded = True
        if self._resume_content is not None:
            self._apply_resume(self._resume_content)
            self._resume_content = None
        elif isinstance(self._load_from, str | Path):
            self.load_checkpoint(str(self._load_from))
        elif self._load_from is not None:
            reports = load_weights(serving(self.bare_model, HasParts, 'load_from'), self._load_from)
            self.loaded_from = '; '.join(report.source for report in reports)

    def start_at_random(self) -> None:
        """Keep the values that the seed gives the model, as a training from scratch does; to compare others with."""
        self._init_model_weights()
        self._has_loaded = True
        self.loaded_from = f'random (seed {self.seed})'

    def load_checkpoint(self, filename: str, options: files.LoadOptions | dict | None = None) -> dict[str, Any]:
        """Load weights from a checkpoint or a ``.safetensors`` file, and return its content.

        ``options`` are the differences that are allowed; by default those of ``load_options`` in the config.
        """
        content = files.load_checkpoint(filename)
        self.call_hook('after_load_checkpoint', checkpoint=content)
        options = self.cfg.get('load_options') if options is None else options
        if not isinstance(options, files.LoadOptions):
            options = files.LoadOptions(**(options or {}))
        purpose = USE if self.cfg.get('train_cfg') is None else START
        report = load_into(self.bare_model, content, filename, options, purpose)
        self._has_loaded = True
        self.loaded_from = filename
        for title, keys in vars(report).items():
            if keys:
                self.logger.warning(f'{filename}: {len(keys)} keys {title}: {", ".join(grouped(keys))}')
        self.logger.info(f'Loaded the weights of {filename}')
        if (follows := offered_by(self.bare_model, TakesWeights)) is not None:
            follows.after_load()
        return content

    def resume(self, filename: str) -> None:
        """Go on with the run that wrote a checkpoint."""
        self.loaded_from = filename
        content = files.load_checkpoint(filename)
        files.check_finite(content, filename)
        self._apply_resume(content)
        self._has_loaded = True

    def save_checkpoint(
        self,
        out_dir: str,
        filename: str,
        file_client_args: dict | None = None,
        save_optimizer: bool = True,
        save_param_scheduler: bool = True,
        meta: dict | None = None,
        by_epoch: bool = True,
        backend_args: dict | None = None,
    ) -> None:
        """Write a checkpoint; every rank must call it, see ``save_run``.

        Without ``save_optimizer`` the file holds weights only, else all that a resumed run needs; ``meta`` has epoch
        and iteration, as MMEngine's hook counts them. Weights that are not finite are never written. The other
        arguments are of MMEngine's interface: files are local only, so ``file_client_args`` and ``backend_args`` must
        be None, and the train loop knows its place.
        """
        if file_client_args is not None or backend_args is not None:
            raise OmniVLValueError(
                'checkpoints are written to local files: leave out file_client_args and backend_args'
            )
        save_run(self, Path(out_dir) / filename, save_optimizer, save_param_scheduler, meta or {})

    def restore_random_state(self) -> None:
        """Put back the generators of the resumed run; the loop calls it right before its first step."""
        if self._pending_random_state is not None:
            set_random_state(self._pending_random_state)
            self._pending_random_state = None

    @cached_property
    def description(self) -> dict[str, Any]:
        """What checkpoints of this run say of their model, see ``omnivl/engine/identity.py``; made once."""
        return describe(self.cfg, self.bare_model)

    @property
    def bare_model(self) -> nn.Module:
        """The model without its distributed wrapper."""
        return self.model.module if is_model_wrapper(self.model) else self.model

    def train(self) -> nn.Module:
        """Train the model and return it."""
        with self._alone(), telling_no_room(Path(self.work_dir)):  # logs and curves, too
            if is_main_process():
                for name in remove_leftovers(self.work_dir):
                    self.logger.info(f'Removed {name}, which a killed process left half written')
            self._go_on_if_restarted()
            return super().train()

    def test(self) -> dict[str, float]:
        """Test the model and return the figures."""
        with self._alone():
            return super().test()

    @contextlib.contextmanager
    def _alone(self) -> Iterator[None]:
        """Keep other runs out of the work directory, whose files they would take for their own; the first rank does."""
        with lock_folder(self.work_dir) if is_main_process() else contextlib.nullcontext():
            yield

    def _init_model_weights(self) -> None:
        """Initialise as ``init_cfg`` of the model says, equally on all ranks; MMEngine would send parts of tensors."""
        cast(Any, self.bare_model).init_weights()
        for value in self.bare_model.state_dict().values():
            if not is_sharded(value):
                broadcast(value)

    def _maybe_compile(self, target: str) -> None:
        """Compile the model if ``compile`` in the config says so, see ``compile_model``.

        MMEngine compiles the whole ``train_step``, whose optimizer part is compiled anew at every learning rate.
        """
        if options := self.cfg.get('compile'):
            what = compile_model(self.bare_model, options)
            self.logger.info(f'Compiled: {what}; the first iterations take longer')

    def _go_on_if_restarted(self) -> None:
        """Resume what the rounds before this one have saved; before their first checkpoint begin as it was told."""
        has_saved = [False]
        if is_main_process() and not is_restarted():
            note_older(self.work_dir)
        elif is_main_process() and self._resume not in (True, 'auto'):  # which mean older checkpoints too
            self._older = older_checkpoints(self.work_dir)
            has_saved = [len(files.find_checkpoints(self.work_dir)) > len(self._older)]
        broadcast_object_list(has_saved)
        if has_saved[0]:
            self.cfg.resume = self._resume = 'auto'

    def _read_resume_checkpoint(self) -> None:
        """Find and read the checkpoint to go on from, once, before anything is built that depends on the seed."""
        if not self._resume or self._has_loaded or self._resume_content is not None:
            return
        if self._resume is True or self._resume == 'auto':
            self._resume_content = self._read_last_checkpoint()
        else:
            self._resume_content = files.load_checkpoint(self._resume)
            files.check_finite(self._resume_content, self._resume)
            self.loaded_from = str(self._resume)
        if self._resume_content is None:
            self._resume = False
            return
        check_resumable(self._resume_content, str(self.loaded_from))
        self._take_seed(self._resume_content['meta'].get('seed'))

    def _read_last_checkpoint(self) -> dict[str, Any] | None:
        # The first rank decides: a file may be whole for one and not yet seen by another.
        content: dict[str, Any] | None = None
        found: list[str | None] = [None]
        if is_main_process():
            path, content, _ = files.load_last_checkpoint(self.work_dir, self._older)
            found = [None if path is None else str(path)]
        broadcast_object_list(found)
        self.loaded_from = found[0]
        if found[0] is None:
            self.logger.info(f'There is no checkpoint in {self.work_dir} to resume from, training starts anew')
            return None
        return files.load_checkpoint(found[0]) if content is None else content

    def _take_seed(self, seed: int | None) -> None:
        if seed is None or seed == self.seed:
            return
        if self._randomness_cfg.get('seed') is not None:
            self.logger.warning(f'randomness.seed is {self.seed}, the resumed run began with {seed} and keeps it')
        self._randomness_cfg = dict(self._randomness_cfg, seed=seed)
        self.set_randomness(**self._randomness_cfg)

    def _apply_resume(self, content: dict[str, Any]) -> None:
        self.call_hook('after_load_checkpoint', checkpoint=content)
        for warning in restore(self, content, str(self.loaded_from)):
            self.logger.warning(f'{self.loaded_from}: {warning}')
        states = content['random_states']
        if self.rank < len(states):
            self._pending_random_state = states[self.rank]
        done = content['train_loop']['iteration']
        self.logger.info(f'Resumed {self.loaded_from}: {done} of {self.max_iters} iterations are done')


def _with_stage(loop: BaseLoop | dict, stage: str) -> BaseLoop | dict:
    """Tell an evaluation loop what it is for; MMEngine hands over only its data."""
    if isinstance(loop, dict) and issubclass(named_class(loop.get('type'), LOOPS), EvaluationLoop):
        return dict(loop, stage=stage)
    return loop


def named_class(kind: str | type | None, registry: Registry) -> type:
    """Return the class that the ``type`` of a config stands for: a name, the whole path of a dump, or the class.

    What the registry does not know is an ``object``; the registry says so itself when it builds.
    """
    kind = registry.get(kind) if isinstance(kind, str) else kind
    return kind if isinstance(kind, type) else object
