"""Names become objects here, and nowhere else: plain dictionaries from a config's words to what they stand for."""

from diffmask.build.masking import EVAL_SEED as EVAL_SEED
from diffmask.build.masking import POLICIES as POLICIES
from diffmask.build.masking import WEIGHTINGS as WEIGHTINGS
from diffmask.build.masking import build_masker as build_masker
from diffmask.build.masking import build_masking as build_masking
from diffmask.build.schedules import SCHEDULES as SCHEDULES
from diffmask.build.schedules import build_schedule as build_schedule
from diffmask.build.training import build_arguments as build_arguments
