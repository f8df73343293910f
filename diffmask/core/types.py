"""Named tensor types, and the legend of dimensions that every docstring uses.

B batch (rows) · L positions (tokens or patches) · U units · A anchors · D embedding · V types (a vocabulary of units).
"""

from typing import Annotated

from torch import Tensor

IGNORE_INDEX = -100
"""Label of a position that is not predicted (the convention of torch's cross entropy)."""

Scores = Annotated[Tensor, "float (B, U); higher = masked more often"]
Weights = Annotated[Tensor, "float (B, U); not negative, zero where not eligible"]
UnitMask = Annotated[Tensor, "bool (B, U); True = masked (or eligible)"]
PositionMask = Annotated[Tensor, "bool (B, L); True = masked"]
UnitIds = Annotated[Tensor, "int (B, L); unit of each position, -1 = none"]
Types = Annotated[Tensor, "int (B, U); row in a table of types, -1 = unknown"]
SampleIds = Annotated[Tensor, "int (B,); stable identity of a sample in its dataset"]
Budgets = Annotated[Tensor, "float (B,); positions to mask in each row"]
Embeddings = Annotated[Tensor, "float (V, D)"]
TypeScores = Annotated[Tensor, "float (V,)"]
