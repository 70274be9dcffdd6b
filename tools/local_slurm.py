"""Set up a real Slurm on this machine, one node, for tests and trials; and tear it down.

Needs root and Debian's slurm-wlm and munge (``apt-get install slurm-wlm munge``). Everything is in one folder, a
key of its own for munge among it; nothing outside of it is changed.

    python tools/local_slurm.py up --dir /tmp/slurm --gpus 4
    export SLURM_CONF=/tmp/slurm/slurm.conf
    sinfo; GPUS=2 sbatch ...
    python tools/local_slurm.py down --dir /tmp/slurm
"""

import argparse
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

PROGRAMS = ('munged', 'slurmctld', 'slurmd', 'sinfo')
WAIT = 30.0  # seconds until the node is there
CONF = """\
ClusterName=local
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={control}
SlurmdPort={node}
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
# A requeued job waits until the credentials of its first round are over, two minutes if nobody says otherwise.
AuthInfo=socket={folder}/munge.socket,cred_expire=6
CredType=cred/munge
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
JobRequeue=1
KillWait=30
MinJobAge=300
SchedulerParameters=sched_interval=1,bf_interval=1,requeue_delay=0
GresTypes=gpu
ReturnToService=2
SlurmdParameters=config_overrides
NodeName={host} NodeAddr=127.0.0.1 CPUs={cores} State=UNKNOWN Gres=gpu:{gpus}
PartitionName=local Nodes={host} Default=YES MaxTime=INFINITE State=UP OverSubscribe=FORCE:8
"""


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(('127.0.0.1', 0))
        return probe.getsockname()[1]


def missing() -> str | None:
    """Say what is missing here, or None."""
    lacking = [name for name in PROGRAMS if shutil.which(name, path=f'{os.environ.get("PATH", "")}:/usr/sbin') is None]
    if lacking:
        return f'{", ".join(lacking)} not installed (Debian: apt-get install slurm-wlm munge)'
    return None if os.geteuid() == 0 else 'it needs root'


def run(*command: str) -> None:
    """Run a program to its end; an error ends this one with what it said."""
    environment = dict(os.environ, PATH=f'{os.environ.get("PATH", "")}:/usr/sbin')
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    if done.returncode:
        sys.exit(f'error: {" ".join(command)} ended with {done.returncode}: {(done.stderr or done.stdout).strip()}')


def up(folder: Path, gpus: int, cores: int) -> None:
    """Start munge, the controller and one node, and wait until the node is idle."""
    reason = missing()
    if reason is not None:
        sys.exit(f'error: {reason}')
    for name in ('state', 'spool'):
        (folder / name).mkdir(parents=True, exist_ok=True)
    folder.chmod(0o755)  # munge does not trust a folder that others may write to
    host = socket.gethostname().split('.')[0]
    conf = folder / 'slurm.conf'
    conf.write_text(
        CONF.format(host=host, folder=folder, gpus=gpus, cores=cores, control=free_port(), node=free_port())
    )
    for number in range(gpus):  # a card is a file to Slurm
        (folder / f'gpu{number}').touch()
    (folder / 'gres.conf').write_text(f'NodeName={host} Name=gpu File={folder}/gpu[0-{gpus - 1}]\n')
    key = folder / 'munge.key'
    key.write_bytes(secrets.token_bytes(128))
    key.chmod(0o400)
    files = (
        f'--{kind}={folder}/munge.{kind.split("-")[0]}' for kind in ('socket', 'pid-file', 'log-file', 'seed-file')
    )
    run('munged', '--force', f'--key-file={key}', *files)
    os.environ['SLURM_CONF'] = str(conf)
    run('slurmctld', '-c', '-f', str(conf))
    run('slurmd', '-c', '-f', str(conf), '-N', host)
    end = time.monotonic() + WAIT
    while time.monotonic() < end:
        state = subprocess.run(['sinfo', '--noheader', '--format=%T'], capture_output=True, text=True, check=False)
        if state.stdout.strip() == 'idle':
            print(f'a Slurm with one node of {cores} cores and {gpus} GPUs by name: export SLURM_CONF={conf}')
            return
        time.sleep(0.2)
    down(folder)
    sys.exit(
        f'error: the node was not there after {WAIT:.0f} s: {state.stdout.strip()} {state.stderr.strip()}; see {folder}'
    )


def down(folder: Path) -> None:
    """End what ``up`` has started; the folder and its logs stay."""
    for name in ('slurmctld.pid', 'slurmd.pid', 'munge.pid'):
        file = folder / name
        with suppress(OSError, ValueError):
            os.kill(int(file.read_text()), signal.SIGTERM)


def main() -> None:
    """Set up or tear down."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('action', choices=('up', 'down'))
    parser.add_argument('--dir', type=Path, required=True, help='folder for its settings, state and logs')
    parser.add_argument('--gpus', type=int, default=4, help='GPUs that it counts; there need not be any (default: 4)')
    parser.add_argument('--cores', type=int, default=8, help='cores that it counts; there may be fewer (default: 8)')
    arguments = parser.parse_args()
    folder = arguments.dir.resolve()
    if arguments.action == 'up':
        up(folder, arguments.gpus, arguments.cores)
    else:
        down(folder)


if __name__ == '__main__':
    main()
