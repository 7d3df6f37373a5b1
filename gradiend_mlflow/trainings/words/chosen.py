"""Which training arguments somebody chose: those that differ from gradiend's defaults.

The defaults are written down here, because importing gradiend takes seconds, and imports of finished trainings do
without it; `tests/trainings/words/test_chosen.py` compares them with gradiend's own.
"""

from __future__ import annotations

from collections.abc import Mapping

# As params, of gradiend 0.2.3; whatever is not here is None.
DEFAULTS: Mapping[str, str] = {
    "add_identity_for_other_classes": "False",
    "adam_epsilon": "1e-08",
    "analyze_seed_stability": "False",
    "convergent_mean_by_class_threshold": "0.5",
    "convergent_score_threshold": "0.5",
    "decoder_mlm_head_batch_size": "4",
    "decoder_mlm_head_epochs": "5",
    "decoder_mlm_head_lr": "0.0001",
    "decoder_sequence_cloze_rhs_window": "-1",
    "delete_models": "False",
    "do_eval": "True",
    "encoder_decoder_same_device": "False",
    "encoder_eval_balance": "True",
    "eval_batch_size": "32",
    "eval_steps": "250",
    "eval_strategy": "steps",
    "fail_on_non_convergence": "False",
    "gradiend_batch_size": "1",
    "gradient_timing_steps": "0",
    "highlight_non_convergence": "True",
    "include_other_classes": "False",
    "learning_rate": "1e-05",
    "mask_placeholder": "[MASK]",
    "max_seeds": "3",
    "max_steps": "-1",
    "metadata": "{}",
    "min_convergent_seeds": "1",
    "model_use_cache": "False",
    "normalize_gradiend": "True",
    "num_train_epochs": "3",
    "optim": "adamw",
    "precompute_gradient_buffer_size": "1",
    "prediction_objective": "auto",
    "reuse_pre_prune": "False",
    "runtime_monitor": "False",
    "runtime_monitor_interval": "5.0",
    "runtime_monitor_system_stats": "True",
    "save_only_best": "True",
    "save_steps": "5000",
    "save_strategy": "best",
    "saved_seed_runs": "all_convergent",
    "seed": "0",
    "seed_stability_part": "decoder-weight",
    "seed_stability_topk": "1000",
    "source": "alternative",
    "split_resplit_per_seed": "False",
    "split_resplit_strategy": "random",
    "supervised_decoder": "False",
    "supervised_encoder": "False",
    "target": "diff",
    "torch_dtype": "torch.float32",
    "train_batch_size": "32",
    "trust_remote_code": "False",
    "use_cache": "False",
    "use_cached_gradients": "False",
    "weight_decay": "0.01",
}


def chosen(params: Mapping[str, str]) -> dict[str, str]:
    """The params of a training that differ from gradiend's defaults.

    Left out are those that follow from others: a batch of gradients is as large as one of the training by default.

    Example:
        >>> chosen({"learning_rate": "0.001", "max_steps": "-1", "params": "None"})
        {'learning_rate': '0.001'}
    """
    followed = {"base_gradient_batch_size": params.get("train_batch_size")}
    return {
        key: value
        for key, value in params.items()
        if value != DEFAULTS.get(key, "None") and value != followed.get(key)
    }
