"""From a plain image to a signed one, with the real daemon and a stand-in for GSC."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

import pytest
import tomli
from cryptography.hazmat.primitives.asymmetric import rsa

from tests import doing
from tests.conftest import SOCKETS
from tests.gsc.shield_world import World, pem, world, write_key
from workflow.core.errors import WorkflowError
from workflow.core.settings import GscSettings
from workflow.gsc import lint, manifest, measurement, shielded_images
from workflow.gsc.modes import SGX
from workflow.gsc.signer_key import ensure_key
from workflow.images import daemon
from workflow.images.build_spec import CONTEXT_LABEL
from workflow.images.daemon import Image

__all__ = ["world"]

pytestmark = [pytest.mark.docker, *SOCKETS]


@pytest.fixture(scope="module")
def shielded(world: World) -> World:
    """Shield the training image, and leave it as it is."""
    world.app()
    world.shield()
    return world


def manifest_of(image: Image | None) -> bytes:
    assert image is not None
    return daemon.read_file(image.id, manifest.IN_IMAGE)


def test_a_shielded_image_says_what_it_was_made_of(shielded: World) -> None:
    app = daemon.find_image(shielded.name())
    unsigned, signed = shielded.unsigned(), shielded.signed()
    assert app is not None
    assert unsigned is not None
    assert signed is not None
    assert dict(unsigned.labels) == dict(signed.labels)
    ours = {name: value for name, value in signed.labels.items() if name != "shieldtest"}
    assert ours == {
        CONTEXT_LABEL: app.labels[CONTEXT_LABEL],
        "enclave-finetune.mode": "sgx",
        "enclave-finetune.insecure": "",
        "enclave-finetune.manifest": manifest.sources_digest(GscSettings(), "train", SGX, []),
        "enclave-finetune.app": app.id,
    }
    assert signed.is_built_on(unsigned)
    assert unsigned.is_built_on(app)
    assert signed.user == app.user == "10001:10001"


def test_the_manifest_that_is_signed_is_the_settled_one(shielded: World) -> None:
    text = manifest_of(shielded.signed())
    kept = shielded.folder / "out" / "gsc" / shielded.name() / "entrypoint.manifest"
    assert text == kept.read_bytes() == manifest_of(shielded.unsigned())
    settled = tomli.loads(text.decode())
    uris = [entry["uri"] for entry in settled["sgx"]["trusted_files"]]
    assert uris == sorted(uris)
    assert "file:/app/pytorch_train/train.py" in uris
    assert not {"file:/etc/hosts", "file:/etc/hostname"} & set(uris)
    assert settled["sgx"]["allowed_files"] == ["file:/in/", "file:/out/"]
    assert settled["loader"]["env"]["OMP_NUM_THREADS"] == "2"
    assert settled["fs"]["mounts"][1]["key_name"] == "_sgx_mrsigner"
    assert lint.lint(settled, SGX) == []


def test_gsc_is_called_as_documented(shielded: World) -> None:
    name = shielded.name()
    assert shielded.calls() == [
        f"build --rm {name} {shielded.manifests}/pytorch_train.manifest",
    ]


def test_no_container_of_a_build_stays_behind(shielded: World) -> None:
    listing = ["docker", "ps", "-aq", "--filter", f"ancestor={shielded.name()}"]
    done = subprocess.run(listing, capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


def test_the_measurement_is_a_table_for_people(
    shielded: World, capsys: pytest.CaptureFixture[str]
) -> None:
    doing.info(shielded.settings, "sgx", ["train"])
    shown = dict(line.split(maxsplit=1) for line in capsys.readouterr().out.splitlines() if line)
    measured = measurement.measure(shielded.settings.gsc, shielded.name())
    assert shown["MRENCLAVE"] == measured.mr_enclave
    assert shown["MRSIGNER"] == measured.mr_signer
    assert shown["image"] == f"gsc-{shielded.name()}"
    assert shown["insecure"] == "options  none"
    assert shown["debug"] == "enclave     no"


def test_the_measurement_is_json_for_programs_and_is_kept(
    shielded: World, capsys: pytest.CaptureFixture[str]
) -> None:
    doing.info(shielded.settings, "sgx", ["train"], as_json=True)
    (facts,) = json.loads(capsys.readouterr().out)
    path = shielded.folder / "out" / "measurements" / f"gsc-{shielded.name()}.json"
    assert json.loads(path.read_text()) == facts
    assert (facts["isv_prod_id"], facts["isv_svn"], facts["debug"]) == (1, 1, False)
    assert facts["insecure"] == []


def test_todays_image_may_run(shielded: World) -> None:
    assert (
        shielded_images.current_image(shielded.settings, "train", SGX) == f"gsc-{shielded.name()}"
    )


def test_a_key_with_pass_phrase_signs_as_it_does_without(
    shielded: World, signing_key: rsa.RSAPrivateKey, tmp_path: Path
) -> None:
    before = measurement.measure(shielded.settings.gsc, shielded.name())
    phrase = tmp_path / "phrase"
    phrase.write_text("open sesame\n")
    key = write_key(tmp_path / "sealed.pem", pem(signing_key, b"open sesame"))
    doing.sign(shielded.changed(key=key, passphrase_file=str(phrase)), "sgx", ["train"])
    assert measurement.measure(shielded.settings.gsc, shielded.name()) == before


def test_direct_mode_has_a_tag_a_mark_and_a_key_of_its_own(
    shielded: World, capsys: pytest.CaptureFixture[str]
) -> None:
    before = shielded.signed()
    shielded.shield("direct")
    said = capsys.readouterr().err
    unsigned = f"gsc-{shielded.name()}:direct-unsigned"
    assert f"{unsigned}: insecure option insecure-keys, part of direct mode\n" in said
    signed = shielded.signed("direct")
    assert signed is not None
    assert signed.labels["enclave-finetune.insecure"] == "insecure-keys"
    assert shielded.signed() == before
    one, other = (
        measurement.measure(shielded.settings.gsc, shielded.name(m)) for m in ("sgx", "direct")
    )
    assert one.mr_signer != other.mr_signer
    assert (shielded.folder / "out" / "direct-test-key.pem").stat().st_mode & 0o777 == 0o600
    doing.info(shielded.settings, "direct", ["train"])
    shown = capsys.readouterr().out
    assert "backend           direct: not protected\n" in shown
    assert "insecure options  insecure-keys\n" in shown


def test_two_enclaves_are_held_to_what_sealing_depends_on(shielded: World) -> None:
    shielded_images.check_can_hand_over(shielded.settings)
    shielded.app("infer")
    (shielded.manifests / "pytorch.manifest").write_text(
        "sgx.enclave_size = '4G'\nsgx.max_threads = 32\nsgx.isvprodid = 1\nsgx.isvsvn = 2\n"
    )
    other_key = ensure_key(shielded.folder / "out" / "direct-test-key.pem")
    shielded.shield(role="infer", key=other_key)
    with pytest.raises(WorkflowError) as caught:
        shielded_images.check_can_hand_over(shielded.settings)
    assert re.fullmatch(
        f"gsc-{shielded.name()} and gsc-{shielded.name(role='infer')} could not open each other's "
        "files: mr_signer [0-9a-f]{64} and [0-9a-f]{64}; isv_svn 1 and 2; "
        "sign both with one key: inv sign",
        str(caught.value.message),
    )
