"""The sentences by which chat models decline, ask for pictures, announce a report and disclaim it."""

from __future__ import annotations

import re

_PICTURE = r"(?:image|picture|x-?ray|scan|photo(?:graph)?|radiograph|slice|attachment|file|study)s?"
_ANY = r"(?:(?:the|any|this|that|these|those|an?|your|medical|attached|actual|chest|such) ){0,4}"
_CANNOT = (
    r"(?:i|we)(?:(?:'|’)m| am| are)? ?(?:cannot|can not|can(?:'|’)t|unable to|not able to|not capable of|not"
    r" qualified to|won(?:'|’)t|do not have the ability to|don(?:'|’)t have the ability to|not permitted to)"
)
_ACTS = (
    r"(?:provid|interpret|analy[sz]|diagnos|assist|help|compl|fulfil+|generat|giv|offer|writ|creat"
    r"|do(?:ing)? that"
    rf"|(?:see|view|access|process|open|display|read|examin|evaluat|review|look at)\w* {_ANY}{_PICTURE})"
)
REFUSAL = re.compile(
    r"(?:(?:unfortunately|however|but|sorry|apologies|please note that|note that)[,:;]? ){0,2}"
    r"(?:(?:i(?:'|’)?m|i am) (?:very |so )?sorry|sorry(?=[,.!:]| (?:but|i|we|for|about|that)\b)|(?:my"
    r" )?apologies\b|i apologi[sz]e|as an?"
    r" (?:ai|artificial intelligence"
    r"|large language|language model)\b|(?:i(?:'|’)m|i am) (?:just |only )?an? (?:ai|artificial"
    r" intelligence|large language"
    r"|language model|text-based)\b"
    rf"|{_CANNOT} {_ACTS}"
    r"|(?:it is|it(?:'|’)s) (?:not possible|impossible) (?:for me )?to (?:interpret|diagnos|analy[sz]|provid)"
    r"|(?:this|your|the) request (?:violates|cannot be|is against))",
    re.IGNORECASE,
)
"""At the beginning of a sentence by which a model declines."""
_SENDING = r"(?:provide|upload|attach|share|send|supply|submit|resend|re-upload|insert|include)"
ASKS_FOR_PICTURE = re.compile(
    r"(?:(?:sure|okay|ok|certainly|of course|sorry|hello|hi|i(?:'|’)m sorry|i am sorry|it seems|it looks like"
    r"|it appears|i(?:'|’)m ready|i am ready|to help you|unfortunately|but|however|that)[,.!:]? ?){0,4}"
    rf"(?:(?:please|kindly|could you(?: please)?|can you(?: please)?|you (?:can|may|need to)) {_SENDING}\b"
    rf"(?! (?:prior|previous|old|earlier|comparison))[^.\n]{{0,60}}\b{_PICTURE}\b"
    rf"|(?:i|we) (?:do not|don(?:'|’)t|can(?:'|’)t|cannot) (?:see|have|find|have access to) {_ANY}{_PICTURE}"
    r"(?! of\b)"
    rf"|(?:no|there (?:is|are|was|were) no) {_ANY}{_PICTURE} (?:(?:is|are|was|were|has been|have been) )?"
    r"(?:provided|attached|uploaded|included|shared|available|here|given|in your)(?! for comparison)"
    rf"|(?:the|your) {_PICTURE} (?:was|were|is|are|has|have) ?(?:not|n(?:'|’)t) (?:been )?"
    r"(?:provided|attached|uploaded|included|shared|visible|come)"
    rf"|(?:without|once you (?:have )?{_SENDING}d?|if you {_SENDING}|i (?:need|require|would need)"
    rf"|waiting for)"
    rf" (?:to see )?(?:me )?{_ANY}{_PICTURE}\b)",
    re.IGNORECASE,
)
"""At the beginning of a sentence by which a model asks for a picture, or says that it has none."""
PREAMBLE = re.compile(
    r"[*_#>]{0,6}(?:(?:okay|ok|sure(?: thing)?|certainly|of course|absolutely|alright|great|yes|understood"
    r"|got it)[,.!:]{0,3}\s{1,5})?(?:based on [^.:\n]{1,80}[,:] )?"
    r"(?:(?:here(?:'|’)?s|here is|here are|below is|below are|the following is|the following are|this is"
    r"|i(?:'|’)ll provide|i will provide|i(?:'|’)ve (?:prepared|written|drafted)|i have (?:prepared|written"
    r"|drafted)) [^.:\n]{0,80}\b(?:report|findings|description|analysis|interpretation|summary|breakdown"
    r"|draft|impression|assessment|observations)\b[^.:\n]{0,100}:)[*_]{0,4}"
    r"|(?:okay|ok|sure(?: thing)?|certainly|of course|absolutely|alright|understood|got it)[,.!]{1,3}(?=\s)",
    re.IGNORECASE,
)
"""A reply's first words where they announce the report, up to its colon, or agree to write it."""
_PROFESSIONAL = (
    r"(?:(?:qualified|licensed|medical|healthcare|health care|health|board-certified|trained|human"
    r"|own) ){0,4}"
    r"(?:doctor|physician|professional|provider|radiologist|practitioner|expert|specialist|clinician)"
)
DISCLAIMER = re.compile(
    r"\b(?:i am|i(?:'|’)m|as) (?:just |only )?an? (?:ai|artificial intelligence|large language model"
    r"|language model)\b"
    r"|\b(?:not|n(?:'|’)t) (?:(?:be|constitute|intended as|intended to be|considered|meant as|to be|a) ){0,4}"
    r"(?:(?:substitute|replacement) for (?:a )?(?:professional|medical|qualified)"
    r"|medical advice|medical diagnosis|definitive diagnosis|professional advice)"
    rf"|\b(?:consult|see|seek|speak (?:to|with)|talk to|contact) (?:with )?"
    rf"(?:the advice of an? |an? |your ){_PROFESSIONAL}\b"
    rf"|\bshould (?:always )?be (?:reviewed|interpreted|verified|confirmed) by an? {_PROFESSIONAL}\b"
    r"|\bfor (?:informational|educational|illustrative|demonstration)[\w ,]{0,40} (?:purposes?|use) only\b"
    r"|\b(?:should|must) not be (?:used|relied)[\w ]{0,30} (?:diagnos|clinical|medical|treatment)"
    r"|\b(?:generated|written|created|produced|prepared) by an? (?:ai|artificial intelligence)\b"
    r"|\bai[- ]generated\b|\blet me know if\b|\bi hope this helps\b"
    r"|\bif you have any (?:other |further |more )?questions\b|\bfeel free to ask\b|\bwould you like me to\b",
    re.IGNORECASE,
)
"""In a sentence by which a model disclaims its report, or ends a conversation."""
DISCLAIMER_HEADING = re.compile(
    r"\n[ \t*_#>]{0,10}(?:important |legal |medical |ai )?disclaimer[*_]{0,4}[ \t]{0,4}[:\n]", re.IGNORECASE
)
"""A heading after which a model disclaims its report."""
REPORT_HEADING = re.compile(
    r"\n[ \t*_#>]{0,10}(?:findings|impression|technique|comparison|conclusion)\b", re.IGNORECASE
)
"""A heading of a report, at the beginning of a line."""
