"""Posterior means and standard deviations from a long run of another tool: `python benchmarks/nuts_reference.py` writes
`benchmarks/nuts_reference.json`, which `tests/test_vi.py` holds `Program.vi` against.

Needs NumPyro (`pip install numpyro`), which nothing else here does.  Takes about three minutes.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

DRAWS, WARM = 100_000, 2_000
SCHOOLS = ([28, 8, -3, 7, -1, 1, 18, 12], [15, 10, 16, 11, 9, 11, 10, 18])
FEATURES = [
    [1, 0.5, -0.3], [1, -1.2, 0.8], [1, 2.0, 0.1], [1, 0.1, -1.5], [1, -0.4, 0.9], [1, 1.1, 1.2], [1, -2.0, -0.6], [1, 0.7, 0.4],
    [1, -0.9, -1.1], [1, 1.6, -0.2], [1, 0.3, 2.0], [1, -1.5, 0.5],
]
LABELS = [1, 0, 1, 0, 0, 1, 0, 1, 0, 1, 1, 0]


def main() -> None:
    """Sample both posteriors."""
    import jax
    import jax.numpy as jnp
    import numpyro
    import numpyro.distributions as laws
    from numpyro.infer import MCMC, NUTS

    numpyro.enable_x64()
    seen, spread = (jnp.array(column, dtype=float) for column in SCHOOLS)
    features, labels = jnp.array(FEATURES), jnp.array(LABELS, dtype=float)

    def schools() -> None:
        mu, tau = numpyro.sample("mu", laws.Normal(0, 5)), numpyro.sample("tau", laws.HalfCauchy(5))
        e = numpyro.sample("e", laws.Normal(jnp.zeros(8), 1).to_event(1))
        theta = numpyro.deterministic("theta", mu + tau * e)
        numpyro.sample("y", laws.Normal(theta, spread).to_event(1), obs=seen)

    def logistic() -> None:
        w = numpyro.sample("w", laws.Normal(jnp.zeros(3), 2).to_event(1))
        numpyro.sample("t", laws.Bernoulli(logits=features @ w).to_event(1), obs=labels)

    found: dict[str, Any] = {
        "made by": f"benchmarks/nuts_reference.py: NumPyro {numpyro.__version__}, NUTS, 2 chains of {DRAWS:,} draws after "
        f"{WARM:,} of warm-up, seed 0"
    }
    for name, model in (("eight schools", schools), ("logistic regression", logistic)):
        chains = MCMC(
            NUTS(model, target_accept_prob=0.95), num_warmup=WARM, num_samples=DRAWS, num_chains=2, chain_method="sequential",
            progress_bar=False,
        )
        chains.run(jax.random.PRNGKey(0))
        found[name] = {
            key: {"mean": jnp.atleast_1d(rows.mean(0)).round(4).tolist(), "sd": jnp.atleast_1d(rows.std(0)).round(4).tolist()}
            for key, rows in chains.get_samples().items()
        }
    Path(__file__).with_suffix(".json").write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
