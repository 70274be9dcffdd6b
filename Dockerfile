# omnivl in a container, by default for CPUs; for NVIDIA GPUs take a CUDA base:
#   docker build -t omnivl .
#   docker build -t omnivl --build-arg BASE=nvidia/cuda:12.6.3-runtime-ubuntu24.04 --build-arg TORCH_INDEX=https://download.pytorch.org/whl/cu126 .
#   docker run --rm -v "$PWD:/work" omnivl doctor
ARG BASE=ubuntu:24.04
FROM ${BASE}

ARG TORCH_INDEX=https://download.pytorch.org/whl/cpu
ARG EXTRAS=demo,remote
ARG USER_ID=10001

SHELL ["/bin/bash", "-o", "pipefail", "-c"]

# Java computes METEOR and SPICE; the versions are those of the base's release.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install -y --no-install-recommends ca-certificates default-jre-headless python3 python3-venv \
    && rm -rf /var/lib/apt/lists/*

ENV PATH=/opt/omnivl/bin:$PATH \
    PIP_NO_CACHE_DIR=1 \
    PIP_DISABLE_PIP_VERSION_CHECK=1 \
    PYTHONUNBUFFERED=1

COPY . /src
# OpenCV with windows, which mmcv asks for, needs libGL; the build without windows takes its place.
# hadolint ignore=DL3013
RUN python3 -m venv /opt/omnivl \
    && pip install torch torchvision --index-url "${TORCH_INDEX}" \
    && pip install "/src[${EXTRAS}]" \
    && pip install --force-reinstall --no-deps opencv-python-headless \
    && rm -rf /src

RUN useradd --uid "${USER_ID}" --create-home omnivl && mkdir -p /work && chown omnivl /work
USER ${USER_ID}
WORKDIR /work

ENTRYPOINT ["omnivl"]
CMD ["--help"]
