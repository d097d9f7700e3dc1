"""The body of the network in "A Fluke in the Data" (Zweig and Negre, Stanford)."""

from __future__ import annotations

from torch import Tensor, nn


class StanfordCnn(nn.Module):
    """(N, channels, H, W) float32 to feature maps (N, 256, H/16, W/16): 4 x 4 at 64 x 64 pixels.

    Source: section 3, which relies "heavily on the tensorflow model code provided by Olivier
    Moindrot and Guillaume Genthial", the computer vision example of Stanford's course CS230: four
    blocks of a 3 x 3 convolution, batch normalisation, ReLU and 2 x 2 max-pooling, each with twice
    the maps of the one before. The example leaves the first number to a settings file and the
    students do not give theirs; 32 is our choice. Batch normalisation moves its averages by a
    tenth per step there, as torch's does. The fully connected layers belong to a run's head.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.num_features = 256
        layers: list[nn.Module] = []
        before = channels
        for width in (32, 64, 128, 256):
            layers += [
                nn.Conv2d(before, width, 3, padding=1),
                nn.BatchNorm2d(width),
                nn.ReLU(inplace=True),
                nn.MaxPool2d(2),
            ]
            before = width
        self.features = nn.Sequential(*layers)

    def forward(self, crops: Tensor) -> Tensor:
        maps: Tensor = self.features(crops)
        return maps
