"""Writes a storyboard from an idea: by a language model of any provider, or by a template without one."""

from .brief import Brief
from .template import write_by_template
from .write import Ask, Message, ReplyRefused, write_by_model

__all__ = ["Ask", "Brief", "Message", "ReplyRefused", "write_by_model", "write_by_template"]
