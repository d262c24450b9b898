"""The config file: what is taken, what is refused and how, and what --check-config prints."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from neuron.errors import PairError
from server.cli import main
from server.config.plans import plan_all
from server.config.reference import tables
from server.config.sources import SettingsError, merged
from server.settings import Settings, load_settings
from tests.server.conftest import DOCS

SPEC = 'name = "spec"\npool = "speculative"\npair = "local"\n'
FAR = 'name = "far"\npool = "plain"\nurl = "http://10.0.0.7:8000/v1"\nstack = "cpu"\n'
BOTH = f"[[replicas]]\n{SPEC}[[replicas]]\n{FAR}"


def loaded(
    tmp_path: Path, text: str, environ: dict[str, str] | None = None, **given: object
) -> Settings:
    file = tmp_path / "gateway.toml"
    file.write_text(text)
    return load_settings(given, environ or {}, file)


def test_flags_go_before_variables_and_those_before_the_file(tmp_path: Path) -> None:
    text = "port = 1\nmax_in_flight = 2\ntotal_timeout = 3\n[retry]\nshare = 0.5\nmax_retries = 1\n"
    environ = {"SPECSERVE_PORT": "10", "SPECSERVE_MAX_IN_FLIGHT": "20"}
    settings = loaded(tmp_path, text, {**environ, "SPECSERVE_RETRY__SHARE": "0.1"}, port="100")
    assert (settings.port, settings.max_in_flight, settings.total_timeout) == (100, 20, 3)
    assert (settings.retry.share, settings.retry.max_retries) == (0.1, 1)


def test_replicas_of_the_file(tmp_path: Path) -> None:
    settings = loaded(tmp_path, BOTH)
    spec, far = plan_all(settings.engines)
    assert spec.pair is not None
    assert not spec.plain
    assert far.pair is None
    assert far.plain
    assert far.capabilities is not None
    assert "speculation" in far.capabilities.lacks


def test_replicas_of_a_variable() -> None:
    listed = '[{"name": "x", "pool": "plain", "pair": "local"}]'
    settings = load_settings({}, {"SPECSERVE_REPLICAS": listed})
    assert [one.name for one in settings.engines] == ["x"]


@pytest.mark.parametrize(
    ("given", "pool", "url"),
    [
        ({}, "speculative", None),
        ({"plain": True}, "plain", None),
        ({"engine_url": "http://x:1/v1"}, "speculative", "http://x:1/v1"),
        ({"engine_url": "http://x:1", "plain": True}, "plain", "http://x:1/"),
    ],
)
def test_flags_alone_make_one_replica(given: dict[str, object], pool: str, url: str | None) -> None:
    (engine,) = load_settings(given, {}).engines
    assert (engine.name, engine.pool) == ("engine", pool)
    assert (None if engine.url is None else str(engine.url)) == url
    (plan,) = plan_all([engine])
    assert (plan.capabilities is None) == (url is not None)


REFUSED = [
    ("prot = 1\n", "Unknown key 'prot' in .*gateway.toml; did you mean port?"),
    ("[retry]\nshaer = 1\n", "Unknown key 'retry.shaer' .* did you mean share?"),
    ("[retyr]\nshare = 1\n", "Unknown key 'retyr' .* did you mean retry?"),
    (f"[[replicas]]\n{SPEC}ulr = 1\n", "Unknown key 'replicas.0.ulr' .* did you mean url?"),
    ("[retry]\nzzz = 1\n", "known are max_retries, share, min_retries"),
    ("port = 70000\n", "Key 'port' in .*gateway.toml: Input should be less than"),
    ("[ejection]\nmax_share = 2\n", "Key 'ejection.max_share' in .*: Input should be less"),
    ("[balance]\naffinity_tokens = -1\n", "Key 'balance.affinity_tokens'"),
    ("[speculation]\ndefault = true\n", "Key 'speculation.default'"),
    ("[retry\n", "is not valid TOML"),
    ('port = "\xff"\n', "Key 'port'"),
    ("replicas = 3\n", "Key 'replicas'"),
    ('[[replicas]]\npool = "plain"\npair = "x"\n', "Key 'replicas.0.name' in .*: it is missing"),
    (
        f"[[replicas]]\n{SPEC}[[replicas]]\n{SPEC}",
        "two replicas are named 'spec'; give each its own name",
    ),
    (f'pair = "local"\n{BOTH}', "leave out --pair"),
    (f"plain = false\n{BOTH}", "leave out --plain"),
    (f"[[replicas]]\n{SPEC}url = 'http://x'\n", "give either pair"),
    ('[[replicas]]\nname = "a"\npool = "plain"\n', "give either pair"),
    (f'[[replicas]]\n{FAR}draft = "x"\n', "leave out target and draft"),
    (f'[[replicas]]\n{SPEC}stack = "cpu"\n', "the pair says stack"),
    (f"[[replicas]]\n{FAR.replace('stack', '#')}", "'far' has a url; say what runs there"),
    (f"[[replicas]]\n{SPEC.replace('spec', 'Spec', 1)}", "Key 'replicas.0.name'"),
]


@pytest.mark.parametrize(("text", "says"), REFUSED)
def test_refused_in_one_sentence(tmp_path: Path, text: str, says: str) -> None:
    with pytest.raises(SettingsError, match=says) as refused:
        loaded(tmp_path, text)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("environ", "says"),
    [
        ({"SPECSERVE_RETRY__SHAER": "1"}, "did you mean SPECSERVE_RETRY__SHARE?"),
        ({"SPECSERVE_RETRY__SHARE": "7"}, "SPECSERVE_RETRY__SHARE: Input"),
        ({"SPECSERVE_REPLICAS": "[{"}, "must be JSON"),
        ({"SPECSERVE_REPLICAS": '[{"nam": "x"}]'}, "'replicas.0.nam' in SPECSERVE_REPLICAS"),
        ({"SPECSERVE_RETRY": '{"shaer": 1}'}, "'retry.shaer' in SPECSERVE_RETRY"),
    ],
)
def test_a_variable_is_refused_by_its_name(environ: dict[str, str], says: str) -> None:
    with pytest.raises(SettingsError, match=says):
        load_settings({}, environ)


def test_a_file_that_is_not_there() -> None:
    with pytest.raises(SettingsError, match=r"SPECSERVE_CONFIG.*there is no file /nowhere"):
        load_settings({}, {}, Path("/nowhere"))


@pytest.mark.parametrize(
    ("replicas", "says"),
    [
        ([{"pool": "speculative", "url": "http://x", "stack": "vllm-neuron"}], "set its pool"),
        ([{"pool": "speculative", "pair": "qwen3-32b-tp4-vllm-neuron"}], "set its pool"),
        (
            [{"pool": "plain", "pair": "local"}, {"pool": "plain", "pair": "qwen3-32b-tp4"}],
            "all replicas have one target",
        ),
        ([{"pool": "plain", "pair": "nothing"}], "no shipped pair"),
        (
            [{"pool": "plain", "url": "http://x", "stack": "cpu", "sampling": "greedy"}],
            "remove sampling",
        ),
    ],
)
def test_a_replica_that_cannot_be(replicas: list[dict[str, str]], says: str) -> None:
    listed = [{"name": f"r{place}", **one} for place, one in enumerate(replicas)]
    settings = load_settings({"replicas": listed}, {})
    with pytest.raises((SettingsError, PairError), match=says):
        plan_all(settings.engines)


def test_docs_have_every_key() -> None:
    assert tables() in (DOCS / "config.md").read_text()


def test_the_example_in_the_docs_can_run(tmp_path: Path) -> None:
    example = (DOCS / "config.md").read_text().split("```toml\n")[1].split("```")[0]
    plans = plan_all(loaded(tmp_path, example).engines)
    assert {plan.config.pool for plan in plans} == {"speculative", "plain"}


def invoke(*arguments: str, **environ: str) -> tuple[int, str, str]:
    result = CliRunner().invoke(main, list(arguments), env=environ)
    return result.exit_code, result.stdout, result.stderr


def test_check_config_prints_what_would_run(tmp_path: Path) -> None:
    file = tmp_path / "g.toml"
    file.write_text(f"port = 9000\n{BOTH}")
    code, out, err = invoke("--config", str(file), "--check-config")
    assert (code, err) == (0, "")
    assert "listens on http://127.0.0.1:9000" in out
    assert "replica spec, speculative pool\n  cannot serve exactly: min_p, logit_bias" in out
    assert "--speculative-config" in out
    assert "replica far, plain pool\n  cannot serve exactly: nothing" in out
    assert "uses http://10.0.0.7:8000/v1" in out
    assert invoke("--check-config", SPECSERVE_CONFIG=str(file))[1] == out


def test_check_config_says_that_nothing_is_known_of_a_url() -> None:
    _, out, _ = invoke("--engine-url", "http://x:1", "--check-config")
    assert "not known, so that its engine has to refuse" in out


def test_check_config_ends_with_the_code_of_what_is_wrong(tmp_path: Path) -> None:
    file = tmp_path / "g.toml"
    file.write_text("prot = 1\n")
    code, out, err = invoke("--config", str(file), "--check-config")
    assert (code, out) == (2, "")
    assert err.startswith("Error: Unknown key 'prot'")
    assert invoke("--target", "/nowhere", "--check-config")[0] == 3


LAYER = st.recursive(
    st.integers(),
    lambda inner: st.dictionaries(st.sampled_from("abc"), inner, min_size=1, max_size=3),
).filter(lambda value: isinstance(value, dict))


def flat(layer: object, path: tuple[str, ...] = ()) -> dict[tuple[str, ...], Any]:
    if not isinstance(layer, dict):
        return {path: layer}
    return {key: value for name in layer for key, value in flat(layer[name], (*path, name)).items()}


@given(LAYER, LAYER)
def test_the_stronger_layer_holds_key_by_key(strong: dict[str, Any], weak: dict[str, Any]) -> None:
    result = flat(merged((strong, weak)))
    assert flat(strong).items() <= result.items()
    for path, value in flat(weak).items():
        hidden = any(path[: len(one)] == one or one[: len(path)] == path for one in flat(strong))
        if not hidden:
            assert result[path] == value
