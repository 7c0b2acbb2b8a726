# The classifying image: code on a base that brings torch, and the digest of the one network that it
# accepts. The network itself comes at run time, by the hand-over. `inv build` passes the arguments.
ARG BASE=enclave-finetune-base:debian12
FROM ${BASE}
RUN test -n "${TORCH_VERSION}" || { echo "the base does not say which torch it has"; exit 1; }

COPY pytorch_common/ /app/pytorch_common/
COPY pytorch_infer/*.py /app/pytorch_infer/

# Inside Gramine every host file has the modification time 0, so Python would compile anew each time.
USER root
RUN find /app ! -perm -444 -exec chmod a+rX {} + \
    && PYTHONHASHSEED=0 python3 -m compileall -q --invalidation-mode unchecked-hash /app \
    && mkdir -p /out /handover /checkpoints /in && chown app:app /out /handover /checkpoints
USER app

ENV INFER_NET=/handover/net.pt \
    INFER_OUT=/out

ARG INFER_NET_SHA256
RUN test ${#INFER_NET_SHA256} -eq 64 \
    || { echo "INFER_NET_SHA256: expected the digest of the trained network"; exit 1; }
ARG INFER_TOP_K=5
ARG INFER_THREADS=0
ARG INFER_FILE_MB=200
ARG INFER_MEGAPIXELS=64
ARG INFER_SIDE=100000
ARG INFER_IGNORE_PROFILES=0
ENV INFER_NET_SHA256=${INFER_NET_SHA256} \
    INFER_TOP_K=${INFER_TOP_K} \
    INFER_THREADS=${INFER_THREADS} \
    INFER_FILE_MB=${INFER_FILE_MB} \
    INFER_MEGAPIXELS=${INFER_MEGAPIXELS} \
    INFER_SIDE=${INFER_SIDE} \
    INFER_IGNORE_PROFILES=${INFER_IGNORE_PROFILES}

ENTRYPOINT ["python3", "/app/pytorch_infer/pytorchexample.py"]
