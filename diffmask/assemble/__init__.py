"""Names become objects here, and nowhere else: plain dictionaries from a config's words to what they stand for."""

from diffmask.assemble.recipe import WEIGHTINGS as WEIGHTINGS
from diffmask.assemble.recipe import choose as choose
from diffmask.assemble.schedules import PRESETS as PRESETS
from diffmask.assemble.schedules import RATIO_FLOOR as RATIO_FLOOR
from diffmask.assemble.schedules import SCHEDULES as SCHEDULES
from diffmask.assemble.schedules import build_schedule as build_schedule
from diffmask.assemble.text_masking import EVAL_SEED as EVAL_SEED
from diffmask.assemble.text_masking import GRANULARITIES as GRANULARITIES
from diffmask.assemble.text_masking import Values as Values
from diffmask.assemble.text_masking import build_adapter as build_adapter
from diffmask.assemble.text_masking import build_annotators as build_annotators
from diffmask.assemble.text_masking import build_masker as build_masker
from diffmask.assemble.text_masking import build_masking as build_masking
from diffmask.assemble.text_masking import build_scorers as build_scorers
from diffmask.assemble.text_masking import silent_settings as silent_settings
from diffmask.assemble.text_masking import units_of as units_of
from diffmask.assemble.text_policies import POLICIES as POLICIES
from diffmask.assemble.training import build_arguments as build_arguments
