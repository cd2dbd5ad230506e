"""Parts of the body: the vocabulary that headers, descriptions, prompt sets and probes share (`vocabulary`),
and which part a series and a study show (`decision`).
"""
