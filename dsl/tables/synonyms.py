"""What things are called in other languages, and what to write for them here: tables only (`meanings.py` looks them up).

Keys are in small letters without `_`, except where capitals matter.  Of distributions and functions the text after a key
is what to write; behind a `|` stands what else there is to say.
"""

from __future__ import annotations

_DRAW = "z ~ Normal(0, 1)"
_LENGTH = "length(x)"
_CHOICE = "if c then a else b|for arrays where(c, a, b)"
VECTOR = "[a, b, c]"
_NORMAL = "Normal(loc, scale)"
_UNIFORM = "Uniform(0, 1)"
_LOOP = "for i in range(n) { ... }"
_SHOW = "|`probrun run FILE --of NAME` shows a variable"

# Distributions of Stan, BUGS, R, NumPy, SciPy, Pyro, PyMC, TFP, C++.
DISTRIBUTIONS = {
    "n": _NORMAL, "gaussian": _NORMAL, "gauss": _NORMAL, "norm": _NORMAL, "rnorm": _NORMAL, "normaldistribution": _NORMAL,
    "randn": "Normal(0, 1)", "stdnormal": "Normal(0, 1)", "standardnormal": "Normal(0, 1)", "rand": _UNIFORM,
    "random": _UNIFORM, "runif": "Uniform(low, high)", "unif": "Uniform(low, high)", "u": "Uniform(low, high)",
    "uniformrealdistribution": "Uniform(low, high)", "erlang": "Gamma(k, rate)|with a whole number k",
    "rgamma": "Gamma(concentration, rate)", "expon": "Exponential(rate)", "rexp": "Exponential(rate)",
    "expo": "Exponential(rate)", "exponentialdistribution": "Exponential(rate)", "flip": "Bernoulli(probs)",
    "coin": "Bernoulli(probs)", "bern": "Bernoulli(probs)", "bernoullidistribution": "Bernoulli(probs)",
    "bernoullilogit": "Bernoulli(logits=...)", "binomiallogit": "Binomial(total_count, logits=...)",
    "binom": "Binomial(total_count, probs)", "rbinom": "Binomial(total_count, probs)", "pois": "Poisson(rate)",
    "rpois": "Poisson(rate)", "poissonlog": "Poisson(exp(...))", "geom": "Geometric(probs)",
    "nbinom": "NegativeBinomial(size, probs=1 - prob)", "negbinomial": "NegativeBinomial(total_count, probs)",
    "negbinomial2": "NegativeBinomial(total_count=phi, probs=mu/(mu + phi))", "categoricallogit": "Categorical(logits=...)",
    "choice": "Categorical(probs)", "discrete": "Categorical(probs)", "cat": "Categorical(probs)",
    "randint": "DiscreteUniform(low, high)|both ends are included",
    "randrange": "DiscreteUniform(low, high)|both ends are included",
    "uniformintdistribution": "DiscreteUniform(low, high)|both ends are included",
    "delta": "x = value|what is not random needs no distribution",
    "dirac": "x = value|what is not random needs no distribution",
    "pointmass": "x = value|what is not random needs no distribution",
    "deterministic": "x = value|what is not random needs no distribution",
    "constant": "x = value|what is not random needs no distribution",
    "mvn": "MultivariateNormal(loc, covariance_matrix=...)", "mvnormal": "MultivariateNormal(loc, covariance_matrix=...)",
    "multinormal": "MultivariateNormal(loc, covariance_matrix=...)",
    "multinormalcholesky": "MultivariateNormal(loc, scale_tril=...)", "t": "StudentT(df, loc, scale)",
    "student": "StudentT(df, loc, scale)", "halfnorm": "HalfNormal(scale)", "doubleexponential": "Laplace(loc, scale)",
    "lognorm": "LogNormal(loc, scale)", "invgamma": "InverseGamma(concentration, rate)", "chisq": "Chi2(df)",
    "chisquare": "Chi2(df)", "chisquared": "Chi2(df)", "truncnorm": "TruncatedNormal(loc, scale, low=..., high=...)",
    "lkj": "LKJCholesky(dim, concentration)", "lkjcorr": "LKJCholesky(dim, concentration)",
    "lkjcorrcholesky": "LKJCholesky(dim, concentration)", "shuffle": "permutation(n)", "randperm": "permutation(n)",
    "unitnormal": "Normal(0, 1)", "bernoullilogits": "Bernoulli(logits=...)",
}  # fmt: skip

# Functions.  A key that ends in `*` or starts with it stands for all names that begin or end so.
FUNCTIONS = {
    "ln": "log(x)", "log10": "log(x)/log(10)", "log2": "log(x)/log(2)", "exp2": "2^x", "pow": "a^b", "power": "a^b",
    "square": "x^2", "sqr": "x^2", "rsqrt": "1/sqrt(x)", "invsqrt": "1/sqrt(x)", "inv": "1/x|of a matrix inverse(m)",
    "reciprocal": "1/x",
    "cbrt": "x^(1/3)", "fabs": "abs(x)", "absolute": "abs(x)", "arctan": "atan(x)", "sgn": "sign(x)", "ceiling": "ceil(x)",
    "trunc": "floor(x)", "int": "floor(x)", "rint": "round(x)", "mod": "a % b", "fmod": "a % b", "remainder": "a % b",
    "negative": "-x", "maximum": "max(a, b)", "fmax": "max(a, b)", "amax": "max(x)", "minimum": "min(a, b)",
    "fmin": "min(a, b)", "amin": "min(x)", "expit": "sigmoid(x)", "logistic": "sigmoid(x)", "invlogit": "sigmoid(x)",
    "plogis": "sigmoid(x)", "qlogis": "logit(x)", "log1pexp": "softplus(x)", "gammaln": "lgamma(x)",
    "loggamma": "lgamma(x)", "gamma": "exp(lgamma(x))", "beta": "exp(lgamma(a) + lgamma(b) - lgamma(a + b))",
    "betaln": "lgamma(a) + lgamma(b) - lgamma(a + b)", "factorial": "exp(lgamma(n + 1))",
    "comb": "exp(lgamma(n + 1) - lgamma(k + 1) - lgamma(n - k + 1))",
    "choose": "exp(lgamma(n + 1) - lgamma(k + 1) - lgamma(n - k + 1))", "erfc": "1 - erf(x)",
    "phi": "normcdf(x)", "pnorm": "cdf(Normal(loc, scale), x)", "ndtr": "normcdf(x)", "stdnormalcdf": "normcdf(x)",
    "heaviside": "if x > 0 then 1 else 0", "step": "if x > 0 then 1 else 0", "dnorm": "exp(logpdf(Normal(loc, scale), x))",
    "dunif": "exp(logpdf(Uniform(low, high), x))", "dexp": "exp(logpdf(Exponential(rate), x))",
    "dpois": "exp(logpdf(Poisson(rate), x))", "dbinom": "exp(logpdf(Binomial(total_count, probs), x))",
    "dgamma": "exp(logpdf(Gamma(concentration, rate), x))", "logprob": "logpdf(Normal(0, 1), x)",
    "lpdf": "logpdf(Normal(0, 1), x)", "logpmf": "logpdf(Poisson(rate), x)", "len": _LENGTH, "size": _LENGTH,
    "shape": _LENGTH, "numel": _LENGTH, "nrow": _LENGTH, "rows": _LENGTH, "numelements": _LENGTH, "ncol": "length(x[0])",
    "cols": "length(x[0])", "ifelse": _CHOICE, "iif": _CHOICE, "cond": _CHOICE, "select": _CHOICE, "array": VECTOR,
    "list": VECTOR, "tensor": VECTOR, "tuple": VECTOR, "c": VECTOR, "vector": "stack(a, b)|or [a, b] for numbers",
    "rep": "value*ones(n)", "repvector": "value*ones(n)", "full": "value*ones(n)", "repeat": "value*ones(n)",
    "zeroslike": "0*x", "oneslike": "0*x + 1", "range": "arange(n)", "seqlen": "arange(n)", "seq": "arange(start, stop)",
    "linspace": "low + (high - low)*arange(n)/(n - 1)", "diff": "x[1:] - x[:length(x) - 1]", "inner": "dot(a, b)",
    "dotproduct": "dot(a, b)", "mm": "matmul(a, b)", "crossprod": "matmul(transpose(a), b)",
    "det": "exp(logdet(m))", "logdeterminant": "logdet(m)", "slogdet": "logdet(m)", "chol": "cholesky(m)",
    "choleskydecompose": "cholesky(m)", "linalgsolve": "solve(a, b)", "mdivideleft": "solve(a, b)", "eye": "diag(ones(n))",
    "identity": "diag(ones(n))", "identitymatrix": "diag(ones(n))", "diagmatrix": "diag(x)", "trace": "sum(diag(m))",
    "order": "argsort(x)", "sortindices": "argsort(x)", "whichmin": "argmin(x)", "whichmax": "argmax(x)",
    "norm": "sqrt(sum(x^2))|the distribution is Normal(loc, scale)", "average": "mean(x)",    "variance": "var(x)", "sd": "std(x)",
    "stddev": "std(x)", "median": "quantile(x, 0.5)", "percentile": "quantile(x, p/100)",
    "reducesum": "sum(x)", "reducemean": "mean(x)", "reducemax": "max(x)", "reducemin": "min(x)",
    "reduceprod": "prod(x)", "reducelogsumexp": "logsumexp(x)", "sorted": "sort(x)", "cat": "concat(a, b)",
    "concatenate": "concat(a, b)", "hstack": "concat(a, b)", "append": "concat(x, value)", "appendrow": "concat(a, b)",
    "vstack": "stack(a, b)", "clip": "clamp(x, low, high)", "float": "x|all numbers are alike",
    "double": "x|all numbers are alike", "asnumeric": "x|all numbers are alike", "bool": "x > 0", "logicaland": "a and b",
    "logicalor": "a or b", "logicalnot": "not a", "print": _SHOW, "printf": _SHOW, "cout": _SHOW, "display": _SHOW,
    "sample": _DRAW, "rvs": _DRAW, "draw": _DRAW, "rsample": _DRAW,
    "param": "|declare it in a line of its own: param theta = 1", "plate": _LOOP, "enumerate": _LOOP, "zip": _LOOP,
    "map": _LOOP, "vmap": _LOOP, "lapply": _LOOP, "sapply": _LOOP,
    "grad": "|`probrun grad FILE` differentiates the program",
    "backward": "|`probrun grad FILE` differentiates the program", "*lpdf": "logpdf(Normal(loc, scale), x)",
    "*lpmf": "logpdf(Poisson(rate), x)", "*rng": _DRAW, "*lcdf": "logcdf(Normal(loc, scale), x)",
    "*lccdf": "logsf(Normal(loc, scale), x)",
    "logccdf": "logsf(Normal(loc, scale), x)", "sf": "1 - cdf(Normal(loc, scale), x)", "survival": "1 - cdf(Normal(loc, scale), x)",
    "pbinom": "cdf(Binomial(total_count, probs), x)", "ppois": "cdf(Poisson(rate), x)", "pexp": "cdf(Exponential(rate), x)",
    "pgamma": "cdf(Gamma(concentration, rate), x)", "pbeta": "cdf(Beta(concentration1, concentration0), x)",
    "punif": "cdf(Uniform(low, high), x)", "pt": "cdf(StudentT(df, 0, 1), x)",
}  # fmt: skip

# Names that stand for a value; capitals matter.  Those of `NEVER` are no parameter's name even where none is declared.
VALUES = {
    "True": "write true", "TRUE": "write true", "False": "write false", "FALSE": "write false",
    "None": "every name has a value; leave it out", "NULL": "every name has a value; leave it out",
    "null": "every name has a value; leave it out", "nil": "every name has a value; leave it out",
    "nan": "there are no missing values", "NaN": "there are no missing values", "NAN": "there are no missing values",
    "NA": "there are no missing values", "Inf": "write inf", "INFINITY": "write inf", "Infinity": "write inf",
    "infinity": "write inf", "PI": "write pi", "Pi": "write pi", "e": "for Euler's number write exp(1)",
    "E": "for Euler's number write exp(1)",
    "target": "name the sum and return it: total = total + logpdf(Normal(mu, sigma), y)",
    "self": "there are no objects; use plain variables",
}  # fmt: skip
NEVER = frozenset(VALUES) - {"e", "E", "target", "self"}

# Where names stand in other languages: `np.exp`, `dist.Normal`, `std::exp`.
MODULES = frozenset({
    "np", "numpy", "jnp", "jax", "math", "Math", "cmath", "torch", "th", "tf", "tfp", "tfd", "tfb", "scipy", "stats",
    "special", "sp", "st", "dist", "dists", "distributions", "distribution", "pyro", "numpyro", "pm", "pymc", "pymc3", "pt",
    "tt", "T", "at", "F", "nn", "random", "rng", "std", "Distributions", "Random", "boost", "R", "base", "K", "keras", "xp",
    "cp", "cupy", "edward", "ed", "D", "td",
})  # fmt: skip

# `x.shape`, `x.sum()`: methods that are no function of the same name here.  `{x}` is what stands before the dot.
METHODS = {
    "shape": "length({x})", "size": "length({x})", "item": "{x}", "detach": "{x}", "numpy": "{x}", "copy": "{x}",
    "clone": "{x}", "float": "{x}", "double": "{x}", "int": "floor({x})", "long": "floor({x})", "tolist": "{x}",
    "cpu": "{x}", "cuda": "{x}", "append": "{x} = concat({x}, value)", "pow": "{x}^2", "square": "{x}^2",
    "dim": "length({x})", "ndim": "length({x})", "len": "length({x})", "t": "transpose({x})", "T": "transpose({x})",
    "length": "length({x})", "expand": "{x}*ones(n)",
    "repeat": "{x}*ones(n)", "clip": "clamp({x}, low, high)", "requires_grad_": "{x}", "sample": "z ~ {x}",
    "rsample": "z ~ {x}", "rvs": "z ~ {x}", "draw": "z ~ {x}", "log_prob": "logpdf({x}, {z})", "logpdf": "logpdf({x}, {z})",
    "logpmf": "logpdf({x}, {z})", "pdf": "exp(logpdf({x}, {z}))", "prob": "exp(logpdf({x}, {z}))",
    "cdf": "cdf({x}, {z})", "logcdf": "logcdf({x}, {z})", "log_cdf": "logcdf({x}, {z})", "logsf": "logsf({x}, {z})",
    "sf": "1 - cdf({x}, {z})", "survival_function": "1 - cdf({x}, {z})", "log_survival_function": "logsf({x}, {z})",
}  # fmt: skip

# First words of statements in other languages, and what to write here.
WORDS = {
    "let": "write y = ...", "var": "write y = ...", "const": "write y = ...", "local": "write y = ...",
    "set": "write y = ...", "auto": "write y = ...", "int": "write n = ...; a parameter is a line `param n = 3`",
    "double": "write y = ...", "real": "write y = ...; a parameter is a line `param y = 1`, data a line `data y`",
    "float": "write y = ...",
    "matrix": "write m = [[1, 2], [3, 4]]; a parameter is a line `param m[2, 2]`, data a line `data m[2, 2]`",
    "simplex": "write param p[3] in simplex", "ordered": "write param c[3]", "array": "write param x[3] or data x[n]",
    "vector": "write v = [1, 2, 3]; a parameter is a line `param v[3]`, data a line `data v[n]`", "elif": "write else if",
    "elseif": "write else if", "elsif": "write else if", "def": "write fn name(x) { ... return ... }",
    "function": "write fn name(x) { ... return ... }", "func": "write fn name(x) { ... return ... }",
    "fun": "write fn name(x) { ... return ... }", "void": "write fn name(x) { ... return ... }",
    "lambda": "write fn name(x) { ... return ... }", "parameter": "write param", "parm": "write param",
    "const_data": "write data", "print": "`probrun run FILE --of NAME` shows a variable",
    "printf": "`probrun run FILE --of NAME` shows a variable",
    "import": "there are no modules: exp, sum, Normal and the others are there; `probrun help` lists them",
    "from": "there are no modules: exp, sum, Normal and the others are there; `probrun help` lists them",
    "using": "there are no modules: exp, sum, Normal and the others are there; `probrun help` lists them",
    "include": "there are no modules: exp, sum, Normal and the others are there; `probrun help` lists them",
    "library": "there are no modules: exp, sum, Normal and the others are there; `probrun help` lists them",
    "sample": "write x ~ Normal(0, 1)", "repeat": "write for i in range(n) { ... }", "loop": "write while c { ... }",
    "foreach": "write for v in x { ... }", "until": "write while not c { ... }", "do": "write while c { ... }",
    "switch": "write if c { ... } else if d { ... }", "case": "write else if",
    "match": "write if c { ... } else if d { ... }", "with": "leave it out; a plate is a loop: for i in range(n) { ... }",
    "class": "there are no classes; use functions and arrays", "try": "there are no exceptions; write if c { ... }",
    "end": "a block ends with }", "yield": "write return y",
    "assert": "leave it out; a domain holds a parameter where it should be: param theta in (0, inf) = 1",
    "global": "a function never changes an outer name; return the value", "del": "leave it out",
}  # fmt: skip

# Blocks of Stan.
BLOCKS = {
    "model": "leave the block out: its statements stand alone in the file",
    "parameters": "leave the block out: a line `param theta = 1` for each parameter",
    "data": "leave the block out: a line `data x[n]` for each array of data",
    "quantities": "leave the block out: its statements stand alone in the file, and --of NAME shows a variable",
    "functions": "leave the block out: fn f(x) { return ... }",
}
# Types of Stan and C before a name.
DECLARED = frozenset({
    "real", "int", "float", "double", "long", "vector", "row_vector", "matrix", "simplex", "ordered", "positive_ordered",
    "array", "bool", "auto", "const", "tensor", "number", "scalar", "cov_matrix", "corr_matrix", "unsigned",
})

# What an argument of a distribution is called elsewhere: for each argument here its other names.
ARGUMENTS = {
    "loc": ("mu", "mean", "m", "location", "center", "centre", "average", "median", "mode", "x0"),
    "scale": ("sd", "sigma", "std", "stddev", "stdev", "standard_deviation", "s", "width", "b", "beta", "gamma", "xm", "x_m"),
    "rate": ("lam", "lamda", "lambda_", "lambd", "lambda", "beta", "intensity", "inverse_scale", "inv_scale", "mu", "mean", "b"),
    "concentration": ("shape", "alpha", "a", "k", "c", "kappa"), "concentration1": ("alpha", "a", "shape1", "alpha1"),
    "concentration0": ("beta", "b", "shape2", "alpha2"), "alpha": ("shape", "a", "b", "concentration", "k"),
    "probs": ("p", "prob", "probability", "theta", "q", "weights", "pvals", "ps", "phi"),
    "logits": ("logit", "logit_p", "logit_probs", "log_odds", "eta", "alpha"),
    "total_count": ("n", "N", "trials", "size", "count", "r", "n_trials"),
    "df": ("nu", "dof", "v", "degrees_of_freedom", "k"),
    "low": ("a", "lower", "min", "minimum", "left", "minval", "start", "lb", "low_"),
    "high": ("b", "upper", "max", "maximum", "right", "maxval", "stop", "end", "ub"),
    "covariance_matrix": ("cov", "covariance", "Sigma", "sigma", "S"),
    "precision_matrix": ("precision", "tau", "Q", "prec"), "scale_tril": ("L", "chol", "cholesky", "tril"),
}  # fmt: skip
# Where the other name is another quantity: what to write.
CONVERSIONS = {
    ("Exponential", "scale"): "write rate=1/scale", ("Exponential", "mean"): "write rate=1/mean",
    ("Exponential", "mu"): "write rate=1/mu", ("Exponential", "beta"): "write rate=1/beta",
    ("Exponential", "b"): "write rate=1/b", ("Gamma", "scale"): "write rate=1/scale",
    ("Gamma", "theta"): "write rate=1/theta", ("Gamma", "mean"): "write rate=concentration/mean",
    ("Gamma", "mu"): "write rate=concentration/mu", ("InverseGamma", "mean"): "write rate=mean*(concentration - 1)",
    ("InverseGamma", "mu"): "write rate=mu*(concentration - 1)", ("InverseGamma", "scale"): "write `rate`",
    ("Poisson", "scale"): "write rate", ("LogNormal", "mean"): "write `loc`, the mean of the logarithm",
    ("LogNormal", "median"): "write loc=log(median)",
    ("Beta", "mean"): "write concentration1=mean*k and concentration0=(1 - mean)*k",
    ("Beta", "mu"): "write concentration1=mu*k and concentration0=(1 - mu)*k",
}  # fmt: skip
ANYWHERE = {
    "var": "write scale=sqrt(var)", "variance": "write scale=sqrt(variance)", "sigma2": "write scale=sqrt(sigma2)",
    "tau": "write scale=1/sqrt(tau)", "precision": "write scale=1/sqrt(precision)", "prec": "write scale=1/sqrt(prec)",
}  # fmt: skip
# Arguments for arrays of draws, for names and for conditioning.
NO_ARGUMENTS = {
    "size": "an array of draws follows from an array of arguments: Normal(zeros(10), 1)",
    "shape": "an array of draws follows from an array of arguments: Normal(zeros(10), 1)",
    "sample_shape": "an array of draws follows from an array of arguments: Normal(zeros(10), 1)",
    "n": "an array of draws follows from an array of arguments: Normal(zeros(10), 1)",
    "obs": "the density of an observed value is logpdf(Normal(0, 1), y)",
    "observed": "the density of an observed value is logpdf(Normal(0, 1), y)",
    "name": "leave it out: the name stands before the `~`", "axis": "leave it out", "dim": "leave it out",
}  # fmt: skip
