"""Pages of the reference that are generated from the command, the OpenAPI document and the Python package."""

from __future__ import annotations

import ast
import json
import re
import subprocess
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

WIDTH = "100"
SETTINGS_FLAG = "--help-settings"
COMMANDS = """# Commands

The help of every command, as `qbo-rs COMMAND --help` prints it. The settings, which all commands share, are at the end
of the page.
"""
HTTP_API = """# HTTP API

The API of `qbo-rs serve`, from its OpenAPI document. The page about the service says how callers are authorised.

## Operations
"""


class Command:
    """The command `qbo-rs`, asked for what it says about itself."""

    def __init__(self, path: str) -> None:
        """Take the path of the executable."""
        self.path = path

    def output(self, *arguments: str) -> str:
        """Return what the command prints on stdout."""
        environment = {"COLUMNS": WIDTH, "LANG": "C.UTF-8", "LC_ALL": "C.UTF-8"}
        line = [self.path, *arguments]
        done = subprocess.run(line, capture_output=True, text=True, check=True, env=environment, timeout=60)  # noqa: S603
        return done.stdout

    def helps(self) -> dict[tuple[str, ...], str]:
        """Return the help of every command: of `qbo-rs` itself, of each command, and of what is below it."""
        found: dict[tuple[str, ...], str] = {}
        level: list[tuple[str, ...]] = [()]
        with ThreadPoolExecutor(max_workers=4) as pool:
            while level:
                texts = list(pool.map(lambda names: self.output(*names, "--help"), level))
                found |= zip(level, texts, strict=True)
                level = [(*names, name) for names, text in zip(level, texts, strict=True) for name in subcommands(text)]
        return found


def subcommands(text: str) -> list[str]:
    """Return the names of the commands that a help text lists."""
    listed = re.search(r"^Commands:\n((?:(?:  .*)?\n)+)", text, re.MULTILINE)
    names = re.findall(r"^  ([a-z][a-z-]*) ", listed.group(1), re.MULTILINE) if listed else []
    return [name for name in names if name != "help"]


def own_part(text: str) -> str:
    """Return a help text without the settings and the flags of the log, if it has them: all commands share them."""
    if SETTINGS_FLAG in text:
        return text.rstrip()
    return re.split(r"^Settings \(|^Logs:$", text, maxsplit=1, flags=re.MULTILINE)[0].rstrip()


def shared_part(command: Command) -> str:
    """Return the help of the settings, which all commands share."""
    text = command.output("--help")
    if SETTINGS_FLAG in text:
        return command.output(SETTINGS_FLAG).rstrip()
    return text[text.index("Settings (") :].rstrip()


def commands(command: Command, root: Path) -> str:
    """Return the page of the commands: the help of each."""
    del root
    parts = [COMMANDS]
    helps = command.helps()
    order = list(helps)
    # Each command is followed by those below it, in the order of the help.
    for names in sorted(helps, key=lambda names: [order.index(names[: depth + 1]) for depth in range(len(names))]):
        title, text = " ".join(("qbo-rs", *names)), helps[names]
        parts.append(f"## {title}\n\n```text\n{own_part(text)}\n```\n")
    parts.append(f"## Settings and logs\n\n```text\n{shared_part(command)}\n```\n")
    return "\n".join(parts)


def entities(command: Command, root: Path) -> str:
    """Return the page of the entities."""
    del root
    rows = [line.split() for line in command.output("entities").splitlines()]
    table = "\n".join(f"| `{row[0]}` | `{row[1]}` |" for row in rows if len(row) > 1 and row[0].islower())
    return f"# Entities\n\nWhat `qbo-rs entities` lists.\n\n| entity | in QuickBooks |\n| --- | --- |\n{table}\n"


def tables(command: Command, root: Path) -> str:
    """Return the page of the tables: the SQL that makes them."""
    del root
    statements = command.output("db", "ddl", "invoices").strip()
    return (
        "# Tables\n\nThe SQL of `qbo-rs db ddl invoices`: the table of one entity, and all operational tables. The "
        "migrations follow each other as they were released.\n\n"
        f"```sql\n{statements}\n```\n"
    )


def schema_name(schema: dict[str, Any]) -> str:
    """Return a link to a schema, or its type."""
    if "$ref" in schema:
        name = schema["$ref"].rsplit("/", 1)[-1]
        return f"[{name}](#{name.lower()})"
    if "items" in schema:
        return f"list of {schema_name(schema['items'])}"
    choices = [choice for choice in schema.get("oneOf", []) if choice.get("type") != "null"]
    if choices:
        return " or ".join(schema_name(choice) for choice in choices)
    kind = schema.get("type", "any")
    return " or ".join(kind) if isinstance(kind, list) else str(kind)


def one_line(text: str) -> str:
    """Return a text for a cell of a table."""
    return " ".join(text.split()).replace("|", "\\|")


def operation(path: str, method: str, described: dict[str, Any]) -> str:
    """Return the section of one operation."""
    parts = [
        f"### {method.upper()} {path}\n\n{described.get('summary', '')}. {described.get('description', '')}".rstrip()
    ]
    parameters = []
    for one in described.get("parameters", []):
        required = "yes" if one.get("required") else ""
        parameters.append(f"| `{one['name']}` | {one['in']} | {required} | {one_line(one.get('description', ''))} |")
    if parameters:
        parts.append("\n".join(["| parameter | in | required | meaning |", "| --- | --- | --- | --- |", *parameters]))
    bodies = described.get("requestBody", {}).get("content", {}).values()
    parts += [f"Body: {schema_name(content.get('schema', {}))}" for content in bodies]
    answers = []
    for status, answer in sorted(described.get("responses", {}).items()):
        schemas = {schema_name(content.get("schema", {})) for content in answer.get("content", {}).values()}
        answers.append(f"| {status} | {one_line(answer.get('description', ''))} | {', '.join(sorted(schemas))} |")
    parts.append("\n".join(["| status | meaning | body |", "| --- | --- | --- |", *answers]))
    return "\n\n".join(parts) + "\n"


def described_schema(name: str, schema: dict[str, Any]) -> str:
    """Return the section of one schema."""
    text = f"### {name}\n\n{schema.get('description', '')}".rstrip()
    rows = [
        f"| `{member}` | {schema_name(of)} | {one_line(of.get('description', ''))} |"
        for member, of in schema.get("properties", {}).items()
    ]
    values = [f"`{value}`" for value in schema.get("enum", [])]
    if rows:
        text += "\n\n" + "\n".join(["| member | type | meaning |", "| --- | --- | --- |", *rows])
    elif values:
        text += f"\n\nOne of {', '.join(values)}."
    return text + "\n"


def http_api(command: Command, root: Path) -> str:
    """Return the page of the HTTP API."""
    del command
    document = json.loads((root / "src/server/openapi.json").read_text())
    parts = [HTTP_API]
    for path, methods in document["paths"].items():
        parts += [operation(path, method, described) for method, described in methods.items()]
    parts.append("## Bodies\n")
    parts += [described_schema(name, schema) for name, schema in document["components"]["schemas"].items()]
    return "\n".join(parts)


def public_names(root: Path) -> dict[str, list[str]]:
    """Return the public names of the Python package, by kind."""
    module = ast.parse((root / "python/qbo_rs/__init__.py").read_text())
    names: dict[str, list[str]] = {"function": [], "class": [], "exception": []}
    for node in ast.walk(module):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("qbo_rs."):
            for alias in node.names:
                if alias.name.startswith("_") or alias.asname:
                    continue
                is_exception = node.module == "qbo_rs.exceptions"
                kind = "exception" if is_exception else "class" if alias.name[0].isupper() else "function"
                names[kind].append(alias.name)
    return names


def python(command: Command, root: Path) -> str:
    """Return the page of the Python package, filled by autodoc from the docstrings."""
    del command
    parts = [
        "# Python package\n\n```{eval-rst}\n.. automodule:: qbo_rs\n   :no-members:\n```\n",
    ]
    titles = {"function": "Functions", "class": "Classes", "exception": "Exceptions"}
    for kind, names in public_names(root).items():
        options = (
            "" if kind == "function" else "   :members:\n   :inherited-members: Exception, BaseException, dict, str\n"
        )
        listed = "\n".join(f".. auto{kind}:: qbo_rs.{name}\n{options}" for name in sorted(set(names)))
        if kind == "exception":
            listed = f".. automodule:: qbo_rs.exceptions\n   :no-members:\n\n{listed}"
        parts.append(f"## {titles[kind]}\n\n```{{eval-rst}}\n{listed}\n```\n")
    return "\n".join(parts)


GENERATORS: dict[str, Callable[[Command, Path], str]] = {
    "reference/commands.md": commands,
    "reference/entities.md": entities,
    "reference/tables.md": tables,
    "reference/http-api.md": http_api,
    "reference/python.md": python,
}
