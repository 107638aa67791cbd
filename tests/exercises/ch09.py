"""Typical wrong answers to the exercises of chapter 09."""


def step_with(*, mean=None, sigma=None, last_noise=False):
    """The right step, but for the parts that are given."""

    def right_mean(s, x_t, t, z_hat):
        return (x_t - s.beta[t] / s.one_minus_alpha_bar[t].sqrt() * z_hat) / s.alpha[t].sqrt()

    def answer(s, x_t, t, z_hat, noise):
        result = (mean or right_mean)(s, x_t, t, z_hat)
        return (
            result if t == 1 and not last_noise else result + (sigma or (lambda s, t: s.beta[t].sqrt()))(s, t) * noise
        )

    return answer


def right_variance(beta, alpha, u):
    return beta * u / (alpha * u + beta)


WRONG = {
    "ex-sampling-1": {
        "noise at the last step": (step_with(last_noise=True), "the finished image gets noise"),
        "variance for standard deviation": (step_with(sigma=lambda s, t: s.beta[t]), "fresh noise has variance"),
        "beta-tilde for beta": (step_with(sigma=lambda s, t: s.beta_tilde[t].sqrt()), "fresh noise has variance"),
        "noise added, not taken out": (
            step_with(
                mean=lambda s, x, t, z: (x + s.beta[t] / s.one_minus_alpha_bar[t].sqrt() * z) / s.alpha[t].sqrt()
            ),
            "put in, not taken out",
        ),
        "alpha-bar for alpha in front": (
            step_with(
                mean=lambda s, x, t, z: (x - s.beta[t] / s.one_minus_alpha_bar[t].sqrt() * z) / s.alpha_bar[t].sqrt()
            ),
            "x_t has the factor",
        ),
        "alpha for alpha-bar under the root": (
            step_with(mean=lambda s, x, t, z: (x - s.beta[t] / s.beta[t].sqrt() * z) / s.alpha[t].sqrt()),
            "the factor of z_hat is wrong",
        ),
    },
    "ex-sampling-2": {
        "the root of the share left out": (
            lambda s, mean, std: (float(s.alpha_bar[-1]) * mean, 1 - float(s.alpha_bar[-1]) * (1 - std**2)),
            "times the mean of the data comes back",
        ),
        "standard deviation for variance": (
            lambda s, mean, std: (
                float(s.alpha_bar[-1]) ** 0.5 * mean,
                (1 - float(s.alpha_bar[-1]) * (1 - std**2)) ** 0.5,
            ),
            "the variance was asked for",
        ),
        "the data's variance forgotten": (
            lambda s, mean, std: (float(s.alpha_bar[-1]) ** 0.5 * mean, 1 - float(s.alpha_bar[-1])),
            "is wrong",
        ),
    },
    "ex-sampling-3": {
        "always beta-tilde": (lambda s, t, std: s.beta_tilde[t], "pure noise"),
        "a straight mixture of the two": (
            lambda s, t, std: std**2 * s.beta[t] + (1 - std**2) * s.beta_tilde[t],
            "come back with",
        ),
        "standard deviation for variance": (
            lambda s, t, std: right_variance(s.beta[t], s.alpha[t], 1 - s.alpha_bar[t - 1] * (1 - std)),
            "come back with",
        ),
        "the data's variance at time t": (
            lambda s, t, std: right_variance(s.beta[t], s.alpha[t], 1 - s.alpha_bar[t] * (1 - std**2)),
            "one image",
        ),
    },
}
