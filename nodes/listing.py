"""All nodes of the pack, in the order of the menus."""

from __future__ import annotations

from comfy_api.latest import io

from .datasets import DatasetBuilder
from .evaluation import ConsistencyReport, SceneCuts
from .film import AssembleFilm, ContactSheet, FilmOfHistory, FilmShot, FilmStoryboard
from .history import DecouplingEncoderNode, PromptHistoryNode, TokenSelector, VideoSemanticExtractorNode
from .methods import (
    CausalAttention,
    EditClip,
    KeepLook,
    MovingNoise,
    PlaceInBox,
    SameBackground,
    SharedNoise,
    StartAndEnd,
    Windows,
)
from .models import EncodePrompt, LoadModel
from .sampling import CoarseToFine, DecodeShot, HistoryCFG, MultiSceneSampler
from .storyboard import LoadStoryboard, RerollShot, StoryboardNode, StoryboardShot
from .trained import ControlClip, EarlierShotsInView, HistoryParts, OneShotMotion
from .writing import WriteStoryboard

NODES: tuple[type[io.ComfyNode], ...] = (
    LoadModel,
    EncodePrompt,
    PromptHistoryNode,
    TokenSelector,
    VideoSemanticExtractorNode,
    DecouplingEncoderNode,
    HistoryCFG,
    MultiSceneSampler,
    DecodeShot,
    StoryboardNode,
    LoadStoryboard,
    StoryboardShot,
    RerollShot,
    FilmStoryboard,
    FilmShot,
    FilmOfHistory,
    AssembleFilm,
    ContactSheet,
    SceneCuts,
    ConsistencyReport,
    DatasetBuilder,
    KeepLook,
    EditClip,
    StartAndEnd,
    Windows,
    PlaceInBox,
    SharedNoise,
    MovingNoise,
    SameBackground,
    CausalAttention,
    CoarseToFine,
    WriteStoryboard,
    HistoryParts,
    ControlClip,
    EarlierShotsInView,
    OneShotMotion,
)
