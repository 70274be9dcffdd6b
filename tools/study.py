"""``omnivl study`` by the path that people, scripts and clusters know: see ``--help``."""

from omnivl.commands.main import run_command

if __name__ == '__main__':
    run_command('study')
