# The study with what a replay takes (no model, no PyTorch): docker build -t selfcodealign . && docker run --rm selfcodealign
# Programs of a model run in the sandbox's second tier here, where Docker forbids user namespaces; to have the first one:
# docker run --security-opt seccomp=unconfined ...
FROM python:3.11-slim
RUN apt-get update && apt-get install -y --no-install-recommends make git && rm -rf /var/lib/apt/lists/*
RUN useradd --create-home --home-dir /study reader
USER reader
WORKDIR /study/repository
COPY --chown=reader . .
RUN make setup LOCK=replay
CMD ["make", "replay"]
