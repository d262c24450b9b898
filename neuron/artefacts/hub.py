"""Weights from a model hub to a folder, with a manifest of ours beside them."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from neuron.artefacts import manifest as manifests
from neuron.artefacts.disk import disk
from neuron.artefacts.errors import ArtefactError, DamagedError, NotPublishedError, StoreError
from neuron.artefacts.pull import Pulled, alone, partial_of
from neuron.artefacts.strangers import check_strangers
from neuron.artefacts.verified import remember, state_of
from neuron.artefacts.verify import wrong_files

PATTERNS = ("*.json", "*.safetensors", "*.txt", "*.jinja", "*.model", "LICENSE*")
"""Weights in the one format that NxDI and vLLM read first; not the same again as .bin or .pth."""
TIMEOUT_S = 10.0
"""For the hub's first answer about a file."""


def pull_from_hub(
    repo: str, target: Path, *, revision: str = "main", endpoint: str | None = None
) -> Pulled:
    """`target` afterwards holds the repository's commit, each large file compared with the hub's
    SHA-256. `endpoint` None: HF_ENDPOINT or the public hub.

    Raises NotPublishedError, StoreError, DamagedError, and ArtefactError for a folder that holds
    something else.
    """
    from huggingface_hub import HfApi

    api = HfApi(endpoint=endpoint)
    with disk(target), alone(target), _said(repo):
        info = api.model_info(repo, revision=revision, files_metadata=True, timeout=TIMEOUT_S)
        origin = f"hub:{repo}@{info.sha}"
        there = _there(target, origin)
        if there is not None:
            return Pulled(target, there, moved=0)
        partial = partial_of(target, info.sha or "")
        partial.mkdir(exist_ok=True)
        siblings = {file.rfilename for file in info.siblings or ()}
        check_strangers(partial, siblings, besides=(".cache",))
        api.snapshot_download(
            repo,
            revision=info.sha,
            local_dir=partial,
            allow_patterns=list(PATTERNS),
            etag_timeout=TIMEOUT_S,
        )
        shutil.rmtree(partial / ".cache", ignore_errors=True)
        check_strangers(partial, siblings)
        before = state_of(partial)
        made = manifests.describe(partial, "weights", repo, origin=origin)
        stated = {file.rfilename: file.lfs.sha256 for file in info.siblings or () if file.lfs}
        _compare(repo, partial, made, stated)
        manifests.write(partial, made)
        partial.rename(target)
        remember(target, made, before)
        return Pulled(target, made, moved=made.size)


def _there(target: Path, origin: str) -> manifests.Manifest | None:
    if not target.exists():
        return None
    try:
        found = manifests.read(target)
    except NotPublishedError as error:
        if target.is_dir() and not any(target.iterdir()):
            target.rmdir()
            return None
        raise ArtefactError(
            f"{target} holds something without our manifest, which is not overwritten: give "
            "another folder, or remove this one."
        ) from error
    before = state_of(target)
    if found.origin != origin or wrong_files(target, found.files):
        raise ArtefactError(
            f"{target} holds {found.origin or found.name}, or a damaged copy, and not {origin}: "
            "give another folder, or remove this one."
        )
    remember(target, found, before)
    return found


def _compare(repo: str, partial: Path, made: manifests.Manifest, stated: dict[str, str]) -> None:
    wrong = [file for file in made.files if stated.get(file.path, file.sha256) != file.sha256]
    for file in wrong:
        (partial / file.path).unlink()
    if wrong:
        raise DamagedError(
            f"{wrong[0].path} of {repo} has not the SHA-256 that the hub states: nothing was put "
            "in place; pull again."
        )


@contextmanager
def _said(repo: str) -> Iterator[None]:
    # The client under huggingface_hub 2; under 0.x it is requests, whose errors are OSErrors.
    from httpx2 import HTTPError
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, RepositoryNotFoundError

    try:
        yield
    except HFValidationError as error:
        raise NotPublishedError(f"{repo!r} is no repository of the form owner/name.") from error
    except RepositoryNotFoundError as error:
        raise NotPublishedError(
            f"The hub has no {repo}, or not for this user: check the name, or set HF_TOKEN."
        ) from error
    except (HfHubHTTPError, HTTPError) as error:
        line = " ".join(str(error).split())
        raise StoreError(f"The hub cannot be used for {repo}: {line}.") from error
