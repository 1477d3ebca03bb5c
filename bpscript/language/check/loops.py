"""What the ways through a file show: lines that are never reached, labels that stand twice, loops that never end."""

from collections.abc import Iterator

from ..source import LineKind
from ..specials import reply_variables, special
from ..syntax import Test
from .program import Program
from .reading import Command
from .walk import END, Walk

_VOLATILE_TESTS = frozenset({"exist", "valid", "in-file"})


def check(walk: Walk) -> None:
    """All rules of this module, on a file that was walked."""
    _labels_twice(walk)
    _unreached(walk)
    for loop in _loops(walk.edges):
        _check_loop(walk, loop)


def _labels_twice(walk: Walk) -> None:
    source = walk.file.source
    lines = {id(line): index for index, line in enumerate(source.lines)}
    for key, line in Program.labels(walk.file):
        first = source.lines[source.labels[key]]
        if first is not line:
            name = line.text[1:].strip()
            walk.report(lines[id(line)], "BP202", 1, len(line.text), f'the label "{name[:60]}" stands already on line {first.number}, which is the one that counts')


def _unreached(walk: Walk) -> None:
    """The first command of each stretch that no way leads to."""
    in_stretch = False
    for index, line in enumerate(walk.file.source.lines):
        if index in walk.reached:
            in_stretch = False
        elif line.kind is LineKind.COMMAND and not in_stretch:
            in_stretch = True
            walk.report(index, "BP203", 1, len(line.text), "this line is never reached")


def _check_loop(walk: Walk, loop: set[int]) -> None:
    if loop & walk.leaves:
        return
    exits = [(line, target) for line in loop for target in walk.edges[line] if target not in loop]
    back = max(line for line in loop if any(target <= line and target in loop for target in walk.edges[line]))
    if not exits:
        if not (loop & walk.waits) and not walk.has_handlers:
            first = walk.file.source.lines[min(loop)].number
            walk.report(back, "BP204", 1, len(walk.file.source.lines[back].text), f"this loop, from line {first} on, has no exit and waits for nothing")
        return
    changed = {key for line in loop for key in walk.sets.get(line, ())}
    for line, target in exits:
        guards = walk.exit_guards.get((line, target), ())
        if not guards:
            # The way out is past a jump: that test decides.
            guards = next((walk.exit_guards.get((line, inner), ()) for inner in walk.edges[line] if inner in loop), ())
        if not guards or any(_may_change(walk, each, line, changed) for each in guards):
            return
    names = sorted({name for line, target in exits for name in _tested(walk, line)})
    about = f"${', $'.join(names)}" if names else "what is tested"
    walk.report(back, "BP205", 1, len(walk.file.source.lines[back].text), f"nothing in this loop changes {about}, which decides whether it ends")


def _may_change(walk: Walk, guard: Command, line: int, changed: set[str]) -> bool:
    """Whether a test can come out differently the next time."""
    test = guard.argument("test")
    if not isinstance(test, Test) or test.operator in _VOLATILE_TESTS:
        return True
    keys = set(_tested(walk, line))
    program = walk.program
    return any(key in changed or key in program.volatile or _is_special(key) for key in keys)


def _is_special(key: str) -> bool:
    return special(key) is not None and key not in reply_variables()


def _tested(walk: Walk, line: int) -> Iterator[str]:
    """The variables of a line."""
    for used in walk.file.readings[line].used:
        yield used.names[walk.program.choice(used)][0]


def _loops(edges: dict[int, set[int]]) -> Iterator[set[int]]:
    """Sets of lines that lead to each other (Tarjan's algorithm, with a stack of its own)."""
    number: dict[int, int] = {}
    low: dict[int, int] = {}
    stack: list[int] = []
    on_stack: set[int] = set()
    for root in edges:
        if root in number:
            continue
        work = [(root, iter(edges.get(root, ())))]
        number[root] = low[root] = len(number)
        stack.append(root)
        on_stack.add(root)
        while work:
            node, targets = work[-1]
            for target in targets:
                if target == END:
                    continue
                if target not in number:
                    number[target] = low[target] = len(number)
                    stack.append(target)
                    on_stack.add(target)
                    work.append((target, iter(edges.get(target, ()))))
                    break
                if target in on_stack:
                    low[node] = min(low[node], number[target])
            else:
                work.pop()
                if work:
                    low[work[-1][0]] = min(low[work[-1][0]], low[node])
                if low[node] == number[node]:
                    component: set[int] = set()
                    while True:
                        each = stack.pop()
                        on_stack.discard(each)
                        component.add(each)
                        if each == node:
                            break
                    if len(component) > 1 or node in edges.get(node, ()):
                        yield component
