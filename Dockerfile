# The build stage turns the lock file into verified wheels; the image gets the runtime packages alone, and its kernels compiled.

FROM python:3.11-slim AS build
WORKDIR /build
COPY requirements.lock ./
RUN python -m pip download --require-hashes --only-binary :all: --dest /wheels -r requirements.lock
COPY . .
RUN python -m pip wheel --no-index --find-links /wheels --no-deps --wheel-dir /wheels . \
    && python -m venv /opt/tidegate \
    && /opt/tidegate/bin/pip install --no-index --find-links /wheels tidegate

FROM python:3.11-slim
# Numba's cache key holds the processor, so it is fixed: an image compiled on one machine then starts warm on another.
ARG NUMBA_CPU_NAME=x86-64-v3
ARG NUMBA_CPU_FEATURES=+avx,+avx2,+bmi,+bmi2,+cmov,+crc32,+cx16,+cx8,+f16c,+fma,+fxsr,+lzcnt,+mmx,+movbe,+popcnt,+sahf,+sse,+sse2,+sse3,+sse4.1,+sse4.2,+ssse3,+xsave
ENV NUMBA_CPU_NAME=${NUMBA_CPU_NAME} \
    NUMBA_CPU_FEATURES=${NUMBA_CPU_FEATURES} \
    GATEWAY_CACHE_DIR=/var/cache/tidegate \
    PATH=/opt/tidegate/bin:$PATH \
    PYTHONUNBUFFERED=1
RUN useradd --system --uid 10001 --home-dir /var/lib/tidegate --shell /usr/sbin/nologin tidegate \
    && install -d -o tidegate -g tidegate /var/lib/tidegate /var/cache/tidegate
COPY --from=build /opt/tidegate /opt/tidegate
COPY config/ /etc/tidegate/
# The example as it must be in a container: state in the volume, reachable from outside.
RUN sed -i -e 's|state_dir: [^ ]*|state_dir: /var/lib/tidegate|' -e 's|listen: 127.0.0.1|listen: 0.0.0.0|' \
    -e 's|memory: /dev/shm|memory: /var/lib/tidegate/memory|' \
    /etc/tidegate/gateway.yaml
USER tidegate
WORKDIR /var/lib/tidegate
ARG CAPACITY=standard
RUN tidegate warmup --capacity ${CAPACITY}
VOLUME /var/lib/tidegate
EXPOSE 9878
ENTRYPOINT ["tidegate"]
CMD ["run", "--config", "/etc/tidegate/gateway.yaml"]
