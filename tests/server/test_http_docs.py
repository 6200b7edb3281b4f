from __future__ import annotations

import re
from pathlib import Path

from pipeline.node import Node
from server.app import create_app

DOC = Path(__file__).parents[2] / "docs" / "http-api.md"


async def test_every_endpoint_is_documented_and_every_documented_one_exists(node: Node) -> None:
    written = set(re.findall(r"`(GET|PUT|POST|DELETE) (/[^`\s?]*)`", DOC.read_text()))
    served = {
        (route.method, re.sub(r":[^}]*}", "}", route.resource.canonical))
        for route in create_app(node).router.routes()
        if route.resource is not None and route.method != "HEAD"
    }
    assert served - written == set()
    assert written - served == set()
