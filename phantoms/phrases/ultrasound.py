"""The words of reports on ultrasound of the gallbladder."""

from __future__ import annotations

from medsiglip.phantoms.study import Phrases

PHRASES = Phrases(
    view=(
        "abdominal ultrasound",
        "ultrasound of the gallbladder",
        "gallbladder ultrasound",
        "right upper quadrant ultrasound",
        "ultrasound of the abdomen",
        "sonogram of the gallbladder",
        "abdominal sonography",
        "ultrasound image",
    ),
    normal=(
        "normal gallbladder",
        "normal abdominal ultrasound",
        "normal gallbladder ultrasound",
        "gallbladder without stones",
        "the gallbladder is anechoic with a thin wall",
        "unremarkable gallbladder",
        "no gallstones",
        "normal study",
    ),
    present={
        "gallstones": (
            "gallstones",
            "gallstone",
            "cholelithiasis",
            "stones in the gallbladder",
            "gallbladder stones",
            "gallbladder with stones",
            "echogenic stones with posterior acoustic shadowing",
            "shadowing stones in the gallbladder",
            "gallstones with acoustic shadow",
            "gallbladder calculi",
            "biliary calculi",
            "evidence of cholelithiasis",
            "ultrasound showing gallstones",
            "{severity} gallstones",
            "{severity} shadowing gallstones",
            "{severity} stones in the gallbladder",
            "cholelithiasis with {severity} stones",
        )
    },
    absent={
        "gallstones": (
            "no gallstones",
            "no gallstone",
            "no cholelithiasis",
            "no evidence of gallstones",
            "no evidence of cholelithiasis",
            "no stones in the gallbladder",
            "no shadowing stones",
            "no acoustic shadowing",
            "without gallstones",
            "gallbladder free of stones",
        )
    },
)
