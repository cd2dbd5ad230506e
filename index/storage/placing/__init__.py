"""Where new cases go among those that a home holds: `places` has the rows of patients, studies, series and
instances, `redelivery` what stays of a series that comes again. Used by `medsiglip.index.storage.insertion`.
"""
