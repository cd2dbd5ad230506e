"""Out of scope: texts and images that are like nothing an archive holds or is asked about, with a stated rate
of false alarms; and where the score of a hit stands among hits of comparable questions.
"""
