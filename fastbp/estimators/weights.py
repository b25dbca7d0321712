"""Weights of an estimator: one flat vector, of which coefs_ and intercepts_ are views, unless the user has put arrays there."""

import operator
from typing import Any

import numpy as np

from fastbp.estimators import parameters
from fastbp.names import LOSSES


class Weighted:
    """What estimators share that hold the weights of a network."""

    coefs_: list[np.ndarray]
    intercepts_: list[np.ndarray]
    activation: Any
    out_activation_: str
    fit_intercept: bool

    def _loss_name(self) -> str:
        """Return the kernels' name of the loss of a network that is there already."""
        raise NotImplementedError

    def _groups(self) -> tuple[int, ...]:
        """Return how many outputs have a softmax of their own each; () where all are one."""
        return ()

    def _packed(self, dtype: np.dtype | None = None) -> tuple[Any, np.ndarray]:
        """Return the network and its flat vector: the one that coefs_ and intercepts_ are views of, or a copy of what the user
        has put there, which is read anew at each call."""
        are_lists = isinstance(self.coefs_, list) and isinstance(self.intercepts_, list)
        front = self.__dict__.get("front_", {})
        views = (*self.coefs_, *self.intercepts_, *front.values()) if are_lists else ()
        if (
            self.__dict__.get("_network_key") == self._key()
            and len(views) == len(self._views)
            and all(map(operator.is_, views, self._views))
            and (dtype is None or dtype == self._params.dtype)
        ):
            return self._network, self._params
        from fastbp.training.network import make_network, pack_parameters

        coefs, intercepts, layer_sizes = parameters.check_weights(self.coefs_, self.intercepts_)
        embedded, n_embedded_inputs = self.__dict__.get("embedded_features_", ()), front.get("offsets", np.zeros(0)).size
        layer_sizes[0] -= n_embedded_inputs
        known = [getattr(self, "n_features_in_", layer_sizes[0]), getattr(self, "n_outputs_", layer_sizes[-1])]
        if known != [layer_sizes[0], layer_sizes[-1]]:
            raise ValueError(
                f"coefs_ and intercepts_ map {layer_sizes[0]} features to {layer_sizes[-1]} outputs, but this"
                f" {type(self).__name__} was fitted for {known[0]} features and {known[1]} outputs."
            )
        if dtype is None:
            dtype = np.dtype(np.float32 if np.result_type(*coefs, *intercepts) == np.float32 else np.float64)
        loss = self._loss_name()
        network = make_network(
            layer_sizes,
            parameters.activation_names(self.activation, len(layer_sizes) - 2, self),
            parameters.output_activation_name(self.out_activation_, loss),
            loss,
            loss_parameter=parameters.loss_parameter_of(self, loss),
            groups=self._groups(),
            fit_intercept=self.fit_intercept,
            embedded=embedded,
            scale_layer="scale" in front,
            dtype=dtype,
        )
        params = pack_parameters(network, coefs, intercepts, dtype, front)
        if self.__dict__.pop("_is_loaded", False):
            self._bind(network, params, is_new=True)
        return network, params

    def _bind(self, network: Any, params: np.ndarray, is_new: bool) -> None:
        """Make coefs_ and intercepts_ views of params; arrays that the user has put there get the values instead and stay."""
        from fastbp.training.network import front_views, parameter_views

        coefs, intercepts = parameter_views(network, params)
        front = front_views(network, params)
        views = (*coefs, *intercepts, *front.values())
        if not is_new:
            own = {id(view) for view in self.__dict__.get("_views", ())}
            kept = [
                old if id(old) not in own and _takes_over(old, view) else view
                for old, view in zip((*self.coefs_, *self.intercepts_), views)
            ]
            coefs, intercepts = kept[: len(coefs)], kept[len(coefs) :]
        self.coefs_, self.intercepts_ = coefs, intercepts
        for name, value in (("front_", front), ("embedded_features_", tuple(network.embedded.tolist()))):
            if value:
                setattr(self, name, value)
            else:
                self.__dict__.pop(name, None)
        self.n_layers_ = len(coefs) + 1
        self._network, self._params, self._views = network, params, views
        self._network_key = self._key()  # last, as another thread that predicts goes by it

    def _key(self) -> tuple[Any, ...]:
        """Return what a network depends on beside the shapes of its weights."""
        activation = self.activation if isinstance(self.activation, str) else tuple(self.activation)
        loss = self._loss_name()
        if loss not in LOSSES:
            parameters.check_parameters(self)
        shape = parameters.loss_parameter_of(self, loss), self._groups()
        return activation, self.out_activation_, loss, *shape, self.fit_intercept


def _takes_over(own: Any, values: np.ndarray) -> bool:
    """Write values into an array of the user's, if it can hold them."""
    if not (isinstance(own, np.ndarray) and own.shape == values.shape and own.dtype.kind == "f" and own.flags.writeable):
        return False
    own[...] = values
    return True
