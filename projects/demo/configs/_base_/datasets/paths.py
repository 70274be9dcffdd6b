"""Where the demo corpus and the work of the quickstart lie: the one place, or two variables of the shell."""

# An `import os` would become one of MMEngine's lazy objects, and a --cfg-options value may hold no space.
environment = dict(__import__('os').environ)
data_root = environment.get('OMNIVL_DEMO_DATA', 'data/demo')
demo_work_dir = environment.get('OMNIVL_DEMO_WORK_DIR', 'work_dirs/demo')
vocab_file = f'{data_root}/vocab.txt'
del environment
