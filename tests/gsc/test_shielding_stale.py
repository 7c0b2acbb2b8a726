"""A shielded image that is not of today, or weakened, never passes for one that is not."""

from __future__ import annotations

from pathlib import Path

import pytest

from pytorch_common.contract import INSECURE_VARIABLE
from tests import doing
from tests.conftest import SOCKETS
from tests.gsc.shield_world import World, world
from workflow.core.errors import WorkflowError
from workflow.gsc import manifest, measurement, modes, shielded_images
from workflow.gsc.modes import MODES, SGX
from workflow.images import daemon
from workflow.tools import doctor_shielded

__all__ = ["world"]

pytestmark = [pytest.mark.docker, *SOCKETS]


@pytest.fixture(scope="module")
def shielded(world: World) -> World:
    world.app()
    world.shield()
    return world


def refusal(world: World, mode: str = "sgx") -> str:
    with pytest.raises(WorkflowError) as caught:
        shielded_images.current_image(world.settings, "train", MODES[mode])
    return str(caught.value.message)


def again(mode: str = "sgx") -> str:
    return f"run: inv gsc-build --image train --backend {mode}, then: inv sign"


def test_an_older_signed_image_is_not_taken_for_a_new_one(shielded: World) -> None:
    name = shielded.name()
    signed, kept = modes.signed_name(name), f"{shielded.settings.image.infer}-kept"
    before, measured = shielded.unsigned(), measurement.measure(shielded.settings.gsc, name)
    daemon.tag(signed, kept)
    try:
        doing.gsc_build(shielded.settings, "sgx", ["train"])
        # GSC itself would now say that the final image already exists.
        assert shielded.signed() is None
        after = shielded.unsigned()
        assert before is not None
        assert after is not None
        assert after.id != before.id
        sign = "run: inv sign --image train --backend sgx"
        assert refusal(shielded) == f"{signed} is not here; {sign}"
        daemon.tag(kept, signed)
        assert refusal(shielded) == f"{signed} is an older one; {sign}"
        doing.sign(shielded.settings, "sgx", ["train"])
        # What GSC listed in another order and with other hosts measures to the same.
        assert measurement.measure(shielded.settings.gsc, name) == measured
    finally:
        daemon.remove_image(kept)


@pytest.mark.parametrize(
    "change",
    [
        "RUN true > /tmp/more",
        "COPY Dockerfile /app/more",
        "ENV LD_PRELOAD=/more.so",
        'ENTRYPOINT ["/bin/sh"]',
        "CMD more",
        "USER root",
        "WORKDIR /tmp",
        "VOLUME /app",
        "LABEL enclave-finetune.insecure=none",
        "LABEL more=yes",
    ],
)
def test_an_image_that_was_changed_after_it_was_signed_is_refused(
    change: str, shielded: World
) -> None:
    signed, kept = modes.signed_name(shielded.name()), f"{shielded.settings.image.infer}-kept"
    daemon.tag(signed, kept)
    try:
        dockerfile = f"FROM {kept}\n{change}\n".encode()
        daemon.build_files(
            {"Dockerfile": dockerfile}, tag=signed, labels={}, on_line=lambda line: None
        )
        assert refusal(shielded) == (
            f"{signed} is not as it was signed: a layer, a variable or a label was added or "
            "changed; run: inv sign --image train --backend sgx"
        )
        daemon.tag(kept, signed)
        assert shielded_images.current_image(shielded.settings, "train", SGX) == signed
    finally:
        daemon.remove_image(kept)


def test_an_image_of_other_manifests_is_refused(shielded: World) -> None:
    for name in ("pytorch_train.manifest", "finish.toml", "sgx.toml"):
        path = shielded.manifests / name
        text = path.read_text()
        path.write_text(text + "\n# another\n")
        unsigned = modes.unsigned_name(shielded.name())
        assert (
            refusal(shielded)
            == f"{unsigned} is of other manifests than today's, or of another --edmm; {again()}"
        )
        path.write_text(text)
    shielded_images.current_image(shielded.settings, "train", SGX)


def test_an_image_without_edmm_is_refused_where_it_is_asked_for(shielded: World) -> None:
    with pytest.raises(WorkflowError) as caught:
        shielded_images.current_image(shielded.changed(edmm=True), "train", SGX)
    assert caught.value.message.endswith(
        "; run: inv gsc-build --image train --backend sgx --edmm, then: inv sign --edmm"
    )


def test_an_image_of_another_backend_is_refused(shielded: World) -> None:
    direct = modes.unsigned_name(shielded.name("direct"))
    assert refusal(shielded, "direct") == f"no image {direct} here; {again('direct')}"
    daemon.tag(modes.unsigned_name(shielded.name()), direct)
    said = refusal(shielded, "direct")
    assert said == f"{direct} was not made for the backend direct; {again('direct')}"
    daemon.remove_image(direct)


def test_an_insecure_option_that_was_asked_for_is_marked_and_shown(
    shielded: World, capsys: pytest.CaptureFixture[str]
) -> None:
    shielded.app(TRAIN_EXPORT_NET="1")
    admitted = shielded.shield(insecure="insecure-args,debug-enclave")
    name, said = shielded.name(), capsys.readouterr().err
    marks = ["debug-enclave", "export-net", "insecure-args"]
    for option in marks:
        assert f"{modes.unsigned_name(name)}: insecure option {option}, as asked for\n" in said
    build = shielded.calls()[-1]
    assert build == f"build --insecure-args --rm {name} {shielded.manifests}/pytorch_train.manifest"
    assert shielded_images.insecure_options(name) == marks
    # Who only runs it need not name them again.
    assert shielded_images.current_image(shielded.settings, "train", SGX) == modes.signed_name(name)
    doing.info(admitted, "sgx", ["train"])
    shown = capsys.readouterr().out
    assert "insecure options  debug-enclave, export-net, insecure-args\n" in shown
    assert "debug enclave     yes: a debugger reads its memory\n" in shown


def test_an_insecure_manifest_is_refused_by_name_and_what_gsc_made_of_it_cannot_be_signed(
    shielded: World,
) -> None:
    path = shielded.manifests / "pytorch_train.manifest"
    text = path.read_text()
    path.write_text(text + "\nloader.insecure__use_host_env = true\n")
    try:
        with pytest.raises(WorkflowError) as caught:
            doing.gsc_build(shielded.settings, "sgx", ["train"])
        assert caught.value.message == (
            "the manifest has loader.insecure__use_host_env: the host chooses every variable; "
            "take it out, or admit it by name: inv gsc-build --insecure host-env"
        )
        with pytest.raises(WorkflowError) as caught:
            doing.sign(shielded.settings, "sgx", ["train"])
        unsigned = modes.unsigned_name(shielded.name())
        assert caught.value.message == (
            f"{unsigned} was not settled; run: inv gsc-build --image train --backend sgx"
        )
        assert shielded.signed() is None
        assert "was made from another" in refusal(shielded)
        doing.gsc_build(shielded.changed(insecure="host-env"), "sgx", ["train"])
        made = shielded.unsigned()
        assert made is not None
        assert made.labels[shielded_images.INSECURE_LABEL] == "export-net,host-env"
    finally:
        path.write_text(text)


def test_old_torch_is_refused_in_an_enclave_unless_it_is_asked_for_and_marked(
    shielded: World, capsys: pytest.CaptureFixture[str]
) -> None:
    shielded.app(TORCH_VERSION="1.13.0a0")
    shielded.calls()
    with pytest.raises(WorkflowError) as caught:
        doing.gsc_build(shielded.settings, "sgx", ["train"])
    assert caught.value.message.startswith(
        "the manifest has TORCH_VERSION 1.13.0a0: torch 1.13.0a0 is older than 2.10: "
    )
    assert caught.value.message.endswith("admit it by name: inv gsc-build --insecure old-torch")
    assert shielded.calls() == []

    for mode, admitted, marks, reason in (
        ("sgx", "old-torch", ["old-torch"], "as asked for"),
        ("direct", "", ["insecure-keys", "old-torch"], "of the base"),
    ):
        settings = shielded.shield(mode, insecure=admitted)
        assert f"insecure option old-torch, {reason}\n" in capsys.readouterr().err
        name = shielded.name(mode)
        assert shielded_images.insecure_options(name) == marks
        variables = manifest.parse(
            daemon.read_file(modes.signed_name(name), manifest.IN_IMAGE), name
        )["loader"]["env"]
        assert variables[INSECURE_VARIABLE] == ",".join(marks)
        capsys.readouterr()
        doing.info(settings, mode, ["train"])
        assert f"insecure options  {', '.join(marks)}\n" in capsys.readouterr().out
        assert doctor_shielded.image_check(name, marks, "").state == "insecure"
    daemon.remove_image(modes.signed_name(shielded.name("direct")))
    daemon.remove_image(modes.unsigned_name(shielded.name("direct")))

    shielded.app(TORCH_VERSION="2.13.0+cpu")
    shielded.shield()
    assert shielded_images.insecure_options(shielded.name()) == []


def test_an_image_of_another_app_image_is_refused(shielded: World) -> None:
    name = shielded.app(CHANGED="yes")
    unsigned = modes.unsigned_name(name)
    assert refusal(shielded) == f"{unsigned} was made from another {name} than today's; {again()}"
    daemon.remove_image(name)
    assert refusal(shielded) == f"no image {name} here; run: inv build --image train"
    with pytest.raises(WorkflowError) as caught:
        doing.gsc_build(shielded.settings, "sgx", ["train"])
    assert caught.value.message == f"no image {name} here; run: inv build --image train"


def test_the_manifests_of_the_project_are_untouched(shielded: World) -> None:
    assert manifest.FINISH.parent == shielded.manifests != Path("manifests").resolve()
