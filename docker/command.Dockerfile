# Only the command `qbo-rs`.
FROM rust:1.95-slim-bookworm AS build
RUN apt-get update && apt-get install -y --no-install-recommends gcc libc6-dev && rm -rf /var/lib/apt/lists/*
WORKDIR /src
COPY . .
RUN cargo build --release --locked --features cli --bin qbo-rs

FROM debian:bookworm-slim
RUN apt-get update && apt-get install -y --no-install-recommends ca-certificates && rm -rf /var/lib/apt/lists/* \
    && useradd --system --create-home qbo
COPY --from=build /src/target/release/qbo-rs /usr/local/bin/qbo-rs
USER qbo
ENTRYPOINT ["qbo-rs"]
