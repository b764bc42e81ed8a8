"""The verdict on networks of known faults, and the run folder of a verification."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from vidbench.attack.checks import trials
from vidbench.attack.run import AttackRequest, run_attack
from vidbench.attack.threat import parse_sweep
from vidbench.attack.verify import Verification, VerifyRequest, run_verify, verdict
from vidbench.errors import InputError, UsageError
from vidbench.model.card import Preprocess
from vidbench.model.classifier import Classifier
from vidbench.model.defences import defend
from vidbench.records import Records

CLIPS = np.load(Path(__file__).parents[2] / "parity" / "attacks" / "clips.npz")
# of the first 16 clips, those that withstand all attacks of `autoattack.npz` under all its seeds
BEST = {"4/255": 9, "8/255": 2}
PREPROCESS = Preprocess(frames=4, stride=1, short_side=16, crop=16, wide=16, mean=(0, 0, 0), std=(1, 1, 1))


@pytest.fixture(autouse=True, scope="module")
def _one_thread() -> Iterator[None]:
    """Threads that wait for each other take longer than such small networks."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


class Concealment(nn.Module):
    """Changes clips by less than float32 can tell, and their gradient by a factor of 1e12 of any sign."""

    def forward(self, clips: Tensor) -> Tensor:
        return clips + 1e-8 * torch.sin(1e20 * clips)


class Cut(nn.Module):
    def forward(self, clips: Tensor) -> Tensor:
        return clips.detach()


class Quantised(nn.Module):
    def forward(self, clips: Tensor) -> Tensor:
        return (clips * 255).round() / 255


class Restless(nn.Module):
    def forward(self, clips: Tensor) -> Tensor:
        return clips + 0.02 * torch.randn_like(clips)


class Times(nn.Module):
    def __init__(self, factor: float) -> None:
        super().__init__()
        self.factor = factor

    def forward(self, logits: Tensor) -> Tensor:
        return logits * self.factor


class Purified(nn.Module):
    """A step of gradient descent on the clip inside the forward pass, as defences at test time take."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, clips: Tensor) -> Tensor:
        with torch.enable_grad():
            point = clips.detach().clone().requires_grad_(True)
            (slope,) = torch.autograd.grad(self.net(point).logsumexp(1).sum(), point)
        return self.net(clips - 1e-4 * slope)


def verify(
    net: nn.Module, folder: Path, count: int, eps: str = "8/255", steps: int = 20, **settings: Any
) -> dict[str, Any]:
    folder.mkdir(exist_ok=True)
    classifier = net if isinstance(net, Classifier) else Classifier(net, PREPROCESS, 5).eval().requires_grad_(False)
    work = Verification(
        classifier, Records(folder / "records.jsonl"), "linf", parse_sweep(eps, "linf"), steps=steps, queries=60,
        width=16, draws=4, **settings,
    )  # fmt: skip
    keys = [str(index) for index in range(count)]
    for start in range(0, count, 16):
        part = slice(start, min(start + 16, count))
        work.examine(keys[part], torch.from_numpy(CLIPS["x"][part]), torch.from_numpy(CLIPS["y"][part]))
    return verdict(work.findings(keys))


def severities(found: dict[str, Any]) -> dict[str, str]:
    return {flag["id"]: flag["severity"] for flag in (*found["passed"], *found["flags"])}


@pytest.fixture(scope="module")
def plain(net: nn.Module, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return verify(net, tmp_path_factory.mktemp("plain"), 16, "4/255,8/255", steps=40)


def test_an_ordinary_network_gives_a_valid_upper_bound(plain: dict[str, Any]) -> None:
    assert plain["status"] == "VALID_UPPER_BOUND", plain["flags"]
    assert {flag["severity"] for flag in plain["flags"]} <= {"I"}
    assert abs(plain["best_known_ra"]["4/255"] * 16 - BEST["4/255"]) <= 1
    assert abs(plain["best_known_ra"]["8/255"] * 16 - BEST["8/255"]) <= 1
    assert plain["reported_ra"] == plain["best_known_ra"]
    assert plain["clean_accuracy"] == 15 / 16
    ran = {row["name"] for row in plain["attacks"]}
    assert {"noise", "fgsm", "pgd", "pgd-restarts", "pgd-margin", "apgd-ce", "apgd-dlr", "square"} == ran


def test_concealed_gradients_are_invalid_and_the_true_figure_is_found(
    net: nn.Module, plain: dict[str, Any], tmp_path: Path
) -> None:
    found = verify(nn.Sequential(Concealment(), net), tmp_path, 16)
    assert found["status"] == "INVALID"
    assert found["reported_ra"]["8/255"] > 0.8
    assert abs(found["best_known_ra"]["8/255"] - plain["best_known_ra"]["8/255"]) <= 2 / 16
    for check in ("C5", "C7", "C11", "C21"):
        assert severities(found)[check] == "E", check
    assert severities(found)["C6"] == "W"
    assert found["strongest"]["8/255"].startswith("bypass")


def test_a_named_defence_is_passed_by(net: nn.Module, plain: dict[str, Any], tmp_path: Path) -> None:
    inner = Classifier(net, PREPROCESS, 5).eval().requires_grad_(False)
    found = verify(defend(inner, "gcm").eval().requires_grad_(False), tmp_path, 16)
    assert found["status"] == "INVALID"
    assert abs(found["best_known_ra"]["8/255"] - plain["best_known_ra"]["8/255"]) <= 2 / 16
    assert {"transfer-pgd", "bypass-pgd"} <= {row["name"] for row in found["attacks"]}


CASES = {
    "probabilities": (lambda net: nn.Sequential(net, nn.Softmax(1)), "C2", "E", "INVALID"),
    "disconnected": (lambda net: nn.Sequential(Cut(), net), "C3", "E", "INVALID"),
    "quantised": (lambda net: nn.Sequential(Quantised(), net), "C4", "E", "INVALID"),
    "not finite": (lambda net: nn.Sequential(net, Times(float("nan"))), "C2", "E", "INVALID"),
    "saturated": (lambda net: nn.Sequential(net, Times(100.0)), "C15", "W", "SUSPECT"),
    "purified": (Purified, "C22", "W", "SUSPECT"),
}


@pytest.mark.parametrize("case", CASES)
def test_known_faults_raise_their_flag(net: nn.Module, tmp_path: Path, case: str) -> None:
    front, check, severity, status = CASES[case]
    found = verify(front(net), tmp_path, 10)
    assert severities(found)[check] == severity
    assert found["status"] == status, found["flags"]


def test_a_sure_network_is_no_false_alarm(net: nn.Module, tmp_path: Path) -> None:
    found = verify(nn.Sequential(net, Times(3.0)), tmp_path, 10, steps=50)
    assert not [flag for flag in found["flags"] if flag["severity"] == "E"]


def test_a_tiny_radius_is_no_false_alarm(net: nn.Module, tmp_path: Path) -> None:
    found = verify(net, tmp_path, 8, "1e-6")
    assert found["status"] == "VALID_UPPER_BOUND", found["flags"]
    assert found["best_known_ra"]["1e-6"] == found["clean_accuracy"]
    assert found["strongest"]["1e-6"] is None


def test_random_networks_are_attacked_over_draws_clip_by_clip(net: nn.Module, tmp_path: Path) -> None:
    front = nn.Sequential(Restless(), net)
    found = verify(front, tmp_path / "whole", 3, steps=4)
    assert severities(found)["C1"] == "W"
    assert found["status"] == "SUSPECT"
    assert found["attacks"][0]["forwards"] >= 2
    # alone, a clip meets the same draws
    alone = Verification(
        Classifier(front, PREPROCESS, 5).eval().requires_grad_(False), Records(tmp_path / "alone.jsonl"), "linf",
        parse_sweep("8/255", "linf"), steps=4, queries=60, width=16, draws=4,
    )  # fmt: skip
    alone.examine(["1"], torch.from_numpy(CLIPS["x"][1:2]), torch.from_numpy(CLIPS["y"][1:2]))
    together = Records.take(tmp_path / "whole" / "records.jsonl").by_key
    same = [key for key in alone.store.by_key if key.startswith(("pgd@", "fgsm@", "square@"))]
    assert same
    for key in same:
        assert alone.store.by_key[key] == together[key]


def test_few_classes_go_without_the_logits_ratio(net: nn.Module, tmp_path: Path) -> None:
    class Three(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.net = net

        def forward(self, clips: Tensor) -> Tensor:
            return self.net(clips)[:, :3]

    classifier = Classifier(Three(), PREPROCESS, 3).eval().requires_grad_(False)
    rows = np.flatnonzero(CLIPS["y"] < 3)[:6]
    work = Verification(
        classifier, Records(tmp_path / "records.jsonl"), "linf", parse_sweep("8/255", "linf"), steps=10, queries=30
    )
    keys = [str(row) for row in rows]
    work.examine(keys, torch.from_numpy(CLIPS["x"][rows]), torch.from_numpy(CLIPS["y"][rows]))
    found = verdict(work.findings(keys))
    assert "apgd-dlr" not in {row["name"] for row in found["attacks"]}
    assert severities(found)["C23"] == "I"


def test_one_class_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="one class"):
        Verification(Classifier(nn.Identity(), PREPROCESS, 1), Records(tmp_path / "r"), "linf", ())


def test_a_killed_verification_goes_on(net: nn.Module, tmp_path: Path) -> None:
    whole = verify(net, tmp_path / "whole", 4)
    lines = (tmp_path / "whole" / "records.jsonl").read_text().splitlines(keepends=True)
    (tmp_path / "killed").mkdir()
    (tmp_path / "killed" / "records.jsonl").write_text("".join(lines[:25]) + lines[25][:20])
    classifier = Classifier(net, PREPROCESS, 5).eval().requires_grad_(False)
    work = Verification(
        classifier, Records.take(tmp_path / "killed" / "records.jsonl"), "linf", parse_sweep("8/255", "linf"),
        steps=20, queries=60, width=16,
    )  # fmt: skip
    keys = [str(index) for index in range(4)]
    assert not any(work.done(key) for key in keys)
    work.examine(keys, torch.from_numpy(CLIPS["x"][:4]), torch.from_numpy(CLIPS["y"][:4]))
    assert verdict(work.findings(keys)) == whole
    again = (tmp_path / "killed" / "records.jsonl").read_text().splitlines(keepends=True)
    assert again[:25] == lines[:25]
    assert sorted(again) == sorted(lines)


def test_a_perturbation_outside_the_budget_is_told_and_not_used(net: nn.Module) -> None:
    def cheat(bench: Any, target: Any, batch: Any, budget: Any) -> Any:
        found = trials.climb(target, batch, type(budget)("linf", 1.0), steps=20, step_size=0.05)
        return found.outcome, [{} for _ in batch.keys]

    classifier = Classifier(net, PREPROCESS, 5).eval().requires_grad_(False)
    target = trials.Target(classifier.logits, 5)
    bench = trials.Bench(trials.Judge(classifier, 8), {"own": target}, 5, "linf", 20, 10, 0, 8)
    given = trials.Clips(["0", "1"], torch.from_numpy(CLIPS["x"][:2]), torch.from_numpy(CLIPS["y"][:2]))
    for record in trials.attempt(bench, trials.Trial("cheat", "own", True, (), cheat), given, 1e-3):
        assert record["confirmed"]
        assert record["robust"]
        assert "left the budget" in record["fault"]


@pytest.fixture(scope="module")
def weak_run(small_model: Path, small_set: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of FGSM at a radius where it breaks little."""
    out = tmp_path_factory.mktemp("runs") / "weak"
    run_attack(AttackRequest(
        model=str(small_model), data=small_set / "vallist.txt", attack="fgsm", eps="4/255", limit=3, realism="none",
        out=out,
    ))  # fmt: skip
    return out


def test_a_run_is_judged_by_its_own_clips_and_radii(weak_run: Path, tmp_path: Path) -> None:
    request = VerifyRequest(run=weak_run, out=tmp_path / "out", steps=4, queries=10)
    result = run_verify(request)
    assert result.resumed == 0
    assert list(result.summary["best_known_ra"]) == ["4/255"]
    reported = json.loads((weak_run / "summary.json").read_text())
    assert result.summary["evaluated"] == 3
    assert result.summary["clean_accuracy"] == reported["clean_accuracy"]
    assert result.summary["reported_ra"]["4/255"] >= result.summary["best_known_ra"]["4/255"]
    assert "R1" in severities(result.summary)
    assert json.loads((tmp_path / "out" / "summary.json").read_text()) == result.summary
    text = (tmp_path / "out" / "verdict.md").read_text()
    assert text.startswith(f"# {result.summary['status']}\n")
    again = run_verify(request)
    assert again.resumed == 3
    assert again.summary == result.summary


def test_requests_that_contradict_themselves(weak_run: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="a model or a run"):
        VerifyRequest(model="x3d_tiny", run=weak_run)
    with pytest.raises(ValueError, match="a model or a run"):
        VerifyRequest()
    with pytest.raises(UsageError, match="l1 cannot be verified"):
        run_verify(VerifyRequest(model="x3d_tiny", norm="l1", eps="8", out=tmp_path / "out"))
    with pytest.raises(UsageError, match="eps 0 is no attack"):
        run_verify(VerifyRequest(model="x3d_tiny", eps="0", out=tmp_path / "out"))
    with pytest.raises(InputError, match=r"manifest\.json: no such file"):
        run_verify(VerifyRequest(run=tmp_path, out=tmp_path / "out"))
