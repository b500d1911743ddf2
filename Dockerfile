# Two images in one file. `runtime` holds Python and every locked package and is rebuilt only when the lock changes;
# `service` adds the application and takes seconds. `docker build .` on an open network builds both; `python -m pipeline build`
# hands in the base, the wheelhouse and an existing runtime by digest.
ARG BASE=debian:bookworm-slim
ARG RUNTIME=runtime

FROM ${BASE} AS runtime
RUN apt-get update \
 && apt-get install -y --no-install-recommends python3 python3-venv \
 && rm -rf /var/lib/apt/lists/* /var/cache/apt/* /var/log/*.log /var/log/apt \
 && useradd --uid 10001 --create-home --home-dir /data --shell /usr/sbin/nologin slipway \
 && python3 -m venv --without-pip /opt/venv
COPY requirements/bootstrap.txt requirements/service.txt /opt/requirements/
# Where the wheels are: a find-links URL of the wheelhouse; empty means PyPI. The hashes hold either way.
ARG WHEELHOUSE=""
ENV PATH=/opt/venv/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
# Two layers of about the same size instead of one, so that a push compresses them on two cores. The installer itself never
# stays in a layer.
RUN set -e; from="${WHEELHOUSE:+--no-index --find-links $WHEELHOUSE}"; \
    python3 -m venv /tmp/tools && /tmp/tools/bin/pip install -q --no-cache-dir --disable-pip-version-check --require-hashes $from -r /opt/requirements/bootstrap.txt; \
    awk '/^[^ #]/ { keep = /^(nvidia|cuda)/ && !/^nvidia-cudnn/ } keep' /opt/requirements/service.txt > /tmp/cuda.txt; \
    /tmp/tools/bin/uv pip install -q --python /opt/venv/bin/python --no-cache --no-deps --compile-bytecode --require-hashes $from -r /tmp/cuda.txt; \
    rm -rf /tmp/* /root/.cache
RUN set -e; from="${WHEELHOUSE:+--no-index --find-links $WHEELHOUSE}"; \
    python3 -m venv /tmp/tools && /tmp/tools/bin/pip install -q --no-cache-dir --disable-pip-version-check --require-hashes $from -r /opt/requirements/bootstrap.txt; \
    /tmp/tools/bin/uv pip install -q --python /opt/venv/bin/python --no-cache --no-deps --compile-bytecode --require-hashes $from -r /opt/requirements/service.txt; \
    rm -rf /tmp/* /root/.cache

FROM ${RUNTIME} AS service
WORKDIR /app
COPY service/ /app/service/
ARG LOCK=unknown
ENV SERVICE_HOST=0.0.0.0 SERVICE_PORT=8000 SERVICE_DATABASE=/data/service.db SERVICE_LOCK=$LOCK
# Large activations stay mapped between pictures instead of being mapped and faulted in anew (DECISIONS.md has the figures).
ENV GLIBC_TUNABLES=glibc.malloc.arena_max=2:glibc.malloc.mmap_threshold=1073741824:glibc.malloc.trim_threshold=1073741824
USER slipway
EXPOSE 8000
CMD ["python", "-m", "service"]
