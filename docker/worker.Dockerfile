# The worker's image. Weights are not in it: mount a volume and point CKPT_DIR, INFINITETALK_DIR and
# WAV2VEC_DIR at it.
#
#   docker build -f docker/worker.Dockerfile -t itk-worker .
#
# torch of the lock file is the CUDA 13 build: the host's driver must be 580 or newer.
ARG BASE_IMAGE=ubuntu:24.04
FROM ${BASE_IMAGE}

ENV UV_PROJECT_ENVIRONMENT=/opt/itk \
    UV_PYTHON_DOWNLOADS=never \
    UV_LINK_MODE=copy \
    PYTHONUNBUFFERED=1 \
    NVIDIA_VISIBLE_DEVICES=all \
    NVIDIA_DRIVER_CAPABILITIES=compute,utility

RUN apt-get update \
    && apt-get install -y --no-install-recommends python3 python3-venv ca-certificates \
    && rm -rf /var/lib/apt/lists/* \
    && python3 -m venv /opt/uv \
    && /opt/uv/bin/pip install --no-cache-dir "uv>=0.13,<0.14"

# Dependencies first: they stay cached while the code changes.
WORKDIR /src
COPY pyproject.toml uv.lock ./
COPY packages/itk-schema/pyproject.toml packages/itk-schema/README.md packages/itk-schema/
COPY packages/itk-media/pyproject.toml packages/itk-media/README.md packages/itk-media/
COPY packages/itk-engine/pyproject.toml packages/itk-engine/README.md packages/itk-engine/
COPY packages/itk-tiny/pyproject.toml packages/itk-tiny/README.md packages/itk-tiny/
COPY packages/itk-worker/pyproject.toml packages/itk-worker/README.md packages/itk-worker/
COPY packages/itk-client/pyproject.toml packages/itk-client/README.md packages/itk-client/
COPY apps/gradio/pyproject.toml apps/gradio/README.md apps/gradio/
# The extra flash is flash-attn-4; where it does not work, cuDNN's attention takes its place.
RUN /opt/uv/bin/uv sync --frozen --no-dev --no-install-workspace --package itk-worker --extra flash

COPY packages packages
COPY apps apps
RUN /opt/uv/bin/uv sync --frozen --no-dev --no-editable --compile-bytecode --package itk-worker \
    --extra flash

# No USER: Runpod mounts network volumes for root alone, and results are written there.
ENV MODEL_CACHE=/models
# exec form: the worker is process 1 and receives SIGTERM itself.
CMD ["/opt/itk/bin/python", "-m", "itk_worker"]
