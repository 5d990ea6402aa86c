# Mage with qbo_rs installed. Both stages are Debian 12, so that the wheel finds the glibc that it was built with; its
# stable ABI serves every Python from 3.10 on, which is Mage's.
FROM rust:1.95-slim-bookworm AS wheel
RUN apt-get update && apt-get install -y --no-install-recommends gcc libc6-dev python3 python3-pip && rm -rf /var/lib/apt/lists/* \
    && pip3 install --no-cache-dir --break-system-packages maturin==1.16.0
WORKDIR /src
COPY . .
RUN maturin build --release --locked --compatibility linux --out /wheels

FROM mageai/mageai:0.9.80
COPY --from=wheel /wheels /tmp/wheels
# Now, not when the container starts: there Mage only warns if it fails.
RUN pip3 install --no-cache-dir --no-deps /tmp/wheels/*.whl && rm -r /tmp/wheels && python3 -c "import qbo_rs.mage"
