"""Files of prompts: the bundled sets, and those of users.

A prompt set is a TOML file; its name is the file's name without ``.toml``::

    kind = "findings"                       # findings | classes | names
    source = "where the prompts come from"  # optional
    where = ["modality=CR|DX"]              # optional: the images the set fits, as `--where` filters
    regions = ["chest"]                     # optional: the parts of the body it is about
    population = { minimum_age = 16 }       # optional: its patients, by minimum_age and maximum_age in years

    [prompts.pneumothorax]                  # findings: one table per label, scored absent against present
    absent = ["no pneumothorax"]
    present = ["left pneumothorax", "right pneumothorax"]
    where = ["modality=CR"]                 # optional, per finding: narrows the set's own filters
    regions = ["chest"]                     # optional, per finding: in place of the set's own

    [prompts]                               # classes: one list per label, scored against each other
    benign = ["benign breast tissue"]
    invasive = ["invasive carcinoma", "invasive breast carcinoma"]

    names = ["Eczema", "Psoriasis"]         # names: classes prompted by their bare names; no [prompts]
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from importlib import resources
from pathlib import Path
from typing import Any

from medsiglip.errors import ModelError
from medsiglip.regions.vocabulary import UNKNOWN, Regions, named, region_names, regions_of_body_part
from medsiglip.tokenizer import canonicalise
from medsiglip.toml_file import TomlError, parse_toml, toml_bytes
from medsiglip.zero_shot.prompt_set import Kind, LabelPrompts, Population, PromptSet

MAX_LABEL = 1000
"""Characters of a label in a file of prompts."""
_FITS = ("where", "regions", "population")


def list_prompt_sets() -> tuple[str, ...]:
    """Names of the bundled prompt sets, in alphabetical order."""
    folder = resources.files("medsiglip") / "prompts"
    return tuple(sorted(entry.name[:-5] for entry in folder.iterdir() if entry.name.endswith(".toml")))


def load_prompt_set(name_or_path: str | Path) -> PromptSet:
    """Read a bundled prompt set by its name, or any other by the path of its TOML file.

    Raises ModelError: "prompt-set-unknown" for a name or path that does not exist, "prompt-set-invalid",
    naming file and key, for a file that does not follow the format.
    """
    text = str(name_or_path)
    if text.endswith(".toml") or Path(text).name != text:
        path = Path(text)
        try:
            content = toml_bytes(path)
        except OSError as error:
            reason = error.strerror or type(error).__name__
            message = f"{path}: the prompt set cannot be read ({reason}); give the path of a TOML file."
            raise ModelError("prompt-set-unknown", message) from error
        return _PromptFile(str(path)).read(path.stem, content)
    names = list_prompt_sets()
    if text not in names:
        known = ", ".join(names)
        message = f"There is no prompt set '{text}'; choose one of {known}, or give the path of a TOML file."
        raise ModelError("prompt-set-unknown", message)
    content = (resources.files("medsiglip") / "prompts" / f"{text}.toml").read_bytes()
    return _PromptFile(f"{text}.toml").read(text, content)


@dataclass(frozen=True, slots=True)
class _PromptFile:
    """Reads one file; `file` is how errors name it."""

    file: str

    def read(self, name: str, content: bytes) -> PromptSet:
        try:
            document = parse_toml(content)
        except TomlError as error:
            raise self._invalid(f"not valid TOML ({error}); correct that line.") from None
        self._only_keys(document, ("kind", "source", *_FITS, "prompts", "names"), "")
        kind: Kind = document.get("kind", "")
        if kind not in ("findings", "classes", "names"):
            raise self._invalid("'kind' must be one of findings, classes, names.")
        source = document.get("source", "")
        if not isinstance(source, str):
            raise self._invalid("'source' must be a text.")
        fits = self._fits(document, "", LabelPrompts(()))
        other, key = ("prompts", "names") if kind == "names" else ("names", "prompts")
        if other in document:
            raise self._invalid(f"'{other}' does not go with kind = \"{kind}\"; use '{key}'.")
        if kind == "names":
            names = self._texts(document, "names")
            self._check_lengths(names)
            prompts = {label: replace(fits, present=(label,)) for label in names}
        else:
            tables = document.get("prompts")
            if not isinstance(tables, dict) or not tables:
                raise self._invalid("'prompts' must be a table with at least one label.")
            if any(not label.strip() for label in tables):
                raise self._invalid("'prompts' holds an empty label; name it.")
            self._check_lengths(tables)
            prompts = self._findings(tables, fits) if kind == "findings" else self._classes(tables, fits)
        self._check_texts(prompts)
        if kind != "findings" and len(prompts) < 2:
            raise self._invalid(f"'{key}' has one class, and classes compete with each other; add another.")
        return PromptSet(name, kind, prompts, fits.where, source, fits.regions, fits.population)

    def _classes(self, tables: Mapping[str, Any], fits: LabelPrompts) -> dict[str, LabelPrompts]:
        return {label: replace(fits, present=self._texts(tables, label, "prompts.")) for label in tables}

    def _findings(self, tables: Mapping[str, Any], fits: LabelPrompts) -> dict[str, LabelPrompts]:
        prompts = {}
        for label, table in tables.items():
            prefix = f"prompts.{label}."
            if not isinstance(table, dict):
                raise self._invalid(f"'prompts.{label}' must be a table with 'absent' and 'present'.")
            self._only_keys(table, ("absent", "present", *_FITS), prefix)
            present, absent = self._texts(table, "present", prefix), self._texts(table, "absent", prefix)
            prompts[label] = replace(self._fits(table, prefix, fits), present=present, absent=absent)
        return prompts

    def _fits(self, table: Mapping[str, Any], prefix: str, around: LabelPrompts) -> LabelPrompts:
        """What prompts fit, without their texts: filters beside those `around`, the rest in their place."""
        where = self._texts(table, "where", prefix) if "where" in table else ()
        regions = self._regions(table, prefix) if "regions" in table else around.regions
        if around.regions and not regions <= around.regions:
            outside = named(regions - around.regions)
            raise self._invalid(
                f"'{prefix}regions' holds {outside}, which is not among the set's own regions."
            )
        population = self._population(table, prefix) if "population" in table else around.population
        return LabelPrompts((), (), around.where + where, regions, population)

    def _regions(self, table: Mapping[str, Any], prefix: str) -> Regions:
        found = UNKNOWN
        for text in self._texts(table, "regions", prefix):
            known = frozenset((text,)) if text in region_names() else regions_of_body_part(text)
            if not known:
                shown = text if len(text) <= 80 else f"{text[:80]}..."
                raise self._invalid(
                    f"'{prefix}regions' holds '{shown}', which is no part of the body; the regions are "
                    f"{', '.join(region_names())}."
                )
            found |= known
        return found

    def _population(self, table: Mapping[str, Any], prefix: str) -> Population:
        given = table["population"]
        if not isinstance(given, dict) or not given:
            raise self._invalid(f"'{prefix}population' must be a table with minimum_age or maximum_age.")
        self._only_keys(given, ("minimum_age", "maximum_age"), f"{prefix}population.")
        for name, age in given.items():
            if isinstance(age, bool) or not isinstance(age, int | float) or not 0 <= age <= 150:
                raise self._invalid(f"'{prefix}population.{name}' must be years from 0 to 150.")
        population = Population(given.get("minimum_age"), given.get("maximum_age"))
        low, high = population.minimum_age, population.maximum_age
        if low is not None and high is not None and low > high:
            raise self._invalid(
                f"'{prefix}population' has a minimum_age above its maximum_age; exchange them."
            )
        return population

    def _texts(self, table: Mapping[str, Any], key: str, prefix: str = "") -> tuple[str, ...]:
        value = table.get(key)
        if not isinstance(value, list) or not value:
            raise self._invalid(f"'{prefix}{key}' must be a list of texts.")
        if not all(isinstance(text, str) and text.strip() for text in value):
            raise self._invalid(
                f"'{prefix}{key}' holds something that is not a text, or an empty one; remove it."
            )
        if len(set(value)) != len(value):
            raise self._invalid(f"'{prefix}{key}' holds the same text twice; remove one.")
        return tuple(value)

    def _check_lengths(self, labels: Iterable[str]) -> None:
        longest = max(map(len, labels))
        if longest > MAX_LABEL:
            raise self._invalid(f"a label has {longest} characters and may have {MAX_LABEL}; shorten it.")

    def _check_texts(self, prompts: Mapping[str, LabelPrompts]) -> None:
        """Texts hold words, and those that are compared with each other are not the same to the model."""
        labels: dict[frozenset[str], str] = {}
        for label, one in prompts.items():
            present, absent = (frozenset(map(canonicalise, texts)) for texts in (one.present, one.absent))
            if "" in present | absent:
                raise self._invalid(f"a text of '{label}' holds no word; write one, or remove it.")
            if present == absent:
                raise self._invalid(f"'{label}' has the same texts for present and absent; change one.")
            if not absent and present in labels:
                both = f"'{labels[present]}' and '{label}'"
                raise self._invalid(f"the classes {both} are the same texts to the model; drop one.")
            labels[present] = label

    def _only_keys(self, table: Mapping[str, Any], keys: tuple[str, ...], prefix: str) -> None:
        for key in table:
            if key not in keys:
                shown = key if len(key) <= 80 else f"{key[:80]}..."
                raise self._invalid(f"'{prefix}{shown}' is not a key of the format; use {', '.join(keys)}.")

    def _invalid(self, what: str) -> ModelError:
        return ModelError("prompt-set-invalid", f"{self.file}: {what}")
