"""Every private name of torch that is used anywhere, each with a way to do without it (`tests/test_private_names.py` takes them
away).

They are here for what the public ones cannot do: draw with a generator of one's own, differentiate a draw by its concentration, or
start a backward pass, or an optimiser, without loading what compares symbolic shapes, or compiles.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

_run_backward: Any = getattr(torch.autograd.graph, "_engine_run_backward", None)
_standard_gamma: Any = getattr(torch, "_standard_gamma", None)
_standard_gamma_grad: Any = getattr(torch, "_standard_gamma_grad", None)
_sample_dirichlet: Any = getattr(torch, "_sample_dirichlet", None)
_dirichlet_grad: Any = getattr(torch, "_dirichlet_grad", None)
LEFT_ALONE = "__dynamo_disable"  # where a method keeps how it is called past the compiler
STEP = 1e-5  # of a concentration, for the difference that stands for a derivative

try:
    from torch.utils._python_dispatch import TorchDispatchMode as TorchDispatchMode
    from torch.utils._python_dispatch import _get_current_dispatch_mode as _observer
except ImportError:
    TorchDispatchMode = None  # type: ignore[assignment, misc]
    _observer = None  # type: ignore[assignment]
_watchers: Callable[[], int] | None = getattr(torch._C, "_len_torch_dispatch_stack", None)
if _watchers is None:
    TorchDispatchMode = None  # type: ignore[assignment, misc]


def observed() -> bool:
    """Whether somebody sees every operation of torch in this thread (a dispatch mode: a block is being written down): then numbers
    must stay in tensors, and NumPy must not help."""
    return _watchers is not None and _watchers() > 0


def asked(question: Callable[..., bool], *tensors: Tensor) -> bool:
    """The answer to a question about tensors; who sees every operation decides whether it is put at all (`Recorder.asked`)."""
    if not observed() or _observer is None:
        return question(*tensors)
    watcher: Any = _observer()
    answer: bool = watcher.asked(question, tensors)
    return answer


def graph_is_kept() -> bool:
    """In the middle of a backward pass: whether another may follow (`retain_graph`)."""
    found = getattr(torch._C, "_autograd", None)
    kept: Callable[[], bool] | None = getattr(found, "_get_current_graph_task_keep_graph", None)
    return kept is None or kept()


def transformed(*tensors: Tensor) -> bool:
    """Whether what happens, or one of the tensors, is seen by a transform of torch (`torch.func`, forward derivatives, a backward
    pass for many at once): all of it must be in the graph."""
    functorch, forward = getattr(torch._C, "_functorch", None), getattr(torch.autograd.forward_ad, "_current_level", -1)
    inside = getattr(functorch, "peek_interpreter_stack", lambda: None)()
    batched: Callable[[Tensor], bool] = getattr(functorch, "is_legacy_batchedtensor", lambda tensor: False)
    return inside is not None or forward >= 0 or any(map(batched, tensors))


def single_runs() -> bool:
    """Whether what single runs tell is looked at: by nobody, where sums of a block are written down (`Recorder.noting`)."""
    if not observed() or _observer is None:
        return True
    watcher: Any = _observer()
    return bool(watcher.noting)


def noted(note: Callable[..., None], *tensors: Tensor) -> None:
    """To be called, where every operation is seen, in place of `note(owner, *tensors)` (`Recorder.noted`)."""
    if _observer is not None:
        watcher: Any = _observer()
        watcher.noted(note, tensors)


def pull(
    outputs: Sequence[Tensor], points: Sequence[Tensor], incoming: Sequence[Tensor], keep: bool = True
) -> tuple[Tensor | None, ...]:
    """The derivatives of `sum(outputs * incoming)` in every point; None: zero.

    `torch.autograd.grad(outputs, points, incoming)`, less what it does first: comparing shapes loads sympy, 0.4 s of a short run.
    """
    if _run_backward is None:
        return torch.autograd.grad(list(outputs), list(points), list(incoming), retain_graph=keep, allow_unused=True)
    found: tuple[Tensor | None, ...] = _run_backward(
        tuple(outputs), tuple(incoming), keep, False, tuple(points), True, accumulate_grad=False
    )
    return found


@contextmanager
def unloaded(*more: Any) -> Iterator[None]:
    """Within it an optimiser of torch, or one of these methods, does not load torch's compiler (2 s of a short run) only to be left
    alone by it."""
    methods = [torch.optim.Optimizer.add_param_group, torch.optim.Optimizer.zero_grad, *more]
    inner = [found for method in methods if (found := getattr(method, "__wrapped__", None)) is not None]
    bare = [] if "torch._dynamo" in sys.modules else [method for method in inner if not hasattr(method, LEFT_ALONE)]
    for method in bare:
        setattr(method, LEFT_ALONE, method)
    try:
        yield
    finally:
        for method in bare:
            delattr(method, LEFT_ALONE)


def standard_gamma(concentration: Tensor, generator: torch.Generator | None) -> Tensor:
    """A draw of Gamma(concentration, 1), of the same shape, without derivative."""
    if _standard_gamma is not None:
        return _standard_gamma(concentration, generator=generator)  # type: ignore[no-any-return]
    return _apart(generator, lambda: torch.distributions.Gamma(concentration, torch.ones_like(concentration)).sample())


def dirichlet(concentration: Tensor, generator: torch.Generator | None) -> Tensor:
    """A draw of Dirichlet(concentration) over the last axis, of the same shape, without derivative."""
    if _sample_dirichlet is not None:
        return _sample_dirichlet(concentration, generator=generator)  # type: ignore[no-any-return]
    return _apart(generator, lambda: torch.distributions.Dirichlet(concentration).sample())


def _apart(generator: torch.Generator | None, draw: Callable[[], Tensor]) -> Tensor:
    """A draw by torch's own classes, which know the global generator only, from another one."""
    where = torch.device("cpu") if generator is None else generator.device
    seed = int(torch.randint(0, 2**62, (), generator=generator, device=where))
    with torch.random.fork_rng(devices=[where] if where.type == "cuda" else []), torch.no_grad():
        torch.manual_seed(seed)
        return draw()


def standard_gamma_grad(concentration: Tensor, draw: Tensor) -> Tensor:
    """The derivative of a draw of Gamma(concentration, 1) in its concentration, implicitly: - dF/da over the density (Figurnov,
    Mohamed & Mnih 2018, equation 5)."""
    if _standard_gamma_grad is not None:
        return _standard_gamma_grad(concentration, draw)  # type: ignore[no-any-return]
    a, x = concentration.double(), draw.double()
    step = STEP * a
    above, below = torch.special.gammainc(a + step, x), torch.special.gammainc(a - step, x)
    density = torch.exp((a - 1) * x.log() - x - torch.lgamma(a))
    return (-(above - below) / (2 * step) / density).to(draw.dtype)  # type: ignore[no-any-return]


def dirichlet_grad(draw: Tensor, concentration: Tensor, total: Tensor) -> Tensor | None:
    """The derivative of each entry of a Dirichlet draw in its own concentration; None: torch does not know it, and the draw must be
    made of Gammas."""
    return None if _dirichlet_grad is None else _dirichlet_grad(draw, concentration, total)


def knows_dirichlet() -> bool:
    """Whether there is a derivative of a Dirichlet draw."""
    return _dirichlet_grad is not None


def is_mutable(function: Any) -> bool:
    """Whether an operation of torch writes into one of its arguments."""
    schema = getattr(function, "_schema", None)
    if schema is not None:
        return bool(schema.is_mutable)
    return str(function).split(".")[-2 if "." in str(function) else -1].endswith("_")


def direct(function: Any) -> Any:
    """An operation of torch without the Python that surrounds it."""
    return getattr(function, "_op", function)


def compiled_graph(module: Any, examples: Sequence[Tensor]) -> Any:
    """A graph of torch's operations, compiled for tensors like the examples: by its compiler itself where that can be called, which
    looks at nothing in a call, else by `torch.compile`."""
    try:
        from torch import _inductor

        return _inductor.compile(module, list(examples))
    except (ImportError, AttributeError):
        return torch.compile(module, dynamic=False, fullgraph=True)


def memory_of(tensor: Tensor) -> int:
    """A number that tensors share which lie in the same memory."""
    storage = tensor.untyped_storage()
    return int(getattr(storage, "_cdata", 0)) or storage.data_ptr()
