"""The figures in words: their meanings, their numbers, and the summary as text."""

from __future__ import annotations

from .consistency import Consistency
from .cut_accuracy import CutAccuracy

FIGURES = (
    (
        "Actors across shots",
        "How alike the moving subject looks in two shots, without the place behind it: the mean over pairs of shots "
        "whose prompts name the same actor, beside that over pairs that name none in common. Only the difference of "
        "the two tells anything. The subject is found by what moves and by colours the place does not have.",
    ),
    ("Places across shots", "The same of all that is not the subject."),
    (
        "Actor within, place within",
        "How alike the frames of one shot are (VBench's formula). A shot that stands still has 1, so it "
        "counts in no mean.",
    ),
    (
        "Motion",
        "How far the 5 % of the picture that moves most moves in 1/8 s, in percent of the short side, 13 at most. "
        "VBench calls more than 2.3 dynamic. Noise moves too.",
    ),
    (
        "Cuts",
        "HoloCine's shot cut accuracy: 1 when every cut of the storyboard is found at its frame and no other; each cut "
        "missed or too many costs about a shot's length. A cut between two shots alike in colour is not seen.",
    ),
    (
        "Colour drift",
        "Difference of a shot's mean colour from that of shot 1, ΔE. Another place has other colours by right.",
    ),
    ("Flicker", "How far the light of a frame is off that of its neighbours, in levels of 255."),
    ("Sharpness", "Variance of the Laplacian; comparable among films of one size and kind only. Noise raises it."),
    ("Text", "CLIP's likeness of a shot's frames and its prompt."),
)


def shown(value: float | None, factor: float = 1.0, unit: str = "") -> str:
    """A figure with two digits after the point, or one with a unit; a dash where there is none."""
    if value is None:
        return "–"
    return f"{value * factor:.1f} {unit}" if unit else f"{value * factor:.2f}"


def cuts_in_words(cuts: CutAccuracy) -> str:
    """How a film's cuts fit its storyboard: "3 of 3 seen, off by 0.3 frames, 1 not wanted"."""
    wanted = len(cuts.matched) + len(cuts.missed)
    if not wanted:
        said = ["no cut wanted"]
    else:
        error = cuts.error
        off = [] if error is None else [f"off by {error:.1f} frames" if error else "each at its frame"]
        said = [f"{len(cuts.matched)} of {wanted} seen", *off]
    return ", ".join([*said, *([f"{len(cuts.extra)} not wanted"] if cuts.extra else [])])


def summary_lines(measured: Consistency) -> list[str]:
    """The summary as lines of text, doubts at the end."""
    s, reel = measured.summary, measured.reel
    lines = [
        f"{reel.title}: {len(measured.shots)} shots, {reel.frames} frames, measured by {measured.features}",
        _pair("actors across shots", s.subject_shared, s.subject_apart, s.subject_all),
        _pair("places across shots", s.place_shared, s.place_apart, s.place_all),
        f"{'within shots':22}actors {shown(s.subject_within)}, places {shown(s.place_within)}",
        f"{'motion':22}{shown(s.motion, 100, '%')} of the short side in 1/8 s",
        f"{'colour drift':22}{s.drift:.1f} ΔE from shot 1 at most",
        f"{'flicker, sharpness':22}{shown(s.flicker)} levels, {'–' if s.sharpness is None else round(s.sharpness)}",
    ]
    if s.text is not None:
        lines.append(f"{'text':22}{shown(s.text)}")
    found = len(reel.found("cut"))
    if measured.cuts is None:
        lines.append(f"{'cuts':22}{found} found")
    else:
        lines.append(f"{'cuts':22}accuracy {measured.cuts.accuracy:.2f}: {cuts_in_words(measured.cuts)}")
    if reel.names_guessed:
        names = sorted({name for shot in reel.shots for name in (*shot.actors, *shot.places)})
        told = f"{', '.join(names)} were read from the prompts" if names else "no names were found in the prompts"
        lines.append(f"{'names':22}{told}; tell them by storyboard, actors or places")
    return [*lines, *(f"doubt: {doubt}" for doubt in measured.doubts)]


def _pair(name: str, shared: float | None, apart: float | None, every: float | None) -> str:
    if shared is None:
        return f"{name:22}{shown(every)} in any two shots"
    return f"{name:22}{shown(shared)} where the same is named, {shown(apart)} elsewhere"
