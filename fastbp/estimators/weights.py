"""Weights of an estimator: one flat vector, of which coefs_ and intercepts_ are views, unless the user has put arrays there."""

import operator
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple, Self

import numpy as np

from fastbp.estimators import integrity
from fastbp.estimators.inputs import twin
from fastbp.estimators.integrity import OF_SCALERS, checked_layout
from fastbp.names import LOSSES

# What decides what a prediction reads; the lists among it are looked through.
_LISTS = ("coefs_", "intercepts_", "activation", "classes_", "estimators_", "quantile")
_READ = (
    *_LISTS, "front_", "input_scaler_", "target_scaler_", "embedded_features_", "n_categories_", "skip_coefs_", "ordered",
    "n_features_in_", "n_outputs_", "n_layers_",
    "feature_names_in_", "out_activation_", "temperature_", "_sparse_labels", "_best_member", "loss", "fit_intercept",
    *sorted({loss.parameter for loss in LOSSES.values()} - {"", "quantile"}),
)  # fmt: skip
_WATCHED = (str, list, tuple)
_NEVER = (object(),)  # seen by a network some of whose weights are arrays of the user's, which are read anew at each call
_PLACES = ("coefs_", "intercepts_", "front_", "embedded_features_", "n_categories_", "skip_coefs_")


class Bound(NamedTuple):
    """A network and its flat vector, and what was there when these were checked."""

    network: Any
    params: np.ndarray
    views: tuple[np.ndarray, ...]  # coefs_, intercepts_, front_ and skip_coefs_, which lie in params
    seen: Any  # list, see `Weighted._seen`; empty before a check


class Weighted:
    """What estimators share that hold the weights of a network."""

    coefs_: list[np.ndarray]
    intercepts_: list[np.ndarray]
    activation: Any
    out_activation_: str
    fit_intercept: bool
    _bound: Bound

    @property
    def embeddings_(self) -> list[np.ndarray]:
        """Of each column of categories their embeddings, (n_categories, size), in the order of `categories_`."""
        found = integrity.category_embeddings(vars(self).get("front_"))
        if not found:
            raise AttributeError(f"This {type(self).__name__} has no embeddings_: a fit with embedding_size learns them.")
        return found

    def _loss_name(self) -> str:
        """Return the kernels' name of the loss of a network that is there already."""
        raise NotImplementedError

    def _groups(self) -> tuple[int, ...]:
        """Return how many outputs have a softmax of their own each; () where all are one."""
        return ()

    @property
    def _params(self) -> np.ndarray:
        """The flat vector that coefs_ and intercepts_ are views of, as the last fit has left it."""
        return self._bound.params

    def _packed(self, dtype: np.dtype | None = None) -> tuple[Any, np.ndarray]:
        """Return the network and its flat vector: the one that coefs_ and intercepts_ are views of, or a copy of what the user
        has put there, which is read anew at each call. Whatever kernels will read has been checked."""
        bound = self.__dict__.get("_bound")
        if bound is not None and (dtype is None or dtype == bound.params.dtype):
            seen = self._seen()
            if len(seen) == len(bound.seen) and all(map(operator.is_, seen, bound.seen)):
                return bound.network, bound.params
        return self._checked_and_packed(dtype)

    def _seen(self) -> list[Any]:
        """Return all that decides what a prediction reads: while these are the same objects, checks say what they said."""
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

        now = twin(self)  # as another thread may change it
        bound, is_loaded = vars(now).get("_bound"), vars(now).pop("_is_loaded", False)
        layout = checked_layout(now)
        if dtype is None:
            dtype = np.dtype(np.float32 if np.result_type(*layout.coefs, *layout.intercepts) == np.float32 else np.float64)
        network = make_network(
            layout.layer_sizes,
            layout.activations,
            now.out_activation_,
            layout.loss,
            loss_parameter=layout.loss_parameter,
            groups=now._groups(),
            fit_intercept=now.fit_intercept,
            embedded=layout.embedded,
            scale_layer="scale" in layout.front,
            skip_layer="skip" in layout.front,
            categories=layout.categories,
            category_sizes=layout.category_sizes,
            dtype=dtype,
        )
        if bound is not None and dtype == bound.params.dtype and now._has_views(bound.views):
            self._bound = Bound(network, bound.params, bound.views, now._seen())
            return network, bound.params
        params = pack_parameters(network, layout.coefs, layout.intercepts, dtype, layout.front)
        if is_loaded and self.__dict__.pop("_is_loaded", False):  # one thread of those that ask
            now._bind(network, params)
            now._seal()
            self.__dict__.update({name: vars(now)[name] for name in (*_PLACES, "_bound") if name in vars(now)})
        return network, params

    def _can_be_watched(self) -> bool:
        """Whether parameters that are sequences are such whose items `_seen` looks at."""
        return type(self.activation) in _WATCHED and not isinstance(self.__dict__.get("quantile"), np.ndarray)

    def _has_views(self, views: tuple[np.ndarray, ...]) -> bool:
        """Whether the weights are these arrays, in lists whose items can be watched."""
        get = self.__dict__.get
        coefs: Any = get("coefs_")
        intercepts: Any = get("intercepts_")
        front: Any = get("front_", {})
        are_lists = type(coefs) is list and type(intercepts) is list and type(front) is dict
        if not (are_lists and self._can_be_watched()):
            return False
        skip = get("skip_coefs_")
        own = (*coefs, *intercepts, *front.values(), *([] if skip is None else [skip]))
        return len(own) == len(views) and all(map(operator.is_, own, views))

    def _bind(self, network: Any, params: np.ndarray) -> None:
        """Make coefs_ and intercepts_ views of params."""
        from fastbp.training.network import front_views, parameter_views

        coefs, intercepts = parameter_views(network, params)
        front = front_views(network, params)
        views = (*coefs, *intercepts, *front.values())
        skip = front.pop("skip", None)
        self.coefs_, self.intercepts_ = coefs, intercepts
        embedded = tuple(network.embedded.tolist())
        categories = tuple(np.diff(network.coded).tolist()) if network.coded.size > 1 else ()
        beside: dict[str, Any] = {"front_": front or None, "embedded_features_": embedded or None}
        beside |= {"n_categories_": categories or None, "skip_coefs_": skip}
        for name, value in beside.items():
            if value is not None:
                setattr(self, name, value)
            else:
                self.__dict__.pop(name, None)
        self.n_layers_ = len(coefs) + 1
        self.__dict__.pop("_is_loaded", None)
        self._bound = Bound(network, params, views, ())

    def _seal(self) -> None:
        """Trust what a fit has left, so that the first prediction need not check it."""
        bound: Bound = self._bound
        if bound.seen is not _NEVER and self._can_be_watched():
            self._bound = Bound(bound.network, bound.params, bound.views, self._seen())

    def _in_places_of(self, old: Self, origin: np.ndarray) -> list[Callable[[], None]]:
        """Take the arrays of `old`, from whose weights, origin, these here were trained, for those here; return what writes into
        them, as who holds them is to see the new weights. Arrays of the user's stay if they can hold the values."""
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
    """Whether an array of the user's can hold values."""
    return isinstance(own, np.ndarray) and own.shape == values.shape and own.dtype.kind == "f" and own.flags.writeable
