"""How an evaluation is asked: a rule's input, with settings of the study overridden or not."""

from typing import Any

from pydantic import ConfigDict
from pydantic.dataclasses import dataclass as form

from services.protocol.overriding import override_study
from services.protocol.settings import Settings, override_settings
from services.protocol.study import Study


@form(frozen=True, kw_only=True, config=ConfigDict(extra="forbid"))
class Question:
    """What every evaluation may say beside its input.

    `settings` overrides single settings of the study by their place, such as
    `{"week12": {"anchor": "last_infusion"}}`.
    """

    settings: dict[str, Any] | None = None

    def study_on(self, standing: Study) -> Study:
        """Return the study as it applies; raises Impossible for a setting that cannot be."""
        return override_study(standing, self.settings) if self.settings else standing

    def settings_on(self, standing: Settings) -> Settings:
        """Return the settings that apply; raises Impossible for one that cannot be."""
        return override_settings(standing, self.settings) if self.settings else standing
