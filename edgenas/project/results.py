"""What commands of a run folder found out: the search's winner and finals, what `retrain` reported, whether both still hold."""

from __future__ import annotations

from edgenas.data.splits import Splits, load_splits
from edgenas.errors import CheckpointError, MissingInputError
from edgenas.records import AT_LEAST, Arch, CandidateRow, CheckpointFacts, RetrainResult, SearchResult, limit_text
from edgenas.runs import RunFolder, stages
from edgenas.search import FLOOR
from edgenas.training.folder import WEIGHTS, has_weights, weights_sha256

RESULT = stages.RESULT


def require_supernet(run: RunFolder) -> None:
    """Raise a `MissingInputError` that names `edgenas train` if there is no trained supernet."""
    if not has_weights(run.supernet):
        text = f"{run.supernet / WEIGHTS} does not exist: there is no supernet yet"
        raise MissingInputError(text, hint="run `edgenas train` first")


def searched(run: RunFolder) -> SearchResult | None:
    """The result of the run's search, whatever it was made with; None without one."""
    path = run.search / RESULT
    return SearchResult.read(path) if path.is_file() else None


def require_space(run: RunFolder, space: str) -> None:
    """Raise a `CheckpointError` where the run's search was one of another space than the one that is called so."""
    result = searched(run)
    if result is not None and result.space.name != space:
        text = f"{run.search / RESULT} is of a search of {result.space.name}, and the settings now name {space}"
        raise CheckpointError(text, hint="run `edgenas search` again, or set [space] back")


def winner_of(run: RunFolder, splits: Splits | None = None) -> CandidateRow:
    """The winner of `edgenas search`, chosen with ``splits``, which are read where None.

    Raises:
        MissingInputError: naming `edgenas search`.
        CheckpointError: if the images were divided otherwise then, or the supernet was another.
    """
    path, result = run.search / RESULT, searched(run)
    if result is None:
        raise MissingInputError(f"{path} does not exist: there is no winner yet", hint="run `edgenas search --latency-ms MS` first")
    if result.splits_sha256 != (load_splits(run.splits) if splits is None else splits).sha256:
        raise CheckpointError(f"{path} was chosen when the images were divided otherwise", hint="run `edgenas search` again")
    if has_weights(run.supernet) and result.supernet_sha256 != weights_sha256(run.supernet):
        raise CheckpointError(f"{path} was chosen with an earlier supernet", hint="run `edgenas search` again")
    if result.winner is None:
        raise MissingInputError(f"{path} names no winner: nothing met its limits", hint="run `edgenas search` with other limits")
    return result.winner


def finals_of(run: RunFolder, num: int) -> list[CandidateRow]:
    """The winner of `edgenas search` and the nets that its proof ranks next, up to ``num`` together.

    Nets that were not proven as long as the winner, and those that miss a floor that it keeps, are not among them; inherited
    accuracy alone makes nobody a final.

    Raises:
        MissingInputError: naming `edgenas search`.
        CheckpointError: as `winner_of`.
    """
    winner, result = winner_of(run), searched(run)
    assert result is not None
    return _finals(result, winner)[:num]


def _finals(result: SearchResult, winner: CandidateRow) -> list[CandidateRow]:
    """The winner, then every net that a search has proven as long and within its limits, the best first."""
    if winner.proof is None:
        return [winner]
    proof, rivals = winner.proof, []
    for row in result.finalists:
        if row.arch == winner.arch or row.rejected_by or row.proof is None or row.proof.epochs != proof.epochs:
            continue
        if len(row.proof.low_floors or ()) <= len(proof.low_floors or ()):
            rivals.append((-row.proof.score, row))
    rivals.sort(key=lambda each: each[0])
    return [winner, *(row for _, row in rivals)]


def read_retrain(run: RunFolder) -> RetrainResult | None:
    """What the last `edgenas retrain` reported; None without one."""
    path = run.retrain / RESULT
    return RetrainResult.read(path) if path.is_file() else None


def outdated_net(run: RunFolder, facts: CheckpointFacts, winner: CandidateRow | None) -> str | None:
    """Why retrained weights are not those of today's winner, or of a final that overtook it, or supernet; None if they are."""
    supernet = run.supernet
    if winner is not None and facts.from_search and facts.arch != winner.arch:
        retrained = read_retrain(run)
        finals = [final.arch for final in (retrained.finals if retrained is not None else None) or ()]
        if facts.arch not in finals or finals[0] != winner.arch:
            return "holds an earlier winner"
        if facts.ensemble is None and not _is_final(run, winner, facts.arch):
            return "holds a net that overtook the winner, and that today's search has not proven within its limits"
    if winner is not None and facts.from_search and facts.ensemble is not None:
        other = _tighter_limits(run, facts)
        if other:
            return f"holds {facts.ensemble} nets together that were not held to {', '.join(other)}"
    source = facts.supernet_sha256
    if source is not None and has_weights(supernet) and source != weights_sha256(supernet):
        return "was fine-tuned from an earlier supernet"
    return None


def _is_final(run: RunFolder, winner: CandidateRow, arch: Arch | None) -> bool:
    """Whether today's search has proven a net as long as its winner, and within its limits."""
    result = searched(run)
    return result is not None and arch in [row.arch for row in _finals(result, winner)]


def _tighter_limits(run: RunFolder, facts: CheckpointFacts) -> list[str]:
    """Limits on costs of today's search that several nets were not held to together, in words."""
    result, retrained = searched(run), read_retrain(run)
    kept = retrained.net.ensemble if retrained is not None and retrained.net.arch == facts.arch else None
    if result is None or kept is None or kept.room is None:
        return []
    tighter = []
    for name, limit in result.limits.items():
        then, promise = kept.room.limits.get(name), (result.promises or {}).get(name)
        is_tighter = then is None or (limit > then if name.endswith(AT_LEAST) else limit < then)
        is_promised = promise is not None and (kept.room.quantiles or {}).get(name) != promise.quantile
        if not name.startswith(FLOOR) and (is_tighter or is_promised):
            tighter.append(limit_text(name, f"{limit:g}"))
    return tighter
