"""The public data sets of the experiments: where they come from, and how their files are known to be the right ones."""

from collections.abc import Mapping
from dataclasses import dataclass

SPLITS = ("train", "dev", "test")
COMMIT = "06793f77d7278898159ed50da30d173cdc8fdea9"
BASE = f"https://raw.githubusercontent.com/allenai/scibert/{COMMIT}/data/text_classification"


@dataclass(frozen=True)
class SourceFile:
    """One file of a data set, of JSON lines with a text and a label.

    Attributes:
        num_bytes: Its size, to say what is fetched.
        num_rows: Its texts.
        sha256: Of its bytes; None where it is known by its contents alone.
        num_in_train: Where there is no sha256: texts that stand word for word in the training file.
    """

    num_bytes: int
    num_rows: int
    sha256: str | None = None
    num_in_train: int | None = None


@dataclass(frozen=True)
class DataSet:
    """A data set as it was distributed with SciBERT.

    Attributes:
        title: What it is called and what it asks for.
        path: Its folder in the source.
        labels: How many labels it has.
        files: By split.
        note: What its origin asks to be said.
    """

    title: str
    path: str
    labels: int
    files: Mapping[str, SourceFile]
    note: str


DATA_SETS = {
    "chemprot": DataSet(
        "ChemProt: relations of chemicals and proteins",
        "chemprot",
        13,
        {
            "train": SourceFile(1121208, 4169, "ab17b85c4fb869b2338d7c9617414e63f3c7225e5005920b18d9cd996f1049d8"),
            "dev": SourceFile(678657, 2427, "bfe8f39e5146ad4bb16b23707dade850546a305047bc666f6f6824c6a7e3df2f"),
            "test": SourceFile(960369, 3469, "372249c85ffea6d9a18dc5168cf45841b3d79b03412d6c620381cfc0dd3d6d49"),
        },
        "Kringelum et al. 2016",
    ),
    "sciie": DataSet(
        "SciIE: relations of scientific terms",
        "sciie-relation-extraction",
        7,
        {
            "train": SourceFile(823836, 3219, "83d395d97de2c02dcb4898af3c6e34b5f5aa19771298fbc9f69ae435fa1258fb"),
            "dev": SourceFile(118354, 455, "9500a8e561f1ce50d972b8473525fe24ebae732bde653c381a4c65945965567a"),
            "test": SourceFile(249465, 974, "be4c06d2b8903783818a5e4cba08c71b954a86f00021907706f66ac3e26c58bd"),
        },
        "Luan et al. 2018",
    ),
    # No copy was at hand to take sha256 from. What is known of it is checked in their place: rows, labels, and how many
    # texts stand in the training file too, word for word, which another version or another split would not share.
    "acl-arc": DataSet(
        "ACL-ARC: intents of citations",
        "citation_intent",
        6,
        {
            "train": SourceFile(465895, 1688),
            "dev": SourceFile(30138, 114, num_in_train=43),
            "test": SourceFile(38637, 139, num_in_train=52),
        },
        "Jurgens et al. 2018",
    ),
}
