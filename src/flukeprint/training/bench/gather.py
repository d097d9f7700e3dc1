"""Gather the bench's table from what its folder holds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from flukeprint.errors import FlukeprintError
from flukeprint.records import Interval, whale_apart
from flukeprint.tables import read_table
from flukeprint.training.bench import plan
from flukeprint.training.bench.kept import (
    OURS,
    SCORES,
    WITHOUT_LEARNING,
    Kept,
    Ranks,
    read_kept,
    read_ranks,
)
from flukeprint.training.bench.rows import Row, Scored, paired_gain
from flukeprint.training.pretrained import published_weights
from flukeprint.training.recipes import Recipe, kaggle_map5

RIVAL = "stanford-cnn"
SEEN = "not on the papers' split: it has learned from most of those queries"


def rows_of(
    recipes: Sequence[Recipe], data: Path, out: Path, failed: Mapping[str, str]
) -> tuple[Row, ...]:
    """The table's rows, no learning and flukeprint's own first.

    ``failed`` says of systems by name why they could not be trained.
    """
    gather = _Gatherer(data, out, failed)
    kept = sorted((out / WITHOUT_LEARNING).glob(f"*/{SCORES}"))
    rows = [gather.plain(path.parent) for path in kept]
    if (out / OURS / SCORES).is_file():
        rows.append(gather.plain(out / OURS, SEEN))
    for recipe in recipes:
        for system in plan.systems_of(recipe):
            rows += gather.system(system)
    return tuple(rows)


class _Gatherer:
    def __init__(self, data: Path, out: Path, failed: Mapping[str, str]) -> None:
        self.out, self.failed = out, failed
        self.whale_of = {row.name: row.individual for row in read_table(data).rows}
        self.rival = read_ranks(self._folder(RIVAL, plan.OPEN_SET))

    def _folder(self, system: str, stage: str) -> Path:
        return plan.folder_of(self.out, system, stage)

    def plain(self, path: Path, note: str = "") -> Row:
        """A row of what comes from no paper."""
        kept = read_kept(path) or Kept(None)
        return Row(
            name=kept.name,
            paper="",
            section="",
            published="",
            epochs=None,
            recipe_epochs=None,
            parameters=kept.parameters,
            seconds_per_epoch=None,
            paper_protocol=kept.papers,
            open_set=self._open_set(path),
            note=note,
        )

    def system(self, system: plan.System) -> list[Row]:
        """A system's row, and those of its transfer between halves of the whales."""
        rows = [self._measured(system)]
        for stage, said in (
            (plan.TRANSFERRED, "half of the whales, pretrained on the others"),
            (plan.SCRATCH, "half of the whales, not pretrained"),
        ):
            folder = self._folder(system.name, stage)
            kept = read_kept(folder)
            if kept is None:
                continue
            rows.append(
                replace(
                    rows[0],
                    name=f"{system.name}: {said}",
                    published="",
                    published_map5=None,
                    epochs=kept.epochs,
                    parameters=kept.parameters,
                    seconds_per_epoch=kept.seconds_per_epoch,
                    paper_protocol=None,
                    open_set=self._open_set(folder),
                    partial=True,
                    note=self._halves_note(system.name) if stage == plan.TRANSFERRED else "",
                )
            )
        return rows

    def _measured(self, system: plan.System) -> Row:
        paper = read_kept(self._folder(system.name, plan.PAPER))
        open_set = read_kept(self._folder(system.name, plan.OPEN_SET))
        either = open_set or paper
        facts = system.recipe.paper
        return Row(
            name=system.name,
            paper=facts.institution if facts else "",
            section=facts.section if facts else "",
            published=", ".join(one.text() for one in system.published) or "none",
            epochs=either.epochs if either else None,
            recipe_epochs=system.config.epochs,
            parameters=either.parameters if either else None,
            seconds_per_epoch=either.seconds_per_epoch if either else None,
            paper_protocol=paper.scored if paper else None,
            open_set=self._open_set(self._folder(system.name, plan.OPEN_SET)),
            note=self._note(system, measured=either is not None),
            published_map5=kaggle_map5(system.published),
        )

    def _note(self, system: plan.System, *, measured: bool) -> str:
        """What failed, or why a system has not been measured."""
        if system.name in self.failed:
            return f"failed: {self.failed[system.name]}"
        if measured:
            return ""
        command = f"flukeprint bench papers --data DATA --out DIR --only {system.recipe.name}"
        if not system.config.pretrained:
            return f"not measured yet: {command}"
        try:
            weights = published_weights(system.config.backbone)
        except FlukeprintError as error:  # a network of one's own
            return f"not measured here: {error}"
        return (
            f"not measured here: bring {weights.file} from {weights.address}, then {command} "
            f"--weights {system.recipe.name}={weights.file}"
        )

    def _halves_note(self, system: str) -> str:
        """What pretraining brought on the same queries."""
        with_it = read_ranks(self._folder(system, plan.TRANSFERRED))
        without = read_ranks(self._folder(system, plan.SCRATCH))
        gain = self._gain(with_it, without)
        if gain is None:
            return ""
        return (
            "the procedure alone, pretrained on half of the whales and transferred to the other "
            f"half: MAP@5 {gain.value:+.3f} ({gain.low:+.3f} to {gain.high:+.3f}) beside the same "
            "recipe without pretraining and without phases"
        )

    def _open_set(self, path: Path) -> Scored | None:
        kept, ranks = read_kept(path), read_ranks(path)
        if kept is None or kept.scored is None or ranks is None:
            return None
        alone = Ranks(ranks.photos, ranks.new.astype("f8"), ranks.new)
        return replace(
            kept.scored,
            gain_over_new_whale=self._gain(ranks, alone),
            gain_over_stanford_cnn=self._gain(ranks, self.rival),
        )

    def _gain(self, ranks: Ranks | None, rival: Ranks | None) -> Interval | None:
        """The paired gain, whales resampled; None unless both answered the same queries."""
        if ranks is None or rival is None or ranks.photos != rival.photos:
            return None
        clusters = [whale_apart(self.whale_of[name], name) for name in ranks.photos]
        return paired_gain(ranks.reciprocal, rival.reciprocal, clusters)
