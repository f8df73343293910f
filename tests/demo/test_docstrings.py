import json

import pytest

from diffmask.core.errors import InputError
from diffmask.demo.docstrings import _prose, find_package, read_docstrings, write_documents

NUMPY_STYLE = '''
def fit(x, y):
    """Fit a straight line to noisy points.

    The slope is found by :func:`~toy.least_squares`, see [1]_ for a proof. It is *robust* to
    shifts, e.g. to offsets, of ``x``.

    Parameters
    ----------
    x : array-like of shape (n,)
        The places at which the points were measured, in any
        order.
    y : {'a', 'b'}, optional
        Whether to weigh the points by their distance from the middle.

        .. versionadded:: 0.2

    Returns
    -------
    line : Line
        The fitted line, with its slope and its offset.

    Notes
    -----
    The sum of squares is

    .. math::
        \\\\sum_i (y_i - f(x_i))^2

    and it has one minimum whenever two places differ.
    Here :math:`n` is the number of points that were measured.
    Here :math:`\\\\sum_i x_i` is the sum of all the places.

    ====  =====
    kind  price
    ====  =====

    References
    ----------
    .. [1] A. Author, "A book about lines that nobody should ever quote.", 1999.

    Examples
    --------
    This sentence introduces an example and is left out.

    >>> fit([1], [2])
    Line(2)
    """


class Line:
    """A line in the plane that knows how far it is from every point."""

    def distance(self, point):
        """Return how far a point is from the line, measured at a right angle to it.

        >>> line.distance(1)
        2.0
        """

    def _secret(self):
        """This is private and no one is going to read what it says here."""
'''

GOOGLE_STYLE = '''
def pool(input, size):
    r"""Take the largest value in each window of the input.

    .. note::
        The windows may overlap, which is of use for images that are small.

    Args:
        input (Tensor): The tensor whose last dimension is divided into windows
            of one common length.
        size (int, optional): The number of values in each of the windows. Default: ``2``

    Shape:
        - Input: :math:`(N, C, L)`

    Example::

        >>> pool(input, 2)
        These words stand in an example and are left out of it.
    """
'''


@pytest.fixture
def package(tmp_path):
    for path, source in {
        "__init__.py": '"""Top level text which is about nothing that would be of interest here."""',
        "lines/__init__.py": "",
        "lines/_fit.py": NUMPY_STYLE,
        "windows/pool.py": GOOGLE_STYLE,
        "lines/tests/test_fit.py": NUMPY_STYLE.replace("line", "curve"),
        "_internal/pool.py": GOOGLE_STYLE.replace("window", "frame"),
    }.items():
        file = tmp_path / "toy" / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(source)
    return tmp_path / "toy"


def test_prose_is_kept_and_everything_else_is_left_out(package):
    documents = {document.name: document for document in read_docstrings({"toy": package}, {})}
    assert documents["toy.lines._fit.fit"].paragraphs == [
        ["Fit a straight line to noisy points."],
        [
            "The slope is found by least_squares, see for a proof.",
            "It is robust to shifts, e.g. to offsets, of x.",
        ],
        ["The places at which the points were measured, in any order."],
        ["Whether to weigh the points by their distance from the middle."],
        ["The fitted line, with its slope and its offset."],
        ["Here n is the number of points that were measured."],
    ]
    assert documents["toy.windows.pool.pool"].paragraphs == [
        ["Take the largest value in each window of the input."],
        ["The windows may overlap, which is of use for images that are small."],
        ["The tensor whose last dimension is divided into windows of one common length."],
        ["The number of values in each of the windows."],
    ]


def test_what_is_private_or_a_test_or_too_short_is_no_document(package):
    names = [document.name for document in read_docstrings({"toy": package}, {})]
    assert names == ["toy.lines._fit.fit", "toy.windows.pool.pool"]


def test_the_label_is_the_subpackage_and_subpackages_can_be_chosen(package):
    assert [document.label for document in read_docstrings({"toy": package}, {})] == ["toy.lines", "toy.windows"]
    chosen = read_docstrings({"toy": package}, {"toy": ["windows"]})
    assert [document.label for document in chosen] == ["toy.windows"]


def test_no_sentence_comes_twice(package):
    twice = {"toy": package, "again": package}
    documents = list(read_docstrings(twice, {}))
    assert [document.label for document in documents] == ["toy.lines", "toy.windows"]


def test_documents_are_written_with_label_and_name(package, tmp_path):
    path = tmp_path / "text.jsonl"
    documents = list(read_docstrings({"toy": package}, {}))
    write_documents(documents, path)
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    assert [row["name"] for row in rows] == ["toy.lines._fit.fit", "toy.windows.pool.pool"]
    assert rows[1]["text"].startswith("Take the largest value in each window of the input. The windows may overlap")
    assert rows[1]["label"] == "toy.windows"
    assert not list(tmp_path.glob("*.tmp"))


def test_no_document_is_refused(tmp_path):
    with pytest.raises(
        InputError, match=r"there are no documentation strings .*; install the packages with their sourc"
    ):
        write_documents([], tmp_path / "text.jsonl")


def test_about_a_sixteenth_is_held_out():
    from diffmask.demo.docstrings import Documented

    held = [Documented(f"package.module.name{index}", "package", []).is_held_out for index in range(2000)]
    assert 90 < sum(held) < 150


def test_packages_are_found_without_importing_them():
    assert find_package("sklearn").name == "sklearn"
    assert find_package("no_such_package_here") is None


def test_a_table_of_numbers_is_no_prose():
    assert _prose("A   B\n--- ---\n1   2\n\n+---+\n| This is a cell of a table with words. |\n+---+") == []


def test_a_second_language_of_markup_is_cleaned():
    text = "Use `the guide <https://x.org>`_ and :class:`Line <toy.Line>` or **both** of them together."
    assert _prose(text) == [["Use the guide and Line or both of them together."]]


def test_the_documentation_of_scikit_learn_reads_like_text():
    found = find_package("sklearn")
    documents = list(read_docstrings({"sklearn": found}, {"sklearn": ["cluster", "svm"]}))
    assert len(documents) > 40 and {document.label for document in documents} == {"sklearn.cluster", "sklearn.svm"}
    text = " ".join(document.text for document in documents)
    assert ">>>" not in text and "::" not in text and "`" not in text and "----" not in text


def test_files_that_cannot_be_parsed_are_skipped_and_counted(tmp_path, caplog):
    folder = tmp_path / "toy" / "part"
    folder.mkdir(parents=True)
    sentence = "A line in the plane knows how far it is from every point of the plane that it lies in. It is long."
    (folder / "a.py").write_text(f'def f():\n    r"""Do.\n\n    {sentence} \\d\n    """\n')
    for name, content in {
        "b": b"def f[T: int = int]( -> 3\n",
        "c": b"x = '\0'\n",
        "d": b"x = '\xff'\n",
        "e": b"(" * 500,
    }.items():
        (folder / f"{name}.py").write_bytes(content)
    assert [document.name for document in read_docstrings({"toy": tmp_path / "toy"}, {})] == ["toy.part.a.f"]
    (message,) = [record.getMessage() for record in caplog.records]
    assert message.startswith("4 files of toy are skipped: Python 3.")
    assert message.endswith(" cannot parse them")
