# The service alone: one binary, no shell, not root. docs/deploying.md says how it is built and run.
FROM docker.io/library/rust:1.95-bookworm AS builder
WORKDIR /src
COPY . .
# `dualauth --version` and /metrics tell the commit; the build context has no .git. With the commit's date, too, the binary is a release's.
ARG REVISION=unknown
ARG SOURCE_DATE_EPOCH=0
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/src/target \
    printf '{"git":{"sha1":"%s"}}' "$REVISION" > .cargo_vcs_info.json && \
    SOURCE_DATE_EPOCH="$SOURCE_DATE_EPOCH" scripts/dist /out

FROM gcr.io/distroless/cc-debian12:nonroot
ARG VERSION=unknown
ARG REVISION=unknown
LABEL org.opencontainers.image.title="dualauth" \
      org.opencontainers.image.description="An auth service that speaks sessions and JWTs over one login record" \
      org.opencontainers.image.licenses="MIT OR Apache-2.0" \
      org.opencontainers.image.version="$VERSION" \
      org.opencontainers.image.revision="$REVISION"
COPY --from=builder /out/dualauth /usr/local/bin/dualauth
# Every interface, by IPv6 and IPv4: which of them others reach is for the container's network to say.
ENV LISTEN=:8080
EXPOSE 8080
USER 65532:65532
WORKDIR /
ENTRYPOINT ["/usr/local/bin/dualauth"]
