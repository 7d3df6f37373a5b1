"""What MLflow loads to ask a GRADIEND for encodings; nothing of this package's tracking is loaded with it."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from gradiend_mlflow.errors import CheckpointError, InvalidInputError

_PLACEHOLDER = "[MASK]"
_COLUMNS = ("text", "label")
_FEWEST_TOKENS = 2  # gradiend's own inputs need as many


class Encoder:
    """A GRADIEND that is asked for encodings.

    Attributes:
        model: gradiend's model, with its base model.
    """

    def __init__(self, model: Any) -> None:
        self.model = model

    def predict(self, model_input: pd.DataFrame, params: dict[str, Any] | None = None) -> pd.DataFrame:  # noqa: ARG002
        """The encoding of each text.

        Args:
            model_input: A row per text: `text`, with `[MASK]` where the label belongs, and `label`, the word whose
                gradient is encoded. A causal model sees what is before `[MASK]`, as in gradiend's training. For a
                classifier the text, and the name or the number of its label.
            params: None are known; MLflow passes them.

        Returns:
            A DataFrame with the column `encoding` and the rows of the input; `encoding_0`, `encoding_1`, ... if the
            GRADIEND has several latent dimensions.

        Raises:
            InvalidInputError: If a column is missing, if a causal model is asked for a text's first words, or a
                classifier for a label that it does not have.
        """
        missing = [name for name in _COLUMNS if name not in getattr(model_input, "columns", ())]
        if missing:
            raise InvalidInputError(
                "a GRADIEND encodes the gradient of a word at a place, so it is asked with a DataFrame that has the "
                f"columns text and label, such as '[MASK] is happy.' and 'he'; missing: {', '.join(missing)}"
            )
        pairs = zip(model_input["text"], model_input["label"], strict=True)
        rows = [self._encode(text, label) for text, label in pairs]
        latent = int(self.model.gradiend.latent_dim)
        names = ["encoding"] if latent == 1 else [f"encoding_{number}" for number in range(latent)]
        return pd.DataFrame(np.reshape(rows, (len(rows), latent)), columns=names, index=model_input.index)

    def _encode(self, text: Any, label: Any) -> list[float]:
        asked = (text, self._number_of(label)) if self._is_classifier() else (self._as_asked(text), label)
        encoded = self.model.encode(*asked)
        return [float(value) for value in encoded.detach().flatten().tolist()]

    def _as_asked(self, text: Any) -> Any:
        """The text as gradiend's training gives it to the base model."""
        if not isinstance(text, str) or _PLACEHOLDER not in text:
            return text
        if self._is_causal():
            return self._beginning(text)
        return text.replace(_PLACEHOLDER, getattr(self.model.tokenizer, "mask_token", None) or _PLACEHOLDER)

    def _beginning(self, text: str) -> str:
        beginning = text.partition(_PLACEHOLDER)[0]
        if len(self.model.tokenizer(beginning)["input_ids"]) < _FEWEST_TOKENS:
            raise InvalidInputError(
                f"the base model is causal: it is asked for the word after a beginning, and {text!r} has less than "
                f"{_FEWEST_TOKENS} tokens before {_PLACEHOLDER}; write it as in 'I think {_PLACEHOLDER} is happy.'"
            )
        return beginning

    def _is_classifier(self) -> bool:
        from gradiend.trainer.text.classification.model_with_gradiend import TextClassificationModelWithGradiend

        return isinstance(self.model, TextClassificationModelWithGradiend)

    def _number_of(self, label: Any) -> int:
        """The number of a classifier's label; gradiend's loaded models do not know the names."""
        numbers: dict[str, int] = self.model.base_model.config.label2id
        number = numbers.get(str(label), label)
        try:
            if int(number) in numbers.values():
                return int(number)
        except ValueError:
            pass
        raise InvalidInputError(
            f"{label!r} is no label of the classifier; it has {', '.join(numbers)}, or their numbers "
            f"{', '.join(map(str, numbers.values()))}"
        )

    def _is_causal(self) -> bool:
        """Whether the base model predicts what comes next; with gradiend's MLM head it sees the whole text."""
        from gradiend.trainer.text.prediction.decoder_only_mlm import DecoderModelWithMLMHead

        with_head = isinstance(self.model.base_model, DecoderModelWithMLMHead)
        return bool(getattr(self.model, "is_decoder_only_model", False)) and not with_head


def load_checkpoint(directory: str | os.PathLike[str]) -> Any:
    """Gradiend's model of a checkpoint, with its base model from where the checkpoint says that it is.

    Raises:
        CheckpointError: If the directory or the base model cannot be loaded; it names both.
    """
    from gradiend.model.model_with_gradiend import ModelWithGradiend
    from gradiend.trainer.text.classification.model_with_gradiend import TextClassificationModelWithGradiend
    from gradiend.trainer.text.prediction.model_with_gradiend import TextPredictionModelWithGradiend
    from transformers import AutoConfig

    base_model: Any = None
    try:
        config = json.loads((Path(directory) / "config.json").read_text(encoding="utf-8"))
        base_model = config["metadata"]["base_model"]
        architectures = AutoConfig.from_pretrained(base_model).architectures or [""]
        kind: type[ModelWithGradiend] = (
            TextClassificationModelWithGradiend
            if architectures[0].endswith("ForSequenceClassification")
            else TextPredictionModelWithGradiend
        )
        return kind.from_pretrained(str(directory), require_gradiend_model=True)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CheckpointError(f"no GRADIEND over {base_model!r} can be loaded from {directory}: {error}") from error


def _load_pyfunc(path: str) -> Encoder:
    """MLflow calls it with the folder of the checkpoint."""
    return Encoder(load_checkpoint(path))
