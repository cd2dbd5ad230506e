"""Made-up patients in the scripts and spellings of many languages, and files whose headers name them.

Family and given names are real names of each culture, put together at random: nobody in particular. Each
comes with the spellings that clerks give it.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path

import numpy as np
from pydicom import Dataset
from pydicom.config import disable_value_validation
from pydicom.dataset import FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian

ROOT = "1.2.826.0.1.3680043.8.498.88"
# For each script: a harmless description, family names and given names, each with its spellings; the first is
# the header's.
SCRIPTS: dict[str, tuple[str, str, str]] = {
    "french": (
        "IRM genou",
        "Lefèbvre/Lefebvre; Beauséjour/Beausejour; Château-Renault/Chateau Renault/ChateauRenault",
        "Françoise/Francoise; Géraldine/Geraldine; Benoît/Benoit",
    ),
    "german": (
        "Kniegelenk seitlich",
        "Müllner/Muellner/Mullner; Größlinger/Groesslinger/Grosslinger; Strößner/Stroessner",
        "Jürgen/Juergen/Jurgen; Käthe/Kaethe/Kathe; Günther/Guenther",
    ),
    "nordic": (
        "MR kne venstre",
        "Sørensen/Sorensen/Soerensen; Ågesen/Aagesen/Agesen; Þorvaldsson/Thorvaldsson; Bjørnstad/Bjoernstad",
        "Bjørn-Åge/Bjorn Age/Bjoern Aage; Ægir-Freyr/Aegir Freyr; Guðrún/Gudrun",
    ),
    "slavic": (
        "RTG kolana",
        "Wałęsiak/Walesiak; Żółkowski/Zolkowski; Dvořáček/Dvoracek; Đorđević/Djordjevic/Dordevic",
        "Michał/Michal; Zdeněk/Zdenek; Łucjan/Lucjan",
    ),
    "turkish": (
        "Toraks BT",
        "Işıkçı/Isikci; Yıldızoğlu/Yildizoglu; Şahinbaş/Sahinbas/Schahinbasch",
        "Yağmur/Yagmur; Çağrı/Cagri; Gülşen/Gulsen/Guelsen",
    ),
    "vietnamese": (
        "X QUANG NGỰC",
        "Nguyễn-Đình/Nguyen Dinh; Trương-Huỳnh/Truong Huynh",
        "Thị-Hường/Thi Huong; Quốc-Đạt/Quoc Dat",
    ),
    "cyrillic": (
        "КТ головы",
        "Щербаков/Shcherbakov/Schtscherbakow/Scherbakov; Жуковский/Zhukovsky/Zhukovskiy/Joukovski; "
        "Ткаченко/Tkachenko/Tkatschenko",
        "Юрий/Yuriy/Jurij/Iouri; Людмила/Lyudmila/Ljudmila; Алексей/Aleksei/Alexey/Alexej",
    ),
    "greek": (
        "Αξονική τομογραφία",
        "Παπαδόπουλος/Papadopoulos/Papadopulos; Χατζηγιάννης/Hatzigiannis/Chatzigiannis",
        "Ευάγγελος/Evangelos/Evaggelos; Χρυσάνθη/Chrysanthi/Chrisanthi",
    ),
    "arabic": (
        "أشعة الصدر",
        "المنصوري/Almansouri/Al Mansoori/Al-Mansuri; الشريف/Alshareef/Elcherif",
        "محمد/Muhammad/Mohammed/Mohamed; عبدالرحمن/Abdulrahman/Abd al Rahman/Abderrahmane",
    ),
    "hebrew": (
        "CT חזה",
        "אברמוביץ/Abramovich/Abramovitz; שפירא/Shapira/Shapiro",
        "יצחק/Yitzhak/Yitzchak/Itzik; שושנה/Shoshana/Schoschana",
    ),
    "japanese": (
        "胸部単純",
        "山田/やまだ/ヤマダ/Yamada; 大野原/オオノハラ/Oonohara/Ohnohara; 佐々木/ササキ/Sasaki",
        "健太郎/けんたろう/ケンタロウ/Kentarou/Kentaro; 陽子/ヨウコ/Yohko/Youko/Yoko",
    ),
    "chinese": (
        "CT胸部",
        "欧阳/歐陽/Ouyang/Au Yeung; 司馬/司马/Szema; 諸葛/诸葛/Zhuge/Chukot",
        "晓东/曉東/Xiaodong/Hsiaotung; 淑芬/Shufen/Shwufen",
    ),
    "korean": (
        "흉부 단순촬영",
        "황보/Hwangbo/Whangbo; 남궁/Namgung/Namkoong",
        "희중/Huijung/Heejoong; 동혁/Donghyeok/Donghyuk",
    ),
    "devanagari": (
        "CT सिर",
        "चट्टोपाध्याय/Chattopadhyay/Chatterjee; श्रीवास्तव/Srivastava/Shrivastav",
        "राजेश्वरी/Rajeshwari/Rajeswari; कृष्णमूर्ति/Krishnamurthy/Krishnamurti",
    ),
    "thai": (
        "เอกซเรย์ ปอด",
        "ศรีสุวรรณ/Srisuwan/Srisuwarn; วงศ์สวัสดิ์/Wongsawat/Vongsavat",
        "สมชาย/Somchai/Somchay; วิไลวรรณ/Wilaiwan/Vilaivan",
    ),
}
_STREETS = ("Lindengasse", "Kirkegata", "Rosenstraat", "Calle Olmedilla", "Via Montorfano", "Sadovaja")
_TELEPHONES = (
    "0{0} {1} {2} {3} {4}",
    "{5} {6} {7}{0}",
    "{5}-{6}-{7}{0}",
    "+4{0} {5} {6}{7}",
    "0{0}.{1}.{2}.{3}.{4}",
)
_BIRTHS = ("%d.%m.%Y", "%Y-%m-%d", "%d/%m/%Y", "%d-%b-%Y", "%d %B %Y", "%m/%d/%Y", "%d%m%Y")


@dataclass(frozen=True)
class MadeUp:
    """A patient; `family` and `given` hold the spellings of a name, the header's first."""

    script: str
    harmless: str
    family: tuple[str, ...]
    given: tuple[str, ...]
    patient_id: str
    telephone: str
    born: date
    street: str

    @property
    def births(self) -> list[str]:
        """The date of birth as people write it."""
        return [self.born.strftime(way) for way in _BIRTHS]

    def tokens(self) -> set[str]:
        """What names the patient, of five characters or more, or of six bytes in UTF-8.

        Left out are numbers and dates of five or six characters, which occur by chance among so many bytes,
        and the words of months and `Calle`, which name nobody.
        """
        texts = [*self.family, *self.given, *self.births, self.born.strftime("%Y%m%d"), self.street]
        texts += [self.patient_id, self.patient_id.lstrip("0"), self.telephone]
        texts += [re.sub(r"\D", "", self.telephone)]
        words = {word for text in texts for word in (text, *re.split(r"[ -]", text))}
        long = {word for word in words if len(word) >= 5 or len(word.encode()) >= 6}
        return {word for word in long if not re.fullmatch(r"\d{5,6}|[\d./-]{5,6}", word)} - _MONTHS


_MONTHS = {date(2000, month, 1).strftime("%B") for month in range(1, 13)} | {"Calle"}


def made_up(count: int) -> list[MadeUp]:
    """As many patients, of all scripts in turn, the same at every call."""
    draw = random.Random(20260301)
    people = []
    for number in range(count):
        script = list(SCRIPTS)[number % len(SCRIPTS)]
        harmless, family, given = SCRIPTS[script]
        groups = [f"{draw.randrange(11, 99)}" for _ in range(5)]
        groups += [
            f"{draw.randrange(201, 999)}",
            f"{draw.randrange(211, 999)}",
            f"{draw.randrange(111, 999)}",
        ]
        people.append(
            MadeUp(
                script,
                harmless,
                _spellings(draw, family),
                _spellings(draw, given),
                f"00{draw.randrange(10_000_000, 99_999_999)}",
                draw.choice(_TELEPHONES).format(*groups),
                date(1921, 1, 1) + timedelta(days=draw.randrange(30_000)),
                f"{draw.choice(_STREETS)} {draw.randrange(1, 99)}",
            )
        )
    return people


def _spellings(draw: random.Random, names: str) -> tuple[str, ...]:
    return tuple(draw.choice(names.split("; ")).split("/"))


def write_files(people: list[MadeUp], folder: Path) -> None:
    """Three studies of each patient, in whose headers every spelling stands somewhere."""
    folder.mkdir(parents=True)
    with disable_value_validation():
        for number, person in enumerate(people):
            other = people[number - 1]
            for part, (study, series) in enumerate(_descriptions(person, other)):
                _write(folder / f"{number:04}-{part}.dcm", person, other, 10 * number + part, study, series)


def _descriptions(person: MadeUp, other: MadeUp) -> Iterator[tuple[str, str]]:
    """What study and series are called: harmless once, else with a spelling of the name or a number."""
    names = [f"{family} {given}" for family in person.family for given in person.given]
    half = max(1, len(names) // 2)
    numbers = [
        person.patient_id.lstrip("0"),
        person.telephone,
        person.births[person.born.day % len(person.births)],
    ]
    yield f"{person.harmless} {names[0].upper()}", f"{' '.join(names[1:half])[:60]} CT"
    yield f"CT {names[-1].replace(' ', '')} {numbers[0]}", f"{person.harmless} {numbers[1]} {numbers[2]}"
    yield f"{person.harmless}", f"{other.family[-1]} CT {other.given[-1]}"


def _write(path: Path, person: MadeUp, other: MadeUp, number: int, study: str, series: str) -> None:
    pixels = np.random.default_rng(number).integers(0, 4000, (32, 32), dtype=np.uint16)
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.SpecificCharacterSet = "ISO_IR 192"
    dataset.PatientName = f"{person.family[0]}^{person.given[0]}"
    dataset.PatientID, dataset.PatientBirthDate = person.patient_id, person.born.strftime("%Y%m%d")
    if number % 20 < 10:  # else no element that the reader looks at names them
        dataset.PatientTelephoneNumbers, dataset.PatientAddress = person.telephone, person.street
    dataset.StudyDescription, dataset.SeriesDescription = study, series
    everything = " ".join((*person.family, *person.given, *person.births, person.telephone, person.street))
    for keyword in ("PatientComments", "ImageComments", "StudyComments", "AdditionalPatientHistory"):
        setattr(dataset, keyword, everything)
    for keyword in ("ProtocolName", "RequestedProcedureDescription", "AcquisitionProtocolName"):
        setattr(dataset, keyword, series)
    latin = person.family[-1].upper()
    dataset.BodyPartExamined = latin if latin.isascii() else "CHEST"
    dataset.ViewPosition, dataset.Laterality = dataset.BodyPartExamined, dataset.BodyPartExamined
    dataset.Manufacturer, dataset.ManufacturerModelName = f"{person.family[0]} GmbH", person.given[-1]
    dataset.StationName, dataset.InstitutionName = person.given[-1], f"{person.family[0]} Hospital"
    dataset.AccessionNumber = f"A{person.patient_id}"
    private = dataset.private_block(0x0011, "MADE UP", create=True)
    private.add_new(1, "LO", person.family[0])
    private.add_new(2, "UT", everything)
    inner = Dataset()
    inner.PatientName, inner.PatientID = f"{other.family[0]}^{person.given[0]}", person.patient_id
    dataset.RequestAttributesSequence = [inner]
    dataset.SOPClassUID, dataset.SOPInstanceUID = CTImageStorage, f"{ROOT}.3.{number}"
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID = f"{ROOT}.1.{number}", f"{ROOT}.2.{number}"
    dataset.Modality, dataset.StudyDate = "CT", "20240305"
    dataset.Rows, dataset.Columns = pixels.shape
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.BitsAllocated = dataset.BitsStored = 16
    dataset.HighBit, dataset.PixelRepresentation = 15, 0
    dataset.PixelData = pixels.tobytes()
    dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    dataset.save_as(path, enforce_file_format=True)
