import pytest
import torch
from torch import Tensor, nn

from vidbench.label.finite import refuse_non_finite


class Part(nn.Module):
    def __init__(self, kind: str) -> None:
        super().__init__()
        self.kind = kind

    def forward(self, values: Tensor) -> object:
        count = torch.ones(1, dtype=torch.int64)
        return {"plain": values, "list": [count, (values,)], "dict": {"count": count, "boxes": [values]}}[self.kind]


@pytest.mark.parametrize("kind", ["plain", "list", "dict"])
@pytest.mark.parametrize("value", [float("nan"), float("-inf")])
def test_any_tensor_of_the_output_is_looked_at(kind: str, value: float) -> None:
    part = Part(kind)
    refuse_non_finite(part)
    part(torch.ones(2, 2))
    with pytest.raises(ValueError, match="not finite"):
        part(torch.tensor([[0.0, value]]))
