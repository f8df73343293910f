"""spaCy pipelines, built in code and kept on disk: no download."""

TAGS = {"the": "DET", "cells": "NOUN", "rats": "NOUN", "slept": "VERB", "smith": "PROPN", "do": "AUX", "n't": "PART"}
TAGS |= {"in": "ADP", "1998": "NUM", ".": "PUNCT", ",": "PUNCT", "-": "PUNCT", "well": "ADV", "and": "CONJ"}
ENTITIES = [
    {"label": "PERSON", "pattern": "Dr. Smith"},
    {"label": "PERSON", "pattern": "Malcolm X"},
    {"label": "GPE", "pattern": [{"LOWER": "new"}, {"LOWER": "york"}]},
    {"label": "DATE", "pattern": [{"TEXT": {"REGEX": r"^(1[89]|20)\d\d$"}}]},
]


def save_pipeline(folder, *, tags=TAGS, entities=ENTITIES, **components):
    """Save an English pipeline with an attribute_ruler for tags and an entity_ruler, and more components by name."""
    import spacy

    nlp = spacy.blank("en")
    for name, factory in components.items():
        nlp.add_pipe(factory, name=name)
    if tags:
        ruler = nlp.add_pipe("attribute_ruler")
        for word, tag in tags.items():
            ruler.add(patterns=[[{"LOWER": word}]], attrs={"POS": tag})
    if entities:
        nlp.add_pipe("entity_ruler").add_patterns(entities)
    nlp.to_disk(folder)
    return str(folder)
