"""The commands that use a model, behind one option: ``--task caption`` is ``omnivl caption``; see ``--help``."""

from omnivl.commands.main import run_command

if __name__ == '__main__':
    run_command('infer')
