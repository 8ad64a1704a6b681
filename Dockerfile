# AIMS in a container, for a CPU; for a GPU:
#     docker build --build-arg BASE=pytorch/pytorch:2.9.1-cuda12.8-cudnn9-runtime -t aims .
#     docker run --gpus all -v "$PWD:/work" aims run --method simcmf --modality nir
# Neither form has been built yet.
ARG BASE=python:3.12-slim
FROM ${BASE}
COPY . /opt/aims
# A base that has torch keeps its own.
RUN pip install --no-cache-dir "/opt/aims[click]" && aims --version
# Weights and verified sets are kept where the user keeps data.
ENV AIMS_CACHE=/work/.cache
WORKDIR /work
ENTRYPOINT ["aims"]
CMD ["--help"]
