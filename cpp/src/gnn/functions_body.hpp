// Activations over the Vector of the file that includes this, which also says what stands before a function. Each is
// the same sequence of operations on every instruction set. The polynomials are those of the Cephes library (S.
// Moshier: expf, tanhf, logf); erf is formula 7.1.26 of Abramowitz and Stegun, 1.5e-7 absolute.

constexpr float infinity = __builtin_inff();
constexpr float least_normal = 1.17549435e-38f;
constexpr float least_exponent = -87.3365447504f;  ///< exp of it is normal
constexpr float most_exponent = 88.722831726f;     ///< exp of it is finite

/// The larger, or what is not a number where one is: max itself gives its second operand then, so that max(limit, x)
/// needs no more than that.
RHEINFALL_GNN_FUNCTION Vector larger(Vector a, Vector b) {
    return select(not_number(a), a, max(a, b));
}

RHEINFALL_GNN_FUNCTION Vector lesser(Vector a, Vector b) {
    return select(not_number(a), a, min(a, b));
}

/// exp, 1e-7 relative, within the exponents above, beyond which it stays at those of the limits.
RHEINFALL_GNN_FUNCTION Vector exp_within(Vector x) {
    // The operand order of max and min keeps what is not a number.
    x = min(all(most_exponent), max(all(least_exponent), x));
    const Vector magic = all(12582912.0f);  // 1.5 · 2^23: adding it rounds to an integer
    const Vector shifted = fma(x, all(1.44269504088896341f), magic);
    const Vector n = shifted - magic;
    Vector r = fma(n, all(-0.693359375f), x);
    r = fma(n, all(2.12194440e-4f), r);
    Vector p = all(1.9875691500e-4f);
    p = fma(p, r, all(1.3981999507e-3f));
    p = fma(p, r, all(8.3334519073e-3f));
    p = fma(p, r, all(4.1665795894e-2f));
    p = fma(p, r, all(1.6666665459e-1f));
    p = fma(p, r, all(5.0000001201e-1f));
    p = fma(p, r * r, r) + all(1.0f);
    // Bits of what is not a number are no power of two.
    return select(not_number(x), x, scale_by_power(p, shifted));
}

/// exp; 0 where the result is below the least normal number.
RHEINFALL_GNN_FUNCTION Vector exp_of(Vector x) {
    const Vector y = select(less(x, all(least_exponent)), all(0.0f), exp_within(x));
    return select(less(all(most_exponent), x), all(infinity), y);
}

RHEINFALL_GNN_FUNCTION Vector sigmoid_of(Vector x) {
    return all(1.0f) / (all(1.0f) + exp_within(all(0.0f) - x));
}

RHEINFALL_GNN_FUNCTION Vector tanh_of(Vector x) {
    const Vector a = max(all(0.0f) - x, x);
    const Vector w = x * x;
    Vector p = all(-5.70498872745e-3f);
    p = fma(p, w, all(2.06390887954e-2f));
    p = fma(p, w, all(-5.37397155531e-2f));
    p = fma(p, w, all(1.33314422036e-1f));
    p = fma(p, w, all(-3.33332819422e-1f));
    const Vector small = fma(p * w, x, x);
    const Vector large = all(1.0f) - all(2.0f) / (exp_within(a + a) + all(1.0f));
    const Vector with_sign = select(less(x, all(0.0f)), all(0.0f) - large, large);
    return select(less(a, all(0.625f)), small, with_sign);
}

/// Natural logarithm.
RHEINFALL_GNN_FUNCTION Vector log_of(Vector x) {
    const Mask subnormal = less(x, all(least_normal));
    Vector e;
    Vector m = mantissa(select(subnormal, x * all(16777216.0f), x), e);  // 2^24
    e = select(subnormal, e - all(24.0f), e);
    const Mask low = less(m, all(0.707106781f));
    e = select(low, e - all(1.0f), e);
    m = select(low, m + m, m) - all(1.0f);
    const Vector w = m * m;
    Vector p = all(7.0376836292e-2f);
    p = fma(p, m, all(-1.1514610310e-1f));
    p = fma(p, m, all(1.1676998740e-1f));
    p = fma(p, m, all(-1.2420140846e-1f));
    p = fma(p, m, all(1.4249322787e-1f));
    p = fma(p, m, all(-1.6668057665e-1f));
    p = fma(p, m, all(2.0000714765e-1f));
    p = fma(p, m, all(-2.4999993993e-1f));
    p = fma(p, m, all(3.3333331174e-1f));
    Vector y = p * m * w;
    y = fma(e, all(-2.12194440e-4f), y);
    y = fma(w, all(-0.5f), y);
    y = fma(e, all(0.693359375f), m + y);
    // Bits of these are no mantissa and exponent: infinity and what is not a number stay, 0 and below have their own.
    y = select(less(x, all(infinity)), y, x);
    y = select(less(all(0.0f), x), y, select(not_number(x), x, all(-infinity)));
    return select(less(x, all(0.0f)), all(__builtin_nanf("")), y);
}

RHEINFALL_GNN_FUNCTION Vector erf_of(Vector x) {
    const Vector a = max(all(0.0f) - x, x);
    const Vector t = all(1.0f) / fma(a, all(0.3275911f), all(1.0f));
    Vector p = all(1.061405429f);
    p = fma(p, t, all(-1.453152027f));
    p = fma(p, t, all(1.421413741f));
    p = fma(p, t, all(-0.284496736f));
    p = fma(p, t, all(0.254829592f));
    const Vector y = all(1.0f) - p * t * exp_within(all(0.0f) - x * x);
    return select(less(x, all(0.0f)), all(0.0f) - y, y);
}

/// log(1 + exp(x)) = max(x, 0) + log(1 + exp(-|x|)).
RHEINFALL_GNN_FUNCTION Vector softplus_of(Vector x) {
    const Vector a = max(all(0.0f) - x, x);
    return max(all(0.0f), x) + log_of(all(1.0f) + exp_within(all(0.0f) - a));
}

RHEINFALL_GNN_FUNCTION Vector activate(Unary unary, Vector x, float a, float b) {
    const Vector zero = all(0.0f);
    switch (unary) {
        case Unary::relu: return max(zero, x);
        case Unary::leaky_relu: return select(less(x, zero), x * all(a), x);
        case Unary::elu: return select(less(x, zero), all(a) * (exp_within(x) - all(1.0f)), x);
        case Unary::sigmoid: return sigmoid_of(x);
        case Unary::tanh: return tanh_of(x);
        case Unary::softplus: return softplus_of(x);
        case Unary::exp: return exp_of(x);
        case Unary::log: return log_of(x);
        case Unary::sqrt: return sqrt(x);
        case Unary::abs: return max(zero - x, x);
        case Unary::square: return x * x;
        case Unary::reciprocal: return all(1.0f) / x;
        case Unary::erf: return erf_of(x);
        case Unary::clip: return min(all(b), max(all(a), x));
    }
    return x;
}

template <Unary U>
struct UnaryConstant {
    static constexpr Unary value = U;
};

template <class F>
inline void dispatch_unary(Unary unary, F&& f) {
    switch (unary) {
        case Unary::relu: return f(UnaryConstant<Unary::relu>());
        case Unary::leaky_relu: return f(UnaryConstant<Unary::leaky_relu>());
        case Unary::elu: return f(UnaryConstant<Unary::elu>());
        case Unary::sigmoid: return f(UnaryConstant<Unary::sigmoid>());
        case Unary::tanh: return f(UnaryConstant<Unary::tanh>());
        case Unary::softplus: return f(UnaryConstant<Unary::softplus>());
        case Unary::exp: return f(UnaryConstant<Unary::exp>());
        case Unary::log: return f(UnaryConstant<Unary::log>());
        case Unary::sqrt: return f(UnaryConstant<Unary::sqrt>());
        case Unary::abs: return f(UnaryConstant<Unary::abs>());
        case Unary::square: return f(UnaryConstant<Unary::square>());
        case Unary::reciprocal: return f(UnaryConstant<Unary::reciprocal>());
        case Unary::erf: return f(UnaryConstant<Unary::erf>());
        case Unary::clip: return f(UnaryConstant<Unary::clip>());
    }
}
