"""GSC that fails, dies or lies becomes one line, and nothing of it is taken for a success."""

from __future__ import annotations

import pytest

from tests import doing
from tests.conftest import SOCKETS
from tests.gsc.gsc_stand_in import BEHAVIOURS
from tests.gsc.shield_world import World, world
from workflow.core.errors import WorkflowError
from workflow.gsc import commands, modes

__all__ = ["world"]

pytestmark = [pytest.mark.docker, *SOCKETS]

KEY = "give --key an RSA key of 3072 bits with exponent 3: openssl genrsa -3 -out KEY 3072"
NOTHING = "it ended with status 0, but made no image"

SAID = {
    "dies": (
        ": No space left on device; free some disk; docker system df shows what Docker has",
        1,
    ),
    "is killed": (" was killed by signal 9", 137),
    "prints its error with status 0": (
        f": {NOTHING}: Invalid RSA key: expected key size 3072, got 2048; {KEY}",
        1,
    ),
    "does nothing": (f": {NOTHING}: it printed nothing; the lines above say more", 1),
    "cannot import": (
        ": ModuleNotFoundError: No module named 'tomli_w'; GSC needs it: ./inv installs it",
        1,
    ),
}


@pytest.fixture(scope="module")
def unsigned(world: World) -> World:
    """Have an unsigned image, so that signing has something to fail on."""
    world.app()
    doing.gsc_build(world.settings, "sgx", ["train"])
    return world


def test_every_behaviour_is_tried() -> None:
    assert set(SAID) == set(BEHAVIOURS)


SIGNER_SAID = {
    "dies": "No space left on device; free some disk",
    "is killed": "Killed",
    "does nothing": "tar: ",
}


@pytest.mark.parametrize("how", SIGNER_SAID)
def test_signing_that_fails_is_one_line_and_leaves_no_signed_image(how: str, world: World) -> None:
    world.app(SIGNER=f"'{how}'")
    doing.gsc_build(world.settings, "sgx", ["train"])
    with pytest.raises(WorkflowError) as caught:
        doing.sign(world.settings, "sgx", ["train"])
    said = str(caught.value.message)
    assert said.startswith(f"{modes.unsigned_name(world.name())} could not be signed: ")
    assert SIGNER_SAID[how] in said
    assert "\n" not in said
    assert world.signed() is None


@pytest.mark.parametrize("how", SAID)
def test_building_that_fails_is_one_line_and_leaves_no_image_at_all(
    how: str, world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    world.app()
    world.behave(how)
    try:
        with pytest.raises(WorkflowError) as caught:
            doing.gsc_build(world.settings, "sgx", ["train"])
    finally:
        world.behave_well()
    said, status = SAID[how]
    assert (caught.value.message, caught.value.code) == (f"gsc build {world.name()}{said}", status)
    assert (world.unsigned(), world.signed()) == (None, None)
    shown = capsys.readouterr().err
    assert "\x1b" not in shown
    assert ("  | cp: error writing '/x': No space left on device\n" in shown) == (how == "dies")


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (
            'sgx.allowed_files = ["file:/out/"]',
            "name 'ManifestError' is not defined; GSC takes allowed files for trusted ones: put "
            "them into manifests/finish.toml, not into a manifest that GSC is given",
        ),
        (
            "sgx.thread_num = 4",
            "error in manifest: extra keys not allowed @ data['sgx']['thread_num']; "
            "mend the manifests; Gramine's documentation names its keys",
        ),
        ("sgx.x = ", "mend the TOML of that manifest"),
    ],
)
def test_a_manifest_that_gsc_does_not_take_is_one_line(line: str, said: str, world: World) -> None:
    world.app()
    path = world.manifests / "pytorch_train.manifest"
    text = path.read_text()
    path.write_text(f"{text}\n{line}\n")
    try:
        with pytest.raises(WorkflowError) as caught:
            doing.gsc_build(world.settings, "sgx", ["train"])
    finally:
        path.write_text(text)
    message = str(caught.value.message)
    assert message.startswith(f"gsc build {world.name()}: ")
    assert message.endswith(said)
    assert "\n" not in message


def test_what_is_not_there_says_what_makes_it(world: World) -> None:
    missing = world.changed(dir=world.folder / "none")
    for act in (doing.gsc_build, doing.info):
        with pytest.raises(WorkflowError) as caught:
            act(missing, "sgx", ["train"])
        assert caught.value.message == commands.missing_message(missing.gsc)
    config = world.settings.gsc.dir / "config.yaml"
    text = config.read_text()
    config.unlink()
    try:
        with pytest.raises(WorkflowError, match=r"has no config\.yaml; run: inv gsc-setup"):
            doing.gsc_build(world.settings, "sgx", ["train"])
    finally:
        config.write_text(text)


def test_signing_and_looking_come_after_building(world: World) -> None:
    name = world.name("direct")
    with pytest.raises(WorkflowError) as caught:
        doing.sign(world.settings, "direct", ["train"])
    assert caught.value.message == (
        f"no image gsc-{name}-unsigned here; run: inv gsc-build --image train --backend direct"
    )
    assert not (world.folder / "out" / "direct-test-key.pem").exists()
    with pytest.raises(WorkflowError) as caught:
        doing.info(world.settings, "direct", ["train"])
    assert caught.value.message == (
        f"gsc info-image gsc-{name}: Could not find graminized Docker image gsc-{name}; "
        "run: inv gsc-build, then: inv sign"
    )


def test_an_image_that_is_not_signed_has_no_measurement(unsigned: World) -> None:
    from workflow.images import daemon

    doing.gsc_build(unsigned.settings, "sgx", ["train"])
    name = unsigned.name()
    daemon.tag(modes.unsigned_name(name), modes.signed_name(name))
    with pytest.raises(
        WorkflowError, match=r"entrypoint\.sig.*; the image is not signed: inv sign"
    ):
        doing.info(unsigned.settings, "sgx", ["train"])
    daemon.remove_image(modes.signed_name(name))
