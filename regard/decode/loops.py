"""The parts of a decoder's step that are not matrix products, as compiled loops over plain arrays.

Few rows of a small model make a step of some sixty small operations, each of which costs more to call than
to do. Here everything between two matrix products is one loop nest: attention over a cache with its
softmax, a residual sum with its norm, the most likely tokens of a row of logits. Numba compiles them at first
use and keeps the result on disk; the extra `fast` brings it.

All arrays are C-contiguous float32 unless said otherwise; `R` rows are beams of inputs. What is written is
the last argument, or is said to be. Nothing here knows modules or torch.
"""

from __future__ import annotations

import math

import numba
import numpy as np

from regard.decode.kernels import ANY_ORDER, compiled

_GROUPS = 128  # of logits, whose largest is found first
_BLOCK = 64  # numbers whose exponentials are taken together
_LOG2E = np.float32(1 / math.log(2))
_LOWEST = np.float32(-126)  # 2 to this power is the smallest normal number
# 2^f for f from 0 to 1, by its interpolating polynomial in Chebyshev's points: within 1e-7.
_POWER = tuple(
    np.float32(c)
    for c in np.polynomial.Polynomial.cast(
        np.polynomial.Chebyshev.interpolate(np.exp2, 6, domain=[0, 1])
    ).convert().coef
)  # fmt: skip


@numba.njit(error_model="numpy", inline="always")
def _ordered(bits):  # type: ignore[no-untyped-def]
    """The bits of a number as an integer that is in the same order, and the other way round."""
    return bits ^ ((bits >> np.int32(31)) & np.int32(0x7FFFFFFF))


@compiled("void(f4[::1], f4[::1])")
def _group(x, tops):  # type: ignore[no-untyped-def]
    """The largest of each of G groups; every G-th number of x is of the same group, so that a processor
    compares many at once: integers, for which AVX2 takes a seventh of the time that floats do."""
    G, bits, best = len(tops), x.view(np.int32), tops.view(np.int32)
    for g in range(G):
        best[g] = _ordered(bits[g])
    for start in range(G, len(bits), G):
        some = bits[start : start + G]
        for g in range(len(some)):
            best[g] = max(best[g], _ordered(some[g]))
    for g in range(G):
        best[g] = _ordered(best[g])


@compiled("i8(f4[:])")
def _first(x):  # type: ignore[no-untyped-def]
    """The place of the first of the largest."""
    best = 0
    for i in range(len(x)):
        if x[i] > x[best]:
            best = i
    return best


@numba.njit(fastmath=ANY_ORDER, error_model="numpy", inline="always")
def _power(z):  # type: ignore[no-untyped-def]
    """2^z as a number from 1 to 2 and the bits of a power of 2, whose product it is; 0 below 2^-126."""
    z = max(z, _LOWEST)
    whole = np.floor(z)
    f = z - whole
    y = _POWER[6]
    y = y * f + _POWER[5]
    y = y * f + _POWER[4]
    y = y * f + _POWER[3]
    y = y * f + _POWER[2]
    y = y * f + _POWER[1]
    return y * f + _POWER[0], (np.int32(whole) + np.int32(127)) << np.int32(23)


@compiled("void(f4[::1], f4[::1], i4[::1])")
def _softmax(x, part, power):  # type: ignore[no-untyped-def]
    """In place; `part` and `power` are room for as many."""
    scale = power.view(np.float32)
    largest, total = x[0], np.float32(0)
    for i in range(len(x)):
        largest = x[i] if x[i] > largest else largest
    for i in range(len(x)):
        part[i], power[i] = _power((x[i] - largest) * _LOG2E)
    for i in range(len(x)):
        total += part[i] * scale[i]
    inverse = np.float32(1) / total
    for i in range(len(x)):
        x[i] = part[i] * scale[i] * inverse


@compiled("f4(f4[::1], f4, f4[::1], i4[::1])")
def _sum_of_exponentials(x, largest, part, power):  # type: ignore[no-untyped-def]
    """Σ e^(x - largest); `part` and `power` are room for a block."""
    scale = power.view(np.float32)
    total = np.float32(0)
    for start in range(0, len(x), _BLOCK):
        block = x[start : start + _BLOCK]
        for i in range(len(block)):
            part[i], power[i] = _power((block[i] - largest) * _LOG2E)
        for i in range(len(block)):
            total += part[i] * scale[i]
    return total


@compiled("b1(i8[::1], f4[:, ::1], f4, i8[::1], f4[:, ::1], f4[:, ::1])")
def embed(tokens, table, factor, at, positions, x):  # type: ignore[no-untyped-def]
    """(R,) ids → (R, D) rows of the (V, D) table, times a factor, plus rows `at` of what tells places; and
    whether all ids are in the table."""
    for r in range(len(tokens)):
        if not 0 <= tokens[r] < len(table):
            return False
        row, position, to = table[tokens[r]], positions[at[r]], x[r]
        for d in range(len(to)):
            to[d] = row[d] * factor + position[d]
    return True


@compiled("void(i8[::1], f4[:, ::1], f4[:, ::1], i8, i8, b1, f4[:, ::1])")
def rotate(at, cos, sin, vectors, width, interleaved, x):  # type: ignore[no-untyped-def]
    """Rotate the first `vectors` vectors of C numbers in each row of x by rows `at` of the (n, pairs) tables;
    see `position.rotate`."""
    pairs = cos.shape[1]
    for r in range(len(x)):
        c, s = cos[at[r]], sin[at[r]]
        for start in range(0, vectors * width, width):
            v = x[r, start : start + width]
            for p in range(pairs):
                i, j = (2 * p, 2 * p + 1) if interleaved else (p, pairs + p)
                a, b = v[i], v[j]
                v[i], v[j] = a * c[p] - b * s[p], b * c[p] + a * s[p]


@compiled("void(f4[:, ::1], f4[:, ::1], f4[::1], f4[::1], f4, b1, f4[:, ::1])")
def add_norm(x, y, weight, bias, eps, centred, out):  # type: ignore[no-untyped-def]
    """x += y, and then `out`, which may be x, becomes its norm: LayerNorm, or RMSNorm if not `centred`."""
    D = x.shape[1]
    for r in range(len(x)):
        a, b, to = x[r], y[r], out[r]
        total = np.float32(0)
        for d in range(D):
            a[d] += b[d]
            total += a[d]
        mean = total / np.float32(D) if centred else np.float32(0)
        square = np.float32(0)
        for d in range(D):
            square += (a[d] - mean) * (a[d] - mean)
        size = np.float32(1) / np.sqrt(square / np.float32(D) + eps)
        for d in range(D):
            to[d] = (a[d] - mean) * size * weight[d] + bias[d]


@compiled("void(f4[:, ::1], i4[:, :], i8[::1], f4, f4[:, :, :, ::1], f4[:, :, :, ::1], f4[:, ::1])")
def attend(qkv, path, first, scale, keys, values, out):  # type: ignore[no-untyped-def]
    """Self-attention of one new token a row.

    qkv: (R, 3 · H · C). keys, values: (rows, H, capacity, C), which get those of this step. path: (R, steps),
    which of their rows a row stood in at each step; at this one it is its own. first: (R,), the step from
    which on a row sees. out: (R, H · C).
    """
    heads, C, steps = keys.shape[1], keys.shape[3], path.shape[1]
    width = heads * C
    scratch = np.empty(steps, np.float32), np.empty(steps, np.float32), np.empty(steps, np.int32)
    for r in range(len(qkv)):
        new, own = qkv[r], path[r, steps - 1]
        for h in range(heads):
            k, v = keys[own, h, steps - 1], values[own, h, steps - 1]
            for c in range(C):
                k[c] = new[width + h * C + c]
                v[c] = new[2 * width + h * C + c]
    for r in range(len(qkv)):
        since = first[r]
        seen = steps - since
        weights, part, power = scratch[0][:seen], scratch[1][:seen], scratch[2][:seen]
        for h in range(heads):
            q, z = qkv[r, h * C : h * C + C], out[r, h * C : h * C + C]
            for s in range(seen):
                k = keys[path[r, since + s], h, since + s]
                score = np.float32(0)
                for c in range(C):
                    score += q[c] * k[c]
                weights[s] = score * scale
            _softmax(weights, part, power)
            for c in range(C):
                z[c] = 0
            for s in range(seen):
                weight, v = weights[s], values[path[r, since + s], h, since + s]
                for c in range(C):
                    z[c] += weight * v[c]


@compiled("void(f4[:, ::1], i8[::1], i8[::1], i8, f4, f4[:, ::1], f4[:, ::1])")
def cross_attend(q, owner, starts, heads, scale, memory, out):  # type: ignore[no-untyped-def]
    """Attention of queries, which begin each row of q, on all tokens of the input that a row belongs to.

    memory: (tokens, … + 2 · H · C), input after input without padding, from `starts[b]` up to
    `starts[b + 1]`; a row ends with its keys and its values. owner: (R,), the input. out: (R, H · C).
    """
    width = out.shape[1]
    C = width // heads
    keys, values = memory.shape[1] - 2 * width, memory.shape[1] - width
    longest = 0
    for b in range(len(starts) - 1):
        longest = max(longest, starts[b + 1] - starts[b])
    scratch = np.empty(longest, np.float32), np.empty(longest, np.float32), np.empty(longest, np.int32)
    for r in range(len(q)):
        first, last = starts[owner[r]], starts[owner[r] + 1]
        S = last - first
        weights, part, power = scratch[0][:S], scratch[1][:S], scratch[2][:S]
        for start in range(0, width, C):
            query, z = q[r, start : start + C], out[r, start : start + C]
            for s in range(S):
                k = memory[first + s, keys + start : keys + start + C]
                score = np.float32(0)
                for c in range(C):
                    score += query[c] * k[c]
                weights[s] = score * scale
            _softmax(weights, part, power)
            for c in range(C):
                z[c] = 0
            for s in range(S):
                weight, v = weights[s], memory[first + s, values + start : values + start + C]
                for c in range(C):
                    z[c] += weight * v[c]


@compiled("void(f4[:, ::1], i8[::1])")
def most_likely(logits, tokens):  # type: ignore[no-untyped-def]
    """(R, V) → (R,): the largest of each row, one of them if there are several."""
    tops = np.empty(min(_GROUPS, logits.shape[1]), np.float32)
    for r in range(len(logits)):
        _group(logits[r], tops)
        g = _first(tops)
        tokens[r] = g + len(tops) * _first(logits[r, g :: len(tops)])


@compiled("void(f4[:, ::1], f4[:, ::1], i8[:, ::1])")
def likely(logits, values, tokens):  # type: ignore[no-untyped-def]
    """(R, V) → (R, k) log-probabilities, largest first, and their tokens; k is at most V."""
    tops = np.empty(min(_GROUPS, logits.shape[1]), np.float32)
    part, power = np.empty(_BLOCK, np.float32), np.empty(_BLOCK, np.int32)
    for r in range(len(logits)):
        row = logits[r]
        _group(row, tops)
        largest = tops[_first(tops)]
        total = largest + np.float32(math.log(_sum_of_exponentials(row, largest, part, power)))
        for i in range(values.shape[1]):
            g = _first(tops)
            group = row[g :: len(tops)]
            n = _first(group)
            values[r, i], tokens[r, i] = tops[g], g + len(tops) * n
            group[n] = -np.inf
            tops[g] = group[_first(group)]
        for i in range(values.shape[1]):
            row[tokens[r, i]] = values[r, i]
            values[r, i] -= total


@compiled("void(f4[:, ::1], f4[:, ::1], f4[:, ::1], i8[:, ::1], i8[:, ::1])")
def continuations(logits, totals, best, parents, tokens):  # type: ignore[no-untyped-def]
    """The (inputs, k) most likely ways to go on from the places of each input, best first.

    logits: (inputs · places, V). totals: (inputs, places), log-probabilities so far. best, parents, tokens:
    log-probabilities, the places they come from, and what is written. k is at most V.
    """
    inputs, positions = totals.shape
    k = best.shape[1]
    values, found = np.empty((positions, k), np.float32), np.empty((positions, k), np.int64)
    nexts = np.empty(positions, np.int64)
    for i in range(inputs):
        likely(logits[i * positions : (i + 1) * positions], values, found)
        nexts[:] = 0
        for j in range(k):  # of each place the next best one is compared
            chosen, reach = -1, np.float32(0)
            for p in range(positions):
                if nexts[p] < k:
                    total = totals[i, p] + values[p, nexts[p]]
                    if chosen < 0 or total > reach:
                        chosen, reach = p, total
            best[i, j], parents[i, j], tokens[i, j] = reach, chosen, found[chosen, nexts[chosen]]
            nexts[chosen] += 1
