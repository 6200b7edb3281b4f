from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tailrace_client import live
from tests.clients.fake import FakeServer, run_fake_server


@pytest.fixture
async def server() -> AsyncIterator[FakeServer]:
    async with run_fake_server() as fake:
        yield fake


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "pause_s", lambda failures: 0.0)
