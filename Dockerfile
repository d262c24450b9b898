# docker build --target gateway|cpu|engine-nxdi|engine-vllm-neuron .   docs/deploy.md
# Nobody has built them with Docker; tests/deploy/slow runs each RUN in a scratch root.

# Give it by digest too: python:3.11-slim-bookworm@sha256:...
ARG PYTHON_IMAGE=python:3.11-slim-bookworm
# Must be given for the engines: `docker buildx imagetools inspect IMAGE` shows it.
ARG NXDI_DIGEST
ARG VLLM_NEURON_DIGEST

FROM ${PYTHON_IMAGE} AS python
ENV PATH=/opt/venv/bin:$PATH PYTHONUNBUFFERED=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
RUN groupadd --gid 10001 specserve \
    && useradd --uid 10001 --gid 10001 --home-dir /home/specserve --create-home specserve \
    && python -m venv /opt/venv

FROM python AS package
WORKDIR /src
COPY pyproject.toml README.md ./
COPY neuron neuron
COPY server server
COPY bench bench
RUN pip wheel --no-deps --wheel-dir /wheels .

# OpenAI's API in front of engines that run elsewhere; no vLLM.
FROM python AS gateway
COPY requirements/gateway.txt /tmp/
RUN pip install --no-deps --require-hashes --requirement /tmp/gateway.txt
COPY --from=package /wheels /wheels
RUN pip install --no-deps /wheels/specserve-*.whl
USER 10001:10001
WORKDIR /home/specserve
EXPOSE 8000 9090
HEALTHCHECK --start-period=30s CMD ["python", "-c", "import urllib.request as u; u.urlopen('http://127.0.0.1:8000/health/live', timeout=4)"]
ENTRYPOINT ["server"]
# Refused without keys: give --keys-file, or --allow-anonymous.
CMD ["--host", "0.0.0.0"]

# Gateway and real vLLM on the CPU with the bundled pair, for a trial: whoever reaches it is served.
FROM python AS cpu
# Their versions follow the base image, which is what is pinned. vLLM compiles its kernels while it starts.
# hadolint ignore=DL3008
RUN apt-get update && apt-get install --yes --no-install-recommends g++ libnuma1 \
    && rm -rf /var/lib/apt/lists/*
COPY requirements/torch.txt requirements/cpu.txt /tmp/
RUN pip install --no-deps --require-hashes --requirement /tmp/torch.txt \
        --extra-index-url https://download.pytorch.org/whl/cpu \
    && pip install --no-deps --require-hashes --requirement /tmp/cpu.txt
COPY --from=package /wheels /wheels
ENV SPECSERVE_HOME=/opt/specserve
RUN pip install --no-deps /wheels/specserve-*.whl \
    && python -c "from neuron.local.build import ensure_built; ensure_built()" \
    && chmod -R a+rX /opt/specserve
USER 10001:10001
WORKDIR /home/specserve
EXPOSE 8000
HEALTHCHECK --start-period=10m CMD ["python", "-c", "import urllib.request as u; u.urlopen('http://127.0.0.1:8000/health/ready', timeout=4)"]
ENTRYPOINT ["server"]
CMD ["--host", "0.0.0.0", "--allow-anonymous"]

# NxDI under vLLM 0.16: AWS's last image that has it. Its packages stay as they are.
FROM public.ecr.aws/neuron/pytorch-inference-vllm-neuronx:0.16.0-neuronx-py312-sdk2.31.1-ubuntu24.04@${NXDI_DIGEST} AS engine-nxdi
COPY requirements/engine.txt deploy/image/beside.py /opt/specserve/
COPY --from=package /wheels /opt/specserve/wheels
RUN python /opt/specserve/beside.py /opt/specserve/engine.txt /opt/specserve/wheels/specserve-*.whl \
    && neuron --help
EXPOSE 8080
# AWS's asks /ping of port 8080, which answers while the device hangs.
HEALTHCHECK --interval=60s --timeout=90s --start-period=30m CMD ["neuron", "probe", "http://127.0.0.1:8080", "--timeout-s", "60"]
ENTRYPOINT ["neuron"]
CMD ["--help"]

# vLLM Neuron (Beta) 0.24, for the plain pool.
FROM public.ecr.aws/neuron/pytorch-inference-vllm-neuronx:0.24.0.1.1.0-neuronx-py313-sdk2.32.0-ubuntu24.04@${VLLM_NEURON_DIGEST} AS engine-vllm-neuron
COPY requirements/engine.txt deploy/image/beside.py /opt/specserve/
COPY --from=package /wheels /opt/specserve/wheels
RUN python /opt/specserve/beside.py /opt/specserve/engine.txt /opt/specserve/wheels/specserve-*.whl \
    && neuron --help
EXPOSE 8080
HEALTHCHECK --interval=60s --timeout=90s --start-period=5h CMD ["neuron", "probe", "http://127.0.0.1:8080", "--timeout-s", "60"]
ENTRYPOINT ["neuron"]
CMD ["--help"]
