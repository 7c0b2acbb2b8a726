"""What the tasks do, for tests that have settings at hand and no command line."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path

from workflow.assets import pretrained
from workflow.core.settings import DataSettings, Settings
from workflow.core.step import perform
from workflow.evidence.request import Request
from workflow.evidence.sending import Collateral, EvidencePack
from workflow.evidence.verifying import Verify
from workflow.gsc.modes import MODES
from workflow.images.build_spec import INFER, ROLES, TRAIN
from workflow.steps.all import All
from workflow.steps.build import Build
from workflow.steps.classify import Classify
from workflow.steps.clean_result import CleanResult
from workflow.steps.copy_net import CopyNet
from workflow.steps.demo import Demo, demo_settings
from workflow.steps.download_model import DownloadModel
from workflow.steps.fetch_hymenoptera import FetchHymenoptera
from workflow.steps.gsc_build import GscBuild
from workflow.steps.info import Info
from workflow.steps.sign import Sign
from workflow.steps.train import Train, TrainTwice
from workflow.tools.bench import Bench
from workflow.tools.cleaning import Clean
from workflow.tools.gsc_setup import GscSetup
from workflow.tools.report import REPORT_FILE, Report
from workflow.tools.size import Size


def train(settings: Settings, *, resume: bool = False, compare_scratch: bool = False) -> None:
    step = Train(settings, resume, again=not resume)
    perform(TrainTwice(settings, step) if compare_scratch else step)


def copy_net(settings: Settings) -> None:
    perform(CopyNet(settings))


def classify(
    settings: Settings, images: Sequence[str], *, as_json: bool = False, quiet: bool = False
) -> None:
    perform(Classify(settings, tuple(images), as_json, quiet))


def clean_result(settings: Settings) -> None:
    perform(CleanResult(settings))


def build(settings: Settings, roles: Sequence[str] = ROLES) -> None:
    perform(Build(settings, tuple(roles)))


def gsc_build(settings: Settings, mode: str = "sgx", roles: Sequence[str] = ROLES) -> None:
    perform(GscBuild(settings, MODES[mode], tuple(roles), again=True))


def sign(settings: Settings, mode: str = "sgx", roles: Sequence[str] = ROLES) -> None:
    perform(Sign(settings, MODES[mode], tuple(roles), again=True))


def info(
    settings: Settings, mode: str = "sgx", roles: Sequence[str] = ROLES, *, as_json: bool = False
) -> None:
    perform(Info(settings, MODES[mode], tuple(roles), as_json))


def run_all(
    settings: Settings, images: Sequence[str] = (), *, force: bool = False, dry: bool = False
) -> None:
    perform(All(settings, tuple(images), again=force), dry=dry)


def run_demo(settings: Settings, *, force: bool = False) -> None:
    perform(Demo(demo_settings(settings), again=force))


def fetch(data: DataSettings, *, force: bool = False) -> None:
    perform(FetchHymenoptera(Settings(data=data), again=force))


def download(settings: Settings, *, force: bool = False) -> Path:
    perform(DownloadModel(settings, again=force))
    return pretrained.target(settings)


def clean(settings: Settings, *, downloads: bool = False, dry: bool = False) -> None:
    perform(Clean(settings, downloads), dry=dry)


def bench(
    settings: Settings, what: str, *, rounds: int, method: str = "", as_json: bool = False
) -> None:
    perform(Bench(settings, what, rounds, method, as_json))


def size(settings: Settings, roles: Sequence[str] = ROLES, *, as_json: bool = False) -> None:
    jobs = {TRAIN: partial(Train, quiet=True, again=True), INFER: partial(Classify, quiet=True)}
    perform(Size(settings, {role: jobs[role] for role in roles}, as_json))


def report(settings: Settings) -> Path:
    perform(Report(settings, partial(Classify, quiet=True)))
    return settings.train.out / REPORT_FILE


def gsc_setup(settings: Settings) -> None:
    perform(GscSetup(settings))


def verify(
    settings: Settings,
    place: str = "",
    *,
    request: Request,
    as_json: bool = False,
    key: str = "",
    dry: bool = False,
) -> None:
    perform(Verify(settings, request, place, as_json, key), dry=dry)


def evidence_pack(settings: Settings, to: str = "", *, dry: bool = False) -> Path:
    step = EvidencePack(settings, to)
    perform(step, dry=dry)
    return step.file


def collateral(settings: Settings, *, dry: bool = False) -> Path:
    step = Collateral(settings)
    perform(step, dry=dry)
    return step.file
