"""JAX with compiled training: `lax.scan` over the batches of an epoch inside one `jit`.

Two ways of use are timed. `span="epoch"` calls the jitted epoch once per epoch, as one does to log, stop early or reshuffle from
outside. `span="run"` scans over all epochs too: one call for the whole run, whose length is then fixed when it is compiled.

What the timing leaves out, to JAX's advantage: tracing and compiling (done once before), and moving the data and the starting
weights to JAX arrays. Orders are drawn on the host with NumPy because `jax.random.permutation` sorts, which is slower on CPU.
Whether batches are gathered one by one or all at once per epoch, and how far the scan over batches is unrolled, is whatever
runs this workload fastest. A short last batch is a step of its own, as in the other packages. Needs JAX_ENABLE_X64=1.
"""

import itertools
from functools import cached_property, partial

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

ACTIVATIONS = {"relu": jax.nn.relu, "tanh": jnp.tanh, "logistic": jax.nn.sigmoid}


def take_rows(array, rows):
    """Rows of an array, (len(rows), …); one row is a slice, several are a gather without bounds checks."""
    if len(rows) == 1:
        return lax.dynamic_slice_in_dim(array, rows[0], 1)
    return array.at[rows].get(mode="promise_in_bounds")


def batch_loss(params, X, Y, *, task, activation):
    """Mean loss over the rows of a batch: X (batch, n_features), Y (batch, n_outputs)."""
    outputs = X
    for layer, (W, b) in enumerate(params):
        outputs = outputs @ W + b
        if layer < len(params) - 1:
            outputs = ACTIVATIONS[activation](outputs)
    if task == "regression":
        return 0.5 * jnp.sum((outputs - Y) ** 2) / len(X)
    if task == "binary":
        return jnp.sum(jax.nn.softplus(outputs) - Y * outputs) / len(X)
    return jnp.sum(jax.nn.logsumexp(outputs, axis=1) - jnp.sum(outputs * Y, axis=1)) / len(X)


def sgd_step(params, velocity, gradient, rate):
    """Nesterov momentum 0.9."""
    velocity = jax.tree.map(lambda v, g: 0.9 * v - rate * g, velocity, gradient)
    return jax.tree.map(lambda p, v, g: p + 0.9 * v - rate * g, params, velocity, gradient), velocity


def adam_step(params, state, gradient, rate):
    t, mean, square = state
    t = t + 1
    mean = jax.tree.map(lambda m, g: 0.9 * m + 0.1 * g, mean, gradient)
    square = jax.tree.map(lambda s, g: 0.999 * s + 0.001 * g * g, square, gradient)
    scaled = rate * jnp.sqrt(1 - 0.999**t) / (1 - 0.9**t)
    return jax.tree.map(lambda p, m, s: p - scaled * m / (jnp.sqrt(s) + 1e-8), params, mean, square), (t, mean, square)


class JaxPeer:
    """One workload in JAX; see the module's text for what the settings mean."""

    def __init__(self, workload, *, span="epoch", gather="batch", unroll=1):
        self.workload = workload
        self.span = span
        self.gather = gather
        self.unroll = unroll
        self.X = jnp.asarray(workload.data[0])
        self.Y = jnp.asarray(workload.output_targets())
        self.start = [(jnp.asarray(W), jnp.asarray(b)) for W, b in zip(*workload.start(), strict=True)]
        zeros = jax.tree.map(jnp.zeros_like, self.start)
        self.start_state = zeros if workload.solver == "sgd" else (jnp.zeros((), self.X.dtype), zeros, zeros)

    def variants(self):
        if self.workload.full_batch:
            return [self]
        return [JaxPeer(self.workload, span=self.span, gather=gather, unroll=unroll)
                for gather, unroll in itertools.product(("batch", "epoch"), (1, 4))]  # fmt: skip

    def over_whole_run(self):
        return JaxPeer(self.workload, span="run", gather=self.gather, unroll=self.unroll)

    def __str__(self):
        return "no choices" if self.workload.full_batch else f"gather by {self.gather}, unroll {self.unroll}"

    def step(self, carry, batch):
        """One batch: carry (params, state) → the next carry, and the batch's summed loss."""
        workload, (params, state) = self.workload, carry
        loss_of = partial(batch_loss, task=workload.task, activation=workload.activation)
        loss, gradient = jax.value_and_grad(loss_of)(params, *batch)
        update = sgd_step if workload.solver == "sgd" else adam_step
        return update(params, state, gradient, workload.learning_rate), loss * len(batch[0])

    def epoch(self, carry, order, X, Y):
        """One epoch over the rows in the given order (n,): carry → the next carry, and the mean loss."""
        n_rows, batch_size = len(X), self.workload.rows_per_batch
        if self.workload.full_batch:
            carry, loss = self.step(carry, (X, Y))
            return carry, loss / n_rows
        n_full = n_rows // batch_size
        head, tail = order[: n_full * batch_size].reshape(n_full, batch_size), order[n_full * batch_size :]
        if self.gather == "batch":
            batches = head
            step = lambda carry, rows: self.step(carry, (take_rows(X, rows), take_rows(Y, rows)))  # noqa: E731
        else:
            batches = [take_rows(array, head.ravel()).reshape(n_full, batch_size, -1) for array in (X, Y)]
            step = self.step
        carry, losses = lax.scan(step, carry, batches, unroll=self.unroll)
        loss = losses.sum()
        if len(tail):
            carry, tail_loss = self.step(carry, (take_rows(X, tail), take_rows(Y, tail)))
            loss = loss + tail_loss
        return carry, loss / n_rows

    @cached_property
    def train_epoch(self):
        return jax.jit(self.epoch)

    @cached_property
    def train_run(self):
        return jax.jit(lambda carry, orders, X, Y: lax.scan(lambda carry, order: self.epoch(carry, order, X, Y), carry, orders))

    def draw_orders(self, n_epochs, shuffle):
        """Return the row order of every epoch, (n_epochs, n); a full batch needs none."""
        if self.workload.full_batch:
            return np.zeros((n_epochs, 0), dtype=np.int32)
        orders = np.tile(np.arange(len(self.X), dtype=np.int32), (n_epochs, 1))
        if shuffle:
            generator = np.random.default_rng(0)
            for order in orders:
                generator.shuffle(order)
        return orders

    def fit(self, *, n_epochs, shuffle=True):
        orders = self.draw_orders(n_epochs, shuffle)
        carry, loss_curve = (self.start, self.start_state), []
        if self.span == "run":
            carry, loss_curve = self.train_run(carry, orders, self.X, self.Y)
        else:
            for order in orders:
                carry, loss = self.train_epoch(carry, order, self.X, self.Y)
                loss_curve.append(loss)
        loss_curve = [float(loss) for loss in loss_curve] if self.span == "epoch" else np.asarray(loss_curve)
        return jax.block_until_ready(carry[0])

    def weights(self, params):
        return [np.asarray(W) for W, _ in params], [np.asarray(b) for _, b in params]
