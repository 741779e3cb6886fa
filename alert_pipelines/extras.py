"""How the optional parts are installed: the package is on no package index, so from a checkout of it."""


def how_to_install(extra: str) -> str:
    """The command that installs the optional part `extra`."""
    return f"`pip install '.[{extra}]'` in a checkout of alert-pipelines"
