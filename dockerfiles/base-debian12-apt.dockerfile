# Debian 12 with the distribution's own torch and torchvision: no package index but Debian's needed.
# Debian's 12-slim of 2026-08-24, by digest; `image.os` names another.
ARG OS=debian:12-slim@sha256:88200866dfff7ea7f5cbcb6ec7c8a701889efe6fe859fe64d6990e4b07ea4171
# The moment of snapshot.debian.org whose packages are taken; empty takes the sources that the image
# itself has. `inv build` leaves it empty where `image.os` names another image.
ARG SNAPSHOT=20260824T000000Z
# What the package of 1.13.1 says of itself.
ARG TORCH_VERSION=1.13.0a0
FROM ${OS} AS full

# The torch of Debian brings 584 MB of libraries; of what no enclave reads, nothing stays.
ARG SNAPSHOT
COPY dockerfiles/apt.sh /tmp/
RUN sh /tmp/apt.sh "${SNAPSHOT}" \
        python3-torch python3-torchvision python3-pil python3-cryptography

COPY dockerfiles/slim.sh pytorch_common/architectures.py /tmp/
RUN sh /tmp/slim.sh /usr/lib/python3 /usr/lib/python3.11
ARG TORCH_VERSION
# All that a run needs of the base: torch, its architectures, and a key of its own.
RUN cd /tmp && python3 -B -c 'import architectures; architectures.check()' && rm -r /tmp/* \
    && python3 -B -c 'from cryptography.hazmat.primitives.asymmetric import ec; \
ec.generate_private_key(ec.SECP256R1())'

# One layer, so that what was deleted is gone.
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
