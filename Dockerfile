# The emulated gateway as an image, a drop-in where Kong's environment variables are used, and the fake ingest endpoint.
#   docker build -t kong-metering-gateway --target gateway .    the gateway and the echo upstream
#   docker build -t kong-metering-ingest --target ingest .      the fake ingest endpoint
#   docker build -t kong-metering-load --target load .          locust with the load test, and the ingest endpoint for it
# Any base with Python 3.11 or newer, pip and /bin/sh will do.
ARG BASE_IMAGE=python:3.12-slim
FROM ${BASE_IMAGE} AS package
ENV PYTHONUNBUFFERED=1 PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 \
    PIP_ROOT_USER_ACTION=ignore
WORKDIR /build
COPY constraints.txt ./
# What the gateway needs of the package's dependencies; they change less often than the code does.
RUN ["python3", "-m", "pip", "install", "--quiet", "-c", "constraints.txt", \
     "click", "common-expression-language", "httptools", "jsonschema", "lark", "msgspec", "orjson", "PyYAML", "uvloop"]
COPY pyproject.toml README.md ./
COPY harness harness
COPY plugin_emulator plugin_emulator
COPY loadtests loadtests
COPY fixtures fixtures
RUN ["python3", "-m", "pip", "install", "--quiet", "--no-deps", "."]
WORKDIR /
LABEL io.kong-metering.emulated-gateway="true"

FROM package AS gateway
COPY image/kong /usr/local/bin/kong
USER 65534:65534
ENV KONG_DATABASE=off
EXPOSE 8000 8001
# As Kong's image: `docker stop` lets requests finish and delivers what is queued.
STOPSIGNAL SIGQUIT
HEALTHCHECK --interval=5s --timeout=10s --start-period=15s --retries=3 CMD ["kong", "health"]
ENTRYPOINT ["python3", "-m", "harness.cli.kong_gateway"]
CMD ["kong", "docker-start"]

FROM package AS ingest
COPY constraints.txt /build/
RUN ["python3", "-m", "pip", "install", "--quiet", "-c", "/build/constraints.txt", \
     "aiohttp", "cloudevents", "jsonschema-rs", "mitmproxy", "rich"]
WORKDIR /tmp
USER 65534:65534
EXPOSE 8088
ENTRYPOINT ["python3", "-m", "harness.cli.main", "ingest"]
CMD ["--host", "0.0.0.0", "--port", "8088", "--capture", "/tmp/ingest.capture"]

FROM package AS load
COPY constraints.txt loadtests/locustfile.py /build/
RUN ["python3", "-m", "pip", "install", "--quiet", "-c", "/build/constraints.txt", \
     "aiohttp", "cloudevents", "hdrhistogram", "jsonschema-rs", "locust", "numpy", "requests", "rich"]
# Where every process of a run puts its part; a volume that is mounted there takes the owner over.
RUN ["python3", "-c", "import os; os.mkdir('/runs'); os.chown('/runs', 65534, 65534)"]
WORKDIR /runs
USER 65534:65534
EXPOSE 5557 8089
ENTRYPOINT ["python3", "-m", "locust", "-f", "/build/locustfile.py"]

# What a build without --target makes.
FROM gateway AS default
