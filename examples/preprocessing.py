"""Preprocessing as a conditional space, on a table: the form of Auto-FP (Qi et al. 2024).

    python preprocessing.py            # some seconds

A member is a linear classifier on scikit-learn's breast cancer data, and the way its features are prepared. Each
preprocessor has settings of its own, which exist only where it is chosen (`warren.When`). Unlike in Auto-FP, where
a pipeline is judged by a training from the beginning, training goes on: an exploit takes over classifier and
preprocessor, a mutation may change the preprocessor under the classifier, and the next interval makes up for it.

It prints the best preprocessor, and the accuracy on rows that nothing was chosen by, beside a run that may
only tune the classifier.
"""

from __future__ import annotations

import warnings
from functools import lru_cache

import numpy as np
from sklearn import preprocessing as pre
from sklearn.datasets import load_breast_cancer
from sklearn.linear_model import SGDClassifier

import warren

TABLE, LABELS = load_breast_cancer(return_X_y=True)
TRAIN, SCORE, TEST = np.split(np.random.default_rng(0).permutation(len(LABELS)), [300, 430])

classifier = {"lr": warren.Float(1e-5, 1e-1, scale="log"), "alpha": warren.Float(1e-6, 1e-1, scale="log")}
prepared = {
    "scaler": warren.Choice(["none", "standard", "robust", "quantile", "power"]),
    "spread": warren.When("scaler", "robust", warren.Float(5.0, 45.0)),
    "quantiles": warren.When("scaler", "quantile", warren.Int(5, 200)),
    "output": warren.When("scaler", "quantile", warren.Choice(["uniform", "normal"])),
    "method": warren.When("scaler", "power", warren.Choice(["yeo-johnson", "roots"])),
}


@lru_cache(maxsize=64)  # fitting takes longer than an interval of training
def preprocessor(kind, values):
    """Fitted to the rows that train; `values` are the settings of its kind as pairs."""
    return unfitted(kind, dict(values)).fit(TABLE[TRAIN])


def unfitted(kind, values):
    if kind == "standard":
        return pre.StandardScaler()
    if kind == "robust":
        return pre.RobustScaler(quantile_range=(values["spread"], 100 - values["spread"]))
    if kind == "quantile":
        return pre.QuantileTransformer(n_quantiles=values["quantiles"], output_distribution=values["output"])
    if kind == "power" and values["method"] == "yeo-johnson":
        return pre.PowerTransformer()
    if kind == "power":
        return pre.FunctionTransformer(lambda table: np.sqrt(np.abs(table)))
    return pre.FunctionTransformer()


def train(slot: warren.Slot) -> None:
    weights = {"coef": np.zeros((1, TABLE.shape[1])), "intercept": np.zeros(1)}
    slot.track(**weights)
    for member in slot:
        values = {"scaler": "none", **member.hyperparameters}
        ready = preprocessor(values["scaler"], tuple((name, values[name]) for name in prepared if name in values))
        model = SGDClassifier(
            loss="log_loss", learning_rate="constant", eta0=values["lr"], alpha=values["alpha"],
            random_state=int(member.rng.integers(2**31)),
        )  # fmt: skip
        rows, labels = ready.transform(TABLE[TRAIN]), LABELS[TRAIN]
        model.partial_fit(rows[:1], labels[:1], classes=[0, 1])  # makes its arrays, which are the member's from here
        model.coef_[:], model.intercept_[:] = weights["coef"], weights["intercept"]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # weights that overflow are a bad score, and no more
            for _ in range(2):
                order = member.rng.permutation(len(rows))
                model.partial_fit(rows[order], labels[order])
        weights["coef"][:], weights["intercept"][:] = model.coef_, model.intercept_
        chances = model.predict_proba(ready.transform(TABLE[SCORE]))
        test = model.score(ready.transform(TABLE[TEST]), LABELS[TEST])
        right = chances[np.arange(len(SCORE)), LABELS[SCORE]]
        member.report(-np.log(np.clip(right, 1e-6, 1)).mean(), test=test)


def tune(space, population: int = 8, intervals: int = 20, seed: int = 0) -> warren.Result:
    strategy = warren.PBT(exploit="truncation", every=2)
    return warren.run(
        train, space=space, goal="min", population=population, intervals=intervals, strategy=strategy, seed=seed,
        held_out="test",
    )  # fmt: skip


if __name__ == "__main__":
    for name, space in {"classifier alone": classifier, "with preprocessing": {**classifier, **prepared}}.items():
        result = tune(space)
        best = result.final[0]
        print(f"{name:<20} loss {best.score:.3f}  test accuracy {100 * best.held_out:.1f} %")
    print("prepared by:", {name: value for name, value in best.hyperparameters.items() if name in prepared})
