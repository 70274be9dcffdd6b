"""What every run shares; hooks, log and curves are the runner's own defaults."""

from omnivl.engine import OmniVLRunner

runner_type = OmniVLRunner
default_scope = 'omnivl'
randomness = dict(seed=0)
env_cfg = dict(mp_cfg=dict(mp_start_method='fork', opencv_num_threads=0))
