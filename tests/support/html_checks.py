"""What must be true of every page that is written."""

import re
from html.parser import HTMLParser

VOID = {"meta", "br", "wbr", "hr", "img", "input", "link"}


class Checker(HTMLParser):
    """Follow the tags of a page, and gather its text."""

    def __init__(self):
        super().__init__()
        self.open, self.tags, self.attributes, self.text, self.ids = [], set(), [], "", []

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        self.attributes += attrs
        self.ids += [value for name, value in attrs if name == "id"]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag):
        assert self.open and self.open[-1] == tag, f"</{tag}> closes {self.open[-3:]}"
        self.open.pop()

    def handle_data(self, data):
        if "style" not in self.open:
            self.text += data


def check(text, *, pictures=False):
    """Return what is on a page, which must be whole, without scripts and without anything from elsewhere.

    With `pictures` it may hold pictures, which are inside of it.
    """
    checker = Checker()
    checker.feed(text)
    checker.close()
    assert checker.open == []
    forbidden = {"script", "link", "iframe", "object", "embed", "base"} | (set() if pictures else {"img"})
    assert not checker.tags & forbidden
    sources = [value for name, value in checker.attributes if name == "src"]
    assert all(re.match(r"data:image/(png|jpeg);base64,", source) for source in sources)
    assert not [name for name, _ in checker.attributes if name.startswith("on") or name == "srcset"]
    assert pictures or not sources
    assert all(value.startswith("#") for name, value in checker.attributes if name in ("href", "xlink:href"))
    outside = re.sub(r'src="data:[^"]*"', "", text)
    assert not re.search(r"https?:|//\w|@import|url\((?!#)", outside)
    assert len(checker.ids) == len(set(checker.ids))
    return checker
