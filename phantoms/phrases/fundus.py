"""The words of reports on fundus photographs."""

from __future__ import annotations

from medsiglip.phantoms.study import Phrases

PHRASES = Phrases(
    view=(
        "fundus photograph",
        "color fundus photograph",
        "colour fundus photograph",
        "retinal photograph",
        "retinal fundus image",
        "fundus image of the eye",
        "ophthalmic photograph of the retina",
        "color photograph of the retina",
        "eye fundus",
        "retina",
    ),
    normal=(
        "normal fundus",
        "healthy retina",
        "normal retina",
        "normal fundus photograph",
        "unremarkable fundus",
        "no retinal abnormality",
        "no diabetic retinopathy",
        "diabetic retinopathy severity: none.",
        "normal optic disc, macula and vessels",
        "normal study",
        "flat retina without haemorrhages or exudates",
    ),
    present={
        "diabetic-retinopathy": (
            "diabetic retinopathy",
            "diabetic eye disease",
            "signs of diabetic retinopathy",
            "evidence of diabetic retinopathy",
            "fundus with diabetic retinopathy",
            "retina with haemorrhages",
            "retinal hemorrhages",
            "retinal haemorrhages and microaneurysms",
            "microaneurysms",
            "dot and blot hemorrhages",
            "dot blot haemorrhages and microaneurysms",
            "nonproliferative diabetic retinopathy",
            "referable diabetic retinopathy",
            "background retinopathy",
            "there is diabetic retinopathy",
            "diabetic retinopathy severity: {severity}.",
            "diabetic retinopathy severity: {severity}.",
            "{severity} diabetic retinopathy",
            "{severity} nonproliferative diabetic retinopathy",
            "{severity} NPDR",
            "diabetic retinopathy of the {side} eye",
            "{severity} diabetic retinopathy in the {side} eye",
            "{side} eye with {severity} diabetic retinopathy",
            "{side} eye: microaneurysms and haemorrhages",
        )
    },
    absent={
        "diabetic-retinopathy": (
            "no diabetic retinopathy",
            "no apparent retinopathy",
            "no evidence of diabetic retinopathy",
            "no signs of diabetic retinopathy",
            "diabetic retinopathy severity: none.",
            "diabetic retinopathy severity: none.",
            "no retinal hemorrhages",
            "no microaneurysms, haemorrhages or exudates",
            "no haemorrhages",
            "no hard exudates or cotton wool spots",
            "without diabetic retinopathy",
            "no microaneurysms",
            "negative for diabetic retinopathy",
        )
    },
)
