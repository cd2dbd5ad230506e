"""How chat models decline and ask for pictures, in many words, and sentences of reports beside them."""

from __future__ import annotations

import pytest

from medsiglip.medgemma.errors import DraftError
from medsiglip.medgemma.generators.replies import RawReply, read_reply

DECLINED = [
    "I can't interpret radiographs.",
    "I'm unable to provide an interpretation of this study.",
    "I apologize, but as a language model I have no medical training.",
    "The image appears to be a chest X-ray. However, I am not a medical professional and cannot diagnose.",
    "Interpreting medical images is beyond my capabilities. Please consult a radiologist.",
    "I must decline this request.",
    "My apologies, but medical image analysis is outside my scope.",
    "I'm not a doctor, so I can't say what this shows. See a physician.",
    "As a responsible AI assistant, I can't diagnose.",
    "I'm designed to be helpful, but I cannot give medical opinions.",
    "Providing a diagnosis is outside the scope of what I can do.",
    "I regret that I cannot comply.",
    "I'd be happy to help, but I can't analyze medical images.",
    "Thank you for sharing the image. Unfortunately, I cannot interpret it.",
    "I cannot and will not provide a medical report.",
    "I am unable to fulfill this request as it involves medical diagnosis.",
    "I’m sorry. I can’t identify people or diagnose conditions in images.",
    "It would be inappropriate for me to interpret this radiograph.",
    "This requires interpretation by a board-certified radiologist. I cannot do this.",
    "I won't be able to generate a radiology report from this image.",
    "We are unable to process this image.",
    "I am not able to directly view or analyze images.",
    "Your question falls outside my capabilities.",
    "I don't feel comfortable giving a diagnosis.",
    "I'm an AI assistant and not a radiologist.",
    "I do not provide medical diagnoses.",
    "I am not able to see or interpret images.",
    "I am programmed to be a harmless assistant, so I can't give medical advice about this X-ray.",
    "Unfortunately I can't make a diagnosis from a picture.",
    "I’m not able to help with identifying medical conditions.",
    "I do not have the expertise to read this film.",
    "This is something I cannot help with.",
    "For safety reasons I can't interpret scans.",
    "I'd suggest that a radiologist reads this film, since I cannot do that.",
    "I can only provide general information and cannot interpret this scan.",
    "No, I can't do that.",
    "Sorry, this request cannot be processed.",
    "I am sorry but I have to refuse.",
    "I don't have the qualifications to interpret this.",
    "I'm unable to offer a medical opinion.",
    "Interpretation of this film by me would be irresponsible; it is inappropriate for me to guess.",
    "I am a chatbot and have no eyes.",
    "We do not offer diagnoses here.",
    "Regrettably, I'm not permitted to analyze patient images.",
    "I lack the ability to interpret medical images.",
    "As a text-based AI model, I only handle text.",
    "I shouldn't provide a diagnosis here.",
]
ASKED = [
    "Where is the image? I only see text.",
    "I only received text. Please send the image.",
    "Could you share the X-ray with me?",
    "You haven't attached an image.",
    "You did not include any image.",
    "There doesn't seem to be an image attached.",
    "No picture came through on my end.",
    "I am unable to see any image in our conversation.",
    "It appears you forgot to upload the image.",
    "Please insert the picture here: [image]",
    "The image seems to be missing.",
    "Images are not visible to me. Please describe them.",
    "I see no image.",
    "To generate the report I will need the chest X-ray image.",
    "Kindly upload the CT slices.",
    "As no images were supplied, I cannot describe findings.",
    "Since I can't see the image, I'll give a generic template: The lungs are clear.",
    "[Image not provided] The lungs are clear.",
    "I have not received any images.",
    "Can you please attach the radiograph again?",
    "I don't see an attachment.",
    "Your message contains no image.",
    "Please share the CT images you want described.",
    "The attachment did not load.",
    "I'm sorry, there is no X-ray here.",
    "There was no picture included in the prompt.",
    "I would need to see the image first.",
    "Please re-upload the scan.",
    "I haven't been given any image.",
    "I can only see text, not the picture.",
    "Sorry, I could not find any image in your message.",
    "You will need to send the image.",
    "Which image are you referring to? None was attached.",
    "Without an image, I cannot write a report.",
    "I was not provided with an image.",
    "The prompt does not include an image.",
    "I am waiting for the image.",
    "Please give me the picture.",
    "An image is required to answer.",
]
REPORTS = [
    "Please provide clinical correlation and image follow-up. Lungs clear.",
    "The provided images show clear lungs. No image artifact.",
    "You can see the lungs are clear here. Fine.",
    "I do not see a fracture on this image. Lungs clear.",
    "We cannot give an exact size of the nodule. It is small.",
    "I do not have prior images. Lungs are clear.",
    "No attached devices are seen. The lungs are clear.",
    "I agree with the preliminary read. Lungs clear.",
    "The lateral radiograph was not included. Lungs are clear.",
    "Images were degraded by motion. Lungs clear.",
    "I was asked to compare with the old scan. Lungs clear.",
    "No images are provided for comparison. Lungs clear.",
    "The study is complete. No scan artifact.",
    "I cannot determine whether the nodule is new. It is small.",
    "We are unable to exclude a small bleed. Repeat CT.",
    "An ai-based tool found nodules. Lungs clear.",
    "The study was not limited by motion. Lungs clear.",
    "Slices do not include the apices. The lungs are clear.",
    "The scan does not include the upper abdomen. Clear lungs.",
    "There is no file of a prior. Clear lungs here.",
    "I do not provide an addendum. Lungs clear.",
    "The image does not show a fracture. No dislocation.",
    "No X-ray evidence of fracture is here. Clear.",
    "The chest radiograph was not obtained in full inspiration. Clear lungs.",
    "The patient is unable to provide a history. Lungs clear.",
    "Patient is not able to complete the breath hold. Lungs clear.",
    "He and I discussed. The lungs are clear and open.",
    "As a result of motion, the images are limited. Clear.",
]


def read(text: str) -> str:
    return read_reply(RawReply(text, "m", "stop")).text


@pytest.mark.parametrize("text", DECLINED + ASKED)
def test_what_is_no_report_is_refused(text: str) -> None:
    """Some sentences do both; which of the two is said matters less than that none is a draft."""
    with pytest.raises(DraftError) as caught:
        read(text)
    assert caught.value.code in ("reply-refused", "reply-asks-for-picture")


@pytest.mark.parametrize("text", [text for text in DECLINED if text.count(".") == 1])
def test_a_refusal_after_a_report_is_left_out(text: str) -> None:
    report = "The mediastinum is not widened. Both hila look normal. The trachea is in the midline."
    assert read(f"{report}\n\n{text}") == report


@pytest.mark.parametrize("text", REPORTS)
def test_a_report_stays(text: str) -> None:
    assert read(text) == text
