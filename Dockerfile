# syntax=docker/dockerfile:1

FROM python:3.11.14-slim-bookworm AS build
WORKDIR /src
ENV PATH=/opt/medsiglip/bin:$PATH PIP_DISABLE_PIP_VERSION_CHECK=1
RUN python -m venv /opt/medsiglip

# The libraries, 8 GB of them, are a layer that lasts until one of these two files changes.
COPY pyproject.toml constraints.txt ./
RUN --mount=type=cache,target=/root/.cache/pip \
    python -c "import tomllib; project = tomllib.load(open('pyproject.toml', 'rb'))['project']; \
extras = [project['optional-dependencies'][name] for name in 'postgresql oidc milvus ray tracing'.split()]; \
print(*project['dependencies'], *sum(extras, []), sep='\n')" > requirements.txt \
    && pip install --constraint constraints.txt --requirement requirements.txt

COPY README.md LICENSE NOTICE ./
COPY medsiglip medsiglip
COPY index index
COPY ingest ingest
COPY medgemma medgemma
COPY phantoms phantoms
COPY api api
RUN --mount=type=cache,target=/root/.cache/pip \
    pip install --constraint constraints.txt --no-deps .


FROM python:3.11.14-slim-bookworm
LABEL org.opencontainers.image.title="medsiglip" \
      org.opencontainers.image.description="Medical image embeddings, vector search and zero-shot classification"

# The wheels bring all they link to but libstdc++, libgcc and zlib, which this image has.
RUN groupadd --gid 10001 medsiglip \
    && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /nonexistent \
               --shell /usr/sbin/nologin medsiglip \
    && install --directory --owner=10001 --group=10001 --mode=0700 /var/lib/medsiglip /var/cache/medsiglip
COPY --from=build /opt/medsiglip /opt/medsiglip

# What libraries keep for a user goes to /tmp: all else may be read-only but the two folders above.
ENV PATH=/opt/medsiglip/bin:$PATH \
    HOME=/tmp \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONSAFEPATH=1 \
    PYTHONUNBUFFERED=1 \
    MEDSIGLIP_HOME=/var/lib/medsiglip \
    HF_HOME=/var/cache/medsiglip
WORKDIR /var/lib/medsiglip
USER 10001:10001
EXPOSE 8000
HEALTHCHECK --interval=30s --timeout=5s --start-period=60s \
    CMD ["python", "-c", "from urllib.request import urlopen; urlopen('http://127.0.0.1:8000/healthz', timeout=4)"]
ENTRYPOINT ["medsiglip"]
CMD ["serve", "--host", "0.0.0.0"]
