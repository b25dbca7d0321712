"""PyTorch in eager mode: `nn.Sequential`, `torch.optim`, batches as views of one shuffled copy per epoch, no DataLoader.

Tensors are made from the arrays before timing starts. The optimizer's implementation (loop, foreach, fused) and the number
of threads, up to the allowed number, are whatever runs this workload fastest.
"""

import itertools

import torch
from torch.nn import functional

ACTIVATIONS = {"relu": torch.nn.ReLU, "tanh": torch.nn.Tanh, "logistic": torch.nn.Sigmoid}
OPTIMIZERS = {"loop": {"foreach": False}, "foreach": {"foreach": True}, "fused": {"fused": True}}


def half_squared_error(outputs, targets):
    return functional.mse_loss(outputs, targets, reduction="sum") * (0.5 / len(outputs))


LOSSES = {
    "regression": half_squared_error,
    "binary": functional.binary_cross_entropy_with_logits,
    "multiclass": functional.cross_entropy,
}


def make_model(coefs, intercepts, activation):
    """Return the network as a torch module that starts from the given weights; its output is before softmax or sigmoid."""
    layers = []
    for W, b in zip(coefs, intercepts, strict=True):
        linear = torch.nn.utils.skip_init(torch.nn.Linear, *W.shape, dtype=torch.from_numpy(W).dtype)
        with torch.no_grad():
            linear.weight.copy_(torch.from_numpy(W.T))
            linear.bias.copy_(torch.from_numpy(b))
        layers += [linear, ACTIVATIONS[activation]()]
    return torch.nn.Sequential(*layers[:-1])


class TorchPeer:
    def __init__(self, workload, n_threads, *, optimizer="fused", used_threads=None):
        self.workload = workload
        self.n_threads = n_threads
        self.optimizer = optimizer
        self.used_threads = used_threads or n_threads
        X, y = workload.data
        self.X = torch.from_numpy(X)
        self.Y = torch.from_numpy(y if workload.task == "multiclass" else workload.output_targets())
        self.start = workload.start()

    def variants(self):
        thread_counts = sorted({1, self.n_threads})
        return [TorchPeer(self.workload, self.n_threads, optimizer=optimizer, used_threads=threads)
                for optimizer, threads in itertools.product(OPTIMIZERS, thread_counts)]  # fmt: skip

    def __str__(self):
        return f"{self.optimizer} optimizer, {self.used_threads} threads"

    def make_optimizer(self, model):
        rate, implementation = self.workload.learning_rate, OPTIMIZERS[self.optimizer]
        if self.workload.solver == "sgd":
            return torch.optim.SGD(model.parameters(), lr=rate, momentum=0.9, nesterov=True, **implementation)
        return torch.optim.Adam(model.parameters(), lr=rate, **implementation)

    def fit(self, *, n_epochs, shuffle=True):
        torch.set_num_threads(self.used_threads)
        torch.manual_seed(0)
        workload, X, Y = self.workload, self.X, self.Y
        model = make_model(*self.start, workload.activation)
        optimizer, loss_of = self.make_optimizer(model), LOSSES[workload.task]
        n_rows, batch_size = len(X), workload.rows_per_batch
        loss_curve = []
        for _ in range(n_epochs):
            if shuffle and not workload.full_batch:
                order = torch.randperm(n_rows)
                X, Y = self.X[order], self.Y[order]
            epoch_loss = 0.0
            for X_batch, Y_batch in zip(X.split(batch_size), Y.split(batch_size), strict=True):
                optimizer.zero_grad()
                loss = loss_of(model(X_batch), Y_batch)
                loss.backward()
                optimizer.step()
                epoch_loss += loss.detach() * len(X_batch)
            loss_curve.append(epoch_loss.item() / n_rows)
        return model

    def weights(self, model):
        linears = [layer for layer in model if isinstance(layer, torch.nn.Linear)]
        return [layer.weight.detach().numpy().T for layer in linears], [layer.bias.detach().numpy() for layer in linears]


def class_predictor(coefs, intercepts, activation, X, *, n_threads, rows_per_block):
    """Return a function of no arguments that predicts the class index of every row of X without recording gradients."""
    model, X = make_model(coefs, intercepts, activation), torch.from_numpy(X)

    def predict():
        torch.set_num_threads(n_threads)
        with torch.no_grad():
            return torch.cat([model(block).argmax(1) for block in X.split(rows_per_block)]).numpy()

    return predict
