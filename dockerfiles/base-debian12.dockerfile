# Debian 12 with the CPU wheels of torch and torchvision, each held to its digest: fewer and fewer
# trusted files than the distribution's own packages. `inv build --wheels DIR` takes them from a folder.
# Debian's 12-slim of 2026-08-24, by digest; `image.os` names another.
ARG OS=debian:12-slim@sha256:88200866dfff7ea7f5cbcb6ec7c8a701889efe6fe859fe64d6990e4b07ea4171
# The moment of snapshot.debian.org whose packages are taken; empty takes the sources that the image
# itself has. `inv build` leaves it empty where `image.os` names another image.
ARG SNAPSHOT=20260824T000000Z
ARG TORCH_VERSION=2.13.0+cpu
FROM ${OS} AS wheels

ARG SNAPSHOT
COPY dockerfiles/apt.sh /tmp/
RUN sh /tmp/apt.sh "${SNAPSHOT}" ca-certificates python3 python3-pip
# The folder wheels/ is in the context where --wheels is given; without it the index serves.
COPY dockerfiles/requirements.lock wheels* /wheels/
ARG PIP_OPTIONS="--extra-index-url=https://download.pytorch.org/whl/cpu"
RUN python3 -m pip install --no-cache-dir --no-deps --require-hashes --only-binary=:all: \
        --target /python ${PIP_OPTIONS} -r /wheels/requirements.lock \
    && rm -rf /python/bin /python/share

FROM ${OS} AS full
ARG SNAPSHOT
COPY dockerfiles/apt.sh /tmp/
RUN sh /tmp/apt.sh "${SNAPSHOT}" libstdc++6 python3
COPY --from=wheels /python /usr/local/lib/python3.11/dist-packages

COPY dockerfiles/slim.sh pytorch_common/architectures.py /tmp/
RUN sh /tmp/slim.sh /usr/lib/python3.11 /usr/local/lib/python3.11
ARG TORCH_VERSION
# All that a run needs of the base: torch, its architectures, and a key of its own.
RUN cd /tmp && python3 -B -c 'import architectures; architectures.check()' && rm -r /tmp/* \
    && python3 -B -c 'from cryptography.hazmat.primitives.asymmetric import ec; \
ec.generate_private_key(ec.SECP256R1())'

# One layer, so that what was deleted is gone; pip and the wheels never were in it.
FROM scratch
COPY --from=full / /
ARG TORCH_VERSION
ENV TORCH_VERSION=${TORCH_VERSION} \
    PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
    PYTHONPATH=/app \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1
WORKDIR /app
USER app
CMD ["python3", "-c", "import torch; print(torch.__version__)"]
