"""The commands: ``omnivl NAME``; a file of ``tools/`` is another door to each of those that came first.

A command is a module of this package. Its docstring is its help (what it does, then ``Examples:``), ``add_arguments``
adds its options to a parser, ``run`` does the work and returns the exit code, or None if all is well.
"""
