"""Compiling every kernel before it is needed."""


def warm_up() -> int:
    """Compile every kernel for float32 and float64, or load it from where it is stored.

    A first fit then waits for nothing. It belongs in the recipe of a container image and before work on a cluster's machines.

    Returns
    -------
    n_kernels : int
        Number of compiled entry points and parts.

    Examples
    --------
    >>> import fastbp
    >>> fastbp.warm_up() > 0
    True
    """
    from fastbp.kernels.compiler import load_everything

    return load_everything()
