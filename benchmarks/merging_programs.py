"""Random discrete programs that tempt lanes to meet: what must be kept apart, what may be added up, what is dead where.

`Programs(seed).program()` gives a text and values of its parameters.  Whole numbers carry no derivative and decide everything;
real numbers carry one and reach results, chances and one another.  Parameters are often where two ways give the same value and
another derivative (`theta` and `1 - theta` at 0.5).  All draws together are bounded by a budget of bits.
"""

from __future__ import annotations

import random
import re
from dataclasses import dataclass, field

# In idioms `$a` is a name of its own; <p> is a chance, <c> a condition, <i> a whole number, <r> a real number, <q>, <d> fresh
# of the kind that has no draws; N a few rounds; TOTAL a real variable and COUNT a whole one that are set before.  Bits are in front.
IDIOMS = [
    (3, "$r = theta; for $i in range(3) { $b ~ Bernoulli($r); if $b { $r = theta } else { $r = 1 - theta }; TOTAL = TOTAL + $r }"),
    (3, "$r = theta; $b = 0; for $i in range(3) { $b ~ Bernoulli(<p>); $r = if $b > 0 then $r*theta else $r*(1 - theta) }; TOTAL = TOTAL + $r*$r"),
    (3, "$s = 0; for $i in range(3) { $b ~ Bernoulli(<p>); $s = $s + $b*<r> }; TOTAL = TOTAL + $s^2"),
    (3, "$s = 0; $t = 0; for $i in range(3) { $b ~ Bernoulli(<p>); $s = $s + $b; $t = $t + (1 - $b)*<r> }; TOTAL = TOTAL + $s*$t"),
    (3, "$s = 0; $t = 0; for $i in range(3) { $b ~ Bernoulli(<p>); $s = $s + $b; $t = $t + $s }; TOTAL = TOTAL + $t"),
    (3, "$s = 0; $t = 1; for $i in range(3) { $b ~ Bernoulli(<p>); $s = $s + $b*<r>; $t = $t*theta + $s }; TOTAL = TOTAL + $t"),
    (3, "$s = 0; for $i in range(2) { $b ~ Bernoulli(<p>); $s = $s + $b*theta }; $c ~ Bernoulli(sigmoid($s)); TOTAL = TOTAL + $c"),
    (3, "$a = 1; $z = 0; for $i in range(3) { $t = $a; $b ~ Bernoulli(<p>); $a = $z + $b; $z = $t }; COUNT = COUNT + $a - $z"),
    (3, "$o = 0; $s = 0; for $i in range(3) { $b ~ Bernoulli(if $o > 0 then theta else <p>); if $b == $o { $s = $s + <r> }; $o = $b }; TOTAL = TOTAL + $s"),
    (3, "$u = 0; $b ~ Bernoulli(<p>); if $b { $u = <r> } else { if <c> { $u = theta } }; $c ~ Bernoulli(<p>); $e ~ Bernoulli(<p>); TOTAL = TOTAL + (if $c then $u else $e)"),
    (4, "$u ~ Bernoulli(<p>); $z ~ Bernoulli(<p>); $c ~ Bernoulli(<p>); if $c { TOTAL = TOTAL + $u*theta } else { TOTAL = TOTAL + $z }; $w ~ Bernoulli(<p>); COUNT = $w + $u"),
    (3, "$l = 0; $x = 0; for $i in range(3) { $x ~ Bernoulli(<p>); $l = $i*$x }; TOTAL = TOTAL + $x*theta + $l"),
    (3, "$i = 0; for $i in range(Bernoulli(<p>) + Bernoulli(<p>)) { TOTAL = TOTAL + <r> }; $c ~ Bernoulli(<p>); TOTAL = TOTAL + $i*$c*theta"),
    (4, "for $i in range(1 + Bernoulli(<p>)) { $b ~ Bernoulli(<p>); COUNT = $b; TOTAL = TOTAL + COUNT*theta }; $c ~ Bernoulli(<p>)"),
    (4, "$v = [0, 0]; for $i in range(2) { $v[$i] ~ Bernoulli(<p>) }; for $e in $v { $b ~ Bernoulli(<p>); TOTAL = TOTAL + $e*$b*theta; $v[0] = 0 }"),
    (4, "for $e in [Bernoulli(<p>), Bernoulli(theta)] { $b ~ Bernoulli(<p>); COUNT = $b; TOTAL = TOTAL + ($e*2 + $b)*phi }"),
    (4, "$w = 0; while $w < 4 and Bernoulli(<p>) { $w = $w + 1; TOTAL = TOTAL + <r> }; COUNT = COUNT + $w"),
    (4, "$w = 0; $k = 0; while $w < 4 and $k < 2 { $w = $w + 1; $k = $k + Bernoulli(<p>) }; TOTAL = TOTAL + theta^$w"),
    (4, "$h = [0, 0, 0]; for $i in range(2) { $k ~ Categorical([theta, <p>, 1]); $h[$k] = $h[$k] + <r> }; TOTAL = TOTAL + $h[0]*$h[1] + $h[2]"),
    (4, "$h = zeros(3); for $i in range(2) { $k ~ Categorical([theta, <p>, 1]); $h[$k] = $h[$k] + 1 }; TOTAL = TOTAL + ($h[0] > $h[2])*theta"),
    (5, "$q = 0; for $i in range(3) { $q ~ Categorical([[theta, 1 - theta, 0.3], [0.2, theta, 0.5], [0.3, 0.3, 1]][$q]); TOTAL = TOTAL + [0, 1, phi][$q] }"),
    (4, "$s = 0; $m = 0; for $i in range(4) { $s = $s + 2*Bernoulli(<p>) - 1; if $s > $m { $m = $s } }; TOTAL = TOTAL + $m*theta"),
    (3, "$g = theta; $x = 0; for $i in range(3) { $b ~ Bernoulli(<p>); $x = $x + $b*$g; if $b { $g = $g*0.5 } }; TOTAL = TOTAL + $x"),
    (3, "$g = theta; $x = 0; for $i in range(3) { $b ~ Bernoulli($g); $x = $x + $b; if $b { $g = $g*theta } else { $g = theta*$g } }; TOTAL = TOTAL + $x*$g"),
    (2, "$b ~ Bernoulli(theta); $c ~ Bernoulli(1 - theta); $a = if $b then theta else phi; $e = if $c then theta else phi; TOTAL = TOTAL + $a*$e"),
    (2, "$a = phi; $b ~ Bernoulli(<p>); if $b { $a = 2*phi }; $e = $a; $a = 0; $c ~ Bernoulli(<p>); TOTAL = TOTAL + $e*$c + $a"),
    (3, "$n ~ Binomial(2, <p>); $k ~ Binomial(2 - $n, theta); TOTAL = TOTAL + $k*$n*<r>"),
    (3, "$s = [Bernoulli(<p>), Bernoulli(<p>)]; $t = $s; $t[0] = Bernoulli(theta); TOTAL = TOTAL + sum($s)*theta + $t[0]*$s[0]"),
    (3, "$b ~ Bernoulli([theta, <p>, 0.5]); COUNT = COUNT + sum($b); TOTAL = TOTAL + $b[0]*theta"),
    (3, "$a = 0; $z = 0; for $i in range(3) { $b ~ Bernoulli(<p>); if $i == 1 { $z = $a } ; $a = $a + $b*phi }; TOTAL = TOTAL + $z*$a"),
    (3, "$a = 0; for $i in range(3) { $b ~ Bernoulli(<p>); $a = if $b then $a else $a + theta }; TOTAL = TOTAL + exp(-$a)"),
    (3, "$a = 0; $z = 0; for $i in range(3) { $b ~ Bernoulli(<p>); $a = $a + $b*theta; $z = $z + $a*$b }; TOTAL = TOTAL + $z - $a"),
    (4, "$s = 0; for $i in range(1 + Bernoulli(<p>)) { for $j in range(1 + Bernoulli(theta)) { $s = $s + 1 + $j*phi } }; TOTAL = TOTAL + $s*$s"),
    (4, "$s = 0; for $i in range(Bernoulli(<p>), 2) { for $j in range(Bernoulli(theta), 2) { $s = $s + $i + $j } }; TOTAL = TOTAL + ($s > 2)*theta"),
    (4, "$s = 0; for $e in [Bernoulli(<p>), 2] { for $f in [$e, Bernoulli(theta)] { $s = $s + $e*$f } }; TOTAL = TOTAL + theta^($s % 3)"),
    (4, "$s = 0; for $i in range(1 + Bernoulli(<p>)) { $w = 0; while $w < 2 and Bernoulli(theta) { $w = $w + 1; $s = $s + $w } }; TOTAL = TOTAL + $s^2*phi"),
    (4, "$v = [0, 0, 0]; $b ~ Bernoulli(<p>); if Bernoulli(theta) { $v[1] = $v[$b] + $b; COUNT = 1 }; if COUNT > 0 { $v[$b] = COUNT; $v[1] ~ Bernoulli(<p>) }"),
    (3, "$a = 0; $k = 0; for $i in range(3) { $b ~ Bernoulli(<p>); $a = $a + $b; $k = $k + 1 - $b; if <c> { $a = $a - 1 } }; COUNT = COUNT + max($a, $k)"),
    (3, "$x ~ Bernoulli(<p>); $y ~ Bernoulli(0.2 + 0.5*theta*$x); $z ~ Bernoulli(0.2 + 0.5*theta*$y); TOTAL = TOTAL + $x*phi + $y*theta + $z"),
    (3, "$x ~ Bernoulli(<p>); $y ~ Bernoulli(0.2 + 0.5*theta*$x); $z = $x*$y; $c ~ Bernoulli(<p>); TOTAL = TOTAL + $x*$z + $c*$x*phi"),
    (4, "$s = 0; $l = 0; for $i in range(4) { $b ~ Bernoulli(0.2 + 0.6*$l*theta); $s = $s + $b*$l*theta + $b*phi; $l = $b }; TOTAL = TOTAL + $s"),
    (4, "$s = 0; for $i in range(2) { $b ~ Bernoulli(<p>); $s = $s + $b*theta }; $q = $s^2; for $i in range(2) { $b ~ Bernoulli(<p>); $s = $s + $b*phi }; TOTAL = TOTAL + $s - $q*<r>"),
    (4, "$x ~ Bernoulli(<p>); $y ~ Bernoulli(<p>); $u = $x*theta + $y; $v = $u; $c ~ Bernoulli(<p>); $v = $v*2 + $c; $d ~ Bernoulli(theta); TOTAL = TOTAL*$d + $u*$v*phi"),
    (3, "$x ~ Bernoulli(<p>); if $x { TOTAL = TOTAL + phi }; $c ~ Bernoulli(<p>); $w = $x*theta; $d ~ Bernoulli(<p>); TOTAL = TOTAL + $w*$c + $d*$x"),
    (3, "$x ~ Bernoulli(<p>); $c ~ Bernoulli(0.3 + 0.4*$x); $d ~ Bernoulli(<p>); TOTAL = TOTAL + dot([$x, $d*phi], [$d, theta]) + sum([$c, $x])"),
]
IDIOMS += [
    (2, "$x ~ Bernoulli(<p>); $y = $x*theta; $z = -$y + $x/2; $c ~ Bernoulli(<p>); TOTAL = TOTAL + $z*$c - ($y - $c)*2"),
    (2, "$x ~ Bernoulli(<p>); $y = $x; $c ~ Bernoulli(<p>); TOTAL = TOTAL + $y*$c*$x - $c*($x + $y)*(<r>)"),
    (3, "$x ~ Bernoulli(<p>); $y ~ Bernoulli(theta); $c ~ Bernoulli(<p>); if $c > 0 { TOTAL = TOTAL + $x*$x*theta } else { TOTAL = TOTAL + $x - $y }"),
    (3, "$x = 0; for $i in range(3) { TOTAL = TOTAL + $x; $b ~ Bernoulli(<p>); $x = $x + $b*theta }; TOTAL = TOTAL + $x^2"),
    (3, "$v = [0, phi, 0]; for $i in range(3) { $b ~ Bernoulli(<p>); $v[$i] = $v[$i] + $b*theta; TOTAL = TOTAL + $v[0]*phi }; TOTAL = TOTAL + $v[1]*$v[2]"),
    (3, "$v = [0, phi, 0]; for $i in range(3) { $b ~ Bernoulli(<p>); $v = $v + [theta, $b, 1]*$b }; TOTAL = TOTAL + mean($v) + $v[0]"),
    (3, "$x ~ Bernoulli(<p>); $d = 1 + $x; $c ~ Bernoulli(<p>); TOTAL = TOTAL + TOTAL/$d + ($c - $x)/($d + 1); $e ~ Bernoulli(theta); TOTAL = $e*TOTAL"),
    (3, "$x ~ Bernoulli(<p>); $c ~ Bernoulli(<p>); $y = if $c > 0 then $x*phi else TOTAL; $d ~ Bernoulli(<p>); TOTAL = (if $d > 0 then $y else -$x)*$d + TOTAL"),
    (3, "$x = [Bernoulli(<p>), theta, 0]; $c ~ Bernoulli(<p>); $y = $x*$c; $d ~ Bernoulli(<p>); TOTAL = TOTAL + dot($x, [$d, 1, $c]) - sum($y)*$d + dot($y, $x)"),
    (3, "$a = 0; $z = 0; for $i in range(3) { $b ~ Bernoulli(<p>); $a = $z + $b*theta; $z = $a*phi }; TOTAL = TOTAL*$a - $z"),
    (3, "$a = theta; $z = 1; for $i in range(3) { $b ~ Bernoulli(<p>); $t = $a; $a = $a*$z; $z = $b + 1; TOTAL = TOTAL + $t }; TOTAL = TOTAL + $a"),
    (4, "$a = 0; $z = 0; for $i in range(2) { $b ~ Bernoulli(<p>); $c ~ Bernoulli(theta); $a = $a + $b; $z = $z + $c*phi; TOTAL = TOTAL + $a*$z }"),
]
# A function with ways to call it, in the scope of the program only; FUN its name.
KITS: list[tuple[str, list[tuple[float, str]]]] = [
    ("fn FUN(x) { b ~ Bernoulli(theta); return b*x + phi }", [
        (2, "TOTAL = TOTAL + FUN(theta)*FUN(theta)"),
        (2, "TOTAL = TOTAL + FUN(FUN(theta))"),
        (3, "TOTAL = TOTAL - FUN(FUN(TOTAL)*FUN(1))^2"),
        (2, "$r = <r>; TOTAL = TOTAL + FUN($r) - FUN($r)"),
        (1, "TOTAL = TOTAL + (if <c> then FUN(theta) else FUN(TOTAL))"),
        (3, "$v = [FUN(1), FUN(<i>), FUN(theta)]; TOTAL = TOTAL + $v[0]*$v[1] + sum($v)"),
        (2, "for $e in [FUN(0), FUN(1)] { TOTAL = TOTAL + $e*$e*theta }"),
        (2, "$c ~ Bernoulli(sigmoid(FUN(TOTAL))); COUNT = COUNT + $c"),
        (2, "$r = FUN(phi); $t = $r; $c = FUN(1); TOTAL = TOTAL + $t*$r*$c"),
        (3, "$b ~ Bernoulli(<p>); $r = FUN($b*theta); TOTAL = TOTAL + $r*$b - FUN($b)*$r"),
        (2, "$v = [1, theta, 2]; $w = FUN($v); TOTAL = TOTAL + dot($w, $v) + FUN($v)[1]"),
        (3, "$r = TOTAL; for $i in range(3) { $r = FUN($r) }; TOTAL = TOTAL + $r"),
        (3, "$r = TOTAL; for $i in range(3) { $r = $r + FUN($i) }; TOTAL = TOTAL + $r*$r"),
    ]),
    ("fn FUN(v) { k ~ Categorical([theta, 1, 0.5]); v[k] = v[k] + theta; return v }", [
        (2, "$v = FUN([1, phi, 0]); TOTAL = TOTAL + $v[0]*$v[1]"),
        (2, "$v = FUN([1, phi, <i>]); $b ~ Bernoulli(<p>); TOTAL = TOTAL + $v[0]*$b - $v[2]"),
        (4, "TOTAL = TOTAL + dot(FUN(marks), FUN(marks))"),
        (4, "$v = marks; for $i in range(2) { $v = FUN($v) }; TOTAL = TOTAL + sum($v*$v)"),
        (4, "TOTAL = TOTAL + sum(FUN(FUN([1, 2, theta])))"),
        (3, "for $e in FUN(marks) { $b ~ Bernoulli(0.3); TOTAL = TOTAL + $e*$e*$b; marks[$b] = 1 }"),
        (4, "$v = FUN([0, TOTAL, 0]); $w = FUN([0, 0, 0]); TOTAL = TOTAL + mean($v*$w) + $v[1]"),
    ]),
    ("fn FUN() { b ~ Bernoulli(0.2 + 0.5*theta*(shared > 0)); return b*phi + shared*weight + marks[b] }", [
        (2, "shared = (shared + 1) % 2; TOTAL = TOTAL + FUN(); shared = 1 - shared; TOTAL = TOTAL - FUN()"),
        (4, "shared = shared + Bernoulli(theta); weight = weight*theta; TOTAL = TOTAL + FUN()*FUN()*weight"),
        (3, "marks[Bernoulli(<p>)] = 2; $r = FUN(); weight = $r; TOTAL = TOTAL + FUN()"),
        (4, "for $i in range(2) { shared ~ Bernoulli(theta); TOTAL = TOTAL + FUN() }"),
        (3, "weight = Bernoulli(<p>)*weight; $r = FUN(); TOTAL = TOTAL + $r*weight + FUN()"),
        (2, "if FUN() > 1e9 { COUNT = 1 }; weight = 0; TOTAL = TOTAL + FUN()"),
    ]),
    ("fn FUN(n) { w = 0; while w < n and Bernoulli(theta) { w = w + 1; if Bernoulli(0.3) { return w + 1 } }; return w }", [
        (4, "TOTAL = TOTAL + FUN(2)*theta"),
        (4, "if FUN(2) > 1 { TOTAL = TOTAL + phi } else if FUN(0) > 0 { COUNT = COUNT + 1 }"),
        (4, "for $i in range(FUN(2)) { TOTAL = TOTAL + $i*theta + TOTAL*phi }"),
        (4, "COUNT = FUN(COUNT % 2); TOTAL = TOTAL + COUNT*theta^COUNT"),
        (6, "TOTAL = TOTAL + (FUN(2) - FUN(1))*FUN(1)"),
        (4, "$w = 0; while $w < 3 and FUN(1) > 0 { $w = $w + 1 }; TOTAL = TOTAL + $w*phi"),
        (4, "$v = zeros(3); $v[FUN(1)] = theta; $v[FUN(1)] = $v[FUN(0)] + 1; TOTAL = TOTAL + $v[0]*$v[1] - $v[2]"),
    ]),
    ("fn FUN(n, a) { if n < 1 { return a }; b ~ Bernoulli(sigmoid(a*phi)); r = FUN(n - 1, 1 - b); return r + b*FUN(n - 1, a) + r*b*theta }", [
        (4, "TOTAL = TOTAL + FUN(2, 1)"),
        (4, "TOTAL = TOTAL + FUN(2, theta)^2"),
        (4, "TOTAL = TOTAL*FUN(1, 0) + FUN(1, TOTAL)"),
    ]),
]
FUNCTIONS = [  # bits, whether the result is a whole number, text; FUN the name; called with whole numbers of 0 to 2
    (1, True, "fn FUN(x, y) { b ~ Bernoulli(sigmoid(phi + x - y)); return b*y + x }"),
    (1, True, "fn FUN(x, y) { if Bernoulli(theta) { return x }; return y + 1 }"),
    (1, False, "fn FUN(x, y) { b ~ Bernoulli(theta); r = if b then theta else 1 - theta; return r*(x + 1) + y*phi }"),
    (2, True, "fn FUN(x, y) { for i in range(2) { b ~ Bernoulli(sigmoid(phi*x)); if b { return i + y } }; return x }"),
    (2, True, "fn FUN(x, y) { s = 0; for i in range(2) { s = s + Bernoulli(theta)*(x + 1) }; return s*s + y }"),
    (2, False, "fn FUN(x, y) { b ~ Bernoulli(0.3); if x > y { c ~ Bernoulli(theta); return b + c }; return b*theta }"),
    (3, True, "fn FUN(x, y) { if x + y > 3 { return x }; b ~ Bernoulli(theta); if b { return FUN(x + 1, y + 1) }; return FUN(x, y + 2) + 1 }"),
    (4, False, "fn FUN(n, y) { if n < 1 { return y*theta }; b ~ Bernoulli(sigmoid(phi + y)); return FUN(n - 1, b) + FUN(n - 1, 1 - b)*b }"),
    (3, False, "fn FUN(n, acc) { if n < 1 { return acc*acc }; return FUN(n - 1, acc + theta*Bernoulli(theta)) }"),
    (1, True, "fn FUN(x, y) { k = shared; if Bernoulli(theta) { k = k + x }; return k + y }"),
    (1, False, "fn FUN(x, y) { b ~ Bernoulli(0.2 + 0.5*(shared > 0)); return b*weight + x }"),
    (4, True, "fn FUN(x, y) { s = x; for i in range(1 + Bernoulli(theta)) { for j in range(Bernoulli(0.3) + 1) { s = s + y + j } }; return s }"),
    (2, True, "fn FUN(x, y) { w = 0; while w < 2 and Bernoulli(theta) { w = w + 1 }; return w*(x - y) }"),
    (2, False, "fn FUN(x, y) { v = [x, y, 0]; k ~ Categorical([theta, 1, 1]); v[k] = v[k] + phi; return v[0] + v[1]*v[2] }"),
    (2, False, "fn FUN(x, y) { s = 0; w = 1; for i in range(2) { b ~ Bernoulli(theta); s = s + b*phi*(x + 1); w = w + b }; return s + y*theta }"),
    (2, False, "fn FUN(x, y) { s = 0; l = x; for i in range(2) { b ~ Bernoulli(sigmoid(phi + l)); s = s + b*l; l = b }; return s*y - theta }"),
    (2, False, "fn FUN(x, y) { s = x; p = phi; for i in range(2) { b ~ Bernoulli(theta); p = p*(1 + b); s = s + p }; if x > y { return s*s }; return s }"),
    (3, False, "fn FUN(n, s) { if n < 1 { return s*phi }; b ~ Bernoulli(theta); s = s + b*theta; return FUN(n - 1, n) + s }"),
]


@dataclass
class Names:
    """The variables of a scope: whole numbers, reals, arrays of three of each; `fixed` may be read only."""

    ints: list[str] = field(default_factory=list)
    reals: list[str] = field(default_factory=list)
    counts: list[str] = field(default_factory=list)
    vectors: list[str] = field(default_factory=list)
    fixed: set[str] = field(default_factory=set)

    def copy(self) -> Names:
        return Names([*self.ints], [*self.reals], [*self.counts], [*self.vectors], {*self.fixed})


class Programs:
    """A generator of one program."""

    def __init__(self, seed: int, bits: float | None = None):
        self.random = random.Random(seed)
        self.left = self.random.choice([5, 7, 8, 9, 10, 11, 12]) if bits is None else bits
        self.scale = 1.0  # how often what is written now is executed
        self.made = 0
        self.functions: list[tuple[str, float, bool]] = []
        self.results = self.random.choice([1, 1, 1, 2])
        self.returning = False  # whether `return` may stand here
        self.kits: list[tuple[float, str]] = []  # ways to call the functions of kits
        self.inside = False  # a function

    def fresh(self, prefix: str) -> str:
        self.made += 1
        return f"{prefix}{self.made}"

    def pay(self, bits: float) -> bool:
        """Whether there is room for so many bits here."""
        if bits * self.scale > self.left:
            return False
        self.left -= bits * self.scale
        return True

    # ------------------------------------------------------------------------------------------------- expressions
    def site(self, names: Names) -> str:
        kind = self.random.random()
        if kind < 0.65 and self.pay(1):
            return f"Bernoulli({self.chance(names, 1)})"
        if kind < 0.75 and self.pay(1.6):
            return f"Categorical([{self.chance(names, 1)}, theta, 0.5])"
        if kind < 0.85 and self.pay(1.6):
            return f"Categorical([[theta, 1, 0.5], [0.5, 0.5, theta], [1, theta, phi^2 + 0.1]][{self.whole(names, 2)} % 3])"
        if kind < 0.92 and self.pay(1.6):
            return f"Binomial(2, {self.chance(names, 1)})"
        return "DiscreteUniform(0, 1)" if self.pay(1) else "1"

    def whole(self, names: Names, depth: int = 0) -> str:
        """A whole number that carries no derivative."""
        kind = self.random.random()
        if depth > 2 or kind < 0.35:
            return self.random.choice([*names.ints, *names.ints, "1", "2"])
        if kind < 0.55:
            return f"({self.whole(names, depth + 1)} {self.random.choice('++-*')} {self.whole(names, depth + 1)})"
        if kind < 0.62:
            return f"({self.whole(names, depth + 1)} % {self.random.choice('23')})"
        if kind < 0.7:
            return f"(if {self.condition(names, depth + 1)} then {self.whole(names, depth + 1)} else {self.whole(names, depth + 1)})"
        if kind < 0.76 and names.counts:
            return f"{self.random.choice(names.counts)}[{self.whole(names, depth + 1)} % 3]"
        if kind < 0.8 and names.counts:
            return f"sum({self.random.choice(names.counts)})"
        if kind < 0.86:
            return self.call(names, whole=True)
        return self.site(names) if kind < 0.94 else f"1*({self.condition(names, depth + 1)})"

    def real(self, names: Names, depth: int = 0) -> str:
        """A number that may move with the parameters."""
        kind = self.random.random()
        if depth > 2 or kind < 0.3:
            return self.random.choice([*names.reals, *names.reals, "theta", "phi", "1 - theta" if depth == 0 else "(1 - theta)"])
        if kind < 0.5:
            return f"({self.real(names, depth + 1)} {self.random.choice('++-*')} {self.real(names, depth + 1)})"
        if kind < 0.6:
            return f"{self.whole(names, depth + 1)}*{self.real(names, 3)}"
        if kind < 0.72:
            return f"(if {self.condition(names, depth + 1)} then {self.real(names, depth + 1)} else {self.real(names, depth + 1)})"
        if kind < 0.77 and names.vectors:
            return f"{self.random.choice(names.vectors)}[{self.whole(names, depth + 1)} % 3]"
        if kind < 0.87 and self.functions:
            return self.call(names)
        if kind < 0.93:
            return f"{self.random.choice(['sigmoid', 'tanh', 'sin'])}({self.real(names, depth + 1)})"
        return f"{self.random.choice(names.reals or ['theta'])}^2" if kind < 0.97 else f"sum([{self.real(names, depth + 1)}, phi])"

    def call(self, names: Names, whole: bool = False) -> str:
        known = [(name, bits) for name, bits, gives in self.functions if gives or not whole]
        name, bits = self.random.choice(known or [("", 1e9)])
        first, second = f"{self.whole(names, 2)} % 3", f"{self.whole(names, 2)} % 3"
        if not self.pay(bits):
            return "1" if whole else "phi"
        text = f"{name}({first}, {second})"
        if self.random.random() < 0.3 and self.pay(bits):
            text = f"({text} {self.random.choice('+-*')} {name}({second}, {first}))"
        if self.random.random() < 0.15 and self.pay(1):
            text = f"({self.random.choice(['Bernoulli(theta)', '2*Bernoulli(0.3)'])} {self.random.choice('+-*')} {text})"
        return text

    def chance(self, names: Names, depth: int = 0) -> str:
        """A probability inside (0, 1)."""
        kind = self.random.random()
        if kind < 0.4:
            return self.random.choice(["theta", "1 - theta", "0.3", "theta^2"])
        if kind < 0.7 or depth > 1:
            return f"0.2 + 0.5*({self.condition(names, 2)})*{self.random.choice(['theta', '1'])}"
        return f"sigmoid({self.real(names, 2)})" if kind < 0.9 else f"(if {self.condition(names, 2)} then theta else 1 - theta)"

    def condition(self, names: Names, depth: int = 0) -> str:
        kind = self.random.random()
        if depth > 1 or kind < 0.5:
            a, b = self.random.choice(names.ints or ["1"]), self.random.choice([*names.ints, "0", "1", "2"])
            return f"{a} {self.random.choice(['>', '<', '==', '!=', '<='])} {b}"
        if kind < 0.75:
            return f"({self.condition(names, depth + 1)} {self.random.choice(['and', 'or'])} {self.condition(names, depth + 1)})"
        if kind < 0.85:
            return f"not ({self.condition(names, depth + 1)})"
        if kind < 0.9:
            return f"{self.call(names, whole=True)} > {self.whole(names, 2)}"
        return f"{self.site(names)} > 0" if kind < 0.96 else self.random.choice(names.ints or ["1"])

    # -------------------------------------------------------------------------------------------------- statements
    def idiom(self, names: Names) -> str | None:
        known = self.kits if self.kits and not self.inside and self.random.random() < 0.6 else IDIOMS
        bits, text = self.random.choice(known)
        writable = [name for name in names.ints if name not in names.fixed]
        reals = [name for name in names.reals if name not in names.fixed]
        if not writable or not reals or not self.pay(bits):
            return None
        before, self.left = self.left, 0.0  # no draws inside
        own: dict[str, str] = {}
        text = re.sub(r"\$([a-z])", lambda found: own.setdefault(found[1], self.fresh(found[1])), text)
        for mark, made in (("<p>", self.chance), ("<c>", self.condition), ("<i>", self.whole), ("<r>", self.real)):
            while mark in text:
                text = text.replace(mark, made(names, 1), 1)
        self.left = before
        return text.replace("TOTAL", self.random.choice(reals)).replace("COUNT", self.random.choice(writable))

    def plain(self, names: Names) -> str:
        """An assignment or a draw; new names become known."""
        kind, choice = self.random.random(), self.random.choice
        ints, reals = ([name for name in kept if name not in names.fixed] for kept in (names.ints, names.reals))
        if kind < 0.2:
            name, text = (choice(ints) if ints and kind < 0.1 else self.fresh("b")), self.site(names)
            names.ints += [name] if name not in names.ints else []
            return f"{name} ~ {text}" if text != "1" else f"{name} = 1"
        if kind < 0.4 and reals:
            name = choice(reals)
            return f"{name} = {name} {choice('++-')} {self.real(names)}" if kind < 0.34 else f"{name} = {self.real(names)}"
        if kind < 0.55 and ints:
            name = choice(ints)
            return f"{name} = {name} + {self.whole(names)}" if kind < 0.48 else f"{name} = {self.whole(names)}"
        arrays = [name for name in (*names.counts, *names.vectors) if name not in names.fixed]
        if kind < 0.65 and arrays:
            name = choice(arrays)
            made, place = self.whole(names) if name in names.counts else self.real(names), f"{self.whole(names, 1)} % 3"
            added = f"{name}[{choice([*names.ints, '1'])} % 3] + {made}"
            return f"{name}[{place}] = {choice([made, added])}"
        if kind < 0.72 and len(ints) > 1:
            a, b, spare = choice(ints), choice(ints), self.fresh("t")
            return f"{spare} = {a}; {a} = {b}; {b} = {spare}"
        if kind < 0.77 and len(reals) > 1:
            a, b, spare = choice(reals), choice(reals), self.fresh("t")
            return f"{spare} = {a}; {a} = {b}; {b} = {spare}"
        if kind < 0.82:
            name, whole = self.fresh("v"), self.random.random() < 0.5
            text = f"{name} = [{', '.join((self.whole if whole else self.real)(names, 1) for _ in range(3))}]"
            (names.counts if whole else names.vectors).append(name)
            return text
        if kind < 0.91:
            name, text = self.fresh("r"), self.real(names)
            names.reals.append(name)
            return f"{name} = {text}"
        name, text = self.fresh("k"), self.whole(names)
        names.ints.append(name)
        return f"{name} = {text}"

    def block(self, names: Names, depth: int, most: int = 3) -> str:
        lines = [self.statement(names, depth) for _ in range(self.random.randint(1, most))]
        if depth > 0 and self.returning and self.random.random() < 0.15:
            way = self.ending(names)
            lines.append(way if self.random.random() < 0.2 else f"if {self.condition(names)} {{ {way} }}")
        return "; ".join(lines)

    def statement(self, names: Names, depth: int) -> str:
        kind = self.random.random()
        if kind < 0.3 and (text := self.idiom(names)):
            return text
        if kind < 0.6 or depth > 2:
            return self.plain(names)
        if kind < 0.8:
            text = f"if {self.condition(names)} {{ {self.block(names.copy(), depth + 1)} }}"
            while self.random.random() < 0.2:
                text += f" else if {self.condition(names)} {{ {self.block(names.copy(), depth + 1)} }}"
            return text + (f" else {{ {self.block(names.copy(), depth + 1)} }}" if self.random.random() < 0.6 else "")
        return self.loop(names, depth)

    def loop(self, names: Names, depth: int) -> str:
        kind, rounds, before = self.random.random(), self.random.randint(2, 3 if depth else 4), self.scale
        inner, head = names.copy(), ""
        if kind < 0.45:
            name, start = self.fresh("i"), f"for NAME in range({rounds})"
            names.ints.append(name)  # after the loop, too
        elif kind < 0.6:
            bound = self.site(names)
            rounds, name, start = 2, self.fresh("i"), f"for NAME in range(({bound}) % 3)"
        elif kind < 0.75:
            rounds, name, known = 3, self.fresh("e"), names.counts
            start = f"for NAME in {self.random.choice(known) if known else '[2, 0, 1]'}"
        else:
            name = self.fresh("w")
            head, start = f"{name} = 0; ", f"while NAME < {rounds} and {self.condition(names, 1)}"
            names.ints.append(name)
        self.scale = before * rounds
        inner.ints.append(name)
        if head or self.random.random() < 0.9:
            inner.fixed.add(name)
        step = f"{name} = {name} + 1; " if head else ""
        body = self.block(inner, depth + 1)
        self.scale = before
        return f"{head}{start.replace('NAME', name)} {{ {step}{body} }}"

    def ending(self, names: Names) -> str:
        return "return " + ", ".join(self.last(names) for _ in range(self.results))

    def last(self, names: Names) -> str:
        """A result: linear in most of the variables, or not."""
        a, b = self.random.choice(names.reals), self.random.choice(names.ints)
        every = " + ".join([*names.reals[:3], *(f"{self.random.choice('123')}*{name}" for name in names.ints[-3:])])
        forms = [every, every, f"({every})^2", f"{a} + {b}", f"{a}*{b}", f"{a}^2", f"{a} + phi*{b}", f"({b})^2", f"{a}*{self.random.choice(names.reals)}", self.real(names, 1)]
        return self.random.choice(forms)

    # ----------------------------------------------------------------------------------------------------- program
    def define(self) -> str:
        """A function, of a list or written at random."""
        name = self.fresh("f")
        if self.random.random() < 0.7:
            bits: float
            bits, whole, text = self.random.choice(FUNCTIONS)
        else:
            kept, results = (self.left, self.scale), self.results
            self.left, self.scale, self.results, self.returning, self.inside = 3.0, 1.0, 1, True, True
            names = Names(["x", "y", "shared"], ["s", "weight"], ["marks"], [], {"shared", "weight", "marks"})
            body = "; ".join(self.statement(names, 1) for _ in range(self.random.randint(1, 3)))
            text = f"fn FUN(x, y) {{ s = 0; {body}; {self.ending(names)} }}"
            bits, whole = 3.0 - self.left, False
            (self.left, self.scale), self.results, self.returning, self.inside = kept, results, False, False
        self.functions.append((name, bits, whole))
        return text.replace("FUN", name)

    def kit(self) -> str:
        """A function with ways to call it."""
        name, (text, uses) = self.fresh("g"), self.random.choice(KITS)
        self.kits += [(bits, use.replace("FUN", name)) for bits, use in uses]
        return text.replace("FUN", name)

    def program(self) -> tuple[str, dict[str, float]]:
        """A text and values of the parameters."""
        values = {"theta": self.random.choice([0.5, 0.5, 0.3, 0.62]), "phi": self.random.choice([0.0, 1.0, 0.5, -0.7])}
        lines = ["param theta in (0, 1)", "param phi", "shared = 0; weight = phi; marks = [0, 1, 2]; total = 0; other = theta; n = 0"]
        lines += [self.define() for _ in range(self.random.choice([0, 1, 1, 2]))]
        lines += [self.kit() for _ in range(self.random.choice([0, 1, 1, 2]))]
        names = Names(["n", "shared"], ["total", "other", "weight"], ["marks"])
        self.returning = True
        for _ in range(self.random.randint(3, 7)):
            lines.append(self.statement(names, 0))
        return "\n".join([*lines, self.ending(names)]), values
