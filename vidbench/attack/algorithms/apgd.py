"""Auto-PGD: projected gradient ascent with momentum whose step sizes follow its progress."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from pydantic import Field
from torch import Tensor

from vidbench.attack.algorithms.apgd_ball import Ball, phases, windows
from vidbench.attack.goal import Goal
from vidbench.attack.losses import Loss, loss_for, targeted_dlr
from vidbench.attack.method import Batch, Outcome, Settings
from vidbench.attack.target import Target
from vidbench.attack.threat import Budget, Norm
from vidbench.errors import UsageError

State = dict[str, Tensor]
Ascent = Callable[[Tensor], Loss]
"""`(n,)` rows of a batch to the loss of those clips."""

L1_FIRST_SHARE = 0.2
L1_SHRINK = 1.5
L1_SMALLEST_STEP = 0.1
L1_SPARSER = 0.95


class ApgdSettings(Settings):
    """The settings of Auto-PGD.

    Attributes:
        steps: Iterations of a run.
        restarts: Runs from new random starts, on the clips that withstood so far.
        rho: The share of iterations with progress below which the step is halved (Linf, L2).
        large_eps: For L1: the first 60 percent of the iterations in larger balls, of 3 and 2 eps.
    """

    steps: int = Field(100, ge=1, le=100_000)
    restarts: int = Field(1, ge=1, le=1000)
    rho: float = Field(0.75, ge=0, le=1)
    large_eps: bool = True


class TargetedSettings(ApgdSettings):
    """The same with target classes.

    Attributes:
        targets: The classes with the highest clean logits, one after the other; at most all others.
    """

    targets: int = Field(9, ge=1, le=10_000)


@dataclass(frozen=True)
class Course:
    """How one run goes.

    Attributes:
        steps: Iterations; 0 looks at the start alone.
        rho: See the settings.
        stop: A clip ends at its first success, which is its result. Otherwise the point of highest loss is.
        guided: For L1: how sparse steps are at first follows from the start, not from a constant.
    """

    steps: int
    rho: float = 0.75
    stop: bool = True
    guided: bool = False


class Climb:
    """One run of Auto-PGD: every clip from its start, each at its own iteration.

    Croce and Hein 2020, arXiv:2003.01690, algorithm 1 (Linf, L2) and Croce and Hein 2021, arXiv:2103.01208,
    algorithm 2 (L1). As in the code published with them, progress at the first iteration is counted against a loss
    of 0.

    Args:
        target: What is attacked.
        clips: `(N, 3, T, H, W)` clean.
        goal: Of these clips.
        ball: Around these clips.
        ascent: What each clip goes up.
        start: `(n,)` rows to their first points.
        course: Steps and rules.

    Attributes:
        points: `(N, 3, T, H, W)` results: the first success, or the point of highest loss; see `Ball`.
        reached: `(N,)` bool.
        margin: `(N,)` the goal's margin loss at the result, -inf where no logits were finite.
        forwards, backwards: `(N,)` passes; a backward pass counts where its gradient was used.
        when: `(N,)` the iteration of the first success, or -1.
    """

    def __init__(
        self, target: Target, clips: Tensor, goal: Goal, ball: Ball, ascent: Ascent,
        start: Callable[[Tensor], Tensor], course: Course,
    ) -> None:  # fmt: skip
        self._target, self._clean, self._goal, self._ball = target, clips, goal, ball
        self._ascent, self._start, self._course = ascent, start, course
        rows = torch.zeros(len(clips), dtype=torch.long, device=clips.device)
        self.points = torch.empty_like(clips)
        self.reached = rows > 0
        self.margin = torch.full_like(rows, -torch.inf, dtype=torch.float32)
        self.forwards, self.backwards, self.when = rows.clone(), rows.clone(), rows - 1

    @property
    def clips(self) -> Tensor:
        """The results as the network sees them."""
        return self._ball.shown(self.points)

    def run(self, width: int) -> None:
        """All clips, `width` at work at a time; those that are done make way for the next."""
        waiting = torch.arange(len(self._clean), device=self._clean.device)
        rows, state = waiting[:0], self.enter(waiting[:0])
        while len(rows) + len(waiting):
            fresh, waiting = waiting[: width - len(rows)], waiting[max(width - len(rows), 0) :]
            if len(fresh):
                entered = self.enter(fresh)
                rows = torch.cat([rows, fresh])
                state = {name: torch.cat([values, entered[name]]) for name, values in state.items()}
            done = self.advance(rows, state)
            if bool(done.any()):
                rows = rows[~done]
                state = {name: values[~done] for name, values in state.items()}

    def enter(self, rows: Tensor) -> State:
        """The state of clips before their first iteration."""
        clean, point = self._clean[rows], self._start(rows)
        zeros = torch.zeros(len(rows), device=clean.device)
        lowest = torch.full_like(zeros, -torch.inf)
        state = {
            "clean": clean, "point": point, "before": point, "gradient": torch.zeros_like(point),
            "best": point.clone(), "best_gradient": torch.zeros_like(point),
            "loss": zeros, "best_loss": lowest.clone(), "checked_loss": lowest.clone(), "margin": lowest,
            "size": torch.full_like(zeros, self._ball.first_step),
            "iteration": torch.zeros_like(rows), "since": torch.zeros_like(rows), "gains": torch.zeros_like(rows),
            "window": torch.full_like(rows, windows(self._course.steps)[0]),
            "halved": torch.ones_like(rows, dtype=torch.bool),
        }  # fmt: skip
        if self._ball.budget.norm == "l1":
            state["window"] = torch.full_like(rows, max(int(0.04 * self._course.steps), 1))
            count = self._ball.of(rows).features(clean)
            changed = (point != clean).flatten(1).sum(1).float() if self._course.guided else count
            state["changed"] = changed
            state["share"] = changed / count / L1_SHRINK if self._course.guided else zeros + L1_FIRST_SHARE
        return state

    def advance(self, rows: Tensor, state: State) -> Tensor:
        """Look at each clip's point, then move it.

        Args:
            rows: `(n,)` of the clips at work.
            state: Theirs; renewed.

        Returns:
            `(n,)` bool: which are done; their results are ready.
        """
        ball, goal, course = self._ball.of(rows), self._goal.of(rows), self._course
        last = state["iteration"] == course.steps

        def done(logits: Tensor) -> Tensor:
            return last | goal.reached(logits) if course.stop else last

        point = state["point"]
        # the last gradient has served; while the network works, memory is dearest
        state["gradient"] = state["best_gradient"]
        found = self._target.ascend(ball.shown(point), self._ascent(rows), done)
        state["gradient"] = ball.pull(found.gradient, point)
        loss = found.loss.masked_fill(~torch.isfinite(found.logits).all(1), -torch.inf)
        margin = loss_for("margin", goal)(found.logits)
        self._compare(ball, state, loss, margin)
        over = done(found.logits)
        won = goal.reached(found.logits) if course.stop else torch.zeros_like(over)
        self.points[rows[over]], self.margin[rows[over]] = state["best"][over], state["margin"][over]
        self.points[rows[won]], self.margin[rows[won]] = point[won], margin[won]
        self.reached[rows[won]], self.when[rows[won]] = True, state["iteration"][won]
        self.forwards[rows] += self._target.draws
        self.backwards[rows] += ~over * self._target.draws
        self._move(ball, state)
        state["iteration"] += 1
        return over

    def _compare(self, ball: Ball, state: State, loss: Tensor, margin: Tensor) -> None:
        """Count progress, keep the best point, and every so often judge the step size."""
        first = state["iteration"] == 0
        state["gains"] += ~first & (loss > state["loss"])
        state["loss"] = torch.where(first, 0.0, loss)
        better = (loss > state["best_loss"]).nonzero()[:, 0]
        for name, values in (("best", state["point"]), ("best_gradient", state["gradient"])):
            state[name][better] = values[better]
        state["best_loss"][better], state["margin"][better] = loss[better], margin[better]
        state["checked_loss"] = torch.where(first, state["best_loss"], state["checked_loss"])
        state["since"] += ~first
        judged = state["since"] == state["window"]
        if bool(judged.any()):
            back = self._sparsify(ball, state, judged) if "share" in state else self._halve(state, judged)
            for name, best in (("point", "best"), ("gradient", "best_gradient")):
                state[name] = torch.where(back.view(-1, 1, 1, 1, 1), state[best], state[name])
            state["since"].masked_fill_(judged, 0)
            state["gains"].masked_fill_(judged, 0)

    def _halve(self, state: State, judged: Tensor) -> Tensor:
        """Halve the step of clips with too little progress; they go back to their best point (conditions 1 and 2)."""
        slow = state["gains"] <= state["window"] * self._course.rho
        stuck = ~state["halved"] & (state["checked_loss"] >= state["best_loss"])
        halve = judged & (slow | stuck)
        _, shorter, shortest = windows(self._course.steps)
        state["size"] = torch.where(halve, state["size"] / 2, state["size"])
        state["halved"] = torch.where(judged, halve, state["halved"])
        state["checked_loss"] = torch.where(judged, state["best_loss"], state["checked_loss"])
        state["window"] = torch.where(judged, (state["window"] - shorter).clamp_min(shortest), state["window"])
        return halve

    def _sparsify(self, ball: Ball, state: State, judged: Tensor) -> Tensor:
        """Steps as sparse as the best point; where that has become sparser, start again from it with a long step."""
        changed = (state["best"] != state["clean"]).flatten(1).sum(1).float()
        sparser = changed / state["changed"] < L1_SPARSER
        longest = ball.first_step
        size = torch.where(sparser, longest, state["size"] / L1_SHRINK).clamp(longest * L1_SMALLEST_STEP, longest)
        state["size"] = torch.where(judged, size, state["size"])
        share = changed / ball.features(state["clean"]) / L1_SHRINK
        state["share"] = torch.where(judged, share, state["share"])
        state["changed"] = torch.where(judged, changed, state["changed"])
        return judged & sparser

    def _move(self, ball: Ball, state: State) -> None:
        clean, point, gradient = state["clean"], state["point"], state["gradient"]
        if "share" in state:
            moved = ball.sparse_step(clean, point, gradient, state["size"], state["share"])
        else:
            moved = ball.step(clean, point, state["before"], gradient, state["size"], state["iteration"] == 0)
        state["before"], state["point"] = point, moved


class _Search:
    """Runs of Auto-PGD on one batch, each on the clips that are left."""

    def __init__(self, target: Target, batch: Batch, budget: Budget, settings: ApgdSettings, name: str) -> None:
        self.target, self.batch, self.budget, self.settings, self.name = target, batch, budget, settings, name
        labels = batch.goal.labels
        self.clips = batch.clips.clone()
        self.margin = torch.full_like(labels, -torch.inf, dtype=torch.float32)
        self.reached = torch.zeros_like(labels, dtype=torch.bool)
        self.forwards, self.backwards, self.restarts = (torch.zeros_like(labels) for _ in range(3))
        self.when = torch.full_like(labels, -1)
        self.runs = 0

    def run(self, restart: int, ascent_for: Callable[[Tensor, Batch], Ascent]) -> None:
        """One run; `ascent_for` gets the rows that are left, and the batch of them."""
        left = (~self.reached).nonzero()[:, 0]
        if len(left):
            part, number = self.batch.of(left), self.runs
            climbs = self._climb(part, Ball(self.budget.of(left)), ascent_for(left, part), number)
            self._take(left, climbs, restart)
        self.runs += 1

    def _climb(self, part: Batch, ball: Ball, ascent: Ascent, number: int) -> list[Climb]:
        """A run: one climb, or three in ever smaller balls, the last of which counts."""
        settings, made = self.settings, list[Climb]()
        grown = ball.budget.norm == "l1" and settings.large_eps
        legs = phases(settings.steps) if grown else ((1.0, settings.steps),)

        def start(rows: Tensor) -> Tensor:
            shape = tuple(part.clips.shape[1:])
            drawn = []
            for row in rows.tolist():
                generator = part.generator(row, "start", self.name, number)
                if ball.budget.norm == "linf":
                    drawn.append(2 * torch.rand(shape, generator=generator) - 1)
                else:
                    drawn.append(torch.randn(shape, generator=generator))
            clean = part.clips[rows]
            noise = torch.stack(drawn) if drawn else torch.empty(0, *shape)
            return ball.scaled(legs[0][0]).of(rows).start(clean, noise.to(clean))

        for factor, steps in legs:
            around, final = ball.scaled(factor), factor == 1.0
            begin = _within(part.clips, made[-1].points, around) if made else start
            course = Course(steps, settings.rho, stop=final, guided=grown)
            climb = Climb(self.target, part.clips, part.goal, around, ascent, begin, course)
            climb.run(part.width)
            made.append(climb)
        return made

    def _take(self, left: Tensor, climbs: list[Climb], restart: int) -> None:
        last = climbs[-1]
        for climb in climbs:
            self.forwards[left] += climb.forwards
            self.backwards[left] += climb.backwards
        better = last.reached | (last.margin > self.margin[left])
        rows = left[better]
        self.clips[rows], self.margin[rows] = last.clips[better], last.margin[better]
        self.restarts[rows] = restart
        earlier = self.runs * self.settings.steps
        earlier += sum(steps for _, steps in phases(self.settings.steps)[:-1]) if len(climbs) > 1 else 0
        self.when[left] = torch.where(last.reached, last.when + earlier, -1)
        self.reached[left] = last.reached

    def outcome(self) -> Outcome:
        """What was found."""
        return Outcome(
            self.clips, self.reached, self.forwards.cpu(), self.backwards.cpu(), self.restarts.cpu(), self.when.cpu()
        )


def _within(clean: Tensor, points: Tensor, ball: Ball) -> Callable[[Tensor], Tensor]:
    return lambda rows: ball.of(rows).project(clean[rows], points[rows])


def towards(goal: Goal) -> Loss:
    """The targeted difference of logits ratio for a goal to reach: of its class and the strongest other (eq. 7).

    Unlike the plain ratio it does not stand still where the class to reach has the third highest logit.
    """

    def loss(logits: Tensor) -> Tensor:
        others = logits.detach().scatter(1, goal.labels[:, None], -torch.inf)
        return targeted_dlr(logits, others.argmax(1), goal.labels)

    return loss


class ApgdCe:
    """Auto-PGD on the cross entropy."""

    name = "apgd-ce"
    summary = "Auto-PGD on the cross entropy: step sizes that adapt"
    norms: tuple[Norm, ...] = ("linf", "l2", "l1")
    source = "Croce and Hein 2020, arXiv:2003.01690, algorithm 1; in L1 Croce and Hein 2021, arXiv:2103.01208"
    settings: type[Settings] = ApgdSettings
    minimal = False

    def run(self, target: Target, batch: Batch, budget: Budget, settings: Settings) -> Outcome:
        """All restarts, each on the clips that the earlier ones left.

        Raises:
            UsageError: The loss needs more classes.
        """
        assert isinstance(settings, ApgdSettings)
        self._check(target, batch)
        search = _Search(target, batch, budget, settings, self.name)
        for restart in range(settings.restarts):
            search.run(restart, lambda left, part: lambda rows: self._loss(part.goal.of(rows)))
        return search.outcome()

    def _check(self, target: Target, batch: Batch) -> None:
        """Any number of classes will do."""

    def _loss(self, goal: Goal) -> Loss:
        return loss_for("ce", goal)


class ApgdDlr(ApgdCe):
    """Auto-PGD on the difference of logits ratio."""

    name = "apgd-dlr"
    summary = "Auto-PGD on the difference of logits ratio"

    def _check(self, target: Target, batch: Batch) -> None:
        least = 4 if batch.goal.targeted else 3
        if target.num_classes < least:
            raise UsageError(
                f"the {'targeted ' * batch.goal.targeted}difference of logits ratio needs {least} classes, "
                f"and there are {target.num_classes}",
                "Take apgd-ce.",
            )

    def _loss(self, goal: Goal) -> Loss:
        return towards(goal) if goal.targeted else loss_for("dlr", goal)


class ApgdTargeted:
    """Auto-PGD on the targeted difference of logits ratio, towards one class after the other.

    It leaves a class: any other will do. For a goal to reach there are `apgd-ce` and `apgd-dlr`.
    """

    name = "apgd-t"
    summary = "Auto-PGD on the targeted difference of logits ratio, class after class"
    norms: tuple[Norm, ...] = ("linf", "l2", "l1")
    source = "Croce and Hein 2020, arXiv:2003.01690, section 4.2; in L1 Croce and Hein 2021, arXiv:2103.01208"
    settings: type[Settings] = TargetedSettings
    minimal = False

    def run(self, target: Target, batch: Batch, budget: Budget, settings: Settings) -> Outcome:
        """Class after class, by falling clean logits, with all restarts of each.

        Raises:
            UsageError: Fewer than 4 classes, or a goal to reach a class.
        """
        assert isinstance(settings, TargetedSettings)
        if batch.goal.targeted:
            raise UsageError("apgd-t leaves a class through any other", "With --target take apgd-ce or apgd-dlr.")
        if target.num_classes < 4:
            raise UsageError(
                f"the targeted difference of logits ratio needs 4 classes, and there are {target.num_classes}",
                "Take apgd-ce.",
            )
        search = _Search(target, batch, budget, settings, self.name)
        classes = self._classes(target, batch, settings.targets)
        search.forwards += target.draws
        for place in range(classes.shape[1]):
            for restart in range(settings.restarts):
                search.run(restart, _towards_class(classes[:, place]))
        return search.outcome()

    def _classes(self, target: Target, batch: Batch, wanted: int) -> Tensor:
        """`(N, n)` the other classes with the highest clean logits."""
        count = min(wanted, target.num_classes - 1)
        found = []
        for _, part in batch.parts():
            others = target(part.clips).scatter(1, part.goal.labels[:, None], -torch.inf)
            found.append(others.topk(count, dim=1).indices)
        return torch.cat(found) if found else batch.goal.labels.new_zeros(0, count)


def _towards_class(targets: Tensor) -> Callable[[Tensor, Batch], Ascent]:
    def ascent_for(left: Tensor, part: Batch) -> Ascent:
        wanted, labels = targets[left], part.goal.labels
        return lambda rows: lambda logits: targeted_dlr(logits, labels[rows], wanted[rows])

    return ascent_for
