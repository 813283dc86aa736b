"""Decisions for the tests of the report. Every number here is invented test data."""

from __future__ import annotations

import json
from datetime import UTC, datetime

from trimtab.types import (
    Adapter,
    Arm,
    ArmConsistency,
    Case,
    Comparison,
    Consistency,
    CurvePoint,
    Decision,
    Example,
    Finding,
    Forecast,
    Gate,
    Interval,
    Knowledge,
    Language,
    Latency,
    LayoutScore,
    Money,
    Plateau,
    Prompt,
    Retained,
    Retention,
    Searched,
    Sensitivity,
    Spent,
    SplitName,
    Steady,
    Swing,
    TradeOff,
    Trial,
    Variant,
    VariantScore,
    Variation,
    Verdict,
)

PROMPT_SYSTEM = "Split the address into its parts. Answer with JSON only."


def interval(estimate: float | None, half: float | None = None, n: int = 200) -> Interval:
    if estimate is None or half is None:
        return Interval(estimate=estimate, low=None, high=None, n=n, method="bootstrap-t")
    low, high = max(0.0, estimate - half), min(1.0, estimate + half)
    return Interval(
        estimate=estimate, low=round(low, 4), high=round(high, 4), n=n, method="bootstrap-t"
    )


def variant(name: str, arm: Arm, nearest: int = 0, adapter: Adapter | None = None) -> Variant:
    shown = Example(id="0" * 16, input="12 Test Road", target='{"number":"12"}')
    return Variant(
        name=name,
        arm=arm,
        model="smollm2-135m-instruct",
        prompt=Prompt(system=PROMPT_SYSTEM, demonstrations=(shown,), nearest=nearest),
        max_tokens=96,
        constrained="constrained" in name,
        adapter=adapter,
    )


PROMPTS = (
    variant("8 nearest demonstrations, constrained", "prompt", 8),
    variant("8 nearest demonstrations", "prompt", 8),
    variant("4 nearest demonstrations", "prompt", 4),
    variant("4 chosen demonstrations (diverse)", "prompt", 1),
    variant("4 chosen demonstrations (random)", "prompt", 2),
    variant("zero-shot", "prompt"),
)
TUNED = variant(
    "fine-tune on 480 rows",
    "fine-tune",
    adapter=Adapter(
        path="adapters/480-1", sha256="ab" * 32, rows=480, epoch=3, learning_rate=1e-3, seed=7
    ),
)


def around(estimate: float, share: float) -> Interval:
    low, high = estimate * (1 - share), estimate * (1 + share)
    return Interval(estimate=estimate, low=low, high=high, n=20, method="seconds from tokens")


def latency(tokens_in: float) -> Latency:
    p95, mean = tokens_in / 600, tokens_in / 900
    return Latency(
        p50=tokens_in / 1000,
        p95=p95,
        mean=mean,
        n=20,
        p95_interval=around(p95, 0.15),
        mean_interval=around(mean, 0.05),
    )


def score(
    variant: Variant,
    split: SplitName,
    quality: float,
    *,
    tokens_in: float,
    money: float | None,
    failures: dict[str, int] | None = None,
    validity: float = 1.0,
) -> VariantScore:
    n = 200 if split == "test" else 64
    half = 0.04 if split == "test" else 0.07
    failed = failures or {}
    return VariantScore(
        variant=variant.id,
        name=variant.name,
        arm=variant.arm,
        split=split,
        n=n,
        failures=sum(failed.values()),
        failure_boundaries=failed,
        quality=interval(quality, half, n),
        metrics={
            "field_f1": interval(quality, half, n),
            "exact": interval(round(quality * 0.55, 3), 0.06, n),
            "field_precision": interval(min(quality + 0.02, 1.0), half, n),
            "field_recall": interval(quality - 0.02, half, n),
        },
        validity=Interval(
            estimate=validity, low=validity - 0.02, high=validity, n=n, method="Wilson"
        ),
        tokens_in=tokens_in,
        tokens_cached=tokens_in * 0.6,
        tokens_out=41.3,
        prompt_tokens=tokens_in - 19.5,
        latency=latency(tokens_in) if split == "test" else None,
        agreement=interval(0.74, 0.05, 60) if split == "test" else None,
        money_per_1000=money,
        money_interval=None if money is None else around(money, 0.1),
    )


def gate(name: str, status: str, evidence: str, threshold: str, **more: object) -> Gate:
    return Gate.model_validate(
        {
            "name": name,
            "question": {
                "prompting-exhausted": "Was prompting tried in full, and did it fall short?",
                "task-stable": "Has the task stood still?",
                "enough-data": "Is there enough high-quality data?",
                "volume-pays": "Does the volume pay for it?",
                "general-ability": "May general knowledge be diluted?",
            }.get(name, f"Does {name} hold?"),
            "status": status,
            "evidence": evidence,
            "threshold": threshold,
            "source": "the guide, gate table",
            "basis": "measured",
            **more,
        }
    )


GATES = (
    gate(
        "prompting-exhausted",
        "pass",
        "Best prompt 0.61 [0.57, 0.65] after 6 variants; the goal is 0.85.",
        "interval below the goal, search complete",
        blocks=True,
    ),
    gate(
        "task-stable",
        "pass",
        "No change since 2026-01-01.",
        "30 days",
        basis="asked",
        blocks=True,
    ),
    gate(
        "enough-data",
        "fail",
        "480 clean, approved, distinct training rows; format adaptation only.",
        "500 for a complex task",
        blocks=True,
    ),
    gate("volume-pays", "pass", "97 % likely to pay at 300,000 calls a month.", "0.90"),
    gate(
        "data-covers-traffic",
        "unknown",
        "No sample of traffic was given.",
        "none",
        basis="none",
        settle="add data.traffic_sample with some hundred real inputs",
    ),
    gate("general-ability", "pass", "Not needed, says the task.", "stated", basis="asked"),
)


def forecast_curve() -> tuple[tuple[int, float, float, float], ...]:
    sizes = (60, 120, 240, 480, 960, 1920, 3840)
    return tuple(
        (
            n,
            1 - 1.9 * n**-0.34,
            1 - 1.9 * n**-0.34 - 0.008 * i * i,
            min(1 - 1.9 * n**-0.34 + 0.006 * i * i, 1.0),
        )
        for i, n in enumerate(sizes, start=1)
    )


def curve() -> tuple[CurvePoint, ...]:
    sizes = ((60, 0.52), (120, 0.63), (240, 0.70), (480, 0.768))
    chosen = [(rows, quality, 1e-3, False) for rows, quality in sizes]
    sweep = [(240, 0.61, 3e-4, True), (240, 0.66, 2e-3, True)]
    return tuple(
        CurvePoint(
            rows=rows,
            seed=7,
            learning_rate=rate,
            epoch=3,
            epochs=3,
            train_tokens=rows * 180,
            seconds=rows * 0.4,
            dev_loss=0.4,
            dev_quality=interval(quality, 0.07, 64),
            variant="0" * 12,
            sweep=is_sweep,
        )
        for rows, quality, rate, is_sweep in (*chosen, *sweep)
    )


def money() -> Money:
    volumes = tuple(1000.0 * 10 ** (i / 8) for i in range(25))
    return Money(
        currency="USD",
        prompt_per_call=0.000118,
        tune_per_call=0.0000316,
        fixed=42.0,
        monthly=3.4,
        horizon_months=12,
        calls_per_month=300_000,
        break_even_calls=79_861.1,
        p_pays=0.971,
        saving_per_month=Interval(
            estimate=19.02, low=6.1, high=34.4, n=10_000, method="Monte-Carlo"
        ),
        assumptions=(
            "A machine costs USD 0.20 an hour at 50 % use.",
            "The 480 labels exist already and cost nothing more.",
        ),
        curve=tuple((v, v * 0.000118, 6.9 + v * 0.0000316) for v in volumes),
        tornado=tuple(
            Swing.model_validate(dict(zip(Swing.model_fields, each, strict=True)))
            for each in (
                ("calls a month", "calls", "stated", 165_000, 430_000, 0.62, 1.0, 79_861, 79_861),
                (
                    "1,000 calls with the prompt",
                    "money",
                    "stated",
                    0.0986,
                    0.1374,
                    0.81,
                    0.99,
                    104_000,
                    65_200,
                ),
                ("upkeep a month", "money", "stated", 1.7, 5.1, 0.99, 0.93, 60_100, 99_500),
                ("horizon", "months", "stated", 6.1, 17.9, 0.95, 0.98, None, 67_000),
            )
        ),
    )


def case(index: int, prompt_score: float | None, tune_score: float | None) -> Case:
    return Case(
        example=f"{index:016x}",
        input=f"{index}12 N. Michigan Ave Suite {index}00, Chicago, IL 60601",
        target=json.dumps({"number": f"{index}12", "direction": "N.", "street": "Michigan"}),
        prompt_answer=json.dumps({"number": f"{index}12 N.", "street": "Michigan Ave"}),
        tune_answer=json.dumps({"number": f"{index}12", "direction": "N.", "street": "Michigan"}),
        prompt_score=prompt_score,
        tune_score=tune_score,
    )


def stage(
    name: str,
    arm: Arm | None,
    calls: int,
    tokens_in: int,
    tokens_out: int,
    train_tokens: int,
    seconds: float,
) -> Spent:
    return Spent(
        stage=name,
        arm=arm,
        calls=calls,
        tokens_in=tokens_in,
        tokens_out=tokens_out,
        train_tokens=train_tokens,
        seconds=seconds,
    )


def kept(section: str, base: float, tuned: float, status: str, n: int = 60) -> Retained:
    difference = round(tuned - base, 3)
    bounds = Interval(
        estimate=difference, low=difference - 0.06, high=difference + 0.06, n=n, method="Tango"
    )
    return Retained.model_validate(
        {"section": section, "base": base, "tuned": tuned, "difference": bounds, "status": status}
    )


def retention() -> Retention:
    """A remedy that was needed, and one part that stays uncertain."""
    overall = kept("all items", 0.41, 0.40, "pass", 350)
    lost = kept("all items", 0.41, 0.22, "fail", 350)
    quality = interval(0.768, 0.07, 64)
    trade_offs = tuple(
        TradeOff.model_validate(
            {
                "variant": variant,
                "name": name,
                "dev_quality": quality,
                "difference": each.difference,
                "status": each.status,
            }
        )
        for variant, name, each in (
            ("0" * 12, "fine-tune on 480 rows", lost),
            (TUNED.id, "fine-tune on 480 rows, adapter at 50%", overall),
        )
    )
    return Retention(
        variant=TUNED.id,
        name="fine-tune on 480 rows, adapter at 50%",
        margin=0.05,
        complete=True,
        status="pass",
        overall=overall,
        sections=(kept("instructions", 0.44, 0.43, "pass", 90), kept("text", 0.5, 0.5, "unknown")),
        failures=2,
        bits_per_byte=(1.02, 1.05),
        divergence_task=2.1,
        divergence_general=0.04,
        trade_offs=trade_offs,
    )


def steady(source: str, share: float, names: tuple[str, ...], worst: float | None) -> Steady:
    variations = tuple(
        Variation(name=name, rows=30, kept=share - i / 50, quality=worst)
        for i, name in enumerate(names)
    )
    return Steady.model_validate(
        {
            "source": source,
            "kept": interval(share, 0.08, 30),
            "variations": variations,
            "worst": worst,
            "spread": None if worst is None else 0.031,
        }
    )


def consistency() -> Consistency:
    """The fine-tune answers more alike; copied targets leave other inputs without a score."""
    arms: tuple[tuple[Variant, Arm, float], ...] = (
        (PROMPTS[0], "prompt", 0.71),
        (TUNED, "fine-tune", 0.86),
    )
    return Consistency(
        rows=30,
        of=64,
        arms=tuple(
            ArmConsistency(
                variant=variant.id,
                name=variant.name,
                arm=arm,
                kept=interval(share, 0.06, 30),
                worst_answer=share - 0.3,
                sources=(
                    steady("sample", share - 0.05, ("sample 1", "sample 2"), share - 0.1),
                    steady("input", share, ("case", "spaces"), None),
                    steady("format", share + 0.05, ("labelled", "question"), share - 0.15),
                ),
                variance={"row": 0.09, "sample": 0.01, "format": 0.004},
            )
            for variant, arm, share in arms
        ),
        compared=("sample", "input", "format"),
        difference=interval(0.15, 0.07, 30),
        p_value=0.0009,
    )


def language() -> Language:
    return Language(
        rows=24,
        general=interval(0.9, 0.05, 13),
        inputs=interval(0.97, 0.02, 24),
        tokens_per_word={"general": 1.3, "inputs": 2.4, "targets": 1.9},
        untuned=interval(0.95, 0.04, 24),
        prompted=interval(0.6, 0.05, 24),
        tuned=interval(0.2, 0.03, 24),
        saved=interval(0.4, 0.05, 24),
        p_value=0.0001,
        closed=15.0,
    )


def knowledge() -> Knowledge:
    return Knowledge(
        beyond_input=interval(0.04, 0.02, 544),
        closed_book=interval(0.06, 0.05, 64),
        closed_book_beyond=interval(0.0, None, 1),
    )


def searched() -> Searched:
    """Four prompts in the race, one of them stopped, and nothing gained at the end."""
    four, random = "4 nearest demonstrations", "4 chosen demonstrations (random)"
    stage, automatic = "demonstrations", "automatic search"
    tried = (
        ("zero-shot", "instructions", 64, 0.06, "finished", None, 64, 30.0, 0.06),
        (four, stage, 64, 0.52, "finished", None, 128, 90.0, 0.52),
        (random, stage, 32, 0.21, "behind", four, 160, 120.0, 0.52),
        ("9 nearest demonstrations", automatic, 16, 0.55, "budget", None, 176, 341.0, 0.52),
    )
    names = ("name", "stage", "rows", "quality", "ended", "behind", "calls", "seconds", "best")
    return Searched(
        trials=tuple(
            Trial.model_validate(
                {"variant": f"{i:012x}", "of": 64} | dict(zip(names, each, strict=True))
            )
            for i, each in enumerate(tried)
        ),
        complete=True,
        notes=("automatic search by mutations: the task names no reflection model",),
        error=0.1,
        headroom=0.46,
        calls=176,
        calls_of_grid=208,
        plateau=Plateau(
            state="exhausted",
            last_share=0.6,
            gain=Interval(estimate=0.004, low=-0.003, high=0.011, n=64, method="bootstrap"),
            least=0.03,
            statement="the last 60% of what the search used bought +0.4 points (95%: -0.3 to "
            "+1.1), where 3 would matter: exhausted",
        ),
        sensitivity=Sensitivity(
            rows=20,
            planned=10,
            layouts=(
                LayoutScore(style="plain", quality=0.52),
                LayoutScore(style="question", quality=0.44),
            ),
            mean=0.48,
            worst=0.44,
            spread=0.05,
        ),
    )


def complete() -> Decision:
    """Every part present: a fine-tune that wins on the (invented) addresses task."""
    best = score(
        PROMPTS[0],
        "test",
        0.61,
        tokens_in=612.4,
        money=0.118,
        validity=0.9967,
        failures={"timeout": 2, "context": 1},
    )
    tuned = score(TUNED, "test", 0.78, tokens_in=58.2, money=0.0316)
    dev = [
        score(v, "dev", quality, tokens_in=tokens, money=None, validity=valid)
        for v, quality, tokens, valid in zip(
            (*PROMPTS, TUNED),
            (0.63, 0.60, 0.52, 0.31, 0.29, 0.06, 0.768),
            (612.4, 612.4, 344.0, 340.2, 338.9, 72.1, 58.2),
            (1.0, 0.94, 0.91, 0.97, 0.95, 0.55, 1.0),
            strict=True,
        )
    ]
    return Decision(
        task="addresses",
        run="runs/20260301T101500Z-ab12cd34",
        created=datetime(2026, 3, 1, 10, 42, tzinfo=UTC),
        verdict=Verdict(
            word="fine-tune",
            headline="A fine-tune on 480 labelled rows answers 0.78 of the address fields right "
            "where the best prompt reaches 0.61, and costs a quarter per call; the goal of 0.85 "
            "is not reached yet.",
            reasons=(
                "On 197 sealed test rows the fine-tune scores +0.17 [+0.12, +0.22] field F1 more "
                "than the best prompt; 0.03 was asked for.",
                "1,000 calls cost USD 0.032 instead of USD 0.12, mostly because its prompt is "
                "58 tokens long instead of 612.",
                "It pays with 97 % probability at the stated 300,000 calls a month.",
            ),
            would_change=(
                "Below about 79,900 calls a month the prompt is cheaper.",
                "If the instructions or fields change more than once in six months, upkeep eats "
                "the saving.",
            ),
            gates=GATES,
            rule_sha256="5f" * 32,
            winner=TUNED.id,
        ),
        metric="field_f1",
        goals={
            "quality": 0.85,
            "validity": 0.99,
            "smallest_difference": 0.03,
            "p95_latency_seconds": 5.0,
            "money_per_1000_calls": None,
        },
        prompt=best,
        fine_tune=tuned,
        comparison=Comparison(
            a=best.variant,
            b=tuned.variant,
            metric="field_f1",
            n=197,
            difference=interval(0.17, 0.05, 197),
            test="sign-flip permutation",
            p_value=0.00012,
            smallest_detectable=0.052,
            rows_alone=interval(0.17, 0.03, 197),
            widened_by={"prompt layout": 0.04},
            not_in_interval=("training seed",),
            wins=118,
            losses=31,
            ties=48,
            failures_a=3,
            failures_b=0,
        ),
        money=money(),
        variants=(*PROMPTS, TUNED),
        dev_scores=tuple(dev),
        search=searched(),
        curve=curve(),
        forecast=Forecast(
            goal=0.85,
            rows_now=480,
            rows_needed=1740,
            rows_low=1100,
            rows_high=None,
            label_cost=630.0,
            statement="About 1,740 rows (95 %: 1,100 to beyond 3,840, which is as far as this "
            "curve can say) would reach 0.85.",
            curve=forecast_curve(),
        ),
        retention=retention(),
        consistency=consistency(),
        language=language(),
        knowledge=knowledge(),
        audit=(
            Finding(
                check="conflicting-targets",
                severity="warn",
                message="12 rows have the same input as another row and a different target.",
                count=12,
                rows=tuple(f"rows.jsonl:{i}" for i in range(10, 130, 10)),
            ),
            Finding(
                check="size", severity="info", message="480 rows allow a fine-tune.", count=480
            ),
            Finding(
                check="leakage",
                severity="stop",
                message="1 test row is in train.",
                count=1,
                rows=("00ff00ff00ff00ff",),
            ),
        ),
        rows={"train": 480, "dev": 64, "test": 200},
        cases=(
            *(case(i, 0.3 + i / 50, 1.0) for i in range(1, 9)),
            case(9, 1.0, 0.4),
            case(10, None, 0.4),
        ),
        planned=(
            stage("prompt search", "prompt", 420, 190_000, 17_000, 0, 380),
            stage("training", "fine-tune", 0, 0, 0, 410_000, 390),
            stage("tuned variants on dev", "fine-tune", 384, 23_000, 16_000, 0, 60),
            stage("test", None, 400, 134_000, 16_500, 0, 140),
        ),
        spent=(
            stage("prompt search", "prompt", 384, 171_402, 15_873, 0, 341.2),
            stage("training", "fine-tune", 0, 0, 0, 398_520, 372.0),
            stage("tuned variants on dev", "fine-tune", 384, 22_349, 15_998, 0, 57.7),
            stage("test", None, 400, 134_120, 16_520, 0, 131.9),
        ),
        stopped_by=None,
        test_openings=("2026-03-01T10:38:11Z confirmation of the two finalists, 200 rows",),
        test_uses=2,
        settings={
            "name": "addresses",
            "instructions": PROMPT_SYSTEM,
            "metric": "field_f1",
            "goals": {"quality": 0.85},
            "budget": {"minutes": 15, "calls": 20_000, "money": 5},
            "currency": "USD",
        },
        environment={"python": "3.11.7", "torch": "2.13.0", "cpu": {"cores": 2, "threads": 2}},
    )


def sparse() -> Decision:
    """Every optional part absent: the budget ended before anything was measured."""
    return Decision(
        task="names",
        run="runs/20260301T101500Z-00000000",
        created=datetime(2026, 3, 1, 10, 42, tzinfo=UTC),
        verdict=Verdict(
            word="inconclusive",
            headline="Nothing could be measured within the budget.",
            reasons=(),
            would_change=(),
            gates=(),
            rule_sha256="5f" * 32,
        ),
        metric="accuracy",
        goals={},
        prompt=None,
        fine_tune=None,
        comparison=None,
        money=None,
        variants=(),
        dev_scores=(),
        curve=(),
        forecast=None,
        audit=(),
        rows={},
        cases=(),
        planned=(),
        spent=(),
        stopped_by="1 minute",
        test_openings=(),
        settings={},
        environment={},
    )
