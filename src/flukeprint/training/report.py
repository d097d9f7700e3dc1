"""A finished run's exported model on the queries that its split kept for the end."""

from __future__ import annotations

from flukeprint.cache import Cache
from flukeprint.collection import Collection
from flukeprint.evaluate import EmbeddedTable, Report, evaluate_split
from flukeprint.model import load_model
from flukeprint.network import Network
from flukeprint.progress import Progress, no_progress
from flukeprint.records import Split
from flukeprint.scoring import RUN_MODEL, embed_collection
from flukeprint.splits import read_split
from flukeprint.training.runfolder import RunFolder


def report_of(
    folder: RunFolder, collection: Collection, progress: Progress = no_progress
) -> Report:
    """Score a run's model on its own split, by its own calibration.

    Raises:
        FlukeprintError: the run has not been exported, or its photos have changed.
    """
    network = Network(load_model(folder.path / RUN_MODEL))
    split = read_split(folder.split)
    return evaluate_split(network.model, split, embedded_for(network, split, collection, progress))


def embedded_for(
    network: Network, split: Split, collection: Collection, progress: Progress = no_progress
) -> EmbeddedTable:
    """The embeddings that scoring a split takes; a classifier's gallery takes none."""
    model = network.model
    gallery = () if model.manifest.kind == "softmax" else split.gallery
    names = {*split.queries, *gallery}
    return embed_collection(collection, network, Cache(None, model.id), progress, names=names)
