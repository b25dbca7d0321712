"""Weights of an estimator: coefs_ and intercepts_ are views of one flat vector, unless a user has set other arrays."""

import contextlib
import operator
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple, Self

import numpy as np

from fastbp.estimators import integrity
from fastbp.estimators.inputs import twin
from fastbp.estimators.integrity import OF_SCALERS, checked_layout
from fastbp.names import LOSSES

# Attributes that predictions read. Lists among them are compared item by item.
_LISTS = ("coefs_", "intercepts_", "activation", "classes_", "estimators_", "quantile")
_READ = (
    *_LISTS, "front_", "input_scaler_", "target_scaler_", "embedded_features_", "n_categories_", "skip_coefs_", "ordered",
    "n_features_in_", "n_outputs_", "n_layers_",
    "feature_names_in_", "out_activation_", "temperature_", "_sparse_labels", "_best_member", "loss", "fit_intercept",
    *sorted({loss.parameter for loss in LOSSES.values()} - {"", "quantile"}),
)  # fmt: skip
_WATCHED = (str, list, tuple)
_NEVER = (object(),)  # equal to nothing: with arrays that a user has set, checks are repeated at each call
_BESIDE = ("front_", "embedded_features_", "n_categories_", "skip_coefs_")
_PLACES = ("coefs_", "intercepts_", *_BESIDE)


class Bound(NamedTuple):
    """A network, its flat vector, and the attributes at the time of the last check."""

    network: Any
    params: np.ndarray
    views: tuple[np.ndarray, ...]  # coefs_, intercepts_, front_ and skip_coefs_ as views of params
    seen: Any  # result of `Weighted._seen`; empty before a check


class Weighted:
    """Weights and their checks. A base class of the estimators."""

    coefs_: list[np.ndarray]
    intercepts_: list[np.ndarray]
    loss: Any
    activation: Any
    out_activation_: str
    fit_intercept: bool
    _bound: Bound

    @property
    def embeddings_(self) -> list[np.ndarray]:
        """Embeddings of the categories of each column, (n_categories, size), in the order of `categories_`."""
        found = integrity.category_embeddings(vars(self).get("front_"))
        if not found:
            raise AttributeError(f"This {type(self).__name__} has no embeddings_: a fit with embedding_size learns them.")
        return found

    def _loss_name(self) -> Any:
        """Return the name of the loss of a fitted network in the kernels, or a CustomLoss."""
        return self.loss

    def _groups(self) -> tuple[int, ...]:
        """Return the number of outputs of each softmax, or () if there is one for all."""
        return ()

    @property
    def _params(self) -> np.ndarray:
        """The flat vector of the last fit."""
        return self._bound.params

    def _packed(self, dtype: np.dtype | None = None) -> tuple[Any, np.ndarray]:
        """Return the network and its flat vector, after a check of all that kernels will read.

        The vector is the one that coefs_ and intercepts_ are views of, or a new copy if a user has set other arrays.
        """
        bound = self.__dict__.get("_bound")
        if bound is not None and (dtype is None or dtype == bound.params.dtype):
            seen = self._seen()
            if len(seen) == len(bound.seen) and all(map(operator.is_, seen, bound.seen)):
                return bound.network, bound.params
        return self._checked_and_packed(dtype)

    def _seen(self) -> list[Any]:
        """Return all objects that predictions read. As long as they are the same, checks need not be repeated."""
        state = self.__dict__
        seen = [*map(state.get, _READ)]
        for value in seen[: len(_LISTS)]:
            if type(value) is list:
                seen += value
        front, inputs, targets = seen[len(_LISTS) : len(_LISTS) + 3]
        if type(front) is dict:
            seen += front.values()
        if inputs is not None or targets is not None:
            seen += [getattr(scaler, "__dict__", {}).get(name) for scaler in (inputs, targets) for name in OF_SCALERS]
        return seen

    def _checked_and_packed(self, dtype: np.dtype | None) -> tuple[Any, np.ndarray]:
        from fastbp.training.network import make_network, pack_parameters

        now = twin(self)  # another thread may change it
        bound, layout = vars(now).get("_bound"), checked_layout(now)
        if dtype is None:
            dtype = np.dtype(np.float32 if np.result_type(*layout.coefs, *layout.intercepts) == np.float32 else np.float64)
        network = make_network(layout.layer_sizes, **layout.options, dtype=dtype)
        if bound is not None and dtype == bound.params.dtype and now._has_views(bound.views):
            return network, bound.params
        return network, pack_parameters(network, layout.coefs, layout.intercepts, dtype, layout.front)

    def _bind_loaded(self) -> None:
        """Set the weights of a pickle or a file to views of one vector, as a fit does. If they are wrong, predictions say so."""
        bound = twin(self)
        with contextlib.suppress(Exception):
            bound._bind(*self._checked_and_packed(None))
            bound._seal()
            self.__dict__.update({name: vars(bound)[name] for name in (*_PLACES, "_bound") if name in vars(bound)})

    def _can_be_watched(self) -> bool:
        """Whether parameters that are sequences are of types that `_seen` can compare."""
        return type(self.activation) in _WATCHED and not isinstance(self.__dict__.get("quantile"), np.ndarray)

    def _has_views(self, views: tuple[np.ndarray, ...]) -> bool:
        """Whether the weights are these arrays, in containers that `_seen` can compare."""
        get: Any = self.__dict__.get
        coefs, intercepts, front, skip = get("coefs_"), get("intercepts_"), get("front_", {}), get("skip_coefs_")
        are_lists = type(coefs) is list and type(intercepts) is list and type(front) is dict
        if not (are_lists and self._can_be_watched()):
            return False
        own = (*coefs, *intercepts, *front.values(), *([] if skip is None else [skip]))
        return len(own) == len(views) and all(map(operator.is_, own, views))

    def _bind(self, network: Any, params: np.ndarray) -> None:
        """Set coefs_, intercepts_ and the other weights to views of params."""
        from fastbp.training.network import front_views, parameter_views

        coefs, intercepts = parameter_views(network, params)
        front = front_views(network, params)
        views = (*coefs, *intercepts, *front.values())
        state = self.__dict__
        for name in _BESIDE:
            state.pop(name, None)
        if network.has_front or front:
            skip = front.pop("skip", None)
            embedded, categories = network.embedded.tolist(), np.diff(network.coded).tolist()
            beside = zip(_BESIDE, (front, tuple(embedded), tuple(categories), skip))
            state.update((name, value) for name, value in beside if value is not None and len(value))
        self.coefs_, self.intercepts_ = coefs, intercepts
        self.n_layers_ = len(coefs) + 1
        self._bound = Bound(network, params, views, ())

    def _seal(self) -> None:
        """Mark the attributes as checked, so that the first prediction after a fit is fast."""
        bound: Bound = self._bound
        if bound.seen is not _NEVER and self._can_be_watched():
            self._bound = Bound(bound.network, bound.params, bound.views, self._seen())

    def _in_places_of(self, old: Self, origin: np.ndarray) -> list[Callable[[], None]]:
        """Take over the arrays of `old`, and return functions that write the new weights into them.

        Training started from the weights of `old`, whose flat vector is `origin`. Whoever holds its arrays shall see the new
        weights. Arrays that a user has set are kept if they can hold the values.
        """
        bound, own = vars(old).get("_bound"), self._bound
        if bound is not None and bound.params is origin and old._has_views(bound.views):
            for name in _PLACES:
                if name in vars(old):
                    setattr(self, name, vars(old)[name])
            self._bound = Bound(own.network, origin, bound.views, ())
            return [partial(operator.setitem, origin, ..., own.params)]
        steps: list[Callable[[], None]] = []
        views = {id(view) for view in bound.views} if bound is not None else set()
        for name in ("coefs_", "intercepts_"):
            pairs = [*zip(getattr(old, name), getattr(self, name))]
            are_own = [id(array) not in views and _holds(array, values) for array, values in pairs]
            steps += [partial(operator.setitem, array, ..., values) for (array, values), is_own in zip(pairs, are_own) if is_own]
            setattr(self, name, [pair[0] if is_own else pair[1] for pair, is_own in zip(pairs, are_own)])
        if steps:
            self._bound = own._replace(seen=_NEVER)
        return steps


def _holds(own: Any, values: np.ndarray) -> bool:
    """Whether a user's array can hold these values."""
    return isinstance(own, np.ndarray) and own.shape == values.shape and own.dtype.kind == "f" and own.flags.writeable
