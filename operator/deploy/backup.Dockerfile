# The backup program: `docker build -f operator/deploy/backup.Dockerfile -t ghcr.io/tenantry/backup:0.1.0 .`
FROM python:3.11-slim-bookworm AS build
WORKDIR /src
COPY . .
# The lock file decides the versions of all but this distribution itself.
RUN python -m venv /opt/tenantry \
 && /opt/tenantry/bin/pip install --no-cache-dir --require-hashes -r requirements.lock \
 && /opt/tenantry/bin/pip install --no-cache-dir --no-deps --no-build-isolation .

FROM python:3.11-slim-bookworm
RUN apt-get update \
 && apt-get install -y --no-install-recommends ca-certificates mariadb-client \
 && rm -rf /var/lib/apt/lists/*
COPY --from=build /opt/tenantry /opt/tenantry
ENV PATH=/opt/tenantry/bin:$PATH PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1
# Any id does: the job runs with the workload's, which may read its media.
USER 65532:65532
ENTRYPOINT ["tenantry-backup"]
CMD ["run"]
