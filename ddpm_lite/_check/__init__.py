"""Checks of arguments, whose errors say in one line which argument, what was expected, what it got and what to do.

Three rooms: values (numbers, words, paths), tensors (images, times, labels) and models (what can be called, what can be
trained). The rest of the package imports from here; a new check is imported below.
"""

# ruff: noqa: F401

from ddpm_lite._check.models import (
    check_architecture,
    check_call,
    check_encoder,
    check_gradient,
    check_heads,
    check_input,
    check_loss,
    check_model,
    check_output,
    check_processes,
    check_rate,
    check_step,
    check_trainable,
    explain_lack_of_memory,
    tabulate_weight,
    unwrap,
)
from ddpm_lite._check.tensors import (
    Time,
    check_alike,
    check_attention,
    check_batch,
    check_finite,
    check_float,
    check_images,
    check_label_values,
    check_mixture,
    check_nll,
    check_none,
    check_positions,
    check_span,
    check_t,
    check_tokens,
    repeat_none,
    to_context,
    to_labels,
    to_table,
    to_tensor,
    to_times,
    to_values,
    to_whole_numbers,
)
from ddpm_lite._check.values import (
    Number,
    Several,
    Whole,
    check_bool,
    check_choice,
    check_fields,
    check_kind,
    check_pair,
    check_place,
    check_real,
    check_schedule,
    check_seeds,
    check_shape,
    check_states,
    check_variance,
    check_whole,
    check_whole_schedule,
    describe,
    fail,
    to_number,
    to_path,
)
