"""What is wrong with the settings of an experiment, found before any work: types, ranges, choices, misspelt names."""

import difflib
import functools
import json
import math
import os
from collections.abc import Iterable, Iterator
from typing import Any, Optional

import jsonschema
import yaml

from aepsl.base import doors
from aepsl.paper.published import VOC_CLASSES

MODEL_FILE = "prototxt/voc12/experiment.yaml"
MOST_ITERATIONS = 2**31 - 1  # Caffe's solver counts them in 32 bits
NOUNS = dict(integer="an integer", number="a number", string="text", array="a list", object="lines `key: value`")
BOUNDS = dict(
    minimum="at least {}", exclusiveMinimum="more than {}", maximum="at most {}", exclusiveMaximum="less than {}"
)


def fault(settings: dict[str, Any]) -> Optional[str]:
    """The first fault of complete settings, one line without a file's name; None if they have no fault."""
    error = jsonschema.exceptions.best_match(_validator().iter_errors(settings))
    return " ".join(_line(error).split()) if error else next(_faults_beyond_the_schema(settings), None)


@functools.cache
def schema() -> dict[str, Any]:
    """schema.yaml, completed with the names of the trunks and detectors and the schemas of the rules of erasing."""
    with open(os.path.join(os.path.dirname(__file__), "schema.yaml")) as file:
        schema: dict[str, Any] = yaml.safe_load(file)
    schema["properties"]["net"]["enum"] = doors.names(doors.TRUNKS)
    schema["properties"]["background"]["properties"]["detector"]["enum"] = doors.names(doors.DETECTORS)
    rules = {name: doors.load(doors.ERASING, name).SCHEMA for name in doors.names(doors.ERASING)}
    schema["definitions"]["threshold"]["properties"] = rules
    return schema


def validator(schema: dict[str, Any]) -> Any:
    """jsonschema's validator of a schema, draft 7, for which 1.0 is not an integer, and nan and inf are not numbers."""
    draft = jsonschema.Draft7Validator
    types = draft.TYPE_CHECKER.redefine_many(
        dict(
            integer=lambda _, value: _is_integer(value),
            number=lambda _, value: _is_integer(value) or isinstance(value, float) and math.isfinite(value),
        )
    )
    return jsonschema.validators.extend(draft, type_checker=types)(schema)


def _is_integer(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


@functools.cache
def _validator() -> Any:
    return validator(schema())


def _faults_beyond_the_schema(settings: dict[str, Any]) -> Iterator[str]:
    crop, mining, images = settings["data"]["crop"], settings["mining"], settings["data"]["train_images"]
    if crop % 8 != 1:
        yield f"`data.crop` is {crop}; it must be 8k + 1, for example {crop // 8 * 8 + 1}"
    if mining["merge"] > mining["steps"]:
        yield f"`mining.merge` is {mining['merge']}; it must be at most `mining.steps`, {mining['steps']}"
    start = settings.get("psl_start", "")
    if start.startswith("ae_step") and int(start[len("ae_step")]) > mining["steps"]:
        yield f"`psl_start` is {start}; it must be at most ae_step{mining['steps']}, as `mining.steps`"
    known = [*settings["classes"], *VOC_CLASSES]
    for name in settings["background"]["indoor_classes"]:
        if name not in known:
            yield (
                f"`background.indoor_classes` has {name!r}; each must be one of `classes` or of VOC's"
                + _nearest(name, known)
            )
    for task, values in settings["training"].items():
        for key in ("epochs", "lr_step_epochs"):
            if values[key] * images > MOST_ITERATIONS * values["batch"]:
                yield (
                    f"`training.{task}.{key}` is {values[key]}; it must be less: of {images} images in batches of "
                    f"{values['batch']} that makes more than {MOST_ITERATIONS} iterations"
                )


def _line(error: Any) -> str:
    """A line about a fault that jsonschema found: the key, its value, and what it must be."""
    name, value = dotted(error.absolute_path), error.instance
    rule = error.validator_value
    if error.validator == "additionalProperties":
        key = next(key for key in value if key not in error.schema["properties"])
        return f"`{dotted([*error.absolute_path, key])}` is no setting" + _meant(key, error.schema["properties"])
    if error.validator == "required":
        key = next(key for key in rule if key not in value)
        return f"has no `{dotted([*error.absolute_path, key])}`; {MODEL_FILE} has every setting, explained"
    if error.validator == "uniqueItems":
        return f"`{name}` has {shown(next(each for each in value if value.count(each) > 1))} twice; remove one"
    if error.validator == "type" and isinstance(value, str):
        number = _as_number(value, rule)
        if number is not None:
            return f"`{name}` is the text {value!r}; write {yaml.safe_dump(number).split()[0]}"
    if error.validator == "not" and not rule:
        return f"`{name}` is set; {error.schema['description']}"
    wanted = _wanted(error.schema) + _quotes(error)
    if isinstance(value, float) and not math.isfinite(value):
        wanted = wanted.replace("a number", "a finite number")
    if value is None and name in (schema()["properties"].keys() - schema()["required"]) | {"data.test"}:
        wanted += "; or remove the line: nothing is set that null would remove"
    return f"`{name}` is {shown(value)}; it must be {wanted}"


def dotted(path: Iterable[Any]) -> str:
    """training.psl.lr, classes[0] of ["training", "psl", "lr"], ["classes", 0]."""
    return "".join(f"[{key}]" if type(key) is int else f".{key}" for key in path).lstrip(".")


def _wanted(part: dict[str, Any]) -> str:
    """What a part of the schema allows, in words."""
    if "enum" in part:
        return " or ".join(part["enum"])
    if "maxProperties" in part:
        return " or ".join(f"{{{key}: NUMBER}}" for key in part["properties"])
    words: str = NOUNS[part["type"]]
    if "minItems" in part:
        low, high = part["minItems"], part.get("maxItems")
        words += f" of {low}" if low == high else f" of {low} to {high}" if high else f" of {low} or more"
    bounds = [text.format(part[key]) for key, text in BOUNDS.items() if key in part]
    words += ", " * bool(bounds) + " and ".join(bounds)
    return words + (f" ({part['description']})" if "description" in part else "")


def shown(value: Any) -> str:
    """A value as a file has it, in at most 60 characters."""
    text = repr(value) if isinstance(value, str) else json.dumps(value, default=str, skipkeys=True, ensure_ascii=False)
    return text if len(text) <= 60 else text[:57] + "..."


def _quotes(error: Any) -> str:
    """The hint for text that YAML reads as another type: no, 12, 2012-01-01."""
    wrong = error.validator == "type" and error.validator_value == "string"
    return "; put it in quotes" if wrong and not isinstance(error.instance, (dict, list, type(None))) else ""


def _as_number(text: str, kind: str) -> Optional[float]:
    """The number that `text` is meant to be: YAML 1.1 reads 1e-2 as text. None for a text that is no such number."""
    try:
        number = float(text)
    except ValueError:
        return None
    number = int(number) if number.is_integer() else number
    return number if _validator().is_type(number, kind) else None


def _meant(key: Any, here: Iterable[str]) -> str:
    """A hint about a key that is no setting: a similar key, or the place of a setting of this name."""
    elsewhere = [path for path in all_settings(schema(), ()) if path[-1] == key]
    if elsewhere and not difflib.get_close_matches(str(key), here):
        return f"; did you mean `{dotted(elsewhere[0])}`?"
    return _nearest(str(key), here) or f"; known are {', '.join(here)}"


def _nearest(word: str, known: Iterable[str]) -> str:
    return "".join(f"; did you mean `{each}`?" for each in difflib.get_close_matches(word, known, n=1))


def all_settings(part: dict[str, Any], path: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    """The path of every setting in a part of the schema."""
    for key, value in resolved(part).get("properties", {}).items():
        yield (*path, key)
        yield from all_settings(value, (*path, key))


def resolved(part: dict[str, Any]) -> dict[str, Any]:
    """A part of the schema; the definition that it refers to, if it does."""
    return schema()["definitions"][part["$ref"].rsplit("/", 1)[1]] if "$ref" in part else part
