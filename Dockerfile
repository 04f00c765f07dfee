# llmsim in a container: docker build -t llmsim . && docker run --rm -p 8080:8080 llmsim
# Settings come as LLMSIM_ variables or as arguments: docker run ... llmsim serve --latency instant

FROM python:3.11-slim AS build
WORKDIR /src
# Every package that is installed here, also to build llmsim, is one of the lock files, with its hash.
COPY requirements.lock requirements-build.lock ./
RUN python -m venv /opt/llmsim && /opt/llmsim/bin/pip install --no-cache-dir --require-hashes -r requirements.lock \
  && pip install --no-cache-dir --require-hashes -r requirements-build.lock
COPY pyproject.toml README.md LICENSE NOTICE ./
COPY llmsim ./llmsim
RUN pip wheel --no-deps --no-build-isolation --wheel-dir /wheels . \
  && /opt/llmsim/bin/pip install --no-cache-dir --no-deps --no-index /wheels/*.whl

FROM python:3.11-slim
RUN useradd --system --uid 10001 --no-create-home llmsim
COPY --from=build /opt/llmsim /opt/llmsim
ENV PATH=/opt/llmsim/bin:$PATH
# By number, so that Kubernetes' runAsNonRoot can check it.
USER 10001
EXPOSE 8080
HEALTHCHECK --interval=10s --timeout=3s --start-period=10s \
  CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8080/health', timeout=2)"]
ENTRYPOINT ["llmsim"]
CMD ["serve"]
