"""The demonstration model's SentencePiece vocabulary, trained on phantom captions, prompts and medical
words."""

from __future__ import annotations

import io
from collections.abc import Iterable
from dataclasses import dataclass

from medsiglip.tokenizer import canonicalise
from medsiglip.zero_shot.prompt_set import PromptSet

MEDICAL_WORDS = """
a abdomen abdominal abnormal abnormality about above acute adjacent adult after age against air airway
airspace along and aneurysm angle ankle anterior aorta aortic ap apex apical appearance appendix area arm
artery as aspect asymmetric at atelectasis atrium axial back basal base bases benign bilateral biopsy bladder
bleed blood blunting bone bones both bowel brain breast bright bronchus by calcification calcified cancer
carcinoma cardiac cardiomediastinal catheter cavity cell cells central cerebellum cerebral change changes
chest child chronic clear clinical colon compared comparison congestion consistent contour contrast contusion
coronal cortex costophrenic cranial ct cyst cystic dark degenerative dense density device diaphragm diffuse
disc disease displaced distal doppler duct ductal edema effusion elbow elevated endoscopy enhancement
enhancing enlarged enlargement epidural evidence exam examination exudate exudates eye face fat fatty female
femur few fibrosis film findings flair flattened fluid focal foot for foreign fracture free from frontal
fundus gallbladder gallstone gas gland glands glioma grade gross ground glass haematoma haemorrhage
haemorrhages hand hard head heart height hemorrhage hernia high hila hilar hip histology homogeneous
hyperinflation hypertension ill defined image images imaging impression in increased infarct inferior
infiltrate inflammation injury intact interval intracranial invasive irregular is ischaemia joint junction
kidney knee large larynx lateral left lens lesion lesions level likely limits line lingula liver lobe lobular
local lobule loss low lower lucency lumbar lung lungs lymph lymphoma macula magnetic male malignant mammogram
mammography margin marked markings mass masses medial mediastinal mediastinum medullary melanocytic melanoma
meningioma metastases metastasis microaneurysms microscopic mid middle midline mild minimal moderate motion
mri mucosa multiple muscle naevus narrow nasal neck necrosis negative neoplasm nerve nevus new no nodal node
nodes nodular nodule nodules non none normal nose not oblique observed obstruction occipital occlusion of old
on opacification opacities opacity optic or orbit osteoporosis other ovary oedema pa pacemaker pain pancreas
parenchyma parenchymal parietal part patchy pathology patient pattern pelvic pelvis perfusion pericardial
peripheral photograph pigmented place plane pleura pleural pneumonia pneumothorax polyp portable position
positive possible posterior post postoperative present prior probable process prominent prostate proximal
pulmonary radiograph radiology rectum region renal report resection resolution resonance retina retinal
retinopathy rib ribs right round rounded sacrum sagittal scan scar sclerosis screening section seen septum
series severe severity shadow shadowing shape sharp shift shoulder show shows side sign signal silhouette
sinus size skin skull slice slight small smooth soft solid specimen spiculated spinal spine spleen spot stable
stain stained standing stenosis stomach stone stones stroke stroma structure study subdural subtle suggestive
superior supine surface surgical suspicious suture swelling symmetric symmetrical syndrome tear temporal
texture the there thickening thickness thigh thin thoracic thorax throat thrombus thyroid tissue to tooth
trachea transverse trauma tube tubes tuberculosis tumor tumour type ulcer ultrasound unchanged under
unremarkable upper ureter uterus valve vascular vein ventricle ventricular vertebra vertebral vessel vessels
view views visible visualised volume volumes wall wedge weighted well white widened width window with within
without wrist x ray xray year years yellow zone zones
"""


@dataclass(frozen=True, slots=True)
class _Weight:
    """How often each source is repeated, so that rare sources still shape the pieces."""

    prompts: int = 20
    words: int = 20


def train_vocabulary(captions: Iterable[str], prompt_sets: Iterable[PromptSet], pieces: int) -> bytes:
    """Train a unigram vocabulary of at most `pieces` pieces and return the SentencePiece file.

    Ids 0, 1 and 2 are `<pad>`, `</s>` and `<unk>`, and unknown characters fall back to bytes, as in the
    vocabulary of the published SigLIP models. The same texts give the same bytes.
    """
    import sentencepiece

    texts = [canonicalise(caption) for caption in captions]
    for prompt_set in prompt_sets:
        for prompts in prompt_set.prompts.values():
            texts += [canonicalise(text) for text in (*prompts.present, *prompts.absent)] * _Weight().prompts
    texts += MEDICAL_WORDS.split() * _Weight().words
    out = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(sorted(text for text in texts if text)),
        model_writer=out,
        model_type="unigram",
        vocab_size=pieces,
        pad_id=0,
        eos_id=1,
        unk_id=2,
        bos_id=-1,
        pad_piece="<pad>",
        byte_fallback=True,
        character_coverage=1.0,
        # A tokenizer that encodes "<unk>" as text to find its length needs both brackets as characters.
        required_chars="<>abcdefghijklmnopqrstuvwxyz0123456789",
        hard_vocab_limit=False,
        num_threads=1,
        minloglevel=2,
    )
    return out.getvalue()
