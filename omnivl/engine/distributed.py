"""Several processes: on GPUs over nccl as usual, and on a CPU over gloo, which MMEngine does not start."""

import datetime
import inspect
import os
import subprocess
from collections.abc import Mapping
from typing import Any, cast

import torch
import torch.distributed as torch_dist
from mmengine.model import MMDistributedDataParallel, is_model_wrapper
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from omnivl.errors import OmniVLRuntimeError, OmniVLValueError

from .data_parallel import AlternatingDataParallel

# Options of MMEngine's wrapper that say what becomes of parameters without a gradient.
SEARCHES = ('find_unused_parameters', 'static_graph', 'detect_anomalous_params')
LAUNCHERS = ('none', 'pytorch', 'slurm', 'mpi')
FIRST_PORT, PORTS = 12000, 18000  # of slurm's jobs, below those that systems give to clients
STARTERS = dict(pytorch='torchrun (tools/dist_train.sh)', slurm='srun (tools/slurm_train.sh)', mpi='mpirun')


def init_process_group(
    launcher: str, backend: str | None = None, timeout: float = 1800, port: int | None = None
) -> None:
    """Join the group of processes that a launcher started.

    MMEngine's ``init_dist`` calls ``torch.cuda.set_device`` always; here it is called where there is a GPU.

    Args:
        launcher: ``'pytorch'`` (torchrun), ``'slurm'`` (srun) or ``'mpi'`` (mpirun).
        backend: ``'nccl'`` or ``'gloo'``; by default nccl with GPUs and gloo without. nccl without a GPU means gloo.
        timeout: Seconds after which a collective call that not all processes reach is an error.
        port: Port of the first process, for slurm and mpi; by default ``MASTER_PORT``, else 29500, and for slurm one by
            the number of the job, since jobs may share a machine.
    """
    if launcher not in LAUNCHERS[1:]:
        raise OmniVLValueError(
            f'launcher is {launcher!r}; allowed: {", ".join(LAUNCHERS)} (--launcher of omnivl train)'
        )
    prepare = dict(pytorch=_pytorch_environment, slurm=_slurm_environment, mpi=_mpi_environment)[launcher]
    try:
        prepare(port)
    except KeyError as error:
        raise OmniVLRuntimeError(
            f'--launcher {launcher}, but the environment has no {error.args[0]}: start the processes with '
            f'{STARTERS[launcher]}'
        ) from None
    has_gpu = torch.cuda.is_available()
    if has_gpu:
        torch.cuda.set_device(int(os.environ['LOCAL_RANK']) % torch.cuda.device_count())
    if not has_gpu and backend in (None, 'nccl'):
        backend = 'gloo'
    limit = datetime.timedelta(seconds=timeout)
    store, rank, size = next(torch_dist.rendezvous('env://', timeout=limit))
    # A torchrun that starts its processes again keeps the store (torch 2.14, static rendezvous), and they would call at
    # the addresses of the dead ones.
    store = torch_dist.PrefixStore(f'round_{os.environ.get("TORCHELASTIC_RESTART_COUNT", 0)}', store)
    torch_dist.init_process_group(backend or 'nccl', timeout=limit, store=store, rank=rank, world_size=size)


def wrap_distributed(
    model: nn.Module, wrapper: type[MMDistributedDataParallel], options: Mapping[str, Any]
) -> MMDistributedDataParallel:
    """Wrap a model, on its device, so that gradients are averaged over the processes.

    A step may leave parameters out, as an image step does the temporal path: see ``AlternatingDataParallel``, which is
    taken for MMEngine's own wrapper unless the options say how that is to deal with them: ``find_unused_parameters``
    (True searches the graph of each step, False expects a gradient of each parameter in each step) or ``static_graph``
    (each step is as the first; neither of these two is right when tasks alternate). ``options`` are those of
    ``DistributedDataParallel``.
    """
    if wrapper is MMDistributedDataParallel and not set(options) & set(SEARCHES):
        wrapper = AlternatingDataParallel
    parameters = inspect.signature(DistributedDataParallel.__init__).parameters
    # The name since torch 2.15, and the one before.
    sync_buffers = 'forward_sync_buffers' if 'forward_sync_buffers' in parameters else 'broadcast_buffers'
    device = [torch.cuda.current_device()] if torch.cuda.is_available() else None
    defaults: dict[str, Any] = dict(device_ids=device)
    if not issubclass(wrapper, AlternatingDataParallel):
        defaults['find_unused_parameters'] = not options.get('static_graph', False)
    # The queues are made of gathered features, hence equal on all ranks.
    return wrapper(module=model, **{sync_buffers: False, **defaults, **options})


def unwrapped(model: nn.Module) -> nn.Module:
    """Return a model without its distributed wrapper."""
    return cast(nn.Module, model.module) if is_model_wrapper(model) else model


def _pytorch_environment(port: int | None) -> None:
    for name in ('RANK', 'WORLD_SIZE', 'LOCAL_RANK', 'MASTER_ADDR', 'MASTER_PORT'):
        _ = os.environ[name]


def _slurm_environment(port: int | None) -> None:
    rank, size = os.environ['SLURM_PROCID'], os.environ['SLURM_NTASKS']
    local_rank = os.environ['SLURM_LOCALID']
    if 'MASTER_ADDR' not in os.environ:
        nodes = os.environ['SLURM_NODELIST']
        hosts = subprocess.run(['scontrol', 'show', 'hostname', nodes], check=True, capture_output=True, text=True)
        os.environ['MASTER_ADDR'] = hosts.stdout.split()[0]
    if 'SLURM_JOB_ID' in os.environ:
        os.environ.setdefault('MASTER_PORT', str(FIRST_PORT + int(os.environ['SLURM_JOB_ID']) % PORTS))
    _set_ranks(rank, size, local_rank, port)


def _mpi_environment(port: int | None) -> None:
    rank, size = os.environ['OMPI_COMM_WORLD_RANK'], os.environ['OMPI_COMM_WORLD_SIZE']
    _ = os.environ['MASTER_ADDR']
    _set_ranks(rank, size, os.environ['OMPI_COMM_WORLD_LOCAL_RANK'], port)


def _set_ranks(rank: str, size: str, local_rank: str, port: int | None) -> None:
    os.environ.update(RANK=rank, WORLD_SIZE=size, LOCAL_RANK=local_rank)
    if port is not None:
        os.environ['MASTER_PORT'] = str(port)
    os.environ.setdefault('MASTER_PORT', '29500')
