"""``python -m omnivl`` is the ``omnivl`` command."""

from omnivl.commands.main import main

if __name__ == '__main__':
    main()
