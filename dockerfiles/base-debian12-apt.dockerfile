# Debian 12 with the distribution's own torch and torchvision: no package index but Debian's needed.
# Debian's 12-slim of 2026-08-24, by digest; `image.os` names another.
ARG OS=debian:12-slim@sha256:88200866dfff7ea7f5cbcb6ec7c8a701889efe6fe859fe64d6990e4b07ea4171
FROM ${OS} AS full

# The torch of Debian brings 584 MB of libraries; of what no enclave reads, nothing stays.
RUN apt-get update \
    && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends \
        python3-torch python3-torchvision python3-pil \
    && apt-get clean && rm -rf /var/lib/apt/lists/* /var/log/* /var/cache/*

COPY dockerfiles/slim.sh /tmp/slim.sh
RUN sh /tmp/slim.sh /usr/lib/python3 /usr/lib/python3.11 && rm /tmp/slim.sh
RUN python3 -B -c 'import torch, torchvision'

# One layer, so that what was deleted is gone.
FROM scratch
COPY --from=full / /
ENV PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
    PYTHONPATH=/app \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1
WORKDIR /app
USER app
CMD ["python3", "-c", "import torch, torchvision; print(torch.__version__, torchvision.__version__)"]
