"""Names become objects here, and nowhere else: plain dictionaries from a config's words to what they stand for."""

from diffmask.build.choose import choose as choose
from diffmask.build.looks import build_look as build_look
from diffmask.build.looks import for_policy as for_policy
from diffmask.build.looks import held_at as held_at
from diffmask.build.looks import read_checkpoint as read_checkpoint
from diffmask.build.masking import EVAL_SEED as EVAL_SEED
from diffmask.build.masking import build_adapter as build_adapter
from diffmask.build.masking import build_masker as build_masker
from diffmask.build.masking import build_masking as build_masking
from diffmask.build.policies import POLICIES as POLICIES
from diffmask.build.presets import PRESETS as PRESETS
from diffmask.build.resolve import GRANULARITIES as GRANULARITIES
from diffmask.build.resolve import silent_settings as silent_settings
from diffmask.build.resolve import units_of as units_of
from diffmask.build.schedules import RATIO_FLOOR as RATIO_FLOOR
from diffmask.build.schedules import SCHEDULES as SCHEDULES
from diffmask.build.schedules import build_schedule as build_schedule
from diffmask.build.training import build_arguments as build_arguments
from diffmask.build.values import Values as Values
from diffmask.build.values import build_annotators as build_annotators
from diffmask.build.values import build_scorers as build_scorers
from diffmask.build.weightings import WEIGHTINGS as WEIGHTINGS
