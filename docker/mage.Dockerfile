# Mage with qbo_rs installed. Both stages are Debian 12, so that the wheel runs on the glibc it was built with. The wheel uses
# the stable ABI and works on Python 3.10 and later; Mage's image has 3.10.
FROM rust:1.95-slim-bookworm@sha256:d7482085ff5b415f84dba5647ae71606650bdef00db7aeb69f4b3d170c3e4082 AS wheel
RUN apt-get update && apt-get install -y --no-install-recommends gcc libc6-dev python3 python3-pip && rm -rf /var/lib/apt/lists/* \
    && pip3 install --no-cache-dir --break-system-packages maturin==1.16.0
WORKDIR /src
COPY . .
RUN maturin build --release --locked --compatibility linux --out /wheels

FROM mageai/mageai:0.9.80
COPY --from=wheel /wheels /tmp/wheels
# Installed when the image is built, since Mage only warns if an installation fails when the container starts.
RUN pip3 install --no-cache-dir --no-deps /tmp/wheels/*.whl && rm -r /tmp/wheels && python3 -c "import qbo_rs.mage"
# The owner of the project on the host, because Mage writes triggers into it.
ARG MAGE_UID=1000
RUN useradd --uid "$MAGE_UID" --non-unique --create-home mage && mkdir -p /home/src/mage_data && chown -R mage:mage /home/src
USER mage
