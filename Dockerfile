# One image for every role: mundap web, worker, embeddings, migrate (docs/deploying.md).
ARG PYTHON_IMAGE=docker.io/library/python:3.11-slim-bookworm

FROM ${PYTHON_IMAGE} AS build
RUN python -m venv /opt/mundap
ENV PATH=/opt/mundap/bin:$PATH PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
WORKDIR /src
COPY requirements.txt ./
RUN pip install --require-hashes -r requirements.txt
COPY pyproject.toml requirements.in README.md LICENSE ./
COPY src src
# scipy is a fifth of it all: what `mundap eval` computes with asks for it, and never imports it. The installers go last.
RUN pip install --no-deps --no-build-isolation . \
    && pip uninstall --yes scipy setuptools pip

FROM ${PYTHON_IMAGE}
LABEL org.opencontainers.image.title="Mundap" \
    org.opencontainers.image.licenses="Apache-2.0"
RUN groupadd --system --gid 10001 mundap \
    && useradd --system --uid 10001 --gid mundap --home-dir /nonexistent --shell /usr/sbin/nologin mundap \
    && install --directory --owner mundap --group mundap --mode 700 /backups
COPY --from=build /opt/mundap /opt/mundap
ENV PATH=/opt/mundap/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 \
    MUNDAP_ENV=production MUNDAP_HOME=/tmp/mundap
USER 10001:10001
WORKDIR /tmp
EXPOSE 8000
HEALTHCHECK --interval=30s --timeout=10s --start-period=60s CMD ["mundap", "healthy", "web"]
CMD ["mundap", "web", "--host", "0.0.0.0"]
