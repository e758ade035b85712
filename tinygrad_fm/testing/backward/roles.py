"""What the arguments of a person's functions are for, told by their names."""

from __future__ import annotations

import inspect
from typing import Any

NAMES = {
    "x": "x inputs input input_data data a_prev activations prev_activations images features "
    "x_batch x_train batch_x a0 a a_in a_prev_layer prev input_array inp samples inputs_list",
    "t": "y t target targets label labels y_true truth y_label y_train batch_y y_batch expected "
    "desired true_y ground_truth targets_list output_array y_one_hot one_hot_y",
    "output": "out output outputs y_hat yhat y_pred al a2 a3 pred preds prediction predictions "
    "probs predicted final_outputs result y_out h hypothesis activation",
    "cache": "cache caches memory ctx saved forward_cache",
    "state": "prev_h h_prev hprev h0 h prev_c c_prev cprev c0 c prev_state state h_init s_prev "
    "h_tm1 hidden_state",
    "parameters": "parameters params param theta model weights_dict",
    "upstream": "dout dvalues da dy grad_output output_gradient output_error grad dz delta "
    "gradient upstream d_out dl_dout dloss grad_out error grads d_l_d_out dl_dy accum_grad "
    "output_grad dx dl_da dinput err back_grad gradients",
    "lr": "lr learning_rate eta alpha learn_rate rate step_size l_rate learningrate",
    "samples": "m n batch_size n_samples num_samples batch",
    "penalty": "reg lambd lambda_ l2 weight_decay reg_lambda lam",
}
ROLE = {name: role for role, names in NAMES.items() for name in names.split()}


def role_of(name: str) -> str:
    """The role of an argument by its name; empty where it is not known."""
    return ROLE.get(name.lower().strip("_"), "")


def arguments_for(function: Any, known: dict[str, Any], first: str = "") -> list[Any]:
    """The arguments to call a function with, of what is known by role or by name.

    Args:
        known: values by role ("x", "t", "output", "cache", ...) and by the argument's own name.
        first: the role of the first argument, where its name does not tell.

    Raises:
        TypeError: an argument that is needed is not known.
    """
    given = []
    for i, p in enumerate(inspect.signature(function).parameters.values()):
        if p.kind not in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD):
            continue
        role = role_of(p.name)
        if p.name in known:
            given.append(known[p.name])
        elif i == 0 and first and role not in ("cache", "parameters", "x", "t"):
            given.append(known[first])
        elif role in known:
            given.append(known[role])
        elif p.default is not p.empty:
            given.append(p.default)
        else:
            raise TypeError(f"{getattr(function, '__name__', function)} needs {p.name}")
    return given
