# syntax=docker/dockerfile:1
FROM python:3.11-slim-bookworm AS build
WORKDIR /src
RUN python -m venv /opt/alert-refresh
COPY requirements.lock ./
# The lock is complete and has the build backend too: nothing is resolved anew, whatever newer releases there are.
RUN /opt/alert-refresh/bin/pip install --no-cache-dir --no-deps --require-hashes -r requirements.lock
COPY setup.cfg pyproject.toml README.md ./
COPY alert_refresh ./alert_refresh
# The daemon serves its runbooks: alert_refresh/web/page/docs is a link to them.
COPY docs ./docs
RUN /opt/alert-refresh/bin/pip install --no-cache-dir --no-deps --no-build-isolation . \
    && /opt/alert-refresh/bin/pip check \
    && /opt/alert-refresh/bin/pip uninstall --yes setuptools pip

FROM python:3.11-slim-bookworm
RUN useradd --system --uid 10001 --no-create-home --shell /usr/sbin/nologin alert-refresh
COPY --from=build /opt/alert-refresh /opt/alert-refresh
ENV PATH=/opt/alert-refresh/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1
USER 10001:10001
EXPOSE 8080
# The root file system may be read-only: nothing is written but to /dev/shm, and to ALERT_REFRESH_STATE_DIR where set.
# In a container the server has to listen on more than loopback: set ALERT_REFRESH_BIND=0.0.0.0:8080 and
# ALERT_REFRESH_ADMIN_TOKEN_FILE; it refuses to start with the one and without the other.
# It asks the address of ALERT_REFRESH_BIND.
HEALTHCHECK --interval=10s --timeout=3s --start-period=10s CMD ["alert-refresh", "healthcheck"]
ENTRYPOINT ["alert-refresh"]
CMD ["serve"]
