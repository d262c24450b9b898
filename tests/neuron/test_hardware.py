from __future__ import annotations

from pathlib import Path

from neuron.hardware import find_preload, read_cpu_flags, this_machine


def test_flags_come_from_cpuinfo(tmp_path: Path) -> None:
    cpuinfo = tmp_path / "cpuinfo"
    cpuinfo.write_text("processor\t: 0\nflags\t\t: fpu avx2 amx_bf16\n\nprocessor\t: 1\n")
    assert read_cpu_flags(cpuinfo) == {"fpu", "avx2", "amx_bf16"}


def test_no_cpuinfo_means_no_flags(tmp_path: Path) -> None:
    assert read_cpu_flags(tmp_path / "none") == frozenset()
    (tmp_path / "empty").touch()
    assert read_cpu_flags(tmp_path / "empty") == frozenset()


def test_the_environments_own_libraries_come_first(tmp_path: Path) -> None:
    prefix, system = tmp_path / "venv", tmp_path / "system"
    bundled = prefix / "lib/python3.11/site-packages/vllm/libs"
    for folder in (bundled, system):
        folder.mkdir(parents=True)
    for library in (
        bundled / "libtcmalloc_minimal-1a2b.so.4",
        system / "libtcmalloc_minimal.so.4",
        system / "libiomp5.so",
        prefix / "lib/libiomp5.so",
    ):
        library.touch()
    found = list(find_preload(prefix, [system]))
    assert found == [bundled / "libtcmalloc_minimal-1a2b.so.4", prefix / "lib/libiomp5.so"]


def test_nothing_there_is_nothing_preloaded(tmp_path: Path) -> None:
    assert list(find_preload(tmp_path, [tmp_path / "none"])) == []


def test_this_machine_has_a_core() -> None:
    assert this_machine().cores >= 1
