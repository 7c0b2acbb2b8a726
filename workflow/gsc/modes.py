"""The two ways in which Gramine runs an image: in an enclave, or beside one, for trying."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from workflow.core.settings import PROJECT, GscSettings


@dataclass(frozen=True)
class Mode:
    """Say in what a shielded image for this mode differs from one for the other."""

    name: str
    """Of its backend, of its overlay in manifests/ and on the image's label."""
    is_protected: bool
    """The processor keeps this machine's owner out."""
    tag: str
    """Of the image that GSC is given, so that both can lie side by side."""
    handover_key: str
    """Gramine's name of the key by which the network leaves the enclave: its signer's."""
    checkpoint_key: str
    """Of the key of the checkpoints: with its signer's another enclave could put a forged one under
    a run that is then attested."""
    admitted: dict[str, str] = field(default_factory=dict)
    """Insecure options that need no flag here, and why; an image is marked with them all the
    same."""
    key: Path | None = None
    """A key of its own to sign with; None takes the setting's."""

    def app_name(self, image: str) -> str:
        """Return the name that GSC is given for the image."""
        return f"{image}:{self.tag}" if self.tag else image

    def signing_key(self, gsc: GscSettings) -> Path:
        """Return the path of the key that signs: what a throwaway key seals is nobody's secret."""
        return self.key or gsc.key


SGX = Mode(
    "sgx", is_protected=True, tag="", handover_key="_sgx_mrsigner", checkpoint_key="_sgx_mrenclave"
)
DIRECT = Mode(
    "direct",
    is_protected=False,
    tag="direct",
    handover_key="default",
    checkpoint_key="default",
    admitted={"insecure-keys": "part of direct mode", "old-torch": "of the base"},
    key=PROJECT / "out" / "direct-test-key.pem",
)
MODES = {mode.name: mode for mode in (SGX, DIRECT)}


def unsigned_name(app: str) -> str:
    """Return GSC's name for the image before it is signed; ``app`` is what GSC was given."""
    return f"gsc-{app}-unsigned"


def signed_name(app: str) -> str:
    """Return GSC's name for the signed image."""
    return f"gsc-{app}"


def tools_name(app: str) -> str:
    """Return our name for the image with Gramine's signer, where the unsigned one is smaller."""
    return f"gsc-{app}-tools"
