"""GSC's command lines to the letter, its configuration, and what it prints."""

from __future__ import annotations

import inspect
from dataclasses import replace
from pathlib import Path

import pytest
import tomli
import yaml

from tests.conftest import PROJECT
from workflow.backends import graphene
from workflow.backends.gramine import AESM_SOCKET
from workflow.core.errors import WorkflowError
from workflow.core.settings import GscSettings, Settings
from workflow.core.values import GRAPHENE
from workflow.gsc import commands, graminize, measurement, modes
from workflow.gsc.modes import DIRECT, MODES, SGX
from workflow.images.container_spec import ContainerSpec, Device, Mount

OLD = GscSettings(dir=Path("/src/graphene/Tools/gsc"), dialect=GRAPHENE)
INFO = """mr_enclave = "7826b61c0b753b38d4bcfcfe0e4777755e3fd66cb541088f79974b70f012014b"
mr_signer = "da311ae2612b09ea10467d53983068a20594bb5ca0c39ea0bf20bd7d77e48e5d"
isv_prod_id = 1
isv_svn = 2
date = "2026-11-25"
flags = "0400000000000000"
xfrms = "0300000000000000"
misc_select = "00000000"
debug = false

"""


@pytest.mark.parametrize(
    ("checkout", "mode", "expected"),
    [
        (GscSettings(), "sgx", "./gsc build --rm pytorch_train m.manifest"),
        (GscSettings(), "direct", "./gsc build --rm pytorch_train m.manifest"),
        (
            GscSettings(insecure="insecure-args"),
            "sgx",
            "./gsc build --insecure-args --rm pytorch_train m.manifest",
        ),
        (GscSettings(insecure="host-env"), "sgx", "./gsc build --rm pytorch_train m.manifest"),
        (OLD, "sgx", "./gsc build --rm pytorch_train m.manifest"),
        (OLD, "direct", "./gsc build --rm -L pytorch_train m.manifest"),
    ],
)
def test_building_as_the_documentation_types_it(
    checkout: GscSettings, mode: str, expected: str
) -> None:
    command = commands.build_command(checkout, "pytorch_train", Path("m.manifest"), MODES[mode])
    assert " ".join(command) == expected


def test_signing_and_looking_as_the_documentation_types_it() -> None:
    signing = commands.sign_command("pytorch_train", Path("enclave-key.pem"))
    assert signing == ["./gsc", "sign-image", "pytorch_train", "enclave-key.pem"]
    assert commands.info_command("pytorch_train") == ["./gsc", "info-image", "gsc-pytorch_train"]


def test_a_pass_phrase_never_gets_near_a_command_line() -> None:
    assert list(inspect.signature(commands.sign_command).parameters) == ["app", "key"]
    assert not any(word.startswith("-") for word in commands.sign_command("x", Path("k")))


def test_image_names_are_gscs_and_direct_mode_has_a_tag_of_its_own() -> None:
    assert SGX.app_name("pytorch") == "pytorch"
    assert DIRECT.app_name("pytorch") == "pytorch:direct"
    assert modes.signed_name("pytorch:direct") == "gsc-pytorch:direct"
    assert modes.unsigned_name("pytorch:direct") == "gsc-pytorch:direct-unsigned"


def test_gsc_is_cloned_at_a_pinned_commit() -> None:
    checkout = GscSettings(dir=Path("/src/gsc"))
    commit = "0b2ba9312c6120b5ebe2e55fb2bd7315b334361e"
    assert [" ".join(command) for command in commands.clone_commands(checkout, checkout.dir)] == [
        "git clone --quiet https://github.com/gramineproject/gsc.git /src/gsc",
        f"git -C /src/gsc -c advice.detachedHead=false checkout {commit}",
    ]
    assert commands.missing_message(checkout) == (
        "no GSC in /src/gsc; run: inv gsc-setup, or by hand: git clone "
        "https://github.com/gramineproject/gsc.git /src/gsc && "
        f"git -C /src/gsc checkout {commit}, then: inv gsc-setup"
    )


def test_old_graphene_is_cloned_as_a_whole_and_its_gsc_lies_within() -> None:
    clone, checkout = commands.clone_commands(OLD, Path("/src/graphene"))
    assert clone[-2:] == ["https://github.com/oscarlab/graphene.git", "/src/graphene"]
    assert checkout[-1] == "da8c020c9ce4da1b96ad723f7014762663893088"
    assert "no GSC in /src/graphene/Tools/gsc" in commands.missing_message(OLD)


def test_the_configuration_names_a_pinned_gramine_or_one_made_before() -> None:
    assert yaml.safe_load(commands.config_yaml(GscSettings())) == {
        "Distro": "debian:12",
        "Registry": "",
        "Gramine": {
            "Repository": "https://github.com/gramineproject/gramine.git",
            "Branch": "ff71d7afea730dffd56a97af39bb6a73ee6c7662",
        },
    }
    made = GscSettings(distro="ubuntu:24.04", gramine_image="gramine-prebuilt:1.9")
    head, _, text = commands.config_yaml(made).partition("\n")
    assert head.startswith("# Of enclave-finetune")
    assert text == (
        'Distro: "ubuntu:24.04"\nRegistry: ""\nGramine:\n    Image: "gramine-prebuilt:1.9"\n'
    )


def test_the_configuration_of_old_graphene_has_its_two_sections() -> None:
    config = yaml.safe_load(commands.config_yaml(OLD))
    assert config["Distro"] == "ubuntu18.04"
    assert config["Graphene"]["Branch"] == commands.GRAPHENE_COMMIT
    assert set(config["SGXDriver"]) == {"Repository", "Branch"}


@pytest.mark.parametrize("role", ["train", "infer"])
def test_the_manifests_of_old_graphene_are_in_its_syntax(role: str) -> None:
    from workflow.gsc import manifest

    path = manifest.user_manifest(OLD, role)
    assert path.parent == PROJECT / "manifests" / "graphene"
    content = tomli.loads(path.read_text())
    assert content["sgx"]["thread_num"] == 32
    assert "max_threads" not in content["sgx"]
    written = ("out", "handover", *(["checkpoints"] if role == "train" else []))
    assert content["sgx"]["allowed_files"] == {name: f"file:/{name}/" for name in ("in", *written)}
    assert content["fs"]["mount"]["tmp"]["path"] == "/tmp"  # noqa: S108 - inside
    assert not any("key" in name for name in content["fs"])


def test_old_graphene_runs_with_its_devices_or_its_variable() -> None:
    settings = Settings(gsc=OLD)
    direct, sgx = (
        backend.adapted(ContainerSpec("gsc-x", "1:1"), settings)
        for backend in graphene.BACKENDS[::-1]
    )
    assert (dict(direct.environment), direct.devices) == ({"GSC_PAL": "Linux"}, ())
    assert sgx.devices == (Device("/dev/gsgx", "/dev/gsgx"), Device("/dev/isgx", "/dev/isgx"))
    assert sgx.mounts == (Mount(Path(AESM_SOCKET), AESM_SOCKET),)
    assert graphene.DEVICES == ("/dev/gsgx", "/dev/isgx")


def test_by_hand_old_graphenes_image_is_not_settled() -> None:
    """Its manifest has another syntax, and takes allowed files itself."""
    lines = graminize.graminize_lines(Settings(gsc=OLD), DIRECT, "train")
    assert not any("workflow.gsc.manifest" in line for line in lines)
    assert any("./gsc build --rm -L pytorch_train:direct " in line for line in lines)


def test_a_measurement_is_read() -> None:
    measured = measurement.parse_info("gsc-x", INFO)
    assert (measured.image, measured.isv_prod_id, measured.debug) == ("gsc-x", 1, False)
    assert measured.mr_enclave.startswith("7826b61c")
    assert measured.sealing() == {
        "mr_signer": measured.mr_signer,
        "isv_prod_id": 1,
        "isv_svn": 2,
        "debug": False,
        "flags": "0400000000000000",
        "xfrms": "0300000000000000",
        "misc_select": "00000000",
    }


def test_two_measurements_differ_in_what_sealing_depends_on_or_not_at_all() -> None:
    one = measurement.parse_info("gsc-x", INFO)
    other = replace(one, image="gsc-y", mr_enclave="0" * 64, date="2027-01-01")
    assert measurement.sealing_differences(one, other) == []
    assert measurement.sealing_differences(one, replace(other, isv_svn=3, debug=True)) == [
        *("isv_svn 2 and 3", "debug False and True")
    ]


@pytest.mark.parametrize(
    ("text", "got"),
    [
        ("", "nothing"),
        ("Could not extract\nanything", "Could not extract anything"),
        ('mr_enclave = "12"', 'mr_enclave = "12"'),
        (INFO + "more = 1", "mr_enclave ="),
    ],
)
def test_what_is_no_measurement_is_shown(text: str, got: str) -> None:
    with pytest.raises(WorkflowError) as caught:
        measurement.parse_info("gsc-x", text)
    assert caught.value.message.startswith(f"gsc info-image gsc-x: expected TOML, got: {got}")
