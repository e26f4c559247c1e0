"""Shipped files are found in a checkout and in an installed package."""

from __future__ import annotations

from importlib import resources as files
from pathlib import Path

import pytest

from evoagent.config import resources
from evoagent.errors import ConfigError


def test_a_checkout_is_used_where_the_package_lies_in_one() -> None:
    assert (resources.prompts_dir() / "constraints.md").is_file()
    assert (resources.configs_dir() / "quickstart.yaml").is_file()


def test_an_installed_package_carries_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "lib" / "site-packages" / "evoagent"
    (package / "_shared" / "prompts").mkdir(parents=True)
    (tmp_path / "lib" / "prompts").mkdir()  # somebody else's
    monkeypatch.setattr(files, "files", lambda name: package)
    assert resources.prompts_dir() == package / "_shared" / "prompts"
    with pytest.raises(ConfigError, match="the shipped configs are missing"):
        resources.configs_dir()
