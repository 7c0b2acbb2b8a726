"""A machine to shield images on: a stand-in for GSC, tiny images, a key, folders of its own."""

from __future__ import annotations

import itertools
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from tests import doing
from tests.gsc import gsc_stand_in
from workflow.core.settings import GscSettings, ImageSettings, MachineSettings, Settings
from workflow.gsc import graminize, manifest, measurement, modes, sign_image
from workflow.gsc.modes import MODES
from workflow.images import daemon
from workflow.images.build_spec import CONTEXT_LABEL, image_name
from workflow.images.daemon import Image

_NUMBERS = itertools.count()


@dataclass
class World:
    """Hold the settings of one test module, and what it has of the outside."""

    settings: Settings
    base: str
    manifests: Path
    folder: Path

    def app(self, role: str = "train", **variables: str) -> str:
        """Build the plain image of the role and return its name."""
        name = image_name(self.settings, role)
        text = "".join(f"ENV {key}={value}\n" for key, value in variables.items())
        threads = f"ENV {role.upper()}_THREADS=2\n"
        dockerfile = f"FROM {self.base}\n{threads}{text}"
        daemon.build_files(
            {"Dockerfile": dockerfile.encode()},
            tag=name,
            labels={CONTEXT_LABEL: "of the tests"},
            on_line=lambda line: None,
        )
        return name

    def shield(self, mode: str = "sgx", role: str = "train", **changes: object) -> Settings:
        """Do gsc-build and sign with changed GSC settings, and return these."""
        settings = self.changed(**changes)
        doing.gsc_build(settings, mode, [role])
        doing.sign(settings, mode, [role])
        return settings

    def changed(self, **changes: object) -> Settings:
        """Return the settings with some of GSC's changed."""
        checkout = replace(self.settings.gsc, **changes)  # type: ignore[arg-type]
        return replace(self.settings, gsc=checkout)

    def name(self, mode: str = "sgx", role: str = "train") -> str:
        return MODES[mode].app_name(image_name(self.settings, role))

    def unsigned(self, mode: str = "sgx", role: str = "train") -> Image | None:
        return daemon.find_image(modes.unsigned_name(self.name(mode, role)))

    def signed(self, mode: str = "sgx", role: str = "train") -> Image | None:
        return daemon.find_image(modes.signed_name(self.name(mode, role)))

    def calls(self) -> list[str]:
        """Return what GSC was called with since the last time."""
        path = self.settings.gsc.dir / "calls"
        lines = path.read_text().splitlines() if path.exists() else []
        path.unlink(missing_ok=True)
        return lines

    def behave(self, how: str) -> None:
        (self.settings.gsc.dir / "behave").write_text(how)

    def behave_well(self) -> None:
        (self.settings.gsc.dir / "behave").unlink(missing_ok=True)


def pem(key: rsa.RSAPrivateKey, passphrase: bytes = b"") -> bytes:
    opened = serialization.NoEncryption()
    sealed = serialization.BestAvailableEncryption(passphrase) if passphrase else opened
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, sealed)


def write_key(path: Path, text: bytes) -> Path:
    path.touch(mode=0o600)
    path.write_bytes(text)
    return path


@pytest.fixture(scope="module")
def world(
    tiny_image: str, signing_key: rsa.RSAPrivateKey, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[World]:
    """Yield it, and take away every image that was made in it."""
    folder = tmp_path_factory.mktemp("shield")
    names = [f"shieldtest_{role}{os.getpid()}-{next(_NUMBERS)}" for role in ("train", "infer")]
    commit = gsc_stand_in.install(folder / "gsc")
    key = write_key(folder / "key.pem", pem(signing_key))
    settings = Settings(
        image=ImageSettings(train=names[0], infer=names[1]),
        machine=MachineSettings(backend="sgx"),
        gsc=GscSettings(dir=folder / "gsc", commit=commit, key=key, full_list=True),
    )
    manifests = folder / "manifests"
    shutil.copytree(manifest.MANIFESTS, manifests)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(manifest, "MANIFESTS", manifests)
        patch.setattr(manifest, "FINISH", manifests / "finish.toml")
        patch.setattr(graminize, "SETTLED", folder / "out" / "gsc")
        patch.setattr(sign_image, "SETTLED", folder / "out" / "gsc")
        patch.setattr(measurement, "MEASUREMENTS", folder / "out" / "measurements")
        test_key = folder / "out" / "direct-test-key.pem"
        patch.setitem(modes.MODES, "direct", replace(modes.DIRECT, key=test_key))
        yield World(settings, tiny_image, manifests, folder)
    for name in names:
        for app in (name, f"{name}:direct"):
            for image in (modes.signed_name(app), modes.unsigned_name(app), app):
                daemon.remove_image(image)
