"""Small templates that cover the language, rendered on both sides with VARIABLES."""

VARIABLES = {
    "s": "Hello, World",
    "t": "  padded\t\n",
    "u": "naïve 日本 🙂 ß",
    "e": "",
    "n": 7,
    "z": 0,
    "neg": -7,
    "f": 2.5,
    "big": 1e16,
    "yes": True,
    "no": False,
    "nil": None,
    "xs": [3, 1, 2],
    "mixed": [1, 2.0, "a", None, True, [1], {"k": "v"}],
    "words": ["b", "A", "c", "a"],
    "d": {"a": 1, "b": [1, 2], "items": "shadow", "c d": None},
    "people": [{"name": "Zoe", "age": 3, "x": {"y": 1}}, {"name": "adam", "age": 5, "x": {"y": 2}}, {"name": "Bob", "age": 3}],
    "html": "<a href=\"x\">'&</a>",
    "lines": "one\ntwo\r\n\nthree",
}

EXPRESSIONS = r"""
n + 1
n - 10
n * 2.5
n / 2
n // 2
neg // 2
neg % 3
n % -3
n ** 2
2 ** -1
-n ** 2
f // 1
-f // 1
f % 1
-7.5 % 2
big
big * 10
1e15
1e-5
0.0001
0.1 + 0.2
1.0
100
1_000
0x1f
0b101
0o17
1e3
-0.0
n / 0
n // 0
n % 0
1 == 1.0
1 == true
'1' == 1
n < 8 < 9
n < 8 > 9
1 < 2 < 3 < 4
'a' < 'b'
'a' < 1
[1, 2] < [1, 3]
[1] < (1,)
(1, 2) == [1, 2]
nil == none
nil is none
missing == missing2
missing == none
n in xs
3 in xs
3 not in xs
'ell' in s
'a' in d
1 in d
1 in s
missing in s
missing in xs
'x' in missing
1 in 5
not yes
not missing
yes and n
no or n
z or e or 'last'
yes and z and n
missing or 'x'
missing
missing.attr
missing['x']
missing + 1
'a' + missing
missing ~ 'x'
missing|length
missing|list
missing()
s()
n()
'a' 'b' "c"
'a' ~ 1 ~ none ~ true ~ 1.5 ~ [1, 'x']
'a' + 1
1 + 'a'
[1] + [2]
[1] + (2,)
(1,) + (2,)
'ab' * 3
3 * 'ab'
[1, 2] * 2
'ab' * -1
'x' if yes
'x' if no
'x' if no else 'y'
('x' if no) is defined
1 if no else 2 if no else 3
s[0]
s[-1]
s[100]
u[0:8]
u[::-1]
u[-3:]
s[1:5:2]
s[5:1:-2]
s[:-2]
s[::0]
xs[0]
xs[-1]
xs[9]
xs[9] is defined
xs['a']
xs.0
xs[1:]
xs[::-1]
xs['a':]
mixed[1:3]
(1, 2, 3)[1:]
range(5)[1:3]
range(5)[2]
range(10)|list
range(2, 8, 3)|list
range(5, 0, -2)|list
range(3)
range(0, 10, 2)
range(0)
range(1.5)
range(200000)
range(1, 2, 0)
d.a
d['a']
d.b[1]
d.nope
d.nope.deeper
d['items']
d.items()
d.items()|list
d.keys()|list
d.keys()
d.values()
d['c d']
d.get('a')
d.get('zz')
d.get('zz', 5)
d.pop('a')
d.update({'q': 1})
d.append
xs.append(1)
xs.append
xs.pop()
xs.index(2)
xs.index(99)
xs.count(1)
xs.copy()
s.upper()
s.lower()
s.title()
'they\'re bill\'s'.title()
s.swapcase()
'hELLO wORLD'.capitalize()
s.split(', ')
s.split()
t.split()
' a  b c '.split(none, 1)
'a,b,c'.split(',', 1)
'a,b,c'.rsplit(',', 1)
' a  b  c '.rsplit(none, 1)
'a'.split('')
'a,b'.split(sep=',')
t.strip()
t.lstrip()
t.rstrip()
'xxaxx'.strip('x')
'abcba'.strip('ab')
'xya'.lstrip('yx')
s.startswith('Hell')
s.startswith(('x', 'He'))
s.startswith(1)
s.startswith('llo', 2)
s.endswith('World')
s.endswith(('d', 'x'))
s.endswith('o', 0, 5)
s.replace('l', 'L')
s.replace('l', 'L', 1)
'abc'.replace('', '-')
'abc'.replace('', '-', 2)
'aaa'.replace('aa', 'b')
s.find('o')
s.find('o', 5)
s.find('zz')
s.rfind('o')
u.find('日')
s.index('zz')
s.count('l')
'abc'.count('')
s.isdigit()
'12'.isdigit()
'１２'.isdigit()
'ab1'.isalnum()
'ab'.isalpha()
'日本'.isalpha()
' \t'.isspace()
''.isspace()
'AB1'.isupper()
'ab'.islower()
'1'.islower()
lines.splitlines()
lines.splitlines(true)
''.splitlines()
'a\n'.splitlines()
'prefix-x'.removeprefix('prefix-')
'x.py'.removesuffix('.py')
'x.py'.removesuffix('')
'a=b=c'.partition('=')
'a=b=c'.rpartition('=')
'abc'.partition('x')
'ab'.center(5)
'ab'.center(6, '*')
'abc'.center(6, '*')
'abc'.center(8, '*')
'abcd'.center(7, '.')
'ab'.ljust(5, '.')
'ab'.rjust(5, '.')
'-42'.zfill(6)
'a\tbc\td'.expandtabs(4)
', '.join(words)
', '.join(xs)
'-'.join('abc')
'{} {}'.format('a', 1)
'{0} {1} {0}'.format('a', 'b')
'{x} {y}'.format(x=1, y=none)
'{:>5}|{:<5}|{:^5}'.format('a', 'b', 'c')
'{:05d} {:+d} {:,}'.format(42, 7, 1234567)
'{:.2f} {:8.3f} {:e}'.format(3.14159, 2.5, 12345.678)
'{:x} {:#x} {:b} {:o} {:X}'.format(255, 255, 5, 8, 255)
'{!r}'.format('x')
'{a[k]} {b[0]}'.format(a={'k': 'v'}, b=[9])
'{{}} {}'.format(1)
'{'.format()
'{}'.format()
'{:{w}}|'.format('a', w=4)
'{:%}'.format(0.25)
'{:*^9}'.format('mid')
'{:g} {:g}'.format(0.00001, 1e20)
'%s and %r' % ('a', 'b')
'%d%%' % 50
'%5.1f|%-5d|%05d' % (2.345, 3, 42)
'%x %X %o %e' % (255, 255, 8, 12345.678)
'%s' % xs
'%s %s' % ('a',)
'%s' % ('a', 'b')
'%d' % 'a'
'%(k)s' % {'k': 'v'}
'%(k)s' % {'j': 'v'}
'%5s|%-5s|%.2s' % ('ab', 'ab', 'abcdef')
'%+d % d' % (1, 2)
'%s' % nil
'%q' % 1
'%' % 1
'x' % ()
'x' % 1
[1, 'a', none, true, 1.5, [], {}, ()]
{'a': 1, 2: 'b', none: true}
{'a': 1}.a
{'k': 'it\'s', "q": 'say "hi"', 'b': '\'"'}
['\n\t\\', '\x00\x7f', 'é', '日', '\u200b', '🙂']
(1,)
()
((1, 2), [3])
[(1, 'x')]|list
{'a': {'b': [1, {'c': none}]}}
{[1]: 2}
{'a': 1, 'a': 2}
'\x41\u00e9\U0001F642\101\q'
'\
x'
"a\"b'c"
true
True
False
none
None
-n
+n
-s
- -n
-n|abs
(-n)|abs
-5|abs
n|abs
f|abs
s|abs
d|attr('a')
xs|batch(2)|list
xs|batch(2, 'x')|list
'hello wORLD'|capitalize
'ab'|center(6)
xs|count
missing|default('x')
missing|d('x')
e|default('x')
e|default('x', true)
nil|default('x')
nil|default('x', boolean=true)
no|default('x', true)
missing|default
d|dictsort
{'b': 1, 'A': 2}|dictsort
{'b': 1, 'A': 2}|dictsort(true)
{'b': 1, 'A': 2}|dictsort(by='value')
{'b': 1, 'A': 2}|dictsort(reverse=true)
{'b': 1, 'A': 2}|dictsort(by='nope')
html|escape
html|e
html|e|e
html|forceescape
html|safe
(html|safe) + html
html + (html|safe)
(html|e) ~ html
'<'|e + '>'
('<'|safe)|upper + '<'
xs|first
[]|first
[]|first is defined
e|first
s|first
d|first
'3.5'|float
'x'|float
'x'|float(1.5)
n|float
nil|float
'1e5'|float
'inf'|float
'nan'|float
'%s-%s'|format('a', 1)
'%(a)s'|format(a=1)
people|groupby('age')
people|groupby('age')|map('first')|list
d[1:]
d.items()[1:]
n[1:]
missing[1:]
xs[missing:]
(xs|map('string'))[1:]
lines|indent
lines|indent(2)
lines|indent(2, true)
lines|indent(2, true, true)
lines|indent('>')
lines|indent(width=3, first=True)
'\n'|indent(2)
''|indent(2, true)
n|indent
'42'|int
'x'|int
'x'|int(5)
'4.9'|int
' 12 '|int
'1_000'|int
'0x1f'|int(0, 16)
'ff'|int(0, 16)
'-3'|int
'0x10'|int
f|int
-2.9|int
nil|int
nil|int(3)
yes|int
xs|int
missing|int
d|items|list
missing|items|list
xs|join
xs|join(', ')
mixed|join('|')
people|join(', ', attribute='name')
s|join('-')
nil|join
n|join
xs|last
[]|last
s|last
d|last
s|length
u|length
d|length
n|length
nil|length
xs|map('string')|length
s|list
d|list
xs|list
n|list
(1, 2)|list
s|lower
'ÀÉ'|lower
n|lower
xs|map('string')|list
people|map(attribute='name')|list
people|map(attribute='x.y')|list
people|map(attribute='x.y', default=0)|list
people|map(attribute='nope')|list
people|map(attribute='nope', default='-')|join(',')
words|map('upper')|join
words|map('replace', 'a', 'z')|list
words|map('nope')|list
words|map()|list
xs|max
xs|min
words|max
words|min
words|min(case_sensitive=true)
people|max(attribute='age')
[]|max
[1, 'a']|max
xs|reject('odd')|list
xs|reject('equalto', 1)|list
[0, 1, '', none]|reject|list
people|rejectattr('age', 'gt', 3)|map(attribute='name')|list
s|replace('l', 'L')
s|replace('l', 'L', 1)
n|replace(7, 8)
s|replace('l')
s|reverse
xs|reverse|list
u|reverse
d|reverse|list
2.5|round
3.5|round
2.675|round(2)
-2.5|round
1234.567|round(-2)
42|round
42.55|round(1, 'ceil')
42.55|round(1, 'floor')
42.55|round(1, 'nope')
1e30|round
xs|select('odd')|list
[0, 1, '', none, 'x']|select|list
xs|select('gt', 1)|list
xs|select('nope')|list
people|selectattr('x')|map(attribute='name')|list
people|selectattr('age', 'equalto', 3)|list|length
people|selectattr('age', '==', 3)|map(attribute='name')|first
people|selectattr('x', 'defined')|map(attribute='name')|join(',')
people|selectattr('name', 'in', ['Bob', 'Zoe'])|list|length
people|selectattr()|list
[1, 2, 3, 4, 5, 6, 7]|slice(3)|list
[1, 2, 3, 4, 5, 6, 7]|slice(3, 'x')|list
xs|sort
xs|sort(reverse=true)
words|sort
words|sort(case_sensitive=true)
people|sort(attribute='age')|map(attribute='name')|list
people|sort(attribute='age,name')|map(attribute='name')|list
people|sort(true, attribute='age')|map(attribute='name')|list
mixed|sort
d|sort
s|string
n|string
nil|string
xs|string
1.0|string
xs|sum
[1.5, 2]|sum
people|sum(attribute='age')
[[1], [2]]|sum(start=[])
words|sum
[]|sum
'hello big-world (x) [y]'|title
"it's bob's"|title
'ÀB'|title
d|tojson
mixed|tojson
mixed|tojson(indent=2)
{'a': [], 'b': {}}|tojson(indent=2)
u|tojson
u|tojson(ensure_ascii=true)
u|tojson(true)
html|tojson
'\x00\x1f\x7f\b\f'|tojson
{'b': 1, 'a': 2}|tojson(sort_keys=true)
d|tojson(separators=(',', ':'))
xs|tojson(indent=4, separators=(',', ' : '))
xs|tojson(indent='--')
xs|tojson(indent=0)
{1: 2, none: 3, true: 4, 1.5: 5}|tojson
{(1, 2): 3}|tojson
(1, 2)|tojson
missing|tojson
range(3)|tojson
d.items()|tojson
[missing]|tojson
1e16|tojson
'inf'|float|tojson
people|map(attribute='name')|tojson
namespace(a=1)|tojson
t|trim
'xxaxx'|trim('x')
n|trim
nil|trim
'foo bar baz qux'|truncate(9)
'foo bar baz qux'|truncate(9, true)
'foo bar baz qux'|truncate(11)
'foo bar baz qux'|truncate(9, false, '...', 0)
'foo bar'|truncate(1)
words|unique|list
words|unique(true)|list
[1, 1.0, true, '1']|unique|list
people|unique(attribute='age')|map(attribute='name')|list
[[1], [1]]|unique|list
s|upper
'ß straße'|upper
html|urlencode
'a b/ü&'|urlencode
{'a b': 'c/d', 'é': 1}|urlencode
[('k', 'v')]|urlencode
s|wordcount
u|wordcount
s|nope
s|from_json
'[1, {"a": null}]'|from_json
'[1, {"a": 1.0}]'|from_json|last
n is defined
missing is defined
missing is undefined
missing is not defined
s is string
n is string
n is number
yes is number
yes is integer
yes is boolean
n is integer
f is float
f is number
n is even
n is odd
n is divisibleby 7
n is divisibleby(2)
s is even
d is mapping
xs is mapping
xs is sequence
s is sequence
d is sequence
n is sequence
missing is sequence
d.items() is sequence
xs|map('string') is sequence
xs|map('string') is iterable
range(3) is sequence
xs is iterable
s is iterable
n is iterable
missing is iterable
nil is iterable
nil is none
missing is none
yes is true
1 is true
no is false
0 is false
range is callable
s.upper is callable
missing is callable
s is callable
'abc' is lower
'ABC' is upper
'Abc' is upper
n is lower
n is eq 7
n is equalto 7
n is ne 7
n is gt 3
n is greaterthan 3
n is lt 3
n is lessthan(3)
n is ge 7
n is le 6
n is sameas 7
nil is sameas none
xs is sameas xs
xs is sameas [3, 1, 2]
2 is in xs
'x' is in s
n is in 5
'upper' is filter
'nope' is filter
'odd' is test
html|safe is escaped
html is escaped
n is nope
n is not string and s is string
not n is string
n is string or s is string
dict(a=1, b=2)
dict([('a', 1)], b=2)
dict({'x': 1})
dict(1)
namespace(a=1).a
namespace({'q': 2}).q
namespace().nope
namespace(a=1)['a']
loop
loop.index
range(3)|join(',')
range(3)|last
range(10)[-1]
3 in range(5)
xs|length > 2 and s|length < 100
(xs|length) * 2
xs | length == 3
s|upper|lower|title
s.upper()|lower
s|replace('Hello', 'Bye')|upper
{'x': [1, 2]}['x'][1]
[[1, 2], [3]][0][1]
'a.b.c'.split('.')[1:]|join('-')
'<think>x</think>y'.split('</think>')[-1].lstrip('\n')
'</think>' in '<think>x</think>y'
'x' * 3 ~ 'y'
1 + 2 ~ 3
1 ~ 2 + 3
2 * 3 ~ 4
10 - 2 - 3
2 ** 3 ** 2
100 // 7 % 4
-2 ** 2
not 1 == 2
1 in [1] and 2 not in [1]
[x for x in xs]
lambda
s.__class__
s.__len__()
xs.__getitem__(0)
d.__class__.__mro__
''.join(['a', 'b'])
'%s' % (1,)
'a' if true else 'b' ~ 'c'
('a' if true else 'b') ~ 'c'
(1, 2)[0]
()|length
(1)
[1,]
{'a': 1,}
d.a|string ~ d.b|string
s[0]|lower
xs|first + xs|last
strftime_now('%Y-%m-%d')
strftime_now('%d %B %Y %H:%M:%S %j %A')
raise_exception('boom')
raise_exception(n)
raise_exception()
cycler('a', 'b').next()
cycler()
joiner('x')()
1.5.foo
9223372036854775807
1 <> 2
= 1
1 +
(1
[1, 2
'unclosed
a b
1 2
s..upper
s.'x'
{'a' 1}
{'a':}
f(
s|
s is
@
$x
a & b
x = 1
'é'
é
xs[0,1]
xs[]
s[:]
s[::]
range(*[1, 4])|list
dict(**{'a': 1})
dict(**[1])
range(*5)
'{}{}'.format(*['a', 'b'])
s.split(*[','])
xs|join(d='-')
xs|join('-', 'x', 'y')
xs|batch
s|default(1, 2, 3)
xs is divisibleby
s|truncate(length=5)
""".strip("\n").split("\n")
# The one expression with a line break in it, put back together.
_broken = EXPRESSIONS.index("'\\")
EXPRESSIONS[_broken : _broken + 2] = ["'\\\nx'"]

STATEMENTS = [
    # white space
    "a\n{% if yes %}\nb\n{% endif %}\nc\n",
    "a\n  {% if yes %}\n  b\n  {% endif %}\nc",
    "a {%- if yes -%} b {%- endif -%} c",
    "a  {%+ if yes +%}\n b {%+ endif %} c",
    "a\n   {%+ if yes %}b{% endif %}",
    "  {{ n }}  \n  {{- n -}}  \n x",
    "a\n\n\n{%- set x = 1 %}\n\nb",
    "{# comment #}\nx",
    "a {#- c -#} b",
    "  {# c #}  \nx",
    "  {#+ c +#}\nx",
    "{# unclosed",
    "{% raw %}{{ x }}{% if %}{% endraw %}y",
    "  {%- raw -%}  {{ x }}  {%- endraw -%}  y",
    "{% raw %}\n a\n  {% endraw %}\nb",
    "{% raw %}x",
    "{%raw%}{%raw%}{%endraw%}",
    "x\r\ny\rz\r\n",
    "x\n\n",
    "\n",
    "",
    "{{ 'a\r\nb' }}",
    "{{n}}{{n}}",
    "{ { n } } {% if yes %}{}{% endif %} }} %} #}",
    "{{ '}}' }}{{ '%}' }}{% set a = '%}' %}{{ a }}",
    "{{ {'a': {'b': 1}}.a.b }}",
    "{{ {'a': {}}}}",
    "{{-5}} {{ -5 }} {{+5}}",
    "{{ n -}}\n x",
    "{{ n +}}",
    "x {{ n",
    "x {% if",
    "{%",
    "{{",
    "{{}}",
    "{%%}",
    "{% %}",
    "{{ }}",
    "\u00a0{%- if yes %}a{% endif %}",
    "\t {% if yes %}\t{% endif %}\t",
    # if
    "{% if no %}a{% elif n == 7 %}b{% else %}c{% endif %}",
    "{% if no %}a{% elif no %}b{% else %}c{% endif %}",
    "{% if missing %}a{% endif %}b",
    "{% if yes: %}a{% endif %}",
    "{% if 1, %}a{% endif %}",
    "{% if yes %}a",
    "{% endif %}",
    "{% if yes %}{% endfor %}",
    "{% if yes %}a{% else %}b{% else %}c{% endif %}",
    "{% if %}a{% endif %}",
    "{% if no %}{{ s|nope }}{% endif %}ok",
    "{% if no %}{% for x in xs %}{{ s|nope }}{% endfor %}{% endif %}ok",
    "{% if no %}{{ s is nope }}{% endif %}ok",
    "{{ 'a' if yes else s|nope }}",
    "{% if yes %}{{ s|nope }}{% endif %}",
    "{% if s|nope %}{% endif %}",
    "{% if no %}a{% elif s|nope %}{% endif %}",
    # for
    "{% for x in xs %}{{ x }},{% endfor %}",
    "{% for x in xs %}{{ loop.index }}{{ loop.index0 }}{{ loop.revindex }}{{ loop.revindex0 }}{{ loop.first }}{{ loop.last }}{{ loop.length }}{{ loop.depth }}{{ loop.depth0 }};{% endfor %}",
    "{% for x in xs %}{{ loop.previtem }}<{{ x }}>{{ loop.nextitem }} {% endfor %}",
    "{% for x in xs %}{{ loop.previtem is defined }}{{ loop.nextitem is defined }}{% endfor %}",
    "{% for x in xs %}{{ loop.cycle('a', 'b') }}{% endfor %}",
    "{% for x in xs %}{{ loop.cycle() }}{% endfor %}",
    "{% for x in [1, 1, 2, 2, 1] %}{{ loop.changed(x) }} {% endfor %}",
    "{% for x in xs %}{{ loop.nope }}{% endfor %}",
    "{% for k in d %}{{ k }}{% endfor %}",
    "{% for k, v in d.items() %}{{ k }}={{ v }};{% endfor %}",
    "{% for k, v in d|items %}{{ k }}={{ v }}{% if not loop.last %}, {% endif %}{% endfor %}",
    "{% for (k, v) in d|dictsort %}{{ k }}={{ v }};{% endfor %}",
    "{% for a, (b, c) in [(1, (2, 3))] %}{{ a }}{{ b }}{{ c }}{% endfor %}",
    "{% for a, b in [(1, 2, 3)] %}{% endfor %}",
    "{% for a, b in [(1,)] %}{% endfor %}",
    "{% for a, b in xs %}{% endfor %}",
    "{% for a, b in ['xy', 'zw'] %}{{ b }}{{ a }}{% endfor %}",
    "{% for c in u %}[{{ c }}]{% endfor %}",
    "{% for x in n %}{% endfor %}",
    "{% for x in nil %}{% endfor %}",
    "{% for x in missing %}a{% else %}none{% endfor %}",
    "{% for x in [] %}a{% else %}empty{% endfor %}",
    "{% for x in xs %}a{% else %}empty{% endfor %}",
    "{% for x in xs %}{% break %}{% else %}broken{% endfor %}",
    "{% for x in xs %}{% continue %}{% else %}cont{% endfor %}",
    "{% for x in xs if x > 1 %}{{ loop.index }}:{{ x }} {% endfor %}",
    "{% for x in xs if x > 10 %}a{% else %}none{% endfor %}",
    "{% for x in xs if x > 1 %}{{ loop.length }}{% endfor %}",
    "{% for x in xs %}{% if x == 1 %}{% continue %}{% endif %}{{ x }}{% endfor %}",
    "{% for x in xs %}{% if x == 1 %}{% break %}{% endif %}{{ x }}{% endfor %}",
    "{% for x in xs %}{% for y in xs %}{% if y == 1 %}{% break %}{% endif %}{{ x }}{{ y }} {% endfor %}{{ loop.index }}{% endfor %}",
    "{% for x in xs %}{% set y = x %}{% endfor %}{{ y }}",
    "{% set y = 0 %}{% for x in xs %}{% set y = y + x %}{{ y }} {% endfor %}{{ y }}",
    "{% for x in xs %}{% if q is defined %}D{% endif %}{% set q = 1 %}{% endfor %}",
    "{% set ns = namespace(t=0) %}{% for x in xs %}{% set ns.t = ns.t + x %}{% endfor %}{{ ns.t }}",
    "{% for x in xs %}{{ x }}{% endfor %}{{ x }}",
    "{% for n in xs %}{{ n }}{% endfor %}{{ n }}",
    "{% for x in xs recursive %}{{ x }}{% if loop.depth < 3 %}({{ loop([x + 1]) }}){% endif %}{% endfor %}",
    "{% for x in [[1, [2]], [3]] recursive %}{% if x is sequence %}<{{ loop(x) }}>{% else %}{{ x }}@{{ loop.depth0 }}{% endif %}{% endfor %}",
    "{% for x in xs %}{{ loop(xs) }}{% endfor %}",
    "{% for x in 1, 2, 3 %}{{ x }}{% endfor %}",
    "{% for x in (yes and xs) %}{{ x }}{% endfor %}",
    "{% for x in xs %}{{ loop|length }}{% endfor %}",
    "{% for x in xs[::-1] %}{{ x }}{% endfor %}",
    "{% for x in xs|reverse %}{{ x }}{{ loop.last }}{% endfor %}",
    "{% for i in range(3) %}{{ i }}{% endfor %}",
    "{% for x in xs %}{% set loop_outer = loop %}{% for y in [1] %}{{ loop_outer.index }}{{ loop.index }} {% endfor %}{% endfor %}",
    "{% for x xs %}{% endfor %}",
    "{% for x in xs %}",
    "{% for 1 in xs %}{% endfor %}",
    "{% for true in xs %}{% endfor %}",
    "{% break %}",
    "{% for x in xs %}{% macro m() %}{% break %}{% endmacro %}{% endfor %}",
    "{% set g = xs|map('string') %}{{ g|list }}{{ g|list }}",
    "{% set g = xs|map('string') %}{{ g|first }}{{ g|list }}",
    # set
    "{% set a = 1 %}{{ a }}",
    "{% set a, b = 1, 2 %}{{ a }}{{ b }}",
    "{% set a, b = 'xy' %}{{ b }}{{ a }}",
    "{% set a, b = 1 %}",
    "{% set a, b = 1, 2, 3 %}",
    "{% set a = 1, %}{{ a }}",
    "{% set (a, b) = (1, 2) %}{{ a + b }}",
    "{% set a %}x{{ n }}y{% endset %}{{ a }}|{{ a|length }}",
    "{% set a | upper %}x{{ s }}{% endset %}{{ a }}",
    "{% set a | replace('x', 'yy') | upper %}x{% endset %}{{ a }}",
    "{% set a %}{% set b = 1 %}{% endset %}{{ b }}",
    "{% if yes %}{% set a = 1 %}{% endif %}{{ a }}",
    "{% if no %}{% set n = 1 %}{% endif %}{{ n }}",
    "{% set n = n + 1 %}{{ n }}",
    "{% set s.x = 1 %}",
    "{% set missing.x = 1 %}",
    "{% set ns = namespace(a=1, b='x') %}{% set ns.a = 2 %}{% set ns.c = 3 %}{{ ns.a }}{{ ns.b }}{{ ns.c }}{{ ns.d }}",
    "{% set ns = namespace() %}{% set ns.x, ns.y = 1, 2 %}{{ ns.x }}{{ ns.y }}",
    "{% set ns = namespace(l=[]) %}{% for x in xs %}{% set ns.l = ns.l + [x * 2] %}{% endfor %}{{ ns.l }}",
    "{% set ns = namespace(x=1) %}{% set ns.self = ns %}{{ ns.self.self.x }}",
    "{% set ns = namespace(o='') %}{% set ns.o %}block{% endset %}{{ ns.o }}",
    "{% set true = 1 %}",
    "{% set 1 = 1 %}",
    "{% set a = %}",
    "{% set a 1 %}",
    "{% set a.b.c = 1 %}",
    "{% set a['x'] = 1 %}",
    "{% set x = d.pop('a') %}",
    "{% set _ = xs.append(4) %}",
    # macros
    "{% macro m(a, b=2, c=a) %}{{ a }}-{{ b }}-{{ c }}{% endmacro %}{{ m(1) }} {{ m(1, 3) }} {{ m(1, c=5) }} {{ m(b=1, a=2) }}",
    "{% macro m(a) %}[{{ a }}]{% endmacro %}{{ m() }}{{ m(1) }}",
    "{% macro m(a) %}{{ a }}{% endmacro %}{{ m(1, 2) }}",
    "{% macro m(a) %}{{ a }}{% endmacro %}{{ m(b=2) }}",
    "{% macro m(a) %}{{ a.b }}{% endmacro %}{{ m() }}",
    "{% macro m() %}{{ varargs }}{{ kwargs }}{% endmacro %}{{ m(1, 2, x=3) }}",
    "{% macro m(a) %}{{ a }}{{ varargs|length }}{% endmacro %}{{ m(1, 2, 3) }}",
    "{% macro m(a=1, b) %}{% endmacro %}",
    "{% macro m() %}{{ n }}{% endmacro %}{% set n = 9 %}{{ m() }}",
    "{% macro m() %}{{ later }}{% endmacro %}{% set later = 9 %}{{ m() }}",
    "{% macro m() %}{% set q = 1 %}{{ q }}{% endmacro %}{{ m() }}{{ q }}",
    "{% macro f(k) %}{% if k > 0 %}{{ k }}{{ f(k - 1) }}{% endif %}{% endmacro %}{{ f(5) }}",
    "{% macro m() %} x {% endmacro %}[{{ m()|trim }}]{{ m() is string }}{{ m()|length }}",
    "{% macro m() %}{{ caller() }}!{% endmacro %}{% call m() %}hi {{ n }}{% endcall %}",
    "{% macro m() %}{{ caller('x', 2) }}!{% endmacro %}{% call(a, b=1) m() %}{{ a }}{{ b }}{% endcall %}",
    "{% macro m() %}no caller{% endmacro %}{% call m() %}x{% endcall %}",
    "{% macro m() %}{{ caller() }}{% endmacro %}{{ m() }}",
    "{% macro m() %}{% if caller %}c{% else %}n{% endif %}{% endmacro %}{{ m() }}{% call m() %}{% endcall %}",
    "{% call n %}{% endcall %}",
    "{% call s.upper() %}x{% endcall %}",
    "{% macro a(x) %}<{{ x }}>{% endmacro %}{% macro b(x) %}{{ a(a(x)) }}{% endmacro %}{{ b('q') }}",
    "{{ m() }}{% macro m() %}late{% endmacro %}",
    "{% if yes %}{% macro m() %}in{% endmacro %}{% endif %}{{ m() }}",
    "{% for x in xs %}{% macro m() %}{{ x }}{% endmacro %}{{ m() }}{% endfor %}",
    "{% macro m(x) %}{% for y in x %}{{ y }}{% endfor %}{% endmacro %}{{ m(xs) }}{{ m(*[xs]) }}{{ m(**{'x': 'ab'}) }}",
    "{% macro m(a) %}{% endmacro %}{{ m.name }}{{ m is callable }}",
    "{% macro m(a, a2=n) %}{{ a2 }}{% endmacro %}{% set n = 3 %}{{ m(1) }}",
    "{% macro outer() %}{% macro inner() %}I{{ n }}{% endmacro %}{{ inner() }}{% endmacro %}{{ outer() }}",
    "{% macro m(messages) %}{{ messages|length }}{% endmacro %}{{ m([1]) }}",
    "{% macro %}{% endmacro %}",
    "{% macro m %}{% endmacro %}",
    "{% macro m( %}{% endmacro %}",
    "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}",
    # filter, with, generation, print
    "{% filter upper %}a{{ s }}{% endfilter %}",
    "{% filter replace('a', 'b')|upper %}aaa{% endfilter %}",
    "{% filter nope %}a{% endfilter %}",
    "{% filter upper %}{% set q = 1 %}{% endfilter %}{{ q }}",
    "{% for x in xs %}{% filter upper %}a{% if x == 1 %}{% break %}{% endif %}{% endfilter %}{% endfor %}",
    "{% with a = 1, b = n %}{{ a }}{{ b }}{% endwith %}{{ a }}",
    "{% with %}{% set a = 1 %}{{ a }}{% endwith %}{{ a }}",
    "{% with n = n + 1 %}{{ n }}{% endwith %}{{ n }}",
    "{% generation %}a{{ n }}{% set q = 1 %}{% endgeneration %}{{ q }}",
    "{% for x in xs %}{% generation %}{{ x }}{% endgeneration %}{% endfor %}",
    "x{%- generation -%} a {%- endgeneration %}y",
    "{% print n, s %}",
    "{% nope %}",
    "{% do xs %}",
    "{% include 'x' %}",
    "{{ 1, 2 }}",
    "{{ s if yes, n }}",
    "{% set c = cycler('a', 'b') %}{{ c.next() }}{{ c.current }}{{ c.next() }}{{ c.next() }}",
    "{% set j = joiner('|') %}{% for x in xs %}{{ j() }}{{ x }}{% endfor %}",
    "{% set x = namespace(a=[]) %}{% set x.a = x.a + [1] %}{{ x.a|tojson }}",
    "{%- for m in people if m.age == 3 and not loop -%}{{ m.name }}{%- endfor -%}",
    "{% for m in people %}{{ m.name if m.age > 3 }}{% endfor %}",
    "{% for m in people %}{%- if loop.first and m.name == 'Zoe' -%}Z{%- elif loop.last -%}L{%- endif -%}{% endfor %}",
    "{{ people[0]['name'] + '\n' + people[-1].name }}",
    "{{ '<' ~ html|safe ~ '>' }}",
    "{{ ('a'|safe) + '<' + 'b' }}",
    "{% set m = 'x'|safe %}{{ m.upper() + '<' }}{{ m[0] + '<' }}{{ m|trim + '<' }}{{ m|string + '<' }}{{ m ~ '<' }}{{ m|replace('x', '<') + '<' }}{{ m.replace('x', '<') }}",
    "{{ ['a'|safe]|string }}",
]

SNIPPETS = ["{{ " + expression + " }}" for expression in EXPRESSIONS] + STATEMENTS
