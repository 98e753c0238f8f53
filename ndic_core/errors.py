"""The one error this package raises on bad input."""


class NDICError(Exception):
    """Bad input, said in one sentence that names the thing and the remedy.

    Every error a user can provoke (a missing file, a truncated stream, the wrong model, an image of a
    wrong size, a wrong key in a YAML file) is raised as this class or a subclass of it.
    """
