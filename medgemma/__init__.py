"""Draft reports: which cases go to a generator, what it is shown, and how its text is checked.

`drafts` makes a draft from the `evidence` of a study and `workflow` keeps what a person decides of it;
`records` has their types and `findings` the scores they stand on. In `routing` are the rules that choose
studies, in `prompting` the prompts, in `generators` what answers them, in `checks` the checks of a draft's
sentences, in `exports` the file formats of a draft. Never imports `medsiglip.ingest`.
"""
