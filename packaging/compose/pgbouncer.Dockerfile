# Debian's pgbouncer, which is the one that the service is tested with.
FROM docker.io/library/debian:bookworm-slim
# Security fixes are wanted, so no version is named.
# hadolint ignore=DL3008
RUN apt-get update && \
    apt-get install -y --no-install-recommends pgbouncer && \
    rm -rf /var/lib/apt/lists/*
USER 65531:65531
ENTRYPOINT ["/usr/sbin/pgbouncer", "/etc/pgbouncer/dualauth.ini"]
