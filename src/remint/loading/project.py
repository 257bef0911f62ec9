"""``load_project``: a project directory becomes a validated graph of datasets, or all of its mistakes at once."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from remint.checks.contract import Contract
from remint.errors import ProjectError, ProjectInvalid, PythonChanged
from remint.loading.cache import ProjectCache
from remint.loading.declare import Declaration
from remint.loading.draft import Draft, Shape
from remint.loading.logic_history import logic_change
from remint.loading.names import location_mistakes, name_mistakes
from remint.loading.project_modules import shown_path
from remint.loading.project_rules import declaration_mistakes
from remint.loading.python_files import Declared, read_declarations
from remint.loading.quarantine import (
    has_quarantine,
    line_columns,
    line_quarantine,
    payload_columns,
    payload_quarantine,
    payload_spec,
    quarantine_cut,
)
from remint.loading.reading import contract_of, function_transform, transform_of
from remint.loading.settings import Settings, read_settings
from remint.loading.sql_source import DeclaredReach, SqlSource, TimeGrain, TransformSpec
from remint.loading.text_files import read_text
from remint.model.calendar import UTC_ZONE
from remint.model.dataset import Dataset, DatasetName, Input, Layer, Transform, quarantine_name
from remint.model.graph import DatasetGraph
from remint.model.mapping import All, ByArrival, FanOut, Latest, Mapping, RollUp, SelfBefore, Window, describe
from remint.model.partition import Grain, PartitionSpec

if TYPE_CHECKING:
    from remint.loading.python_transforms import PythonTransform

CONTRACTS_FOLDER = "contracts"
_TIMES: dict[Grain, TimeGrain] = {
    Grain.HOUR: "hour",
    Grain.DAY: "day",
    Grain.WEEK: "week",
    Grain.MONTH: "month",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Project:
    """A project as it is on disk now."""

    name: str
    root: Path
    settings: Settings
    graph: DatasetGraph
    warnings: tuple[str, ...]
    """What works but deserves a look, each with file and line."""
    functions: dict[DatasetName, PythonTransform]
    """What makes the datasets that no SQL makes."""
    owners: dict[DatasetName, str] = field(default_factory=dict)
    """Who is to be told when a dataset changes, where its contract names a team."""
    engines: dict[DatasetName, str] = field(default_factory=dict)
    """Engine by dataset, of those that declare one; a quarantine has its dataset's."""

    def function_of(self, dataset: Dataset) -> PythonTransform | None:
        """Return the function that makes a dataset as a plan has it; None for SQL, which the plan holds itself.

        Raises:
            PythonChanged: what is declared now is something else.
        """
        planned = dataset.transform
        if planned is None or not planned.function:
            return None
        now = self.graph[dataset.name].transform if dataset.name in self.graph.datasets else None
        if now is None or now.logic.digest != planned.logic.digest:
            words = logic_change(planned.logic, now.logic).words if now else "it is not declared any more"
            raise PythonChanged(
                f"the Python of {dataset.name} is not what was planned: {words}",
                hint=f"remint plan    # plan again on what is there now; or put {planned.function} back as it was",
            )
        return self.functions[dataset.name]


def load_project(root: Path, *, keep: bool = True) -> Project:
    """Return the project in ``root``.

    Args:
        root: folder that holds ``remint.toml``.
        keep: whether to write down what the next load can use.

    Raises:
        ProjectInvalid: every mistake, with file and line. Nothing is changed.
    """
    root = root.resolve()
    settings = read_settings(root)
    mistakes: list[ProjectError] = []
    declared = read_declarations(root, mistakes)
    mistakes += name_mistakes(declared.declarations, root)
    draft = _read(settings, root, declared, mistakes)
    for declaration in draft.declarations.values():
        mistakes += declaration_mistakes(draft, declaration)
    mistakes += location_mistakes(_located(draft), root)
    datasets = _datasets(draft, mistakes)
    graph = _graph(draft, datasets, mistakes)
    if mistakes:
        raise ProjectInvalid(_once(mistakes))
    if keep:
        draft.cache.save()
    return Project(
        name=settings.name,
        root=root,
        settings=settings,
        graph=graph,
        warnings=_warnings(draft, graph),
        functions=dict(draft.functions),
        owners={name: contract.owner for name, contract in draft.contracts.items() if contract.owner},
        engines={
            name: declaration.engine
            for declaration in draft.declarations.values()
            for name in (declaration.name, quarantine_name(declaration.name))
            if declaration.engine
        },
    )


def _read(settings: Settings, root: Path, declared: Declared, mistakes: list[ProjectError]) -> Draft:
    """Return everything that the project's files hold; what cannot be read is missing in it."""
    cache = ProjectCache(root)
    declarations = {d.name: d for d in reversed(declared.declarations)}  # of namesakes the first counts
    declarations = dict(sorted(declarations.items()))
    contracts: dict[DatasetName, Contract] = {}
    for name, declaration in declarations.items():
        try:
            contracts[name] = _contract(root, declaration, cache)
            if declaration.sql is not None:
                declared.texts.setdefault(name, _sql_file(root, declaration))
        except ProjectInvalid as error:
            mistakes += error.mistakes
        except ProjectError as error:
            mistakes.append(error)
    derived = {quarantine_name(n) for n, d in declarations.items() if has_quarantine(d)}
    for name in sorted(derived & set(declarations)):
        mistakes.append(_at(root, declarations[name], f"{name} is the name of a quarantine table that remint keeps"))
    return Draft(
        root=root,
        format=settings.format,
        declarations=declarations,
        contracts=contracts,
        texts=declared.texts,
        functions=declared.functions,
        shapes=_shapes(declarations, contracts),
        names=frozenset(declarations) | derived,
        cache=cache,
    )


def _contract(root: Path, declaration: Declaration, cache: ProjectCache) -> Contract:
    shown = f"{CONTRACTS_FOLDER}/{declaration.name}.yaml"
    if not (root / shown).is_file():
        raise _at(root, declaration, f"{declaration.name} has no contract: {shown} is missing")
    return contract_of(read_text(root / shown, shown), shown, cache)


def _sql_file(root: Path, declaration: Declaration) -> SqlSource:
    shown = str(declaration.sql)
    path = (root / shown).resolve()
    if not path.is_relative_to(root):
        raise _at(root, declaration, f"{declaration.name}: {shown} is outside of the project")
    if not path.is_file():
        raise _at(root, declaration, f"{declaration.name}: the file {shown} is missing")
    return SqlSource(sql=read_text(path, shown), file=shown)


def _at(root: Path, declaration: Declaration, message: str) -> ProjectError:
    return ProjectError(message, file=shown_path(declaration.file, root), line=declaration.line)


def _shapes(
    declarations: dict[DatasetName, Declaration], contracts: dict[DatasetName, Contract]
) -> dict[DatasetName, Shape]:
    shapes = {
        name: Shape(
            layer=declarations[name].layer,
            partition=declarations[name].partition,
            columns=contract.columns,
            arrivals=declarations[name].arrivals,
        )
        for name, contract in contracts.items()
    }
    for name, declaration in declarations.items():
        partition = quarantine_cut(declaration.partition)
        parsed = next((d for a, d, _ in declaration.inputs if declaration.parse and a == declaration.parse.alias), None)
        if declaration.source is not None:
            columns = line_columns(partition)
        elif parsed is not None and parsed in shapes:
            columns = payload_columns(partition, shapes[parsed].columns)
        else:
            continue
        shapes[quarantine_name(name)] = Shape(
            layer=declaration.layer, partition=partition, columns=columns, arrivals=None
        )
    return shapes


def _located(draft: Draft) -> list[tuple[str, Declaration]]:
    declared = [(d.location, d) for d in draft.declarations.values()]
    return declared + [(f"{location}_quarantine", d) for location, d in declared if has_quarantine(d)]


def _datasets(draft: Draft, mistakes: list[ProjectError]) -> list[Dataset]:
    """Return the datasets whose parts are all there, with the quarantine tables that come with them."""
    datasets: list[Dataset] = []
    for name, declaration in draft.declarations.items():
        if name not in draft.contracts or any(d not in draft.shapes for _, d, _ in declaration.inputs):
            continue
        try:
            datasets += _with_quarantine(draft, declaration)
        except ProjectInvalid as error:
            mistakes += error.mistakes
    return datasets


def _with_quarantine(draft: Draft, declaration: Declaration) -> list[Dataset]:
    dataset = _dataset(draft, declaration)
    if declaration.source is not None:
        return [dataset, line_quarantine(dataset)]
    entry = next((i for i in dataset.inputs if dataset.parse and i.alias == dataset.parse.alias), None)
    if dataset.parse is None or entry is None:
        return [dataset]
    raw = draft.shapes[entry.dataset]
    spec = payload_spec(dataset.parse, quarantine_cut(dataset.partition), entry, raw)
    return [dataset, payload_quarantine(dataset, entry, raw, transform_of(spec, draft.cache)[0])]


def _dataset(draft: Draft, declaration: Declaration) -> Dataset:
    contract = draft.contracts[declaration.name]
    transform, columns = _transform(draft, declaration, contract)
    return Dataset(
        name=declaration.name,
        layer=declaration.layer,
        location=declaration.location,
        partition=declaration.partition,
        columns=contract.columns,
        key=contract.key,
        inputs=tuple(
            Input(alias=a, dataset=d, mapping=m, columns=_columns(draft, d, m, columns.get(a)))
            for a, d, m in declaration.inputs
        ),
        transform=transform,
        parse=declaration.parse,
        keep=declaration.keep,
        checks=contract.checks,
        source=declaration.source,
        arrivals=declaration.arrivals,
        metrics=declaration.metrics,
        description=declaration.description,
        version=declaration.version,
    )


def _columns(
    draft: Draft, dataset: DatasetName, mapping: Mapping, read: tuple[str, ...] | None
) -> tuple[str, ...] | None:
    """Return the columns of an input that count; of Bronze all do, because its rows are never made again."""
    source = draft.shapes[dataset]
    is_all = read is not None and set(read) >= {c.name for c in source.columns}
    return None if isinstance(mapping, ByArrival) or source.layer is Layer.BRONZE or is_all else read


def _transform(
    draft: Draft, declaration: Declaration, contract: Contract
) -> tuple[Transform | None, dict[str, tuple[str, ...] | None]]:
    source, function = draft.texts.get(declaration.name), draft.functions.get(declaration.name)
    if (source is None and function is None) or not declaration.inputs:
        return None, {}
    spec = TransformSpec(
        source=source or SqlSource(sql="", file=declaration.file, line=declaration.line),
        inputs={alias: (dataset, draft.shapes[dataset].columns) for alias, dataset, _ in declaration.inputs},
        columns=tuple(c for c in contract.columns if c.name != declaration.version.column),
        parse=declaration.parse,
        keep=declaration.keep,
        key=contract.key,
        reads={alias: _read_in_words(draft, dataset, mapping) for alias, dataset, mapping in declaration.inputs},
        output=_time_of(declaration.partition),
        declared=dict(_declared(draft, declaration)),
        allow=declaration.allow,
    )
    if function is not None:
        return function_transform(function, spec, draft.cache), {}
    transform, columns = transform_of(spec, draft.cache)
    return transform, dict(columns)


def _time_of(partition: PartitionSpec) -> tuple[str, TimeGrain] | None:
    grain = _TIMES.get(partition.grain)
    holds_it = partition.zone == UTC_ZONE and not partition.is_hidden
    return (partition.column, grain) if grain is not None and holds_it else None


def _declared(draft: Draft, declaration: Declaration) -> Iterable[tuple[str, DeclaredReach]]:
    """Yield, for each input that is read by time, how far its mapping reaches."""
    for alias, dataset, mapping in declaration.inputs:
        source = draft.shapes[dataset]
        is_arrival = isinstance(mapping, ByArrival) and source.arrivals is not None
        spec = source.arrivals.spec if is_arrival and source.arrivals else source.partition
        time = _time_of(spec)
        is_parsed = declaration.parse is not None and declaration.parse.alias == alias
        is_unlike = spec.grain is not declaration.partition.grain and not isinstance(mapping, RollUp)  # a mistake
        if time is None or is_unlike or isinstance(mapping, All | Latest | FanOut) or (is_parsed and not is_arrival):
            continue
        before, after = 0, 0
        if isinstance(mapping, Window):
            before, after = mapping.before, mapping.after
        elif isinstance(mapping, SelfBefore):
            before = mapping.before
        yield alias, DeclaredReach(column=time[0], grain=time[1], is_raw=is_arrival, before=before, after=after)


def _read_in_words(draft: Draft, dataset: DatasetName, mapping: Mapping) -> str:
    words, arrivals = f"{dataset}, {describe(mapping)}", draft.shapes[dataset].arrivals
    if isinstance(mapping, ByArrival) and arrivals is not None and arrivals.key:
        return f"{words}, {arrivals.in_words}"
    return words


def _graph(draft: Draft, datasets: Iterable[Dataset], mistakes: list[ProjectError]) -> DatasetGraph:
    known = list(datasets)
    try:
        return DatasetGraph.build(_with_readers(known))
    except ProjectError as error:
        first = next((d for name, d in draft.declarations.items() if name in error.message.split()), None)
        mistakes.append(draft.mistake(first, error.message) if first else error)
        return DatasetGraph({})


def _with_readers(datasets: Iterable[Dataset]) -> Iterable[Dataset]:
    """Yield the datasets, each with the sets of columns that others read of it."""
    known = list(datasets)
    read: dict[DatasetName, set[tuple[str, ...]]] = {}
    for entry in (i for d in known for i in d.inputs if i.columns is not None):
        read.setdefault(entry.dataset, set()).add(entry.columns or ())
    for dataset in known:
        yield replace(dataset, read_as=tuple(sorted(read.get(dataset.name, ()))))


def _once(mistakes: list[ProjectError]) -> list[ProjectError]:
    return list({(m.file, m.line, m.message): m for m in mistakes}.values())


def _warnings(draft: Draft, graph: DatasetGraph) -> tuple[str, ...]:
    found = [warning for contract in draft.contracts.values() for warning in contract.warnings]
    found += [warning for dataset in graph if dataset.transform for warning in dataset.transform.warnings]
    used = {f"{name}.yaml" for name in draft.declarations}
    for path in sorted((draft.root / CONTRACTS_FOLDER).glob("*.yaml")):
        if path.name not in used:
            found.append(f"{CONTRACTS_FOLDER}/{path.name}: no dataset of this name is declared")
    return tuple(found)
