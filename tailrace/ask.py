"""`tailrace search`: one search, printed."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import quote

import click
import orjson

from tailrace.remote import open_session, read_answer

WIDTH = 100


def run_search(
    url: str, index: str, query: str, size: int, printer: Callable[[Mapping[str, Any]], None]
) -> int:
    """Ask the server at `url` once and hand the answer to `printer`."""
    printer(asyncio.run(_search(url, index, query, size)))
    return 0


async def _search(url: str, index: str, query: str, size: int) -> Mapping[str, Any]:
    body = {"query": {"query_string": {"query": query}}, "size": size, "track_total_hits": True}
    async with open_session(url) as session:
        path = f"{quote(index, safe=',*')}/_search"
        async with session.post(path, json=body) as response:
            answer: Mapping[str, Any] = await read_answer(response)
            return answer


def print_answer(answer: Mapping[str, Any]) -> None:
    click.echo(orjson.dumps(answer, option=orjson.OPT_INDENT_2))


def print_hits(answer: Mapping[str, Any]) -> None:
    hits = answer["hits"]
    for hit in hits["hits"]:
        click.echo(format_line(hit))
    total = hits["total"]
    more = "" if total["relation"] == "eq" else "at least "
    click.echo(f"{more}{total['value']} hits in {answer['took']} ms", err=True)


def format_line(hit: Mapping[str, Any]) -> str:
    """Return a hit as one line: score, id, and the beginning of its text."""
    score = hit.get("_score")
    shown = "     -" if score is None else f"{score:6.2f}"
    return f"{shown}  {hit['_id']}  {summarize(hit.get('_source') or {})}"


def summarize(source: Mapping[str, Any]) -> str:
    """Return what tells a reader best which document this is, on one line."""
    for name in ("title", "name", "subject", "summary", "message", "text"):
        if isinstance(source.get(name), str):
            return _shorten(source[name])
    return _shorten(orjson.dumps(source).decode())


def _shorten(text: str) -> str:
    line = "".join(char if char.isprintable() else " " for char in " ".join(text.split()))
    return line if len(line) <= WIDTH else line[: WIDTH - 1] + "…"
