"""Random discrete programs that weigh their runs: `merging_programs.py` with observations, conditions, factors and proposals
anywhere, and idioms of their own (hidden Markov chains, conditions that end all runs of a branch or of a call, ...)."""

from __future__ import annotations

from benchmarks.merging_programs import FUNCTIONS, IDIOMS, KITS, Names, Programs

# as in merging_programs.py: bits, text
WEIGHED_IDIOMS = [
    (4, "$h = 0; for $i in range(4) { $h ~ Bernoulli(if $h > 0 then theta else <p>); observe [1, 0, 1, 1][$i] ~ Bernoulli(if $h > 0 then 0.8 else 0.3*theta); TOTAL = TOTAL + $h }"),
    (5, "$h = 0; for $i in range(3) { $h ~ Categorical([[theta, 1 - theta, 0.3], [0.2, theta, 0.5], [0.3, 0.3, 1]][$h]); observe [0.3, -1, 2][$i] ~ Normal($h*phi, 1 + theta) }; TOTAL = TOTAL + $h*theta"),
    (4, "$s = 0; for $i in range(4) { $b ~ Bernoulli(<p>); $s = $s + $b; observe $s ~ Poisson(theta*($i + 1)) }; TOTAL = TOTAL + $s"),
    (4, "$s = 0; for $i in range(4) { $b ~ Bernoulli(<p>); $s = $s + $b; observe $s <= $i }; TOTAL = TOTAL + $s*phi"),
    (3, "$s = 0; for $i in range(3) { $b ~ Bernoulli(<p>); $s = $s + $b*theta; observe $b > 0 or $i < 2 }; TOTAL = TOTAL + $s^2"),
    (2, "$b ~ Bernoulli(<p>); if $b { observe $b < 0 } else { TOTAL = TOTAL + phi }; $c ~ Bernoulli(theta); TOTAL = TOTAL + $b + $c"),
    (2, "$b ~ Bernoulli(<p>); $c ~ Bernoulli(<p>); if $b { observe $c > 0; factor theta } else { observe 1 ~ Bernoulli(0.2 + 0.5*theta*$c) }; TOTAL = TOTAL + $b*$c"),
    (3, "$b ~ Bernoulli(<p>) via Bernoulli(<p>); $c ~ Categorical([theta, 1, 0.5]) via Categorical([1, theta, 0.3]); TOTAL = TOTAL + $b*$c*theta"),
    (3, "$n ~ Binomial(3, <p>) via Categorical([1, theta, 1, 1]); observe $n ~ Poisson(1 + theta); TOTAL = TOTAL + $n"),
    (3, "$n ~ Binomial(2, <p>) via DiscreteUniform(0, 2); observe $n != 1 or <c>; COUNT = COUNT + $n"),
    (4, "$v = [0, 0, 0]; for $i in range(3) { $v[$i] ~ Bernoulli(<p>) }; observe $v ~ Bernoulli([theta, 0.3, 1 - theta]); factor $v*phi; TOTAL = TOTAL + $v[0]*$v[2]"),
    (3, "$b ~ Bernoulli([theta, <p>, 0.5]); observe sum($b) > 0; observe [0, 1, 1] ~ Binomial(1, 0.2 + 0.3*$b); TOTAL = TOTAL + sum($b)*theta"),
    (3, "$b ~ Bernoulli([theta, <p>, 0.5]) via Bernoulli([0.5, 0.4, theta]); TOTAL = TOTAL + $b[0]*$b[1] - $b[2]"),
    (3, "$v = [0, 0, 0]; for $i in range(2) { $v[$i + 1] ~ Bernoulli(<p>) via Bernoulli(0.2 + 0.5*$v[$i]) }; TOTAL = TOTAL + $v[1]*$v[2]"),
    (3, "$w = 0; while $w < 3 and Bernoulli(<p>) { $w = $w + 1; observe $w ~ Poisson(theta + 1) }; observe $w < 3; COUNT = COUNT + $w"),
    (3, "$w = 0; while $w < 3 and Bernoulli(<p>) { $w = $w + 1; factor theta*$w; observe Bernoulli(0.8) > 0 or $w > 1 }; TOTAL = TOTAL + $w"),
    (3, "$a = 0; for $i in range(3) { $b ~ Bernoulli(<p>); $a = $a + $b*theta; factor $a }; TOTAL = TOTAL + $a"),
    (3, "$a = 0; for $i in range(3) { $b ~ Bernoulli(<p>); $a = $a + $b; factor $b*phi; TOTAL = TOTAL + $a*phi }; observe $a ~ Normal(theta, 1)"),
    (4, "$l = 0; for $i in range(4) { $b ~ Bernoulli(<p>); factor if $b == $l then theta else phi/2; $l = $b }; TOTAL = TOTAL + $l"),
    (3, "for $i in range(1 + Bernoulli(<p>)) { $b ~ Bernoulli(<p>); observe $b + $i > 0; TOTAL = TOTAL + $b*theta }"),
    (3, "$a = theta; for $i in range(3) { $b ~ Bernoulli(<p>); if $b { $a = $a/2 }; observe 1 ~ Bernoulli($a) }; TOTAL = TOTAL + $a"),
    (2, "$a = theta; $b ~ Bernoulli(theta); if $b { $a = 1 - theta }; observe 1 ~ Bernoulli($a); $c ~ Bernoulli(<p>); observe 0 ~ Bernoulli(if $c > 0 then theta else 1 - theta); TOTAL = TOTAL + $a*$c"),
    (2, "$b ~ Bernoulli(<p>); $k = 0; if <c> { observe $b > 0; $k = 1 } else if $b { factor phi; $k = 2 }; TOTAL = TOTAL + $k*theta"),
    (1, "$b ~ Bernoulli(<p>); observe theta*$b + phi ~ Normal(0, 1); TOTAL = TOTAL + $b"),
    (2, "$b ~ Bernoulli(<p>); $c ~ Bernoulli(<p>); observe not ($b and $c); observe $b or $c or <c>; TOTAL = TOTAL + $b*theta + $c*phi"),
]
WEIGHED_FUNCTIONS = [
    (1, True, "fn FUN(x, y) { b ~ Bernoulli(theta); observe b + x > 0; return b + y }"),
    (1, True, "fn FUN(x, y) { b ~ Bernoulli(theta); observe y ~ Poisson(b + 0.5); return b*x }"),
    (1, False, "fn FUN(x, y) { b ~ Bernoulli(theta); if b { observe x < 2; return theta }; factor phi*y/3; return y*phi }"),
    (1, True, "fn FUN(x, y) { if x > 1 { observe y > 1; return 1 }; b ~ Bernoulli(theta) via Bernoulli(0.2 + 0.3*y/2); return b }"),
    (2, False, "fn FUN(x, y) { for i in range(2) { b ~ Bernoulli(sigmoid(phi*x)); if b { return theta*(i + y) }; observe x + y ~ Poisson(1 + i*theta) }; return 0 }"),
    (3, True, "fn FUN(x, y) { if x + y > 3 { return x }; b ~ Bernoulli(theta); factor b*phi/2; if b { return FUN(x + 1, y + 1) }; observe x < 3; return FUN(x, y + 2) + 1 }"),
    (3, False, "fn FUN(n, acc) { if n < 1 { observe acc ~ Normal(theta, 1); return acc }; return FUN(n - 1, acc + theta*Bernoulli(theta)) }"),
    (0.1, True, "fn FUN(x, y) { observe x + y != 3; return x }"),
    (0.1, False, "fn FUN(x, y) { factor -theta*x; observe 1 ~ Bernoulli(0.2 + 0.2*y*theta); return y + x*phi }"),
    (1, True, "fn FUN(x, y) { k = shared; if Bernoulli(theta) { observe k < 3; k = k + x }; observe k ~ Poisson(2); return k + y }"),
]
WEIGHED_KITS: list[tuple[str, list[tuple[float, str]]]] = [
    ("fn FUN(x) { b ~ Bernoulli(theta); observe 1 ~ Bernoulli(if b > 0 then 0.9 else 0.2 + 0.1*theta); return b*x + phi }", [
        (2, "TOTAL = TOTAL + FUN(theta)*FUN(theta)"),
        (2, "TOTAL = TOTAL + FUN(FUN(theta))"),
        (1, "if FUN(1) > phi { TOTAL = TOTAL + theta } else { observe <c> or FUN(1) > phi }"),
        (2, "TOTAL = TOTAL + (if <c> then FUN(theta) else FUN(TOTAL))"),
        (2, "for $e in [FUN(0), FUN(1)] { TOTAL = TOTAL + $e*$e*theta }"),
        (2, "observe FUN(1) ~ Normal(FUN(phi), 1)"),
        (3, "$r = TOTAL; for $i in range(3) { $r = FUN($r) }; TOTAL = TOTAL + $r"),
        (3, "for $i in range(3) { $c = FUN($i); factor $c/3 }"),
    ]),
    ("fn FUN(n) { w = 0; while w < n and Bernoulli(theta) { w = w + 1; observe w < 2 or Bernoulli(0.3) > 0 }; return w }", [
        (4, "TOTAL = TOTAL + FUN(2)*theta"),
        (4, "if FUN(2) > 1 { TOTAL = TOTAL + phi } else if FUN(0) > 0 { COUNT = COUNT + 1 }"),
        (4, "for $i in range(FUN(2)) { TOTAL = TOTAL + $i*theta + TOTAL*phi }"),
        (4, "observe FUN(2) < 2; observe FUN(1) ~ Poisson(1 + theta)"),
        (4, "$w = 0; while $w < 3 and FUN(1) > 0 { $w = $w + 1 }; TOTAL = TOTAL + $w*phi"),
    ]),
    ("fn FUN(n, a) { if n < 1 { return a }; b ~ Bernoulli(sigmoid(a*phi)) via Bernoulli(0.5); observe b + n ~ Poisson(1 + theta); r = FUN(n - 1, 1 - b); return r + b*FUN(n - 1, a) }", [
        (4, "TOTAL = TOTAL + FUN(2, 1)"),
        (4, "TOTAL = TOTAL*FUN(1, 0) + FUN(1, TOTAL)"),
    ]),
    ("fn FUN(x) { observe x < 2; return x*theta }", [
        (2, "$b ~ Binomial(2, <p>); TOTAL = TOTAL + FUN($b)"),
        (1, "$b ~ Bernoulli(<p>); $k = if $b > 0 then FUN(3) else FUN(1); TOTAL = TOTAL + $k"),
        (1, "$b ~ Bernoulli(<p>); if FUN($b*2) > 0 { TOTAL = TOTAL + 1 }; $c ~ Bernoulli(theta); TOTAL = TOTAL + $c"),
        (1, "$b ~ Bernoulli(<p>); TOTAL = TOTAL + FUN(2*$b)*FUN($b)"),
        (1, "$b ~ Bernoulli(<p>); if $b > 0 and FUN(2*$b) > 0 { TOTAL = TOTAL + 1 }"),
    ]),
]


class ObservedPrograms(Programs):
    """A generator of one weighed program."""

    def weigh(self, names: Names) -> str:
        """A statement that weighs."""
        kind, choice = self.random.random(), self.random.choice
        if kind < 0.2:
            return f"observe {self.condition(names)} or {self.condition(names)}" if kind < 0.1 else f"observe {self.condition(names)}"
        if kind < 0.3:
            return f"observe 1*({self.condition(names)}) ~ Bernoulli({self.chance(names, 1)})"
        if kind < 0.4:
            return f"observe {self.whole(names)} ~ Poisson(0.5 + {choice(['theta', '1', 'theta*phi^2'])})"
        if kind < 0.45:
            return f"observe {self.whole(names)} ~ Binomial(3, {self.chance(names, 1)})"
        if kind < 0.5:
            return f"observe {self.whole(names)} % 3 ~ Categorical([{self.chance(names, 1)}, theta, 0.5])"
        if kind < 0.58:
            return f"observe tanh({self.real(names)}) ~ Normal({choice(['phi', 'theta', self.real(names, 2)])}, {choice(['1', '2', 'theta'])})"
        if kind < 0.63 and names.counts:
            return f"observe {choice(names.counts)} ~ Poisson({choice(['1', '[theta, 1, 2]', '1 + theta'])})"
        if kind < 0.66:
            return f"observe [1, 0, 1] ~ Bernoulli([{self.chance(names, 1)}, theta, 0.5])"
        if kind < 0.8:
            return f"factor {choice(['tanh', 'sin'])}({self.real(names)})"
        if kind < 0.84 and names.vectors:
            return f"factor 0.1*{choice(names.vectors)}"
        name = choice([name for name in names.ints if name not in names.fixed] or [self.fresh("b")])
        if kind < 0.93 and self.pay(1):
            text = f"{name} ~ Bernoulli({self.chance(names, 1)}) via Bernoulli({self.chance(names, 1)})"
        elif self.pay(1.6):
            target, proposal = choice([
                ("Categorical([1, theta, 0.5])", "DiscreteUniform(0, 2)"), (f"Binomial(2, {self.chance(names, 1)})", "Categorical([1, theta, 1])"),
                ("Poisson(1 + theta)", f"Binomial(2, {self.chance(names, 1)})") if self.random.random() < 0 else ("DiscreteUniform(0, 2)", "Binomial(2, theta)"),
            ])
            text = f"{name} ~ {target} via {proposal}"
        else:
            return f"factor theta*{choice(names.ints or ['1'])}/4"
        if name not in names.ints:
            names.ints.append(name)
        return text

    def statement(self, names: Names, depth: int) -> str:
        kind = self.random.random()
        if kind < 0.14:
            return self.weigh(names)
        if kind < 0.3 and (text := self.weighed_idiom(names)):
            return text
        return super().statement(names, depth)

    def weighed_idiom(self, names: Names) -> str | None:
        """One of the idioms of this file."""
        kept = IDIOMS[:]
        IDIOMS[:] = WEIGHED_IDIOMS
        try:
            return self.idiom(names)
        finally:
            IDIOMS[:] = kept

    def define(self) -> str:
        kept = FUNCTIONS[:]
        if self.random.random() < 0.6:
            FUNCTIONS[:] = WEIGHED_FUNCTIONS
        try:
            return super().define()
        finally:
            FUNCTIONS[:] = kept

    def kit(self) -> str:
        kept = KITS[:]
        if self.random.random() < 0.6:
            KITS[:] = WEIGHED_KITS
        try:
            return super().kit()
        finally:
            KITS[:] = kept

    def program(self) -> tuple[str, dict[str, float]]:
        text, values = super().program()
        if "observe" in text or "factor" in text or " via " in text:
            return text, values
        *lines, last = text.split("\n")
        return "\n".join([*lines, "observe n ~ Normal(1, 1 + theta)", last]), values
