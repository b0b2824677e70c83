"""Builds, updates and prunes knowledge bases from the command line; the flags are those of 0.2.10."""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from services.api.bootstrap import Replacements, build
from services.api.domain.names import KnowledgeBaseName
from services.api.knowledge.importing.summary import import_from, local_path
from services.api.knowledge.maintenance import Task
from services.api.knowledge.showing import show, show_inspection
from services.api.parts import Role
from services.foundation import logs
from services.foundation.errors import ChatchatError
from services.foundation.settings.load import load_settings
from services.foundation.settings.tree import Settings
from services.supervisor.lending import is_milvus_open, served

_TASKS = {
    Task.RECREATE: ("-r", "drop the vectors and records of each base and rebuild them from its files"),
    Task.UPDATE: ("-u", "index the files on record again"),
    Task.INCREMENT: ("-i", "index the files in the folder that are not searchable yet"),
    Task.PRUNE_DB: (None, "remove the records of files that are no longer in the folder"),
    Task.PRUNE_FOLDER: (None, "delete the files in the folder that have no record"),
}


def parser() -> argparse.ArgumentParser:
    """The flags; several tasks may be given, one is done."""
    made = argparse.ArgumentParser(prog="init_database.py", description=__doc__)
    made.add_argument("--create-tables", action="store_true", help="create the metadata tables or update them")
    made.add_argument("--clear-tables", action="store_true", help="drop all metadata tables and create them again")
    made.add_argument("--import-db", type=local_path, metavar="FILE", help="copy another database's rows, also 0.2.x's")
    made.add_argument("--import-folder", type=local_path, metavar="DIR", help="copy a 0.2.x folder knowledge_base")
    for task, (short, text) in _TASKS.items():
        names = [name for name in (short, f"--{task.value}") if name]
        made.add_argument(*names, dest="task", action="append_const", const=task, help=text)
    made.add_argument("--check", action="store_true", help="compare files, records and indexes, and repair; alone")
    made.add_argument("-n", "--kb-name", nargs="+", default=[], metavar="BASE", help="bases to work on; default: all")
    made.add_argument("-e", "--embed-model", metavar="MODEL", help="embedding model of bases that are made or rebuilt")
    return made


def main(arguments: Sequence[str]) -> int:
    """Do what the flags say; returns the exit code: 0 done, 1 something is left to do, 2 misconfigured."""
    given = parser().parse_args(arguments or ["--help"])
    os.chdir(Path(__file__).resolve().parent)  # relative folders of the settings are found from here
    os.environ["GRPC_ENABLE_FORK_SUPPORT"] = "0"  # noqa: TID251 - or gRPC writes a line for each reader of files started
    settings = load_settings()
    logs.configure("init_database", "WARNING")
    began, console = time.monotonic(), Console(soft_wrap=True)
    try:
        failed = asyncio.run(_work(settings, given, console))
    except ChatchatError as failure:
        console.print(str(failure), style="red", markup=False)
        return 2
    console.print(f"总计用时 / total time: {time.monotonic() - began:.1f} s", markup=False)
    return 1 if failed else 0


async def _work(settings: Settings, given: argparse.Namespace, console: Console) -> int:
    parts = build(settings, Replacements(), Role.SCRIPT if await is_milvus_open(settings) else Role.WHOLE)
    async with parts.maintained(clear=given.clear_tables):
        lost = await import_from(parts.importer, given.import_db, given.import_folder, console)
        task = next((task for task in _TASKS if task in (given.task or ())), None)  # 0.2.10 lets the first win
        if task is None and not given.check:
            return lost
        named, maintenance = [KnowledgeBaseName.parse(name) for name in given.kb_name], parts.maintenance
        pruning = task in {Task.PRUNE_DB, Task.PRUNE_FOLDER}
        bases = await maintenance.bases(named, recorded=pruning or task is None)
        if task is None:
            models = await maintenance.embedding_models(bases)
            async with served(settings, models & settings.models.served.keys()):
                await parts.open_indexes()
                return lost + await show_inspection(parts.inspection, named, console)
        steps = await maintenance.plan(task, bases, embedding_model=given.embed_model)
        if not steps and not (task is Task.RECREATE and bases):
            console.print(f"{task.value}: nothing to do in {', '.join(map(str, bases)) or 'no base'}", markup=False)
            return lost
        async with served(settings, set() if pruning else await maintenance.embedding_models(bases)):
            await parts.open_indexes()
            if task is Task.RECREATE:
                await maintenance.reset(bases, embedding_model=given.embed_model)
            return lost + await show(parts.maintenance, parts.knowledge, steps, console)


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
