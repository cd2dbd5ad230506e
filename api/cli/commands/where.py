"""`--where`: the option that several commands share, and what their help says of it."""

from __future__ import annotations

from typing import Annotated

import typer

Where = Annotated[
    list[str] | None,
    typer.Option(
        metavar="EXPR",
        help="field=value, !=, <, <=, >, >=, ~ (contains), ^= (begins with), field=a|b, quality.name=1, "
        "label:name=1 or probe:name>0.8; `not` before one, ` or ` between some; repeated means and.",
    ),
]

# Not read from where they are defined: help must not wait for numpy and SQLAlchemy to load.
WHERE_HELP = """\
\b
--where fields (what a header tells, of any image):
  modality body_part_examined view_position laterality orientation
  series_description study_description manufacturer study_date
  patient_key patient_sex patient_age study_instance_uid series_instance_uid
  sop_instance_uid sop_class_uid transfer_syntax_uid instance_number
  number_of_frames photometric_interpretation rows columns
  image_id frame slice_index rendering pixel_hash
\b
--where quality.<name> (what the image is like; 1 is yes, 0 is no):
  lossy, lossy_ratio    ever compressed with loss; size before / after
  bits_stored           bits of a stored value
  burned_in             yes, likely or no: the pixels may name the patient
  view                  frontal, lateral, oblique, other or unknown
  aspect, pixel_aspect  width / height of the picture; height / width of a pixel
  window_warning        the stored window or table could not be used as it is
  blank, near_blank     all, or nearly all, display values are the same
  black, white          share of saturated pixels, 0 to 1
  contrast, sharpness   spread of the values, and of their Laplacian, 0 to 1
  localizer, projection, reformatted   what was made of a volume
  split                 the column of a metadata CSV
  site                  the column of a metadata CSV, or a hash of the institution
\b
--where probe:name>0.8   the score that `probe predict name --all --store` kept;
                         probe:name/label>0.8 for one of several labels
\b
--where report=words    the study's report holds these words; report= means it has none
\b
--where collection=NAME       cases that somebody put together; collection= means in none
--where patient_age=60..<70   a range of numbers, here from 60 to below 70
\b
Example: --where modality=DX --where quality.view=frontal --where quality.burned_in=no
"""
