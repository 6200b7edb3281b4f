"""Options that several kinds of aggregations have. Raises: InvalidQueryError, naming the path."""

from __future__ import annotations

from index.query.aggregations import Order
from index.query.ast import Scalar
from index.query.body import Body, as_str, fail, scalar


def take_field(body: Body) -> str:
    if body.has("script"):
        raise fail(body.at("script"), "scripts are not supported")
    return as_str(body.need("field"), body.at("field"))


def opt_scalar(body: Body, key: str) -> Scalar | None:
    value = body.take(key)
    return None if value is None else scalar(value, body.at(key))


def take_order(body: Body, default: tuple[Order, ...]) -> tuple[Order, ...]:
    value = body.take("order")
    if value is None:
        return default
    path = body.at("order")
    orders = []
    for item in value if isinstance(value, list) else [value]:
        key, word = Body(item, path).only()
        if as_str(word, path).lower() not in ("asc", "desc"):
            raise fail(path, f"expected asc or desc but got [{word}]")
        name = {"_term": "_key", "_time": "_key"}.get(key, key)
        orders.append(Order(name, str(word).lower() == "asc"))
    return tuple(orders) or default
