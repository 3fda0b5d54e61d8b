"""Likelihoods, forecasts and draws of the buy-till-you-die models, compiled by numba; imported where they are used.

A row is one history: x repeat orders, the last of them at age tx, seen until `age`. `theta` has one row of four
parameters for all histories, or one row each (covariates). Sorted by x or not, the answers are the same.

Gamma functions only meet as rising factorials (a)_n = a (a+1) ... (a+n-1), so logs and slopes are plain sums, kept in
tables over n. The dropout integral of the Pareto/NBD is done by Gauss-Legendre panels on a positive integrand: unlike
the difference of two 2F1 it does not cancel when tx is near the age, and its slopes come from the same nodes.
"""

from __future__ import annotations

from math import exp, expm1, lgamma, log, log1p

import numpy as np
from numba import njit

from shoptoolkit.contract.arrays import Floats, Ints

BG, MBG, PARETO, BG_BB = range(4)
NODES, WEIGHTS = np.polynomial.legendre.leggauss(16)


@njit(cache=True)
def _fill(rise: Floats, fall: Floats, model: int, theta: Floats, most: int) -> None:
    """Tables of log (base)_n and its slope in the base, n = 0 .. most, of the bases that the model needs."""
    bases = np.array([theta[0], theta[3], theta[2] + theta[3], theta[1], theta[0] + theta[1]])
    for k in range(1 if model == PARETO else 5 if model == BG_BB else 3):
        for n in range(most):
            rise[k, n + 1] = rise[k, n] + log(bases[k] + n)
            fall[k, n + 1] = fall[k, n] + 1.0 / (bases[k] + n)


@njit(cache=True)
def likelihood(model: int, theta: Floats, x: Ints, tx: Floats, age: Floats) -> tuple[Floats, Floats, Floats]:
    """Of each history: log-likelihood, P(alive at its age), slopes of the former in the logs of the four parameters."""
    value, alive, slope = np.empty(len(x)), np.empty(len(x)), np.empty((len(x), 4))
    needed = age.astype(np.int64) + 1 if model == BG_BB else x + 1
    most = needed.max() if len(x) else 0
    rise, fall = np.zeros((5, most + 1)), np.zeros((5, most + 1))
    for i in range(len(x)):
        j = i if len(theta) > 1 else 0
        if j == i:
            _fill(rise, fall, model, theta[j], needed[i] if len(theta) > 1 else most)
        if model == PARETO:
            value[i], alive[i] = _pareto(theta[j], x[i], tx[i], age[i], rise, fall, slope[i])
        elif model == BG_BB:
            value[i], alive[i] = _bg_bb(theta[j], x[i], int(tx[i]), int(age[i]), rise, fall, slope[i])
        else:  # the one for millions of rows: no views of arrays
            known = theta[j, 0], theta[j, 1], theta[j, 2], theta[j, 3]
            told = _bg(known, x[i], x[i] + (model == MBG), tx[i], age[i], rise, fall)
            value[i], alive[i], slope[i, 0], slope[i, 1], slope[i, 2], slope[i, 3] = told
        for k in range(4):
            slope[i, k] *= theta[j, k]
    return value, alive, slope


@njit(cache=True)
def _bg(theta, x, m, tx, age, rise, fall):  # type: ignore[no-untyped-def]
    """BG/NBD with m = x coins thrown so far, MBG/NBD with m = x + 1 (one more at the first order).

    Alive: (r)_x alpha^r (alpha+T)^-(r+x) (b)_m / (a+b)_m. Left after the last order: that times
    a / (b+m-1) ((alpha+T) / (alpha+tx))^(r+x), if a coin was thrown at all.
    Fader, Hardie and Lee (2005), Marketing Science 24, eq. 6; Batislam et al. (2007), Wagner and Hoppe (2008), IJRM.
    """
    r, alpha, a, _ = theta  # b is in the tables
    until, start = log(alpha + age), log(alpha)
    total = rise[0, x] + r * start - (r + x) * until + rise[1, m] - rise[2, m]
    at_r, at_alpha = fall[0, x] + start - until, r / alpha - (r + x) / (alpha + age)
    if m == 0:
        return total, 1.0, at_r, at_alpha, 0.0, 0.0
    more = until - log(alpha + tx)
    odds = log(a) - (rise[1, m] - rise[1, m - 1]) + (r + x) * more
    small = exp(-abs(odds))
    gone, stayed = (1.0, small) if odds > 0 else (small, 1.0)
    gone, stayed = gone / (1 + small), stayed / (1 + small)
    at_alpha += gone * (r + x) * (1 / (alpha + age) - 1 / (alpha + tx))
    at_b = fall[1, m] - fall[2, m] - gone * (fall[1, m] - fall[1, m - 1])
    total += max(odds, 0.0) + log1p(small)
    return total, stayed, at_r + gone * more, at_alpha, gone / a - fall[2, m], at_b


@njit(cache=True)
def _pareto(theta, x, tx, age, rise, fall, slope):  # type: ignore[no-untyped-def]
    """Pareto/NBD: (r)_x alpha^r beta^s [ (alpha+T)^-(r+x) (beta+T)^-s + s I ], I the integral over the time of leaving.

    Schmittlein, Morrison and Colombo (1987), Management Science 33; Fader and Hardie (2005), note 009, before the
    integral is turned into 2F1.
    """
    r, alpha, s, beta = theta
    until, beyond = log(alpha + age), log(beta + age)
    stay, leave = -(r + x) * until - s * beyond, -np.inf
    means = np.zeros(4)
    if age > tx:
        leave = log(s) + _leaving(r + x, alpha, s, beta, tx, age, means)
    top = max(stay, leave)
    here, gone = exp(stay - top), exp(leave - top)
    both = here + gone
    here, gone = here / both, gone / both
    slope[0] = fall[0, x] + log(alpha) - here * until - gone * means[0]
    slope[1] = r / alpha - (r + x) * (here / (alpha + age) + gone * means[1])
    slope[2] = log(beta) - here * beyond + gone * (1 / s - means[2])
    slope[3] = s / beta - here * s / (beta + age) - gone * (s + 1) * means[3]
    return rise[0, x] + r * log(alpha) + s * log(beta) + top + log(both), here


@njit(cache=True)
def _leaving(k, alpha, s, beta, tx, age, means):  # type: ignore[no-untyped-def]
    """Log of I = integral from tx to T of (alpha+t)^-k (beta+t)^-(s+1) dt; `means` of log and inverse of both bases.

    With c + tx = (k+s+1) / (k/(alpha+tx) + (s+1)/(beta+tx)) and t = (c+tx) exp(v/(k+s)) - c the integrand falls as
    exp(-v) at first, whatever the parameters; panels in v end where they add nothing.
    """
    near, far = alpha + tx, beta + tx
    scale = (k + s + 1) / (k / near + (s + 1) / far)
    end = (k + s) * log1p((age - tx) / scale)
    total, low, width = 0.0, 0.0, 2.0
    while low < end:
        high, before = min(low + width, end), total
        for j in range(len(NODES)):
            v = low + (high - low) * (NODES[j] + 1) / 2
            waited = scale * expm1(v / (k + s))
            one, two = log1p(waited / near), log1p(waited / far)
            mass = exp(-k * one - (s + 1) * two) * (scale + waited) * WEIGHTS[j] * (high - low) / 2
            total += mass
            means[0] += mass * one
            means[1] += mass / (near + waited)
            means[2] += mass * two
            means[3] += mass / (far + waited)
        if total - before < 1e-18 * total:
            break
        low, width = high, 2 * width if width < 16 else width
    means /= total
    means[0] += log(near)
    means[2] += log(far)
    return log(total / (k + s)) - k * log(near) - (s + 1) * log(far)


@njit(cache=True)
def _bg_bb(theta, x, tx, n, rise, fall, slope):  # type: ignore[no-untyped-def]
    """BG/BB: the sum over k = tx .. n of opportunities lived through (k = n: alive, no coin lost).

    (alpha)_x (beta)_(k-x) / (alpha+beta)_k times gamma (delta)_k / (gamma+delta)_(k+1), for k = n without gamma and
    (gamma+delta)_n. Fader, Hardie and Shang (2010), Marketing Science 29, eq. 3.
    """
    size = n - tx + 1
    parts = np.empty(size)
    for j in range(size):
        k, dead = tx + j, 1 if tx + j < n else 0
        parts[j] = rise[3, k - x] - rise[4, k] + rise[1, k] - rise[2, k + dead] + dead * log(theta[2])
    top = parts.max()
    shares = np.exp(parts - top)
    both = shares.sum()
    shares /= both
    slope[:] = 0.0
    slope[0] = fall[0, x]
    for j in range(size):
        k, dead = tx + j, 1 if tx + j < n else 0
        slope[0] -= shares[j] * fall[4, k]
        slope[1] += shares[j] * (fall[3, k - x] - fall[4, k])
        slope[2] += shares[j] * (dead / theta[2] - fall[2, k + dead])
        slope[3] += shares[j] * (fall[1, k] - fall[2, k + dead])
    return rise[0, x] + top + log(both), shares[size - 1]


@njit(cache=True)
def orders_if_alive(model: int, theta: Floats, x: Ints, age: Floats, horizon: float, discount: float) -> Floats:
    """Expected orders in (T, T + horizon] of a customer alive at T, each worth exp(-discount (t - T))."""
    out = np.zeros(len(x))
    for i in range(len(x)):
        mine = theta[i] if len(theta) > 1 else theta[0]
        if model == BG_BB:
            here = (mine[0] + x[i]) / (mine[0] + mine[1] + age[i])
            for k in range(round(horizon)):
                here *= (mine[3] + age[i] + k) / (mine[2] + mine[3] + age[i] + k)
                out[i] += here * exp(-discount * (k + 1))
            continue
        base = (mine[3] if model == PARETO else mine[1]) + age[i]  # where the order rate has its scale of time
        end = log1p(horizon / base)
        steep = discount * base + (mine[2] if model == PARETO else (mine[0] + x[i] + 1) * mine[2] / (mine[2] + mine[3]))
        low, width = 0.0, min(2.0, 8 / steep)  # panels of at most a factor e^2 in time, short where orders soon end
        while low < end:
            high, before = min(low + width, end), out[i]
            for j in range(len(NODES)):
                v = low + (high - low) * (NODES[j] + 1) / 2
                ahead = base * expm1(v)
                rate = _order_rate(model, mine, x[i], age[i], ahead)
                out[i] += rate * exp(-discount * ahead) * (base + ahead) * WEIGHTS[j] * (high - low) / 2
            if out[i] - before < 1e-17 * out[i]:
                break
            low, width = high, min(2 * width, 2.0)
    return out


@njit(cache=True)
def _order_rate(model, theta, x, age, ahead):  # type: ignore[no-untyped-def]
    """E[lambda; still alive after `ahead`], given alive at T: lambda ~ Gamma(r + x, alpha + T), and

    Pareto: exp(-mu ahead), mu ~ Gamma(s, beta + T): (r+x)/(alpha+T) ((beta+T)/(beta+T+ahead))^s.
    BG and MBG: exp(-lambda p ahead), p ~ Beta(a, b+m): (r+x)/(alpha+T) 2F1(r+x+1, a; a+b+m; -ahead/(alpha+T)).
    """
    rate = (theta[0] + x) / (theta[1] + age)
    if model == PARETO:
        return rate * exp(-theta[2] * log1p(ahead / (theta[3] + age)))
    r, alpha, a, b = theta
    y, bottom = ahead / (alpha + age), a + b + x + (model == MBG)
    if min(a, bottom - a) > 50:
        return rate * exp(_log_mean(r + x + 1, a, bottom - a, y))
    other, z = bottom - r - x - 1, y / (1 + y)
    if other > -6 and a <= 50:  # Pfaff; small terms, none that cancel
        return rate * exp(_log_2f1(a, other, bottom, z) - a * log1p(y))
    return rate * exp(_log_2f1(r + x + 1, bottom - a, bottom, z) - (r + x + 1) * log1p(y))


@njit(cache=True)
def _log_mean(k, a, b, y):  # type: ignore[no-untyped-def]
    """Log of E[(1 + p y)^-k], p ~ Beta(a, b) narrow (customers alike), where a series would need millions of terms.

    The trapezoid rule over t = logit p, around the top of the integrand, is exact to the last digits for such a bell.
    """
    t, width = log(a / b), 1.0
    for _ in range(12):
        p = 1 / (1 + exp(-t))
        bend = p * (1 - p) * (a + b + k * y * (1 - 2 * p - p * p * y) / (1 + p * y) ** 2)
        width = 1 / np.sqrt(max(bend, 0.1 * p * (1 - p) * (a + b)))
        t += (a * (1 - p) - b * p - k * y * p * (1 - p) / (1 + p * y)) * width**2
    top, total = 0.0, 0.0
    for j in range(-22, 23):
        p = 1 / (1 + exp(-(t + j * width / 2)))
        height = a * log(p) + b * log1p(-p) - k * log1p(p * y)
        if j == -22:
            top = a * log(1 / (1 + exp(-t))) - b * log1p(exp(t)) - k * log1p(y / (1 + exp(-t)))
        total += exp(height - top)
    return log(total * width / 2) + top - lgamma(a) - lgamma(b) + lgamma(a + b)


@njit(cache=True)
def _log_2f1(a, b, c, z):  # type: ignore[no-untyped-def]
    """Log of 2F1(a, b; c; z), 0 <= z < 1, by its series; large sums are scaled down on the way."""
    term, total, scale = 1.0, 1.0, 0.0
    for n in range(1_000_000):
        ratio = (a + n) * (b + n) / ((c + n) * (1.0 + n)) * z
        term *= ratio
        total += term
        if total > 1e250:
            term, total, scale = term * 1e-250, total * 1e-250, scale + 250 * log(10.0)
        if abs(term) < 1e-17 * abs(total) * (1 - min(abs(ratio), 0.9999999)) and ratio < 1:
            break
    return log(total) + scale


@njit(cache=True)
def draw(model, theta, alive, x, age, horizon, discount, spend, mean, rng, counts, values):  # type: ignore[no-untyped-def]
    """One life after T for each history, with hidden rates of its own: orders in `counts`, discounted sums in `values`.

    An order is worth Gamma(p) / nu, nu ~ Gamma(p x + q) / (gamma + x mean); with an empty `spend` = (p, q, gamma)
    nothing is. What is hidden is drawn when it is needed first: most customers order no more.
    """
    for i in range(len(x)):
        counts[i] = 0
        if rng.random() >= alive[i]:
            continue
        j = i if len(theta) > 1 else 0
        r, alpha, s, beta = theta[j, 0], theta[j, 1], theta[j, 2], theta[j, 3]
        end, now, leave, nu = horizon, 0.0, -1.0, 0.0
        if model == BG_BB:
            rate, leave = rng.beta(r + x[i], alpha + age[i] - x[i]), rng.beta(s, beta + age[i])
        else:
            rate = rng.gamma(r + x[i], 1.0) / (alpha + age[i])
        if model == PARETO:
            hazard = rng.gamma(s, 1.0) / (beta + age[i])
            end = min(end, rng.exponential(1.0) / hazard) if hazard > 0 else end
        while rate > 0:
            ordered = True
            if model == BG_BB:
                now += 1.0
                if now > end + 1e-9 or rng.random() < leave:
                    break
                ordered = rng.random() < rate
            else:
                now += rng.exponential(1.0) / rate
                if now > end:
                    break
            if ordered:
                counts[i] += 1
                if len(spend):
                    if nu == 0:
                        nu = max(rng.gamma(spend[0] * x[i] + spend[1], 1.0), 1e-300) / (spend[2] + x[i] * mean[i])
                    values[i] += exp(-discount * now) * rng.gamma(spend[0], 1.0) / nu
            if model <= MBG:
                leave = leave if leave >= 0 else rng.beta(s, beta + x[i] + (model == MBG))
                if rng.random() < leave:
                    break
