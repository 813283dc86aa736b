"""How many calls an endpoint gets, as it answers and refuses."""

from __future__ import annotations

import asyncio

from trimtab.engine.pace import Pace


def test_the_limit_halves_with_a_refusal_and_grows_with_a_round_of_answers() -> None:
    async def run() -> list[int]:
        pace = Pace(8)
        limits = [pace.limit]
        for answers in (0, 4, 5, 6, 7, 8, 8):
            if not answers:
                async with pace.turn() as sent_at:
                    pace.too_many(sent_at, 0)
            for _ in range(answers + 1):
                pace.answered()
            limits.append(pace.limit)
        return limits

    assert asyncio.run(run()) == [8, 4, 5, 6, 7, 8, 8, 8]


def test_refusals_of_one_burst_halve_once_and_later_ones_again() -> None:
    async def run() -> list[int]:
        pace, limits = Pace(16), []
        async with pace.turn() as first, pace.turn() as second:
            await asyncio.sleep(0.01)
            pace.too_many(first, 0)
            pace.too_many(second, 0)
        limits.append(pace.limit)
        for _ in range(5):
            async with pace.turn() as later:
                pace.too_many(later, 0)
            limits.append(pace.limit)
        return limits

    assert asyncio.run(run()) == [8, 4, 2, 1, 1, 1]


def test_no_more_than_the_limit_are_under_way_and_none_in_a_pause() -> None:
    async def run() -> tuple[int, float]:
        pace = Pace(4)
        now = most = 0
        loop = asyncio.get_running_loop()
        async with pace.turn() as sent_at:
            pace.too_many(sent_at, 0.2)
        paused_at = loop.time()
        started = []

        async def call() -> None:
            nonlocal now, most
            async with pace.turn():
                started.append(loop.time())
                now += 1
                most = max(most, now)
                await asyncio.sleep(0.001)
                now -= 1

        await asyncio.gather(*(call() for _ in range(20)))
        return most, min(started) - paused_at

    most, pause = asyncio.run(run())
    assert most == 2
    assert pause >= 0.19


def test_a_cancelled_call_gives_its_place_back() -> None:
    async def run() -> None:
        pace = Pace(1)

        async def hang() -> None:
            async with pace.turn():
                await asyncio.sleep(60)

        task = asyncio.create_task(hang())
        await asyncio.sleep(0.01)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        async with asyncio.timeout(1), pace.turn():
            pass

    asyncio.run(run())
