"""What a training run is told; written beside its result."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class Mirror:
    """A reflection under which a true edge stays a true edge: these columns change sign.

    Attributes:
        node, edge: columns of the node features and of the edge features.
    """

    node: tuple[int, ...]
    edge: tuple[int, ...]


# For the columns of `Graph.node_features` (r, phi, z, eta) and `Graph.edge_features` (dr, dphi, dz, deta, phi slope,
# r × phi slope, triplet chi²): z → -z, and phi → -phi, which turns particles into antiparticles.
MIRRORS = (Mirror(node=(2, 3), edge=(2, 3)), Mirror(node=(1,), edge=(1, 4, 5)))


@dataclass(frozen=True)
class TrainingConfig:
    """Settings of the network and of its training.

    Attributes:
        hidden: width of node and edge states.
        iterations: message-passing steps.
        recurrent: all steps share their weights.
        steps: optimizer steps, one graph each; None: as many as `minutes` allow.
        minutes: time for the steps if `steps` is None; the number of steps is taken from the first ones and stored,
            so that a run can be repeated exactly by giving it as `steps`.
        learning_rate: the peak; it rises over `warm_up` of the steps, then falls along a cosine to 1 % of it.
        weight_decay: of AdamW, on matrices.
        positive_weight: weight of true edges in the loss; with 1 scores are probabilities; None: false / true edges of
            the training graphs, so that both classes weigh the same.
        n_validation: graphs kept back, the last ones by name.
        ignored_node_features: columns that the network never sees; phi by default, since the detector is round.
        mirrors: reflections to apply at random.
        clip: standardised features are clipped to ± this.
        seed: of initial weights, order of graphs and reflections.
        threads: threads of torch.
        checkpoint_every: steps between checkpoints (and reports on validation graphs).
    """

    hidden: int = 16
    iterations: int = 4
    recurrent: bool = False
    steps: int | None = None
    minutes: float = 6.0
    learning_rate: float = 3e-2
    warm_up: float = 0.1
    weight_decay: float = 1e-4
    positive_weight: float | None = 1.0
    n_validation: int = 2
    ignored_node_features: tuple[int, ...] = (1,)
    mirrors: tuple[Mirror, ...] = MIRRORS
    clip: float = 8.0
    seed: int = 1
    threads: int = 1
    checkpoint_every: int = 100

    def __post_init__(self) -> None:
        for name in ("hidden", "iterations", "threads", "checkpoint_every", "n_validation"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name}: expected at least 1, got {getattr(self, name)}")
        if self.steps is not None and self.steps < 1:
            raise ValueError(f"steps: expected at least 1 or None, got {self.steps}")
        if self.steps is None and not self.minutes > 0:
            raise ValueError(f"minutes: expected more than 0, got {self.minutes}")

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return asdict(self)
