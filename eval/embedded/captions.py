"""The language of the embedded models: ten nouns, their synonyms, five tones, eight sentence patterns.

A model this small has no idea of a word it was not trained on, but answers anyway: measured, an earlier one placed
"submarine", "zebra" and plain nonsense all on "ship". So a prompt with an unknown word is refused, not guessed at.
"""

from __future__ import annotations

from collections.abc import Sequence

CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
SYNONYMS = {"airplane": ("plane", "jet"), "automobile": ("car",), "ship": ("boat",), "truck": ("lorry",)}

TONES = ("very dark", "dark", "", "bright", "very bright")
"""From the darkest to the brightest images; the middle says nothing."""

TONE_LIMITS = (0.332, 0.417, 0.535, 0.639)
"""Mean Rec. 601 luma that separates the tones: the 10, 30, 70, 90 % quantiles of the 50,000 training images."""

TEMPLATES = (
    "a {tone} photo of a {name}",
    "a {tone} picture of a {name}",
    "a {tone} image of a {name}",
    "a {tone} photo of the {name}",
    "a {tone} picture of the {name}",
    "a {tone} image of the {name}",
    "a {tone} {name}",
    "{tone} {name}",
)


def tone_of(luminance: float) -> int:
    """The index in TONES of an image with this mean luminance (0..1)."""
    return sum(luminance >= limit for limit in TONE_LIMITS)


def with_articles(words: Sequence[str]) -> str:
    """Join words, writing "an" for "a" before a vowel."""
    following = [*words[1:], ""]
    return " ".join("an" if w == "a" and n[:1] in tuple("aeiou") else w for w, n in zip(words, following, strict=True))


def caption(name: str, tone: str = "", template: int = 0) -> str:
    """`caption("airplane", "dark")` is "a dark photo of an airplane"."""
    return with_articles(TEMPLATES[template].format(tone=tone, name=name).split())


def names_of(label: int) -> tuple[str, ...]:
    """The noun of a class, then its synonyms."""
    return (CLASSES[label], *SYNONYMS.get(CLASSES[label], ()))


def all_captions() -> dict[str, tuple[int, int]]:
    """Every caption there is -> (label, tone index); the templates come last in the order."""
    return {
        caption(name, tone, template): (label, t)
        for label in range(len(CLASSES))
        for t, tone in enumerate(TONES)
        for name in names_of(label)
        for template in range(len(TEMPLATES))
    }


WORDS = frozenset(word for text in all_captions() for word in text.split())


def check_words(prompts: Sequence[str]) -> None:
    """Refuse prompts with a word outside WORDS. The empty prompt, the unconditional one, is allowed."""
    unknown = sorted({word for prompt in prompts for word in prompt.lower().split()} - WORDS)
    if unknown:
        raise ValueError(
            f"the embedded models do not know {', '.join(map(repr, unknown))}. They know only: "
            f"{', '.join(sorted(WORDS))}. Rephrase with these words, such as {caption('cat', 'dark')!r}, "
            "or use an external image-text model and generator."
        )
