# The training image: code, pretrained weights and labelled images on a base that brings torch.
# Every option is an image variable, so that GSC measures it. `inv build` passes the arguments.
ARG BASE=enclave-finetune-base:debian12
FROM ${BASE}
RUN test -n "${TORCH_VERSION}" || { echo "the base does not say which torch it has"; exit 1; }

ARG WEIGHTS=pytorch_train/model/squeezenet1_0-b66bff10.pth
COPY pytorch_common/ /app/pytorch_common/
COPY pytorch_train/*.py /app/pytorch_train/
COPY ${WEIGHTS} /app/pytorch_train/model/base.pth
# One file, which train.py holds to the digest below, image by image: an enclave's start grows with the
# square of the number of files.
COPY pytorch_train/data.tar /app/pytorch_train/data.tar

# Inside Gramine every host file has the modification time 0, so Python would compile anew each time.
USER root
RUN find /app ! -perm -444 -exec chmod a+rX {} + \
    && PYTHONHASHSEED=0 python3 -m compileall -q --invalidation-mode unchecked-hash /app \
    && mkdir -p /out /handover /checkpoints && chown app:app /out /handover /checkpoints
USER app

ARG TRAIN_DATA_SHA256
ENV TRAIN_DATA=/app/pytorch_train/data.tar \
    TRAIN_DATA_SHA256=${TRAIN_DATA_SHA256} \
    TRAIN_WEIGHTS=/app/pytorch_train/model/base.pth \
    TRAIN_OUT=/out \
    TRAIN_NET=/handover/net.pt \
    TRAIN_CHECKPOINTS=/checkpoints

# A sealed image takes no --resume, so it always goes on from the checkpoints that lie there; the task
# runner deletes them before a run that is to begin anew. To the bit the network is the same.
ENV TRAIN_RESUME=1

ARG TRAIN_ARCH=squeezenet1_0
ARG TRAIN_METHOD=feature-extract
ARG TRAIN_EPOCHS=15
ARG TRAIN_BATCH_SIZE=8
ARG TRAIN_LEARNING_RATE=0.001
ARG TRAIN_MOMENTUM=0.9
ARG TRAIN_SEED=0
ARG TRAIN_THREADS=0
ARG TRAIN_PORTABLE=0
ARG TRAIN_CACHE_MB=256
ARG TRAIN_FILE_MB=200
ARG TRAIN_MEGAPIXELS=64
ARG TRAIN_SIDE=100000
ARG TRAIN_EXPORT_NET=0
ENV TRAIN_ARCH=${TRAIN_ARCH} \
    TRAIN_METHOD=${TRAIN_METHOD} \
    TRAIN_EPOCHS=${TRAIN_EPOCHS} \
    TRAIN_BATCH_SIZE=${TRAIN_BATCH_SIZE} \
    TRAIN_LEARNING_RATE=${TRAIN_LEARNING_RATE} \
    TRAIN_MOMENTUM=${TRAIN_MOMENTUM} \
    TRAIN_SEED=${TRAIN_SEED} \
    TRAIN_THREADS=${TRAIN_THREADS} \
    TRAIN_PORTABLE=${TRAIN_PORTABLE} \
    TRAIN_CACHE_MB=${TRAIN_CACHE_MB} \
    TRAIN_FILE_MB=${TRAIN_FILE_MB} \
    TRAIN_MEGAPIXELS=${TRAIN_MEGAPIXELS} \
    TRAIN_SIDE=${TRAIN_SIDE} \
    TRAIN_EXPORT_NET=${TRAIN_EXPORT_NET}

ENTRYPOINT ["python3", "/app/pytorch_train/train.py"]
