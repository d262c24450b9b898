"""A Kubernetes-like Deployment from a sentence."""

import random
from dataclasses import dataclass
from typing import Any

import yaml

from neuron.local import words
from neuron.local.example import Example, Outcome, ask

_REQUESTS = (
    "Write a Deployment manifest in YAML: name {name}, namespace {namespace}, image {image}, {replicas} replicas, port {port}, memory limit {memory}Mi.",
    "I want {replicas} replicas of {image} as {name} in namespace {namespace}, listening on port {port} with at most {memory}Mi of memory. Give me the Deployment YAML.",
    "Deployment YAML please. app: {name}; namespace: {namespace}; image: {image}; replicas: {replicas}; port: {port}; memory: {memory}Mi",
)
_MANIFEST = """\
apiVersion: apps/v1
kind: Deployment
metadata:
  name: {name}
  namespace: {namespace}
  labels:
    app: {name}
spec:
  replicas: {replicas}
  selector:
    matchLabels:
      app: {name}
  template:
    metadata:
      labels:
        app: {name}
    spec:
      containers:
      - name: {name}
        image: {image}
        ports:
        - containerPort: {port}
        resources:
          limits:
            memory: {memory}Mi"""


# PyYAML's constructors also let these through: 2024-13-45 is a ValueError.
_NOT_YAML = (yaml.YAMLError, ValueError, LookupError, AttributeError, TypeError, RecursionError)


@dataclass(frozen=True)
class K8sYaml:
    name: str = "k8s_yaml"
    structured: bool = True

    def sample(self, rng: random.Random) -> Example:
        values: dict[str, Any] = {
            "name": f"{rng.choice(words.APPS)}-{rng.choice(words.COLOURS)}",
            "namespace": rng.choice(words.NAMESPACES),
            "image": f"{rng.choice(words.IMAGES)}:{rng.randint(1, 29)}.{rng.randint(0, 9)}",
            "replicas": rng.randint(1, 12),
            "port": rng.randint(1000, 9999),
            "memory": rng.choice((64, 128, 256, 384, 512, 768)),
        }
        phrasing = rng.randrange(len(_REQUESTS))
        prompt = _REQUESTS[phrasing].format(**values)
        return Example(self.name, phrasing, ask(prompt), _MANIFEST.format(**values))

    def check(self, example: Example, text: str) -> Outcome:
        try:
            got = yaml.safe_load(text)
        except _NOT_YAML as error:
            return Outcome(False, False, f"not YAML: {error}")
        if not (isinstance(got, dict) and got.get("kind") == "Deployment" and "spec" in got):
            return Outcome(False, False, "not a Deployment")
        exact = got == yaml.safe_load(example.answer)
        return Outcome(True, exact, None if exact else "another value than asked")
