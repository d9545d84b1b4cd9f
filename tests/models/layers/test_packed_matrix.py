import copy
import pickle

import pytest
import torch

from mmseg_gc.models.layers.packed_matrix import PackedMatrix

pytestmark = pytest.mark.skipif(
    not PackedMatrix.available(), reason="this build of torch has no oneDNN"
)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("rows", [1, 7, 300])
def test_multiplies(rows: int, dtype: torch.dtype) -> None:
    matrix, x = torch.randn(40, 24).to(dtype), torch.randn(rows, 40).to(dtype)
    packed = PackedMatrix(matrix)
    torch.testing.assert_close(packed(x), x @ matrix)
    for copied in (copy.deepcopy(packed), pickle.loads(pickle.dumps(packed))):
        assert torch.equal(copied(x), packed(x))
