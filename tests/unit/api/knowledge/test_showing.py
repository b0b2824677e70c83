"""What a script shows of a task: outcomes, a table, and how many failed."""

from __future__ import annotations

from io import StringIO

from rich.console import Console

from services.api.knowledge.maintenance import Task
from services.api.knowledge.showing import show
from tests.unit.api.knowledge.workbench import BASE, FILE, Workbench


async def shown(bench: Workbench, task: Task) -> tuple[int, str]:
    steps = await bench.maintenance.plan(task, [BASE], embedding_model=None)
    text = StringIO()
    failed = await show(bench.maintenance, bench.service, steps, Console(file=text, width=100))
    return failed, text.getvalue()


async def test_each_file_has_its_line_and_each_base_its_row(bench: Workbench):
    bench.lay("年假 五天\n病假 十天")
    bench.lay("!unreadable", type(FILE)("torn.txt"))
    bench.lay("x", type(FILE)("program.exe"))
    failed, said = await shown(bench, Task.INCREMENT)
    assert failed == 1
    assert "政策/年假.txt: 2 chunks" in said
    assert "政策/torn.txt: failed: " in said
    assert "政策/program.exe: skipped: " in said
    row = next(line for line in said.splitlines() if line.startswith("│ 政策"))
    assert [cell.strip() for cell in row.strip("│").split("│")] == ["政策", "3", "1", "1", "1", "2"]


async def test_a_long_name_with_what_a_terminal_would_obey_is_shown_harmlessly(bench: Workbench):
    bench.lay("年假", type(FILE)(f"{'长' * 60}[bold].txt"))
    failed, said = await shown(bench, Task.INCREMENT)
    assert failed == 0
    assert "[bold].txt: 1 chunks" in said.replace("\n", "")
