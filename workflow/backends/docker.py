"""In a plain container: for trying, no more protected than natively."""

from __future__ import annotations

from dataclasses import replace

from pytorch_common.contract import BACKEND_VARIABLE, PROGRESS_VARIABLE, RUNTIME_VARIABLES
from workflow.backends.container import ContainerBackend
from workflow.core.settings import Settings
from workflow.images.build_spec import base_name
from workflow.images.container_spec import ContainerSpec
from workflow.images.currency import check_is_current


class Docker(ContainerBackend):
    """Run the image as it was built."""

    name = "docker"
    strength = 1

    def runnable(self, settings: Settings, role: str) -> tuple[str, list[str]]:
        return self.image(settings, role), check_is_current(settings, role, sealed=False)

    def adapted(
        self, spec: ContainerSpec, settings: Settings, *, is_here: bool = True
    ) -> ContainerSpec:
        variables = {**RUNTIME_VARIABLES, BACKEND_VARIABLE: self.name, PROGRESS_VARIABLE: "1"}
        return replace(spec, environment=variables)

    def last_image(self, settings: Settings) -> str:
        return base_name(settings)


BACKENDS = (Docker(),)
