"""What a person browses: pages of cases, how many cases have each value, collections, and values of maps.

Others use `case_browser` and `collections` through the stores of `medsiglip.index.case_stores`, and the
records of `browsing_records`.
"""
