# llmsim in a container: docker build -t llmsim . && docker run --rm -p 8080:8080 llmsim
# Settings come as LLMSIM_ variables or as arguments: docker run ... llmsim serve --latency instant

FROM python:3.11-slim AS build
WORKDIR /src
# Every package that is installed here, also to build llmsim, is one of the lock files, with its hash.
COPY requirements.lock requirements-build.lock ./
# The environment has no pip of its own: the image cannot install anything, and is smaller.
RUN python -m venv --without-pip /opt/llmsim \
  && pip --python /opt/llmsim/bin/python install --no-cache-dir --require-hashes -r requirements.lock \
  && pip install --no-cache-dir --require-hashes -r requirements-build.lock
COPY pyproject.toml README.md LICENSE NOTICE ./
COPY llmsim ./llmsim
COPY loadtest ./loadtest
RUN pip wheel --no-deps --no-build-isolation --wheel-dir /wheels . \
  && pip --python /opt/llmsim/bin/python install --no-cache-dir --no-deps --no-index /wheels/*.whl

FROM python:3.11-slim
LABEL org.opencontainers.image.title="llmsim" \
  org.opencontainers.image.description="Simulates the traffic of LLM APIs without a model" \
  org.opencontainers.image.licenses="MIT"
RUN useradd --system --uid 10001 --no-create-home llmsim
COPY --from=build /opt/llmsim /opt/llmsim
ENV PATH=/opt/llmsim/bin:$PATH
# By number, so that Kubernetes' runAsNonRoot can check it.
USER 10001
EXPOSE 8080
# Kubernetes does not run it, and has probes of its own.
HEALTHCHECK --interval=10s --timeout=5s --start-period=15s \
  CMD ["python", "-c", "import os, urllib.request; urllib.request.urlopen('http://127.0.0.1:' + os.environ.get('LLMSIM_PORT', '8080') + '/health', timeout=4)"]
ENTRYPOINT ["llmsim"]
CMD ["serve"]
