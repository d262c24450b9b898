"""Values of options that are more than a word or a number."""

import click


class Levels(click.ParamType[tuple[int, ...]]):
    """`1,4`: different positive integers."""

    name = "1,4"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[int, ...]:
        parts = str(value).split(",")
        if not all(part.strip().isdecimal() and int(part) > 0 for part in parts):
            self.fail(f"{value!r} is no list of positive numbers like 1,4.", param, ctx)
        return tuple(dict.fromkeys(int(part) for part in parts))


class Numbers(click.ParamType[tuple[float, ...]]):
    """`0,0.7`: different numbers that are not negative."""

    name = "0,0.7"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[float, ...]:
        try:
            found = tuple(dict.fromkeys(float(part) for part in str(value).split(",")))
        except ValueError:
            found = (-1.0,)
        if not all(0 <= one < float("inf") for one in found):
            self.fail(f"{value!r} is no list of numbers like 0,0.7.", param, ctx)
        return found


class Times(click.ParamType[float]):
    """`15ms`, `0.2s`, or a number of milliseconds; gives milliseconds."""

    name = "15ms"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        text = str(value).strip()
        unit = next(one for one in ("ms", "s", "") if text.endswith(one))
        number = text.removesuffix(unit)
        try:
            found = float(number) * (1e3 if unit == "s" else 1.0)
        except ValueError:
            found = 0.0
        if not 0 < found < float("inf"):
            self.fail(f"{value!r} is no time like 15ms or 0.2s.", param, ctx)
        return found
