"""How the MicroPython images are built; `boards/image.py` is the command.

    shell      runs a command with a log, a progress line and an error that helps
    toolchain  which programs a build needs, and how to get them
    source     MicroPython's source: the user's checkout, Debian's source packages, or git
    cache      folders named after their inputs, one build at a time
    native     the check of the frozen machine code
    targets    the two images: what goes in, how it is built, what is checked

Nothing here needs more than Python's standard library.
"""
