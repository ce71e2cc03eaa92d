"""Pages of the codes P01: the text of a program."""

from __future__ import annotations

from .code_page import page

PAGES = (
    page("P0101", "the text does not follow the grammar", """
The line cannot be read: something stands where the grammar has no place for
it, or something that has to come next is missing. The caret marks the first
word that does not fit; the mistake is there or just before it.

A statement is one of `y = ...`, `z ~ Dist(...)`, `if`, `for`, `while`,
`return`, `param`, `data`, `fn`. It ends with its line (or with `;`), unless
a `(` or `[` is still open.

probrun goes on with the next statement, so one mistake gives one message.
""", "param theta = 1\nz ~ Normal(theta, 1)\ny = z +\nreturn y\n"),
    page("P0102", "a bracket without its partner", """
A `(`, `[` or `{` is never closed, is closed by one of another kind, or one
is closed that was not opened. The second label, if there is one, shows the
other half as far as it can be told.

Inside `( )` and `[ ]` a new line does not end the statement. So a missing
`)` often shows only further down: look at the opening bracket first.
""", "param theta = 1\nz ~ Normal(theta, 2))\nreturn z\n"),
    page("P0103", "the file ends too early", """
The text ends in the middle of a statement. The place is just after the last
word, and the message says what was still expected. Perhaps the file was cut
off when it was copied.

A bracket that is still open at the end is P0102.
""", "param theta = 1\ny = theta +\n"),
    page("P0104", "a character that is not part of the language", """
The file holds a character that means nothing here. Often it came from a word
processor, a PDF or a web page: a long minus sign instead of `-`, a
multiplication sign instead of `*`, a raised 2 instead of `^2`, curly quotes,
a space that is not an ordinary space. The help line says what to type.

Names may use the letters of any script (`θ`, `größe`); operators are those
of the keyboard. The words `and`, `or` and `not` take the place of `&`, `|`
and `!`.
""", "param theta = 1\ny = theta × 2\nreturn y\n"),
    page("P0105", "a reserved word in a wrong place", """
The words of the language cannot be names: param, data, in, using, if, then,
else, for, while, fn, return, and, or, not, true, false, observe. Choose
another name, for example `data_1` instead of `data`.

`factor` and `via` are words of the language too, but only where no name can
stand: variables may be called so.
""", "param theta = 1\nfor = 3\nreturn theta\n"),
    page("P0106", "a number that is out of range", """
The number is larger than what 64-bit floating point can hold, about 1.8e308.
Where infinity is meant, write `inf`.

Runs compute in float32 unless `--dtype float64` is given; there numbers
beyond 3.4e38 become infinite while running, which is reported as P0502.
""", "param theta = 1\ny = theta * 1e400\nreturn y\n"),
    page("P0107", "nested too deep, or too long", """
Brackets, blocks and operators may be nested 1000 levels deep, and a file has
a largest size. Programs that people write stay far below; ones that other
programs write may not.

Give inner expressions names of their own, turn repeated text into a loop or a
function, and move large tables into `data`.
"""),
    page("P0108", "the source cannot be read as text", """
A program is a text file in UTF-8. This one holds bytes that are not UTF-8 or
that no text has (a zero byte), or it is no file at all but a directory.

Save the file again as UTF-8, or check the name: perhaps it is a picture, an
archive or a compiled program.
"""),
    page("P0109", "the program is empty", """
There is no statement in the file, only empty lines and comments at most.

    z ~ Normal(theta, 2); y = theta^2*(z+4)

is a whole program: its parameter is `theta`, its result is `y`.
""", "# nothing here yet\n"),
    page("P0110", "something from another language", """
This is how another language writes it, and the meaning is clear enough to say
what to type here: `x <- 3` and `x := 3` are `x = 3`; a test for equality is
`==`; `2x` is `2*x`; `x += 1` is `x = x + 1`; blocks stand in `{ }` and not
after a colon; `elif` is `else if`; `def` is `fn`.

`a < b < c` is refused because its two readings differ: write
`a < b and b < c`.
""", "param theta = 1\ny = if 0 < theta < 2 then 1 else 0\nreturn y\n"),
    page("P0111", "a statement where it cannot stand", """
Parameters, data and functions are declared outside blocks: they hold for the
whole file, and a declaration that only some runs meet would mean nothing.

An expression alone is not a statement either, since its value would be lost.
Give it a name (`y = ...`), or return it. This also catches a sum that was
meant to go on: in `y = a`, newline, `+ b`, the second line is not read
as part of the first. Put the whole sum in parentheses to write it on several
lines.
""", "param theta = 1\nif theta > 0 {\n    param s = 2\n}\nreturn theta\n"),
    page("P0112", "an observation with `=`", """
`observe` says what a run must agree with; nothing is assigned. There are two
forms:

- `observe y ~ Normal(x, 1)` weighs the run by the density (the probability)
  of the value `y`, which is data, a number, or anything computed.
- `observe x > 0` is a condition: a run in which it fails ends there, with
  weight 0. Equality is written `==`.

`factor e` adds `e` to the logarithm of the run's weight.
""", "param theta = 1\nx ~ Normal(theta, 1)\nobserve x = 3\nreturn x\n"),
)
