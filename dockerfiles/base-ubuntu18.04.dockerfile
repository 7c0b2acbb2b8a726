# Ubuntu 18.04, which old Graphene's GSC needs: the documented original. Past its end of life, and
# not run by this project. The last torch that this project supports at the lower end, on the Python 3.8 of its universe.
ARG OS=ubuntu:18.04
ARG TORCH_VERSION=1.13.1+cpu
FROM ${OS}
ARG TORCH_VERSION

RUN apt-get update \
    && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends \
        ca-certificates curl python3.8 python3.8-distutils python3-pip \
    && rm -rf /var/lib/apt/lists/*

RUN python3.8 -m pip install --no-cache-dir --upgrade 'pip==24.0' \
    && python3.8 -m pip install --no-cache-dir --only-binary=:all: \
        --extra-index-url https://download.pytorch.org/whl/cpu \
        'numpy==1.24.4' 'pillow==10.4.0' 'typing-extensions==4.12.2' 'requests==2.32.3' \
        'cryptography==42.0.8' \
        "torch==${TORCH_VERSION}" 'torchvision==0.14.1+cpu' \
    && ln -sf python3.8 /usr/bin/python3

COPY dockerfiles/slim.sh pytorch_common/architectures.py /tmp/
RUN sh /tmp/slim.sh /usr/lib/python3.8 /usr/local/lib/python3.8
# All that a run needs of the base: torch, its architectures, and a key of its own.
RUN cd /tmp && python3 -B -c 'import architectures; architectures.check()' && rm -r /tmp/* \
    && python3 -B -c 'from cryptography.hazmat.primitives.asymmetric import ec; \
ec.generate_private_key(ec.SECP256R1())'

ENV TORCH_VERSION=${TORCH_VERSION} \
    PYTHONPATH=/app \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1
WORKDIR /app
USER app
CMD ["python3", "-c", "import torch; print(torch.__version__)"]
