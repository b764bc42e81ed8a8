"""What a run does with a part of the clips: every attack, radius after radius, and a record of each."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from vidbench.attack.columns import Column
from vidbench.attack.confirm import Judge, seeded
from vidbench.attack.examples import Keeper
from vidbench.attack.goal import Goal
from vidbench.attack.method import Batch, Method, Outcome, Settings, UniversalMethod
from vidbench.attack.realism import Realism
from vidbench.attack.support import Support
from vidbench.attack.target import Target
from vidbench.attack.threat import Budget, Eps, frame_norms, norms_of
from vidbench.data.dataset import ClipItem
from vidbench.records import Records
from vidbench.seeds import seed_for

Json = dict[str, Any]


@dataclass(frozen=True)
class Part:
    """Clips that are worked on together, as they came off the disk.

    Attributes:
        items: N of them.
        clips: `(N, 3, T, H, W)` float32 in [0, 1], on the device.
        clean: `(N, K)` float32 logits by the judge.
        truths: `(N,)` the class that each has before: its label, or the model's own answer.
    """

    items: Sequence[ClipItem]
    clips: Tensor
    clean: Tensor
    truths: Tensor

    def of(self, chosen: Tensor) -> Part:
        """A part of it, by indices."""
        items = [self.items[index] for index in chosen.tolist()]
        return Part(items, self.clips[chosen], self.clean[chosen], self.truths[chosen])

    def __len__(self) -> int:
        return len(self.items)


@dataclass
class Work:
    """One column's constants, and what is done with clips.

    Attributes:
        column: The attack.
        crafted: The target that the attack sees, in a fast layout and a low precision, if asked.
        careful: The same in float32: clips that the judge does not confirm are attacked by it once more.
        judge: Who decides.
        target: None, "random", "least-likely" or a class index.
        seed: The user's.
        width: Clips per pass.
        realism: What is done to attacked clips to see whether they survive it.
        keeper: Keeps film strips and videos.
        learnt: Of a universal attack, per radius, by its text.
        anew: Attack every clip at every radius; else what is broken at one counts as broken at all larger ones.
    """

    column: Column
    crafted: Target
    careful: Target
    judge: Judge
    target: str | int | None
    seed: int
    width: int
    by_labels: bool
    realism: Realism
    keeper: Keeper
    learnt: dict[str, Tensor]
    anew: bool = False

    @cached_property
    def method(self) -> Method:
        """The attack."""
        return self.column.method()

    @cached_property
    def settings(self) -> Settings:
        """Its settings."""
        return self.column.settings(self.method)

    def key(self, item: ClipItem, eps: Eps) -> str:
        """Of a record."""
        return self.column.key(self.settings, item.key, eps)

    def done(self, item: ClipItem, store: Records) -> bool:
        """Whether all radii of an item have their record."""
        found = [store.by_key.get(self.key(item, eps), {}).get("status") for eps in self.column.sweep]
        return all(status in ("ok", "excluded") for status in found)

    def failed(self, item: ClipItem, reason: str) -> Json:
        """The record of a clip that could not be attacked, under its first radius."""
        return {
            "key": self.key(item, self.column.sweep[0]),
            "clip": item.key,
            "path": item.name,
            "label": item.label,
            "column": self.column.label,
            "status": "failed",
            "reason": reason,
        }

    def _excluded(self, item: ClipItem, eps: Eps) -> Json:
        return self.failed(item, "the class to reach is its own") | {
            "key": self.key(item, eps),
            "eps": eps.text,
            "eps_value": eps.value,
            "status": "excluded",
        }

    def attack(self, part: Part) -> Iterator[Json]:
        """Attack clips at all radii, ascending; what is broken at one is broken at all larger ones, unless `anew`.

        The records of a clip are given together, when its last radius is done.
        """
        targets = None if self.target is None else self._targets(part)
        if targets is not None and bool((targets == part.truths).any()):
            # there is nothing to reach, and calling such a clip robust would flatter the model
            own = targets == part.truths
            for index in own.nonzero().flatten().tolist():
                yield from (self._excluded(part.items[index], eps) for eps in self.column.sweep)
            part, targets = part.of((~own).nonzero().flatten()), targets[~own]
            if len(part) == 0:
                return
        goal = Goal(part.truths) if targets is None else Goal(targets, targeted=True)
        state = _State(part, goal.reached(part.clean))
        records: list[list[Json]] = [[] for _ in part.items]
        for eps in self.column.sweep:
            if self.anew:
                state.begin_again(part)
            if eps.exact > 0:
                self._at(part, goal, eps, state)
            self._look_again(part, state)
            for index in range(len(part)):
                record = self._record(part, index, eps, state)
                if targets is not None:
                    record["target"] = int(targets[index])
                records[index].append(record)
            if eps is self.column.sweep[-1]:
                for index, record in enumerate(each[-1] for each in records):
                    self.keeper.keep(record, part.clips[index], state.attacked[index])
        for found in records:
            yield from found

    def _targets(self, part: Part) -> Tensor:
        if self.target == "least-likely":
            # of the others: with two classes alike the last would be its own
            others = part.clean.scatter(1, part.truths[:, None], torch.inf)
            return others.argmin(dim=1)
        if isinstance(self.target, int):
            return torch.full_like(part.truths, self.target)
        classes = part.clean.shape[1]
        shifts = [1 + seed_for(self.seed, item.key, "target") % (classes - 1) for item in part.items]
        return (part.truths + torch.tensor(shifts, device=part.truths.device)) % classes

    def _at(self, part: Part, goal: Goal, eps: Eps, state: _State) -> None:
        """Work on the clips that smaller radii left, and put what is found into the state."""
        left = (~state.reached).nonzero().flatten()
        if len(left) == 0:
            return
        if self.method.minimal and state.nearest is not None:
            # one search serves all radii
            self._take_nearest(part, goal, eps, state, left)
            return
        batch = Batch(
            part.clips[left], goal.of(left), [part.items[index].key for index in left.tolist()], self.seed, self.width,
            None if state.begun is None else state.begun[left],
        )  # fmt: skip
        budget = self._budget(eps, batch.clips)
        outcome = self._run(self.crafted, batch, budget, eps)
        logits = self.judge.logits(outcome.clips, batch.keys)
        reached = batch.goal.reached(logits)
        again = self._doubtful(outcome, reached)
        if len(again):
            second = self._run(self.careful, batch.of(again), budget.of(again), eps)
            outcome = _put(outcome, again, second)
            logits = logits.clone()
            logits[again] = self.judge.logits(second.clips, batch.of(again).keys)
            reached = batch.goal.reached(logits)
        if self.method.minimal:
            # its iterations serve the distance: none of them is the one at which a radius was enough
            outcome = replace(outcome, steps=torch.full_like(outcome.steps, -1))
        state.count(left, outcome)
        if self.method.minimal:
            state.nearest = state.attacked.clone()
            state.nearest[left] = outcome.clips
            self._take_nearest(part, goal, eps, state, left)
            return
        budget.audit(batch.clips, outcome.clips)
        state.take(left, outcome.clips, logits, reached, eps)
        state.begun = state.attacked

    def _doubtful(self, outcome: Outcome, reached: Tensor) -> Tensor:
        """Rows where a low precision went wrong, which is no reason to call a clip robust.

        It found an answer that float32 does not confirm, or its range ran out and no gradient was left.
        """
        if self.careful is self.crafted or isinstance(self.method, UniversalMethod):
            return torch.empty(0, dtype=torch.long, device=reached.device)
        doubtful = outcome.reached & ~reached
        failed = (~outcome.reached & ~reached).nonzero().flatten()
        for rows in torch.split(failed, self.width) if len(failed) else ():
            doubtful[rows] |= ~torch.isfinite(self.crafted(outcome.clips[rows])).all(1)
        return doubtful.nonzero().flatten()

    def _take_nearest(self, part: Part, goal: Goal, eps: Eps, state: _State, left: Tensor) -> None:
        """A minimal attack's clip at a radius: as it is, or drawn to the ball's surface where it lies beyond."""
        assert state.nearest is not None
        clean = part.clips[left]
        budget = self._budget(eps, clean)
        delta = state.nearest[left] - clean
        inside = budget.within(delta)
        drawn = (clean + budget.project(delta)).clamp(0.0, 1.0)
        clips = torch.where(inside.view(-1, 1, 1, 1, 1), state.nearest[left], drawn)
        budget.audit(clean, clips)
        keys = [part.items[index].key for index in left.tolist()]
        logits = self.judge.logits(clips, keys)
        state.take(left, clips, logits, goal.of(left).reached(logits), eps)

    def _look_again(self, part: Part, state: _State) -> None:
        """What becomes of the clips that changed, once they are stored and read again."""
        rows = sorted(state.changed)
        if not rows:
            return
        where = torch.tensor(rows, device=part.clips.device)
        keys = [part.items[row].key for row in rows]
        found = self.realism.predictions(state.attacked[where], self.judge, keys)
        for place, row in enumerate(rows):
            state.after[row] = {name: seen[place] for name, seen in found.items()}
        state.changed.clear()

    def _budget(self, eps: Eps, clips: Tensor) -> Budget:
        support = Support.parse(self.column.support, tuple(clips.shape[1:]), clips.device)
        return Budget(self.column.norm, eps.value, support)

    def _run(self, target: Target, batch: Batch, budget: Budget, eps: Eps) -> Outcome:
        if isinstance(self.method, UniversalMethod):
            return self.method.apply(target, batch, self.learnt[eps.text], budget, self.settings)
        if not target.random:
            return self.method.run(target, batch, budget, self.settings)
        # one by one, each after a seed of its own: who shares a pass must not decide what a defence draws
        found = []
        for row in range(len(batch)):
            chosen = torch.tensor([row], device=batch.clips.device)
            with seeded(seed_for(self.seed, batch.keys[row], self.column.label, eps.text)):
                found.append(self.method.run(target, batch.of(chosen), budget.of(chosen), self.settings))
        return Outcome.joined(found)

    def _record(self, part: Part, index: int, eps: Eps, state: _State) -> Json:
        item, truth = part.items[index], int(part.truths[index])
        delta = state.attacked[index : index + 1] - part.clips[index : index + 1]
        final = state.final[index]
        before, after = part.clean[index].softmax(0), final.softmax(0)
        finite = bool(torch.isfinite(final).all())
        guess, clean = int(final.argmax()), int(part.clean[index].argmax())
        record: Json = {
            "key": self.key(item, eps),
            "clip": item.key,
            "path": item.name,
            "label": item.label if self.by_labels else None,
            "column": self.column.label,
            "norm": self.column.norm,
            "eps": eps.text,
            "eps_value": eps.value,
            "status": "ok",
            "clean_pred": clean,
            "clean_correct": clean == truth,
            "adv_pred": guess,
            # a clip that was wrong before is not robust, wherever the attack pushed it
            "robust": guess == truth and clean == truth,
            **{norm: round(float(norms_of(delta, norm)[0]), 9) for norm in ("linf", "l2", "l1")},
            "frames": [round(float(value), 6) for value in frame_norms(delta)[0]],
            "clean_confidence": round(float(before[truth]), 6),
            "adv_confidence": round(float(after[truth]), 6),
            "after": state.after[index],
            **state.facts(index),
        }
        if not finite:
            record |= {"status": "failed", "reason": "the network's output for the attacked clip is not finite"}
        return record


class _State:
    """What is known of a part's clips as the radius grows."""

    def __init__(self, part: Part, reached: Tensor) -> None:
        count = len(part)
        self.attacked = part.clips.clone()
        self.reached = reached
        self._at_first = reached.clone()
        self.nearest: Tensor | None = None
        self.begun: Tensor | None = None
        self.final = part.clean.clone()
        self.after: list[Json] = [{} for _ in range(count)]
        self.changed = set(range(count))
        self._forwards = torch.zeros(count, dtype=torch.long)
        self._backwards = torch.zeros(count, dtype=torch.long)
        self._restarts = torch.zeros(count, dtype=torch.long)
        self._steps = torch.full((count,), -1, dtype=torch.long)
        self._by: list[str] = [""] * count
        self._at: list[str | None] = [None] * count

    def begin_again(self, part: Part) -> None:
        """As if no radius had been tried; what was counted stays."""
        self.attacked, self.final = part.clips.clone(), part.clean.clone()
        self.reached = self._at_first.clone()
        self.begun = None
        self.changed = set(range(len(part)))

    def count(self, rows: Tensor, outcome: Outcome) -> None:
        """Add what an attack took."""
        where = rows.cpu()
        self._forwards[where] += outcome.forwards
        self._backwards[where] += outcome.backwards
        self._restarts[where] = outcome.restarts
        self._steps[where] = outcome.steps
        for place, row in enumerate(where.tolist()):
            if outcome.broken_by:
                self._by[row] = outcome.broken_by[place]

    def take(self, rows: Tensor, clips: Tensor, logits: Tensor, reached: Tensor, eps: Eps) -> None:
        """Put the clips of a radius, and what the judge says of them."""
        self.attacked[rows], self.final[rows], self.reached[rows] = clips, logits, reached
        self.changed.update(rows.tolist())
        for row, yes in zip(rows.tolist(), reached.tolist(), strict=True):
            if yes:
                self._at[row] = eps.text

    def facts(self, index: int) -> Json:
        """What an attack took, for the record."""
        return {
            "broken_at": self._at[index],
            "broken_by": self._by[index],
            "restart": int(self._restarts[index]),
            "step": int(self._steps[index]),
            "forwards": int(self._forwards[index]),
            "backwards": int(self._backwards[index]),
        }


def _put(outcome: Outcome, rows: Tensor, second: Outcome) -> Outcome:
    """The second try of some rows in the place of the first; what both took is added."""
    where = rows.cpu()
    clips, reached = outcome.clips.clone(), outcome.reached.clone()
    clips[rows], reached[rows] = second.clips, second.reached
    forwards, backwards = outcome.forwards.clone(), outcome.backwards.clone()
    forwards[where] += second.forwards
    backwards[where] += second.backwards
    restarts, steps = outcome.restarts.clone(), outcome.steps.clone()
    restarts[where], steps[where] = second.restarts, second.steps
    by = list(outcome.broken_by)
    for place, row in enumerate(where.tolist() if by else ()):
        by[row] = second.broken_by[place]
    return replace(
        outcome, clips=clips, reached=reached, forwards=forwards, backwards=backwards, restarts=restarts, steps=steps,
        broken_by=tuple(by),
    )  # fmt: skip
