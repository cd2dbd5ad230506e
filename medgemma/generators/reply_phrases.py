"""The sentences by which chat models decline, ask for pictures, announce a report and disclaim it."""

from __future__ import annotations

import re

_PICTURE = r"(?:image|picture|x-?ray|film|scan|photo(?:graph)?|radiograph|slice|attachment|file|study)s?"
_ANY = r"(?:(?:the|any|this|that|these|those|an?|your|medical|attached|actual|chest|ct|mri|such) ){0,4}"
_SOME = _ANY.replace("{0,4}", "{1,4}")
_AN_AI = r"(?:ai|artificial intelligence|large language model|language model|chatbot|text-based)"
_CANNOT = (
    r"(?:cannot|can not|can(?:'|’)t|unable to|not able to|not capable of|not (?:qualified|permitted"
    r"|allowed) to"
    r"|won(?:'|’)t(?: be able to)?|will not(?: be able to)?|should not|shouldn(?:'|’)t|do not|don(?:'|’)t"
    r"|(?:lack|do not have|don(?:'|’)t have) the (?:ability|expertise|qualifications?|training|tools) to)"
)
_ACT = (
    r"(?:interpret|analy[sz]|diagnos|assist|help\b|comply|fulfil|answer|do (?:this|that)\b|say what|process"
    r"|(?:provid|giv|offer|generat|writ|creat|complet|mak)\w{0,3} (?:you |with |for ){0,2}"
    r"(?:(?:an?|any|the|this|that|your|such) )?(?:\w{1,20} ){0,2}(?:diagnos|interpret|reports?\b|advice"
    r"|opinion|description|analys|assistance|help\b|answer|medical|request)"
    rf"|(?:see|view|access|open|display|read|examin|evaluat|review|look at)\w{{0,4}} {_ANY}{_PICTURE})"
)
REFUSAL = re.compile(
    r"(?:^(?:(?:unfortunately|however|but|please note that|note that)[,:;]? ){0,2}(?:(?:i(?:'|’)?m|i am)"
    r" (?:very |so )?sorry|sorry(?=[,.!:]| (?:but|i|we|for|about|that)\b)|(?:my )?apologies\b"
    r"|i apologi[sz]e)"
    rf"|\bas an? (?:\w{{1,20}} ){{0,2}}{_AN_AI}\b"
    rf"|\b(?:i am|i(?:'|’)m) (?:not |just |only ){{0,2}}an? (?:{_AN_AI}|(?:medical |licensed |qualified "
    r"|board-certified |real ){0,2}(?:professional|doctor|physician|radiologist|expert))\b"
    rf"|\b(?:i|we)\b[^.!?\n]{{0,60}}\b{_CANNOT} (?:directly |currently |actually |really )?"
    rf"(?:\w{{1,20}} (?:and|or) (?:{_CANNOT} )?)?{_ACT}"
    r"|\b(?:beyond|outside) (?:of )?(?:my|the scope of (?:my|what i))\b"
    r"|\b(?:not possible|impossible|inappropriate|not appropriate|irresponsible) for me to\b"
    r"|\bi (?:must|have to|need to) decline\b|\bi regret\b|\bi (?:do not|don(?:'|’)t) feel comfortable\b"
    r"|\brequest (?:violates|cannot be|is against)\b)",
    re.IGNORECASE,
)
"""In a sentence by which a model declines. A report says "I cannot exclude", and nothing of what I am."""
_SENDING = r"(?:provid|upload|attach|shar|send|supply|supplie|submit|insert|includ)(?:e|ed|d|ing)?"
_OTHERS = r"(?:prior|previous|old|older|earlier|comparison|outside|follow-up)"
_GIVEN = r"(?:provided|attached|uploaded|included|shared|supplied|received|given)"
ASKS_FOR_PICTURE = re.compile(
    r"(?:\b(?:please|kindly|could you|can you|would you|once you|if you|you have"
    r"|you (?:will |would )?(?:can|may|need to|should|have to|must|forgot to)"
    r"|you (?:did not|didn(?:'|’)t|have not|haven(?:'|’)t))\b[^.!?\n]{0,20}"
    rf"\b{_SENDING}\b(?! (?:the |any |your )?{_OTHERS}\b) (?:me |us |with )?{_ANY}(?:\w{{1,20}}"
    rf" )?{_PICTURE}\b"
    rf"|\b(?:give|show|send) me {_SOME}{_PICTURE}\b"
    r"|\b(?:i|we)\b[^.!?\n]{0,20}\b(?:not|no|cannot|can(?:'|’)t|don(?:'|’)t|didn(?:'|’)t|haven(?:'|’)t"
    r"|unable to)(?: (?:been|being))? (?:(?:see|have|find|receive[d]?|view|access|get|given|shown"
    r"|provided with)"
    rf"(?: access to)? {_SOME}|(?:an? |any )?){_PICTURE}(?! of\b| (?:available )?for comparison)\b"
    r"|\bi (?:can )?(?:only|just) (?:see|have|received?|got) (?:the |your )?text\b"
    rf"|\bi (?:will |would |do )?(?:need|require) (?:to see )?{_ANY}{_PICTURE}\b"
    rf"|\b(?:your|the|this) (?:message|prompt|request|conversation|question|input)\b[^.!?\n]{{0,20}}"
    rf"\b(?:no|not|without|\w{{2,5}}n(?:'|’)t)\b[^.!?\n]{{0,20}}\b{_PICTURE}\b"
    rf"|\b(?:no|there (?:is|are|was|were) no|\w{{2,5}}(?: not|n(?:'|’)t) (?:seem|appear) to be (?:an?"
    rf"|any)) {_ANY}"
    rf"{_PICTURE} (?:(?:is|are|was|were|has been|have been|seems to be) )?(?:{_GIVEN}|visible|here"
    rf"|came through"
    r"|in (?:your|our|the) (?:message|conversation|prompt))(?! for comparison)"
    rf"|(?:^|[\[(]|\b(?:the|your|any|an) )(?:actual |medical |chest )?{_PICTURE} (?:(?:is|are|was"
    rf"|were|has|have"
    rf"|seems?|appears?|to|be|been|did|does) ){{0,3}}"
    rf"(?:missing(?! (?:the|an?|part|parts|some|both|most)\b)|not (?:been )?{_GIVEN}|not visible to"
    rf" me|not load"
    r"|not come|(?:required|needed|necessary) (?:to (?:answer|interpret|analy|describ|writ|provid|giv"
    r"|generat|help|see)|for (?:me\b|an? (?:report|answer|interpretation|analysis|description))|before)"
    r"|(?:was|is|did|were|has|have)n(?:'|’)t (?:been )?(?:provided|attached|uploaded|load|come))"
    rf"(?! for comparison)|\b(?:where (?:is|are)|waiting for) {_ANY}{_PICTURE}"
    rf"|\bwhich {_PICTURE} (?:are|do|did) you\b)",
    re.IGNORECASE,
)
"""In a sentence by which a model asks for a picture, or says that it has none."""
PREAMBLE = re.compile(
    r"[*_#>]{0,6}(?:(?:okay|ok|sure(?: thing)?|certainly|of course|absolutely|alright|great|yes|understood"
    r"|got it)[,.!:]{0,3}\s{1,5})?(?:based on [^.:\n]{1,80}[,:] )?"
    r"(?:(?:here(?:'|’)?s|here is|here are|below is|below are|the following is|the following are|this is"
    r"|i(?:'|’)ll provide|i will provide|i(?:'|’)ve (?:prepared|written|drafted)|i have (?:prepared|written"
    r"|drafted))(?:[ ,-]{1,2}(?!(?:with|of|and|in|no|for)\b)[^\W\d_]{1,30}(?:'s|’s)?){0,6}?[ ,-]{1,2}"
    r"(?:report|findings|description|analysis|interpretation|summary|breakdown|draft|impression|assessment"
    r"|observations)"
    r"(?: (?:of|for|in|from|on|based on) (?:(?:the|this|these|your|my)\b[^.:\n]{0,60}"
    r"|an? [^.:\n]{0,30}(?:x-?ray|radiograph|ct|mri|scan|image|picture|study)))?"
    r"(?: (?:of|for|in|from|on|based on) (?:the|this|these|your)\b[^.:\n]{0,60})?:)[*_]{0,4}"
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
    r"|(?:\bnot|n(?:'|’)t) (?:(?:be|constitute|intended as|intended to be|considered|meant as|to be|a) ){0,4}"
    r"(?:(?:substitute|replacement) for (?:a )?(?:professional|medical|qualified)"
    r"|medical advice|medical diagnosis|definitive diagnosis|professional advice)"
    r"|(?:^|\b(?:please|always|you should|you must|important to|recommended to|recommend that you|so)[, ])"
    rf"(?:please )?(?:consult|see|seek|speak (?:to|with)|talk to|contact) (?:with )?"
    rf"(?:the advice of an? |an? |your ){_PROFESSIONAL}\b"
    r"(?! (?:about|because|within|immediately|urgently|today|now)\b)"
    r"(?! for (?!(?:\w{1,20} ){0,3}(?:interpretation|diagnos|advice|opinion|evaluation|assessment|review"
    r"|guidance|reading|report)))"
    r"|\b(?:report|analysis|interpretation|description|draft|summary|assessment|output|information|text)\b"
    rf"[^.!?\n]{{0,30}} (?:should|must) (?:always )?be (?:reviewed|interpreted|verified|confirmed) by"
    rf" an? {_PROFESSIONAL}\b"
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
    r"\n[ \t*_#>]{0,10}(?:findings|impression|technique|comparison|conclusion|opinion|assessment"
    r"|diagnos\w{1,3}|recommendations?|summary|addendum|critical|limitations)\b",
    re.IGNORECASE,
)
"""A heading of a report, at the beginning of a line."""
