"""Prompts: what a generator is shown of a study.

`prompts.build_prompt` makes one from a `template` (TOML files in `medgemma/templates`), the evidence of a
study and a `budget` of tokens; `pictures` prepares images.
"""
