"""Recipes: one YAML file that describes the trainings of all models, stage by stage."""

import os
from collections import Counter
from dataclasses import dataclass

from ndic_core.catalogue import CATALOGUE, MODELS
from ndic_core.config import Config, check, foreign_keys
from ndic_core.config_file import read_yaml
from ndic_core.errors import NDICError
from ndic_core.training.output_paths import Outputs, default_name

SECTIONS = ("order", "models", "stages")


@dataclass(frozen=True)
class Stage:
    """One training of a recipe.

    Attributes:
        name: of the stage.
        model: to train.
        start: the training whose weights are the initial ones; None for random initial weights.
        config: of this training.
    """

    name: str
    model: str
    start: "Stage | None"
    config: Config

    def __str__(self) -> str:
        return f"{self.name}/{self.model}"

    @property
    def lineage(self) -> tuple["Stage", ...]:
        """This training and those that its initial weights come from, this one last."""
        return (*(self.start.lineage if self.start else ()), self)


def load_recipe(path: str | os.PathLike = "pretrain", /, **changes) -> dict[tuple[str, str], Stage]:
    """Read a recipe.

    Besides the keys of a configuration it has `stages` (a dict of keys for each; `from` names the stage that provides
    the initial weights, `models` the models to train, by default all), `models` (a dict of keys for some models) and
    `order` (of the models within a stage). The experiments are named RECIPE_STAGE_DATASET_MODEL_DISTORTION_LAMBDA.

    Args:
        path: of the YAML file, or the name of a preset.
        changes: keys to set differently in every training, as for `load_config`; keys of one model only in that
            model's.

    Returns:
        The trainings by stage and model; each comes after the one that provides its initial weights.

    Raises:
        NDICError: the file is not a recipe, names a model or stage that does not exist, or a key is wrong.

    Example:
        >>> stage = load_recipe("pretrain")["mse", "cross_attention"]
        >>> str(stage), str(stage.start), stage.config.distortion_loss
        ('mse/cross_attention', 'start/bmshj18_factorized', 'MSE')
    """
    base = read_yaml(path)
    order, models, stages = (base.pop(section, {}) for section in SECTIONS)
    if not isinstance(stages, dict) or not stages:
        raise NDICError(f"{path} is no recipe: it has no stages; a single training is `ndic train --config {path}`")
    if not isinstance(order, list | dict) or not isinstance(models, dict) or None in models.values():
        raise NDICError(f"{path}: order must be a list of models, and models hold keys for each, name: {{key: value}}")
    order = list(order or MODELS)
    if unknown := [name for name in (*order, *models) if name not in MODELS]:
        raise NDICError(f"{path}: there is no model {', '.join(unknown)}; the models are {', '.join(MODELS)}")
    name = base.pop("experiment_name", os.path.splitext(os.path.basename(path))[0])
    found: dict[tuple[str, str], Stage] = {}
    for stage, own in stages.items():
        if not isinstance(own, dict):
            raise NDICError(f"{path}: stage {stage} must hold lines of the form key: value")
        own = dict(own)
        source, trained = own.pop("from", None), own.pop("models", order)
        if source is not None and source not in {earlier for earlier, _ in found}:
            raise NDICError(f"{path}: stage {stage} starts from {source}, which is no earlier stage")
        if strangers := [model for model in trained if model not in order]:
            raise NDICError(f"{path}: stage {stage} trains {', '.join(strangers)}, which is not in order")
        for model in sorted(trained, key=order.index):
            starts = (found.get((source, name)) for name in (model, *CATALOGUE[model].warm_starts))
            start = next(filter(None, starts), None)
            if source is not None and start is None:
                raise NDICError(
                    f"{path}: stage {stage} starts from {source}, which trains no model that {model} can start from"
                )
            keys = base | models.get(model, {}) | own
            keys["model"] = model
            foreign = foreign_keys(model)
            own_changes = {key: value for key, value in changes.items() if key not in foreign}
            config = check(keys, f"{path}, {stage}/{model}", **own_changes)
            more = {"experiment_name": f"{name}_{stage}_{default_name(config)}"}
            if start:
                more |= {"load_weight": True, "weight_path": Outputs(start.config).weights.as_posix()}
            config = config.model_copy(update=more)
            found[stage, model] = Stage(stage, model, start, config)
    return _in_order(found, len(order))


def _in_order(found: dict[tuple[str, str], Stage], models: int) -> dict[tuple[str, str], Stage]:
    """Stage by stage, except that a stage of only some models comes right before the training that starts from it."""
    sizes = Counter(stage for stage, _ in found)
    starts = [stage.start for stage in found.values()]
    ordered = {}
    for stage in found.values():
        if sizes[stage.name] == models or stage not in starts:
            ordered |= {(earlier.name, earlier.model): earlier for earlier in stage.lineage}
    return ordered
