"""What a run's network is trained towards: the loss that its config names, and its teacher."""

from __future__ import annotations

from torch import Tensor, nn

from flukeprint.training.config import TrainConfig
from flukeprint.training.distil import Imitation
from flukeprint.training.losses import (
    SubCentreArcFace,
    TripletLoss,
    WeightedSoftmax,
    class_weights,
)


class Objective(nn.Module):
    """The loss of a batch: (N, outputs) answers and (N,) int64 labels to a number.

    ``counts`` (C,) int64 says how many photos there are of each class. ``teacher_size`` is how many
    numbers a teacher's embeddings have that the answers are to come near; 0 without.
    """

    def __init__(self, config: TrainConfig, counts: Tensor, teacher_size: int = 0) -> None:
        super().__init__()
        self.config = config
        self.formula = _formula(config, counts)
        self.imitation = Imitation(config.embedding_size, teacher_size) if teacher_size else None

    def forward(
        self, answers: Tensor, labels: Tensor, progress: float, targets: Tensor | None = None
    ) -> Tensor:
        """``progress`` runs from 0 to 1 over the run: ArcFace's margin grows with it.

        ``targets`` (N + M, D) are the teacher's embeddings, ``answers`` (N + M, outputs) then, and
        the last M are labelled as nobody.
        """
        loss = self._labelled(answers[: len(labels)], labels, progress)
        if self.imitation is None or targets is None:
            return loss
        far: Tensor = self.imitation(answers, targets)
        return loss + self.config.distil_weight * far

    def _labelled(self, answers: Tensor, labels: Tensor, progress: float) -> Tensor:
        if isinstance(self.formula, SubCentreArcFace):
            warm = min(1.0, progress / max(self.config.margin_warmup_share, 1e-9))
            return self.formula(answers, labels, self.config.margin_rad * warm)  # type: ignore[no-any-return]
        return self.formula(answers, labels)  # type: ignore[no-any-return]


def _formula(config: TrainConfig, counts: Tensor) -> nn.Module:
    if config.loss == "softmax":
        return WeightedSoftmax(class_weights(counts, config.class_weight_power))
    if config.loss == "triplet":
        return TripletLoss(config.triplet_margin, config.triplet_distance, config.mining)
    return SubCentreArcFace(
        config.embedding_size, len(counts), centres=config.sub_centres, scale=config.scale
    )
