"""`warm_up`, which compiles all kernels before they are needed."""

import asyncio
from typing import Any


def warm_up(client: Any = None) -> int:
    """Compile every kernel for float32 and float64, or load it from where it is stored.

    A first fit then waits for nothing. Call it when you build a container image, and before work on a cluster. If several
    processes that share a disk call it at the same time, one of them compiles and the others wait (not on Windows).

    Parameters
    ----------
    client : dask.distributed.Client, default=None
        Warm up the workers of this Dask cluster instead of this process. One worker of each kind of CPU compiles. The others
        load what it has stored. Workers without its disk receive a copy.

    Returns
    -------
    n_kernels : int
        Number of compiled entry points and parts, with a client those of each worker.

    Raises
    ------
    ValueError
        If the cluster has no workers.
    TypeError
        If the client is asynchronous, or is no Dask client.

    Examples
    --------
    >>> import fastbp
    >>> fastbp.warm_up() > 0
    True
    """
    from fastbp.kernels.compiler import load_everything

    return load_everything() if client is None else _warm_up_workers(client)


async def _warm_up_this_worker():
    """Compile in a thread, so that the worker can send heartbeats. Without them, the scheduler would end it after minutes."""
    from fastbp.kernels.compiler import load_everything

    return await asyncio.to_thread(load_everything)


def _warm_up_workers(client):
    from fastbp.kernels.toolchain import compile, store

    if not hasattr(client, "run"):
        raise TypeError(f"client must be a dask.distributed.Client or None, got {client!r}.")
    if getattr(client, "asynchronous", False):
        raise TypeError("warm_up needs a synchronous Client: create it without asynchronous=True.")
    kinds = client.run(store.kind)
    if not kinds:
        raise ValueError("The cluster has no workers yet: client.wait_for_workers(1) waits for the first one.")
    first_of = {kinds[worker]: worker for worker in reversed(kinds)}
    counts = client.run(_warm_up_this_worker, workers=list(first_of.values()))
    others = [worker for worker in kinds if worker not in counts]
    if not others:
        return min(counts.values())
    absent = client.run(compile.absent, workers=others)
    for kind, first in first_of.items():
        lacking = [worker for worker in others if kinds[worker] == kind and absent[worker]]
        if lacking:
            names = sorted(set().union(*(absent[worker] for worker in lacking)))
            contents = client.run(store.stored, names, workers=[first])[first]
            client.run(store.take, contents, workers=lacking)
    counts |= client.run(_warm_up_this_worker, workers=others)
    return min(counts.values())
